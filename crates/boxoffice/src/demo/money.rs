//! Opening bookings, paying for them, and getting money back.

use kernel::Ids;
use serde_json::{Value, json};

use super::{
    Client, Report, Stage, Surprise,
    buyer::Buyer,
    client::{check, list, number, text},
};

/// A fresh idempotency key.
pub(super) fn new_key() -> String {
    let mut bytes = [0_u8; 12];
    platform::SystemIds.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a booking.
pub(super) async fn open(client: &Client, wish: &Value) -> Result<Value, Surprise> {
    client.post_once("/api/v1/bookings", &new_key(), wish).expect(201).await
}

/// Pays for a booking at the provider, as the buyer's browser would; answers the provider's status
/// and body.
async fn try_to_pay(
    stage: &Stage,
    client: &Client,
    booking: &Value,
    card: &str,
) -> Result<(u16, Value), Surprise> {
    let directions = stage.directions().await?;
    let secret = text(booking, "client_secret")?;
    let intent = secret.split("_secret_").next().unwrap_or_default();
    let address = format!("{}/v1/payment_intents/{intent}/confirm", directions.provider);
    let form = [
        ("key", directions.publishable_key.as_str()),
        ("client_secret", secret),
        ("payment_method", card),
    ];
    client.post_form(&address, &form).answer().await
}

/// Pays, and expects the provider to take it.
pub(super) async fn pay(
    stage: &Stage,
    client: &Client,
    booking: &Value,
    card: &str,
) -> Result<(), Surprise> {
    let (status, body) = try_to_pay(stage, client, booking, card).await?;
    check(status == 200, || format!("the provider answered {status}: {body}"))
}

/// Waits until the booking is confirmed.
pub(super) async fn confirmed(client: &Client, booking_id: &str) -> Result<Value, Surprise> {
    let path = format!("/api/v1/bookings/{booking_id}");
    let confirmed = |booking: &Value| text(booking, "status").is_ok_and(|s| s == "confirmed");
    client.wait_for(&path, "confirmed", confirmed).await
}

/// A declined card fails the payment but not the hold; another card pays. Answers the booking.
pub(super) async fn declined_then_paid(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
) -> Result<Value, Surprise> {
    let event = stage.event("Tempest").await?;
    let event_id = text(&event, "event_id")?;
    let best = json!({"best_available": {"quantity": 2, "category": "second"}});
    let booking = open(&buyer.client, &json!({"event_id": event_id, "choice": best})).await?;
    let booking_id = text(&booking, "booking_id")?;
    report.step("alice holds the two best seats of a category");

    let (status, body) =
        try_to_pay(stage, &buyer.client, &booking, "pm_card_chargeDeclined").await?;
    check(status == 402, || format!("a declined card was answered {status}: {body}"))?;
    let path = format!("/api/v1/bookings/{booking_id}");
    let failed = |booking: &Value| text(booking, "status").is_ok_and(|s| s == "payment_failed");
    buyer.client.wait_for(&path, "payment failed", failed).await?;
    report.step("her card is declined; the seats stay hers");

    pay(stage, &buyer.client, &booking, "pm_card_visa").await?;
    let booking = confirmed(&buyer.client, booking_id).await?;
    report.step("another card pays: confirmed");
    Ok(booking)
}

/// Cancels a confirmed booking; the money comes back and the seats are free again.
pub(super) async fn cancel_and_refund(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
    booking: &Value,
) -> Result<(), Surprise> {
    let client = &buyer.client;
    let booking_id = text(booking, "booking_id")?;
    let path = format!("/api/v1/bookings/{booking_id}/cancel");
    let reason = json!({"reason": "ill"});
    let stranger = stage.person("buyer").await?;
    stranger.post_once(&path, &new_key(), &reason).expect(404).await?;
    client.post_once(&path, &new_key(), &reason).expect(200).await?;
    report.step("alice cancels; nobody else could have");

    let path = format!("/api/v1/bookings/{booking_id}");
    let refunded = |booking: &Value| {
        text(booking, "status").is_ok_and(|s| s == "cancelled")
            && text(booking, "payment_status").is_ok_and(|s| s == "refunded")
    };
    client.wait_for(&path, "refunded", refunded).await?;
    let payment = format!("/api/v1/payments/{}", text(booking, "payment_id")?);
    let payment = client.get(&payment).expect(200).await?;
    let total = number(booking.get("total").unwrap_or(&Value::Null), "minor")?;
    check(number(&payment, "refunded_minor")? == total, || format!("{payment}"))?;
    report.step(&format!("all of the {total} cents come back"));

    let tickets = client.get(&format!("/api/v1/tickets?booking_id={booking_id}")).expect(200);
    let tickets = tickets.await?;
    let open = |ticket: &&Value| text(ticket, "status").is_ok_and(|s| s == "issued");
    let left = list(&tickets, "items")?.iter().filter(open).count();
    check(left == 0, || format!("{left} tickets are still good"))?;
    report.step("its tickets are void");
    Ok(())
}

/// A booking of free places needs no payment.
pub(super) async fn book_for_free(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
) -> Result<(), Surprise> {
    let event = stage.event("Lantern").await?;
    let choice = json!({"admissions": {"section": "workshop", "quantity": 1}});
    let wish = json!({"event_id": text(&event, "event_id")?, "choice": choice});
    let booking = open(&buyer.client, &wish).await?;
    let booking = confirmed(&buyer.client, text(&booking, "booking_id")?).await?;
    check(text(&booking, "payment_status")? == "not_required", || format!("{booking}"))?;
    report.step("bob takes a place in the free workshop: confirmed at once");
    Ok(())
}
