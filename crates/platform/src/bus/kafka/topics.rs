//! The topics: their names, how they are made, how they are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kernel::Failure;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    types::RDKafkaErrorCode,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    KafkaSettings,
    client::{self, Logs, PATIENCE, blocking, down},
};
use crate::bus::{ACCOUNT_EVENTS, BOOKING_EVENTS, CATALOG_EVENTS, TOPICS};

/// Read models are built from these, so that all of them are kept.
const KEPT_TOPICS: [&str; 2] = [ACCOUNT_EVENTS, CATALOG_EVENTS];
/// How long a broker may take until a new topic can be used.
const CREATION: Duration = Duration::from_secs(30);
/// How often to ask whether it can.
const LOOK: Duration = Duration::from_millis(50);

/// How a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// Its name on the broker.
    pub name: String,
    /// How many partitions it has; 0 if it is missing.
    pub partitions: usize,
    /// How many of them have no leader: nothing can be published there.
    pub without_leader: usize,
    /// How many copies each partition is to have; the least of all partitions.
    pub replicas: usize,
    /// How many copies are up to date; the least of all partitions.
    pub in_sync: usize,
}

/// A topic that is to be.
pub(super) struct Plan {
    name: String,
    partitions: i32,
    /// Milliseconds; -1 is for ever; none keeps the newest of each key.
    retention: Option<i64>,
}

/// The topics of facts, and of what could not be handled. Dead letters are few: one partition keeps
/// them in order.
pub(super) fn plans(settings: &KafkaSettings) -> Vec<Plan> {
    let facts = TOPICS.into_iter().map(|topic| Plan {
        name: name(settings, topic),
        partitions: settings.partitions,
        retention: Some(if KEPT_TOPICS.contains(&topic) { -1 } else { retention(settings) }),
    });
    let letters = TOPICS.into_iter().map(|topic| Plan {
        name: letters(settings, topic),
        partitions: 1,
        retention: None,
    });
    facts.chain(letters).collect()
}

/// The topic of events that are handed to `group` again.
pub(super) fn replay_plan(settings: &KafkaSettings, group: &str) -> Plan {
    Plan { name: replays(settings, group), partitions: 1, retention: Some(retention(settings)) }
}

fn retention(settings: &KafkaSettings) -> i64 {
    i64::try_from(settings.retention.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn name(settings: &KafkaSettings, topic: &str) -> String {
    format!("{}{topic}", settings.namespace)
}

pub(super) fn letters(settings: &KafkaSettings, topic: &str) -> String {
    format!("{}{topic}.dlq", settings.namespace)
}

pub(super) fn replays(settings: &KafkaSettings, group: &str) -> String {
    format!("{}{group}.replay", settings.namespace)
}

pub(super) struct Topics {
    settings: Arc<KafkaSettings>,
    admin: Arc<AdminClient<Logs>>,
}

impl Topics {
    pub(super) fn new(settings: Arc<KafkaSettings>) -> Result<Self, Failure> {
        let config = client::config(&settings);
        let admin = AdminClient::from_config_and_context(&config, Logs::default());
        Ok(Self { settings, admin: Arc::new(admin.map_err(down)?) })
    }

    /// Makes those that are missing, also while others do, and waits until they can be used.
    pub(super) async fn ensure(&self, plans: &[Plan]) -> Result<(), Failure> {
        let until = Instant::now() + CREATION;
        loop {
            let missing = match self.missing(plans).await {
                Ok(missing) if missing.is_empty() => return Ok(()),
                Ok(missing) => self.create(&missing).await,
                Err(failure) => Err(failure),
            };
            if Instant::now() >= until {
                missing?;
                return Err(Failure::unavailable("kafka: new topics have no leaders"));
            }
            sleep(LOOK).await;
        }
    }

    /// Those of the plans that can't be used yet.
    async fn missing<'a>(&self, plans: &'a [Plan]) -> Result<Vec<&'a Plan>, Failure> {
        let states = self.states().await?;
        let usable = |plan: &&Plan| {
            let state = states.get(&plan.name);
            state.is_none_or(|state| state.partitions == 0 || state.without_leader > 0)
        };
        Ok(plans.iter().filter(usable).collect())
    }

    async fn create(&self, plans: &[&Plan]) -> Result<(), Failure> {
        let replicas = self.settings.replication.max(1);
        let in_sync = (replicas - 1).max(1).to_string();
        let retentions: Vec<String> =
            plans.iter().map(|plan| plan.retention.unwrap_or(-1).to_string()).collect();
        let topics = plans.iter().zip(&retentions).map(|(plan, retention)| {
            let replication = TopicReplication::Fixed(replicas);
            let topic = NewTopic::new(&plan.name, plan.partitions, replication)
                .set("min.insync.replicas", &in_sync);
            match plan.retention {
                Some(_) => topic.set("retention.ms", retention),
                None => topic.set("cleanup.policy", "compact"),
            }
        });
        let topics: Vec<_> = topics.collect();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        for result in self.admin.create_topics(&topics, &options).await.map_err(down)? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(Failure::unavailable(format!("kafka: topic {name}: {code}")));
                }
            }
        }
        Ok(())
    }

    /// How our topics are.
    pub(super) async fn list(&self) -> Result<Vec<TopicState>, Failure> {
        let mut states = self.states().await?;
        let state = |plan: Plan| {
            let found = states.remove(&plan.name);
            found.unwrap_or(TopicState {
                name: plan.name,
                partitions: 0,
                without_leader: 0,
                replicas: 0,
                in_sync: 0,
            })
        };
        Ok(plans(&self.settings).into_iter().map(state).collect())
    }

    /// All topics of the broker.
    async fn states(&self) -> Result<HashMap<String, TopicState>, Failure> {
        let admin = self.admin.clone();
        let metadata = blocking(move || admin.inner().fetch_metadata(None, PATIENCE)).await?;
        let states = metadata.topics().iter().map(|topic| {
            let partitions = topic.partitions();
            let least = |counts: &mut dyn Iterator<Item = usize>| counts.min().unwrap_or(0);
            let state = TopicState {
                name: topic.name().to_owned(),
                partitions: partitions.len(),
                without_leader: partitions.iter().filter(|part| part.leader() < 0).count(),
                replicas: least(&mut partitions.iter().map(|part| part.replicas().len())),
                in_sync: least(&mut partitions.iter().map(|part| part.isr().len())),
            };
            (state.name.clone(), state)
        });
        Ok(states.collect())
    }

    /// Whether a broker answers.
    pub(super) async fn ping(&self) -> Result<(), Failure> {
        let (admin, topic) = (self.admin.clone(), name(&self.settings, BOOKING_EVENTS));
        let asked = blocking(move || admin.inner().fetch_metadata(Some(&topic), PATIENCE));
        match timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(Failure::unavailable("kafka does not answer")),
        }
    }
}
