//! What the groups of the log in this process read: of each topic the log's own rows, and the
//! outbox that is read in place. Both number their events without gaps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use db::Db;
use kernel::Failure;

use super::{
    ACCOUNT_EVENTS, BOOKING_EVENTS, CATALOG_EVENTS, PAYMENT_EVENTS, TICKET_EVENTS,
    cloud_event::Record,
};
use crate::outbox::follow;

/// Each topic, and the name of its outbox among streams; the log's own rows go by the topic's name.
const OUTBOXES: [(&str, &str); 5] = [
    (BOOKING_EVENTS, "booking-events outbox"),
    (PAYMENT_EVENTS, "payment-events outbox"),
    (TICKET_EVENTS, "ticket-events outbox"),
    (CATALOG_EVENTS, "catalog-events outbox"),
    (ACCOUNT_EVENTS, "account-events outbox"),
];

/// What a group has of one stream.
pub(super) struct Page {
    /// The number of the stream's last event.
    pub(super) last: i64,
    pub(super) records: Vec<(i64, Record)>,
    /// Whether these are all up to the last.
    pub(super) is_whole: bool,
}

impl Page {
    /// Nothing after number `seq`, as far as is known.
    pub(super) fn nothing(seq: i64) -> Self {
        Self { last: seq, records: Vec::new(), is_whole: false }
    }
}

/// The outboxes that are read in place, by the names of their streams.
#[derive(Clone, Default)]
pub(super) struct Outboxes(Arc<Mutex<BTreeMap<&'static str, Db>>>);

impl Outboxes {
    pub(super) fn follow(&self, stream: &'static str, db: &Db) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(stream, db.clone());
    }

    /// The database of an outbox, if it is there by now.
    pub(super) fn get(&self, stream: &str) -> Option<Db> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }

    /// About `limit` events of an outbox after number `seq`; none while it is not there.
    pub(super) async fn read(&self, stream: &str, seq: i64, limit: u32) -> Result<Page, Failure> {
        let Some(outbox) = self.get(stream) else {
            return Ok(Page::nothing(seq));
        };
        let (events, last) = follow::page(&outbox, seq, limit.into()).await?;
        let is_whole = events.last().is_none_or(|(number, _)| *number >= last);
        let records = events.iter().map(|(number, event)| (*number, event.here())).collect();
        Ok(Page { last, records, is_whole })
    }
}

/// The outbox of `topic` among streams.
pub(super) fn outbox_of(topic: &str) -> Option<&'static str> {
    OUTBOXES.iter().find(|(known, _)| *known == topic).map(|(_, stream)| *stream)
}

/// Whether a stream is an outbox, and not the log's own rows.
pub(super) fn is_outbox(stream: &str) -> bool {
    OUTBOXES.iter().any(|(_, outbox)| *outbox == stream)
}

/// All that a group of these topics reads, the log's own rows first.
pub(super) fn of(topics: &[&'static str]) -> Arc<[&'static str]> {
    let outboxes = topics.iter().filter_map(|topic| outbox_of(topic));
    topics.iter().copied().chain(outboxes).collect()
}
