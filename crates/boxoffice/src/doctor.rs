//! `boxoffice doctor` and `boxoffice migrate`: what an operator asks for before and beside the
//! services. A line for each thing looked at.

use std::{collections::BTreeMap, fmt, process::ExitCode, sync::Arc, time::Duration};

use kernel::{Clock, Failure, SystemClock, Timestamp};
use platform::{
    SystemIds, Tasks,
    bus::{Bus, TopicState},
};
use tokio::time::timeout;
use wire::Mesh;

use crate::{
    SANDBOX, Settings, StartError,
    compose::{self, database_settings, deployment_key, migrations, open_bus, open_kv},
    print::say,
    settings::MEMORY,
    state::StateDirectory,
};

/// How long looking at one thing may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Clocks that differ by more are worth knowing about.
const SKEW_SEEN: Duration = Duration::from_secs(1);
/// Callers are not believed any more where clocks differ by two minutes.
const SKEW_REFUSED: Duration = Duration::from_secs(30);
/// A replica that is further behind, in bytes of the log, does not answer in time.
const LAG_SEEN: u64 = 16 * 1024 * 1024;
/// How long a stop of the parts may take.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// Worth knowing; not in the way.
    Warn,
    /// In the way.
    Fail,
}

/// What was found of one thing.
struct Finding {
    level: Level,
    what: String,
    detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level:<5} {:<24} {}", self.what, self.detail)
    }
}

/// Prints findings as they are made, and keeps the worst.
struct Findings(Level);

impl Findings {
    fn tell(&mut self, level: Level, what: impl Into<String>, detail: impl fmt::Display) {
        self.0 = self.0.max(level);
        say(&Finding { level, what: what.into(), detail: detail.to_string() }.to_string());
    }

    fn tell_result<T>(
        &mut self,
        what: &str,
        result: Result<T, impl fmt::Display>,
        good: impl fmt::Display,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                self.tell(Level::Ok, what, good);
                Some(value)
            }
            Err(error) => {
                self.tell(Level::Fail, what, error);
                None
            }
        }
    }
}

/// Looks at all that the services of `settings` stand on. Changes nothing but that it makes topics
/// that are missing.
pub(crate) async fn examine(settings: &Settings) -> Result<ExitCode, StartError> {
    let mut findings = Findings(Level::Ok);
    findings.tell_result("configuration", compose::check(settings), "complete");
    let state = open_state(settings)?;
    let directory = state.as_ref().map(StateDirectory::path);
    let key = deployment_key(settings, directory, &SystemIds);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if let Some(key) = findings.tell_result("secret", key, "set") {
        let mesh = compose::mesh(settings, &key, clock.clone());
        let words = if settings.tls.is_some() { "over mutual TLS" } else { "without TLS" };
        if let Some(mesh) = findings.tell_result("calls between services", mesh, words) {
            services(settings, &mesh, &mut findings).await;
        }
    }
    let databases = databases(settings, directory, &mut findings).await?;
    parts(settings, &databases, &clock, &mut findings).await;
    for database in databases.values() {
        database.close().await;
    }
    Ok(if findings.0 == Level::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Brings all databases of `settings` up to date, and makes the topics of the event log.
pub(crate) async fn migrate(settings: &Settings) -> Result<ExitCode, StartError> {
    let state = open_state(settings)?;
    let directory = state.as_ref().map(StateDirectory::path);
    let mut databases = BTreeMap::new();
    for (name, its) in database_settings(settings, directory)? {
        let failed = |error| StartError::database(name, error);
        let database = db::Db::open(&its).await.map_err(failed)?;
        let sets = migrations(name);
        let due = database.examine(sets).await.map_err(failed)?.due;
        database.migrate(sets).await.map_err(failed)?;
        let applied = if due.is_empty() { "was up to date".to_owned() } else { due.join(", ") };
        say(&format!("{name:<15} {applied}"));
        databases.insert(name.to_owned(), database);
    }
    let tasks = Tasks::new();
    open_bus(settings, &databases, &tasks).await?;
    say("event log       has its topics");
    tasks.stop(DRAIN).await;
    for database in databases.values() {
        database.close().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The state directory, unless all is kept on servers: the sandbox's ledger is no concern here.
fn open_state(settings: &Settings) -> Result<Option<StateDirectory>, StartError> {
    let path = &settings.process.state_directory;
    settings.keeps_parts().then(|| StateDirectory::open(path)).transpose()
}

/// Asks each remote replica for its health.
async fn services(settings: &Settings, mesh: &Mesh, findings: &mut Findings) {
    for service in settings.remotes.keys() {
        for (address, answer) in mesh.health_of(service).await {
            let what = format!("service {service}");
            match answer {
                Ok(()) => findings.tell(Level::Ok, what, format!("{address} serves")),
                // It may not have been started yet.
                Err(failure) => findings.tell(Level::Warn, what, format!("{address}: {failure}")),
            }
        }
    }
}

async fn databases(
    settings: &Settings,
    directory: Option<&std::path::Path>,
    findings: &mut Findings,
) -> Result<BTreeMap<String, db::Db>, StartError> {
    let mut databases = BTreeMap::new();
    for (name, its) in database_settings(settings, directory)? {
        let what = format!("database {name}");
        let its = db::Settings { create: name == SANDBOX || settings.process.kv == MEMORY, ..its };
        let asked_at = SystemClock.now();
        let examined = timeout(PATIENCE, async {
            let database = db::Db::open(&its).await?;
            let examination = database.examine(migrations(name)).await?;
            Ok::<_, db::Error>((database, examination))
        });
        match examined.await {
            Ok(Ok((database, examination))) => {
                let asked = (asked_at, SystemClock.now());
                schema(&what, &examination, asked, findings);
                replica(&format!("replica {name}"), examination.replica, findings);
                databases.insert(name.to_owned(), database);
            }
            Ok(Err(error)) => findings.tell(Level::Fail, what, error),
            Err(_) => findings.tell(Level::Fail, what, "did not answer in time"),
        }
    }
    Ok(databases)
}

fn schema(
    what: &str,
    its: &db::Examination,
    asked: (Timestamp, Timestamp),
    findings: &mut Findings,
) {
    let mut words = vec![its.server.clone()];
    let mut level = Level::Ok;
    if its.due.is_empty() {
        words.push("schema up to date".to_owned());
    } else {
        level = Level::Fail;
        words.push(format!("due: {} (boxoffice migrate)", its.due.join(", ")));
    }
    if !its.unknown.is_empty() {
        level = level.max(Level::Warn);
        words.push(format!("of a newer version: {}", its.unknown.join(", ")));
    }
    if let Some(theirs) = its.clock {
        let skew = skew(asked, theirs);
        level = level.max(match skew {
            _ if skew > SKEW_REFUSED => Level::Fail,
            _ if skew > SKEW_SEEN => Level::Warn,
            _ => Level::Ok,
        });
        words.push(format!("clock {} ms apart", skew.as_millis()));
    }
    findings.tell(level, what, words.join(", "));
}

/// How far a clock that was read between two moments of ours is from both.
fn skew((from, to): (Timestamp, Timestamp), theirs: Timestamp) -> Duration {
    let apart = (from.micros() - theirs.micros()).max(theirs.micros() - to.micros());
    Duration::from_micros(u64::try_from(apart).unwrap_or(0))
}

fn replica(what: &str, its: Option<Result<db::ReplicaState, db::Error>>, findings: &mut Findings) {
    match its {
        None => {}
        Some(Err(error)) => findings.tell(Level::Fail, what, error),
        Some(Ok(state)) => {
            let words = format!("{} bytes behind", state.behind_bytes);
            let level = if state.behind_bytes > LAG_SEEN { Level::Warn } else { Level::Ok };
            findings.tell(level, what, words);
        }
    }
}

/// Looks at the key-value parts and the event log.
async fn parts(
    settings: &Settings,
    databases: &BTreeMap<String, db::Db>,
    clock: &Arc<dyn Clock>,
    findings: &mut Findings,
) {
    let tasks = Tasks::new();
    let in_time = |failed: StartError| Failure::unavailable(failed);
    let kv = timeout(PATIENCE, async {
        let kv = open_kv(settings, databases, clock.clone(), &tasks).await.map_err(in_time)?;
        kv.ping().await
    });
    let kv = kv.await.unwrap_or_else(|_| Err(Failure::unavailable("did not answer in time")));
    findings.tell_result("key-value parts", kv, kind(&settings.process.kv));
    let bus = timeout(PATIENCE, async {
        let bus = open_bus(settings, databases, &tasks).await.map_err(in_time)?;
        bus.ping().await?;
        Ok::<_, Failure>(bus)
    });
    let bus = bus.await.unwrap_or_else(|_| Err(Failure::unavailable("did not answer in time")));
    let bus = findings.tell_result("event log", bus, kind(&settings.process.bus));
    if let Some(bus) = bus {
        topics(&bus, findings).await;
    }
    tasks.stop(DRAIN).await;
}

fn kind(url: &str) -> &str {
    match url.split_once("://") {
        Some(("redis" | "redis+unix", _)) => "Redis answers, and keeps what it must",
        Some(("kafka", _)) => "Kafka answers",
        _ => "in this process",
    }
}

async fn topics(bus: &Bus, findings: &mut Findings) {
    match bus.topics().await {
        Ok(topics) => {
            for its in topics {
                let (level, words) = topic(&its);
                findings.tell(level, format!("topic {}", its.name), words);
            }
        }
        Err(failure) => findings.tell(Level::Fail, "topics", failure),
    }
}

fn topic(its: &TopicState) -> (Level, String) {
    if its.partitions == 0 {
        return (Level::Fail, "missing (boxoffice migrate)".to_owned());
    }
    let copies = format!("{} of {} copies in sync", its.in_sync, its.replicas);
    let words = format!("{} partitions, {copies}", its.partitions);
    match its.without_leader {
        0 if its.in_sync < its.replicas => (Level::Warn, words),
        0 => (Level::Ok, words),
        lost => (Level::Fail, format!("{words}, {lost} without a leader")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_apart_by_what_no_delay_explains() {
        let at = Timestamp::from_seconds;
        assert_eq!(skew((at(10), at(12)), at(11)), Duration::ZERO);
        assert_eq!(skew((at(10), at(12)), at(7)), Duration::from_secs(3));
        assert_eq!(skew((at(10), at(12)), at(17)), Duration::from_secs(5));
    }
    #[test]
    fn a_topic_without_leaders_is_in_the_way_and_one_with_few_copies_is_not() {
        let level = |partitions, without_leader, in_sync| {
            let name = "booking-events".to_owned();
            topic(&TopicState { name, partitions, without_leader, replicas: 3, in_sync }).0
        };
        assert_eq!(level(6, 0, 3), Level::Ok);
        assert_eq!(level(6, 0, 2), Level::Warn);
        assert_eq!(level(6, 1, 3), Level::Fail);
        assert_eq!(level(0, 0, 0), Level::Fail);
    }
}
