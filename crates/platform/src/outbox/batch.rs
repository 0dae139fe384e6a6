//! How events stand in an outbox: a row has those that one transaction wrote, as a JSON array. A
//! row an event would cost more than the change it tells of.

use std::borrow::Cow;

use db::Row;
use kernel::{Failure, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::bus::{self, Envelope};

/// Where a row ends, and what a transaction has beyond it goes to the next one: in a page of
/// PostgreSQL, which would cut a longer one in pieces. A single event may be longer.
const ROW_BYTES: usize = 7_000;

/// Events as one row has them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// How many they are.
    pub(super) count: i64,
    /// Their JSON text.
    pub(super) events: String,
}

/// An event but for its topic, which is the row's, and its content, which comes last.
#[derive(Serialize)]
struct Head<'a> {
    id: String,
    key: &'a str,
    kind: &'a str,
    source: &'a str,
    at: i64,
    correlation_id: &'a str,
}

/// An event as it stands in a row.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    key: String,
    kind: String,
    source: String,
    at: i64,
    correlation_id: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Events in as many rows as they need.
///
/// # Errors
/// If one has no JSON form.
pub(super) fn batches(events: &[Envelope]) -> serde_json::Result<Vec<Batch>> {
    let mut batches: Vec<Batch> = Vec::new();
    for event in events {
        let head = Head {
            id: event.id.to_string(),
            key: &event.key,
            kind: &event.kind,
            source: &event.source,
            at: event.at.micros(),
            correlation_id: &event.correlation_id,
        };
        let head = serde_json::to_string(&head)?;
        let head = head.strip_suffix('}').unwrap_or(&head);
        let (opening, closing) = (",\"content\":", "}]");
        let room = ROW_BYTES.saturating_sub(head.len() + opening.len() + event.content.len());
        let batch = match batches.last_mut().filter(|batch| batch.events.len() < room) {
            Some(batch) => {
                batch.events.pop();
                batch.events.push(',');
                batch
            }
            None => {
                batches.push(Batch { count: 0, events: "[".to_owned() });
                let Some(batch) = batches.last_mut() else { continue };
                batch
            }
        };
        batch.count += 1;
        batch.events.extend([head, opening, &event.content, closing]);
    }
    Ok(batches)
}

/// The events of a row whose topic and text stand in the columns from `first`.
pub(super) fn envelopes(row: &Row, first: usize) -> Result<Vec<Envelope>, Failure> {
    let (topic, events): (String, String) = (row.get(first)?, row.get(first + 1)?);
    let topic = bus::topic(topic);
    let written: Vec<Written<'_>> = serde_json::from_str(&events).map_err(Failure::internal)?;
    let envelope = |event: Written<'_>| {
        Ok(Envelope {
            id: event.id.parse::<MessageId>().map_err(Failure::internal)?,
            topic: topic.clone(),
            key: event.key,
            kind: event.kind.into(),
            source: event.source.into(),
            at: Timestamp::from_micros(event.at),
            correlation_id: event.correlation_id.into(),
            content: event.content.get().into(),
        })
    };
    written.into_iter().map(envelope).collect()
}
