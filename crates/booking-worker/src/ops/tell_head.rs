//! Tells all who look at an event how far its line is.

use std::time::Duration;

use kernel::EventId;
use platform::kv::Head;
use serde_json::json;
use wire::pb::realtime::v1::{BroadcastRequest, client::RealtimeServiceClient};

use crate::{app::App, domain::Gate, serving::Serving};

/// Tells the head, and why the line does not move if it doesn't: one message for all, from which
/// each computes its own position. Only what has changed, and not too often; that the line stops
/// or goes on is told at once. What could not be told is told with the next look. Answers whether
/// there is nothing left to tell.
pub(super) async fn tell_head(
    app: &App,
    event: EventId,
    seen: (Head, Gate),
    serving: &mut Serving,
) -> bool {
    let now = app.clock.now();
    let pause = Duration::from_millis(app.config.broadcast_every_ms);
    let (head, gate) = seen;
    match &serving.told {
        None if head.waiting == 0 => return true,
        Some((told, _)) if *told == seen => return true,
        Some((told, at)) if told.1 == gate && now.since(*at) < pause => return false,
        _ => {}
    }
    let event_id = event.to_string();
    let mut payload = json!({ "event_id": event_id, "serving": head.serving, "last": head.last,
        "waiting": head.waiting });
    if let (Some(reason), Some(payload)) = (gate.reason(), payload.as_object_mut()) {
        payload.insert("reason".to_owned(), reason.into());
    }
    let request = BroadcastRequest {
        room: format!("event:{event_id}"),
        r#type: "booking:queue_position".to_owned(),
        payload_json: payload.to_string(),
    };
    match RealtimeServiceClient::new(app.telling()).broadcast(request).await {
        Ok(_) => {
            serving.told = Some((seen, now));
            true
        }
        Err(status) => {
            app.counts.failed("realtime");
            tracing::debug!(%event, %status, "head not told");
            false
        }
    }
}
