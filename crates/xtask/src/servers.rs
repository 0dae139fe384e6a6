//! `cargo xtask infra up | down | status`: PostgreSQL with a replica, Redis and Kafka on this
//! machine, for use: what they acknowledge is on disk. They stay until `infra down`.

use std::{fs, path::Path, thread};

use infra::{
    Fsync, Kafka, KafkaOptions, Keep, Kind, Postgres, PostgresOptions, Redis, RedisOptions, Server,
};

use crate::{
    home, processes,
    step::{self, Failure},
};

/// In the order of their start.
const KINDS: [Kind; 4] = [Kind::Postgres, Kind::Replica, Kind::Redis, Kind::Kafka];
/// What processes read.
pub(crate) const CONFIGURATION: &str = "boxoffice.toml";
/// Eight a database and process, for two processes of each service and more.
const MAX_CONNECTIONS: u32 = 400;

/// Runs `infra <args>`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["up"] => up(),
        ["down"] => down(),
        ["status"] => status(),
        _ => Err(Failure {
            message: "usage: cargo xtask infra up | down | status".to_owned(),
            code: 2,
        }),
    }
}

/// Starts what does not run, in the same place as before if it was there.
fn up() -> Result<(), Failure> {
    let home = home::make()?;
    let _alone = home::hold(&home)?;
    if are_ready(&home) {
        println!("xtask: the servers are up already");
    } else {
        step::timed("servers", || start(&home))?;
    }
    let path = home.join(CONFIGURATION);
    let text = configuration(&home)?;
    home::write(&path, &text)?;
    let open = |line: &&str| !line.starts_with("secret");
    let shown: Vec<&str> = text.lines().filter(open).collect();
    println!("\n{}\n", shown.join("\n"));
    println!("xtask: this, and a secret, is for `boxoffice --config {}`", path.display());
    println!("xtask: one process per service: cargo xtask up; the end: cargo xtask infra down");
    Ok(())
}

/// Ends all of it, whatever is left of it.
fn down() -> Result<(), Failure> {
    let home = home::path()?;
    if !home.exists() {
        println!("xtask: nothing is up");
        return Ok(());
    }
    let _alone = home::hold(&home)?;
    if processes::are_kept(&home) {
        processes::end(&home)?;
    }
    step::timed("stop the servers", || {
        for kind in KINDS.into_iter().rev() {
            match find(&home, kind) {
                Some(server) => server.remove()?,
                None => infra::clear(&home.join(kind.name()))?,
            }
        }
        Ok(infra::clear(&home)?)
    })?;
    let jars = KafkaOptions::default().jars;
    let jars = jars.canonicalize().unwrap_or(jars);
    println!("xtask: nothing is left but Kafka's jars, in {}", jars.display());
    Ok(())
}

/// Says how each part is; all must be ready.
fn status() -> Result<(), Failure> {
    let home = home::path()?;
    let mut all_ready = true;
    for kind in KINDS {
        let (state, place) = match find(&home, kind) {
            None => ("not there", String::new()),
            Some(server) => {
                let state = match server.pid() {
                    None => "ended",
                    Some(_) if server.is_ready() => "ready",
                    Some(_) => "not ready",
                };
                (state, format!("127.0.0.1:{}  {}", server.port(), server.directory().display()))
            }
        };
        all_ready &= state == "ready";
        println!("{:<18} {state:<10} {place}", kind.name());
    }
    all_ready &= processes::status(&home);
    if all_ready {
        return Ok(());
    }
    Err(Failure::new("not all is ready: `cargo xtask infra up` and `cargo xtask up` start it"))
}

/// Whether all parts answer.
pub(crate) fn are_ready(home: &Path) -> bool {
    KINDS.into_iter().all(|kind| find(home, kind).is_some_and(|server| server.is_ready()))
}

fn find(home: &Path, kind: Kind) -> Option<Server> {
    Server::find(&home.join(kind.name())).ok().filter(|server| server.kind() == kind)
}

/// Those that don't need each other start at the same time.
fn start(home: &Path) -> Result<(), Failure> {
    thread::scope(|scope| {
        let databases = scope.spawn(|| {
            raise(home, Kind::Postgres, |keep| {
                let max_connections = MAX_CONNECTIONS;
                let options =
                    PostgresOptions { max_connections, keep, ..PostgresOptions::default() };
                Ok(Postgres::start(&options)?.into_server())
            })?;
            raise(home, Kind::Replica, |keep| {
                let primary = Postgres::find(&home.join(Kind::Postgres.name()))?;
                Ok(primary.add_replica(&keep)?.into_server())
            })
        });
        // The waiting queue's places are in it: whoever was told a place keeps it, also when the
        // machine stops a moment later.
        let redis = scope.spawn(|| {
            raise(home, Kind::Redis, |keep| {
                Ok(Redis::start(&RedisOptions { fsync: Fsync::Always, keep })?.into_server())
            })
        });
        let kafka = scope.spawn(|| {
            raise(home, Kind::Kafka, |keep| {
                let options = KafkaOptions { keep, is_lasting: true, ..KafkaOptions::default() };
                Ok(Kafka::start(&options)?.into_server())
            })
        });
        [databases, redis, kafka].into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| Failure::new("starting a server panicked"))?
        })
    })
}

/// Starts a part again where it is, or makes it.
fn raise(
    home: &Path,
    kind: Kind,
    make: impl FnOnce(Keep) -> Result<Server, infra::Failure>,
) -> Result<(), Failure> {
    step::timed(kind.name(), || {
        if let Some(server) = find(home, kind) {
            return Ok(server.start_again()?);
        }
        let directory = home.join(kind.name());
        infra::clear(&directory)?;
        let _kept = make(Keep::In(directory))?;
        Ok(())
    })
}

/// What processes need to know. The secret stays the same while the state does.
fn configuration(home: &Path) -> Result<String, Failure> {
    let port = |kind: Kind| {
        let missing = || Failure::new(format!("there is no {}", kind.name()));
        find(home, kind).map(|server| server.port()).ok_or_else(missing)
    };
    let before = fs::read_to_string(home.join(CONFIGURATION)).unwrap_or_default();
    let before =
        before.lines().find_map(|line| line.strip_prefix("secret = \"")?.split('"').next());
    let secret = match before {
        Some(secret) => secret.to_owned(),
        None => infra::random_hex(32)?,
    };
    Ok(format!(
        "[boxoffice]\n\
         database = \"postgres://postgres@127.0.0.1:{}\"\n\
         replica = \"postgres://postgres@127.0.0.1:{}\"\n\
         kv = \"redis://127.0.0.1:{}\"\n\
         bus = \"kafka://127.0.0.1:{}\"\n\
         secret = \"{secret}\"\n\
         demo = true\n\
         sandbox = true\n",
        port(Kind::Postgres)?,
        port(Kind::Replica)?,
        port(Kind::Redis)?,
        port(Kind::Kafka)?,
    ))
}
