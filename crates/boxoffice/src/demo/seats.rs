//! Choosing seats on the plan, seen live by somebody else, and paying for them.

use futures_util::{SinkExt, StreamExt};
use kernel::Timestamp;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use super::{
    Report, Stage, Surprise,
    buyer::{self, Buyer},
    choice,
    client::{PATIENCE, check, list, number, text},
    money,
};

/// A hold that is left to expire.
pub(super) struct Forgotten {
    pub booking_id: String,
    pub event_id: String,
    pub seat: String,
    pub expires_at: Timestamp,
}

/// Holds a seat and walks away.
pub(super) async fn forget_a_hold(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
) -> Result<Forgotten, Surprise> {
    let event = stage.event("Tempest").await?;
    let event_id = text(&event, "event_id")?.to_owned();
    let asked = async |seats: &[String]| {
        let wish = json!({"event_id": event_id, "choice": {"seats": seats}});
        buyer.client.post_once("/api/v1/bookings", &money::new_key(), &wish).answer().await
    };
    let (seats, booking) = choice::hold(stage, (&event_id, "gallery", 1), asked).await?;
    let seat = seats.concat();
    let expires_at = text(&booking, "expires_at")?;
    report.step(&format!("{seat} is held until {expires_at}"));
    let expires_at: Timestamp =
        expires_at.parse().map_err(|error| Surprise(format!("{expires_at}: {error}")))?;
    let booking_id = text(&booking, "booking_id")?.to_owned();
    Ok(Forgotten { booking_id, event_id, seat, expires_at })
}

/// Browse, choose, hold (seen live), pay, confirmed, mail. Answers the booking.
pub(super) async fn buy_seats(
    stage: &Stage,
    report: &mut Report,
    (alice, bob): (&Buyer, &Buyer),
) -> Result<Value, Surprise> {
    let event = stage.event("Tempest").await?;
    let event_id = text(&event, "event_id")?.to_owned();
    report.step(&format!("alice browses and finds {:?}", text(&event, "name")?));

    let path = format!("/api/v1/events/{event_id}/seating-plan");
    let plan = stage.visitor.get(&path).expect(200).await?;
    report.step(&format!("the plan has {} sections", list(&plan, "sections")?.len()));

    let mut live = watch(stage, bob, &event_id).await?;
    report.step("bob looks at the same plan, live");

    let mut key = String::new();
    let asked = async |seats: &[String]| {
        key = money::new_key();
        let wish = json!({"event_id": event_id, "choice": {"seats": seats.get(..2)}});
        alice.client.post_once("/api/v1/bookings", &key, &wish).answer().await
    };
    let (seats, booking) = choice::hold(stage, (&event_id, "stalls", 3), asked).await?;
    let [first, second, third] = seats.as_slice() else {
        return Err(Surprise(format!("not three seats: {seats:?}")));
    };
    let seats = [first.as_str(), second.as_str()];
    let wish = json!({"event_id": event_id, "choice": {"seats": seats}});
    let once = |wish: &Value| alice.client.post_once("/api/v1/bookings", &key, wish);
    let booking_id = text(&booking, "booking_id")?.to_owned();
    check(text(&booking, "status")? == "payment_pending", || format!("{booking}"))?;
    report.step(&format!(
        "alice holds {} as {} for {} cents",
        seats.join(" and "),
        text(&booking, "reference")?,
        number(booking.get("total").unwrap_or(&Value::Null), "minor")?,
    ));

    let again = once(&wish).answer().await?.1;
    check(text(&again, "booking_id")? == booking_id, || format!("a second booking: {again}"))?;
    let other = json!({"event_id": event_id, "choice": {"seats": [third]}});
    once(&other).refused(422, "IDEMPOTENCY_KEY_REUSED").await?;
    report.step("the same request again is the same booking; another under its key is refused");

    live.wait_for("ticket:reserved", &seats).await?;
    report.step("bob sees both seats go, live");
    let wish = json!({"event_id": event_id, "choice": {"seats": [second, third]}});
    let late = bob.client.post_once("/api/v1/bookings", &money::new_key(), &wish);
    late.refused(409, "SEAT_TAKEN").await?;
    report.step("bob can't have one of them any more");

    money::pay(stage, &alice.client, &booking, "pm_card_visa").await?;
    report.step("alice pays with a test card at the provider");
    let confirmed = money::confirmed(&alice.client, &booking_id).await?;
    report.step("the provider's webhook arrives; tickets are issued, money captured: confirmed");

    let operator = stage.person("operator").await?;
    let mail = buyer::mail(&operator, &alice.email, "ticket").await?;
    let reference = text(&confirmed, "reference")?;
    check(text(&mail, "html")?.contains(reference), || format!("no {reference} in {mail}"))?;
    report.step("a mail brings the tickets");
    Ok(confirmed)
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Somebody's live connection, in the room of an event.
struct Live(Socket);

async fn watch(stage: &Stage, buyer: &Buyer, event_id: &str) -> Result<Live, Surprise> {
    let lost = |error: tokio_tungstenite::tungstenite::Error| Surprise(format!("socket: {error}"));
    let mut request = stage.directions().await?.realtime.into_client_request().map_err(lost)?;
    let bearer = format!("Bearer {}", buyer.client.token());
    let bearer = bearer.parse().map_err(|error| Surprise(format!("token: {error}")))?;
    request.headers_mut().insert("authorization", bearer);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.map_err(lost)?;
    let join = json!({"type": "room:join", "payload": {"room": format!("event:{event_id}")}});
    socket.send(Message::text(join.to_string())).await.map_err(lost)?;
    let mut live = Live(socket);
    live.wait_for("room:joined", &[]).await?;
    Ok(live)
}

impl Live {
    /// Waits for a message of type `kind` that speaks of all of `words`.
    async fn wait_for(&mut self, kind: &str, words: &[&str]) -> Result<Value, Surprise> {
        let wait = async {
            while let Some(Ok(message)) = self.0.next().await {
                let Message::Text(frame) = message else { continue };
                let Ok(frame) = serde_json::from_str::<Value>(&frame) else { continue };
                let payload = frame.get("payload").map(ToString::to_string).unwrap_or_default();
                let is_it = frame.get("type").and_then(Value::as_str) == Some(kind);
                if is_it && words.iter().all(|word| payload.contains(word)) {
                    return Ok(frame);
                }
            }
            Err(Surprise(format!("the socket closed before {kind} came")))
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| Err(Surprise(format!("no {kind} with {words:?} came"))))
    }
}
