//! The event log on Kafka keeps its promises, those of one process and those of many.

use kernel::{Ids, Timestamp};

use super::conformance::{self, Subject};
use crate::{
    SystemIds, Tasks,
    bus::{Bus, KafkaSettings},
};

/// A log on the test broker, under a namespace of its own.
#[derive(Clone)]
struct OnKafka(KafkaSettings);

impl OnKafka {
    fn new() -> Self {
        let namespace = format!("test-{}-", SystemIds.uuid(Timestamp::EPOCH).simple());
        let (partitions, events) = (3, super::impatient());
        let settings = KafkaSettings::new(testkit::kafka_brokers());
        Self(KafkaSettings { namespace, partitions, events, ..settings })
    }
}

impl Subject for OnKafka {
    const PASSES_REPEATS: bool = false;

    async fn open(&self, tasks: &Tasks) -> Bus {
        Bus::kafka(&self.0, tasks).await.unwrap()
    }
}

macro_rules! conforms {
    ($($name:ident => $part:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            conformance::$part(&OnKafka::new()).await;
        }
    )*};
}

conforms! {
    events_of_a_key_come_in_order => order,
    keys_are_handled_side_by_side => keys_side_by_side,
    a_failure_is_tried_again_and_holds_up_its_key_alone => failures,
    what_needs_a_part_that_is_down_waits_for_it => parts_that_are_down,
    poison_goes_to_the_dead_letters_and_comes_back_when_asked => dead_letters,
    groups_are_apart_and_repeats_come_behind => groups_and_repeats,
    a_restart_goes_on_where_it_was => restart,
    an_event_is_handled_again_after_a_crash => crash,
    stopping_lets_what_runs_end => stopping,
    a_slow_consumer_holds_up_nobody => slow_consumers,
}
