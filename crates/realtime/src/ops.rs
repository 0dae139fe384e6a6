//! The verbs, one a file.

mod broadcast;
mod get_connection_stats;
mod send_to_user;

pub(crate) use broadcast::{Broadcast, broadcast};
pub(crate) use get_connection_stats::get_connection_stats;
pub(crate) use send_to_user::{SendToUser, send_to_user};

use kernel::Failure;
use wire::Context;

use crate::{error::Error, frame};

/// The longest payload that is sent to anybody, in bytes.
const MAX_PAYLOAD_BYTES: usize = 32_768;

/// Notifications are believed: only who runs the platform may send them.
fn check_caller(context: &Context) -> Result<(), Error> {
    if context.caller.is_operator() { Ok(()) } else { Err(Error::NotAllowed) }
}

fn check_message(kind: &str, payload: &str) -> Result<(), Failure> {
    if !frame::is_kind(kind) {
        return Err(Failure::invalid("type", "must be like booking:queue_position"));
    }
    if payload.len() > MAX_PAYLOAD_BYTES {
        let detail = format!("has more than {MAX_PAYLOAD_BYTES} bytes");
        return Err(Failure::invalid("payload_json", detail));
    }
    match serde_json::from_str::<serde_json::Value>(payload) {
        Ok(value) if value.is_object() => Ok(()),
        _ => Err(Failure::invalid("payload_json", "must be a json object")),
    }
}
