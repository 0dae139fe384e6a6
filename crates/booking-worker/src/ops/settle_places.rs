//! Keeps what became of places, then tells their accounts.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt, stream};
use kernel::{EventId, Failure};
use serde_json::json;
use wire::pb::realtime::v1::{SendToUserRequest, client::RealtimeServiceClient};

use crate::{
    app::App,
    domain::{Line, Outcome, Turn},
    store,
};

/// How many accounts are told at once.
const TELLING: usize = 32;

/// Keeps what became of places, and tells whoever this call settled. Durable before anybody is
/// told; whom the message doesn't reach asks for the place.
pub(super) async fn settle_places(
    app: &App,
    (event, line): (EventId, &Line),
    served: Vec<(Turn, Outcome)>,
) -> Result<(), Failure> {
    if served.is_empty() {
        return Ok(());
    }
    let now = app.clock.now();
    let keep = Duration::from_secs(app.config.keep_seconds);
    let outcomes = served.iter().map(|(turn, outcome)| {
        let holds_until = outcome.holds_until(now, line.admission_ttl);
        (turn.number, outcome, (holds_until, holds_until.plus(keep)))
    });
    let outcomes: Vec<_> = outcomes.collect();
    let settled: HashSet<u64> =
        store::settle(&app.queue, event, &outcomes).await?.into_iter().collect();
    let own = served.iter().filter(|(turn, _)| settled.contains(&turn.number));
    let requests = own.filter_map(|(turn, outcome)| {
        app.counts.processed(outcome.as_str());
        message(app, event, turn, outcome)
    });
    let requests: Vec<_> = requests.collect();
    let client = RealtimeServiceClient::new(app.telling());
    let sending = stream::iter(requests).for_each_concurrent(TELLING, |request| {
        let mut client = client.clone();
        async move {
            if let Err(status) = client.send_to_user(request).await {
                app.counts.failed("realtime");
                tracing::debug!(%event, %status, "account not told");
            }
        }
    });
    sending.await;
    Ok(())
}

/// What the account is told; an expired line is told to all at once.
fn message(app: &App, event: EventId, turn: &Turn, outcome: &Outcome) -> Option<SendToUserRequest> {
    let event_id = event.to_string();
    let (kind, payload) = match outcome {
        Outcome::Admitted { expires_at } => {
            let admission_token = app.admission(event, turn.account, *expires_at);
            let expires_at = expires_at.to_string();
            let payload = json!({ "event_id": event_id, "admission_token": admission_token,
                "expires_at": expires_at });
            ("booking:admitted", payload)
        }
        Outcome::Completed { booking } => {
            let booking_id = booking.to_string();
            ("booking:processing", json!({ "event_id": event_id, "booking_id": booking_id }))
        }
        Outcome::Failed { reason } => {
            ("booking:failed", json!({ "event_id": event_id, "reason": reason }))
        }
        Outcome::Expired { .. } => return None,
    };
    Some(SendToUserRequest {
        account_id: turn.account.to_string(),
        r#type: kind.to_owned(),
        payload_json: payload.to_string(),
    })
}
