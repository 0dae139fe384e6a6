//! An event in queue mode: join, see the place, be admitted, book the best available.

use serde_json::{Value, json};

use super::{
    Report, Stage, Surprise,
    buyer::Buyer,
    client::{check, number, text},
    money,
};

/// Waits in the arena's queue, and books with the admission.
pub(super) async fn wait_and_book(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
) -> Result<(), Surprise> {
    let client = &buyer.client;
    let event = stage.event("Midnight Sun").await?;
    let event_id = text(&event, "event_id")?;
    let choice = json!({"best_available": {"quantity": 2, "category": "lower"}});
    let wish = json!({"event_id": event_id, "choice": choice});
    let early = client.post_once("/api/v1/bookings", &money::new_key(), &wish);
    early.refused(403, "ADMISSION_REQUIRED").await?;
    report.step("booking past the queue is refused");

    let path = format!("/api/v1/events/{event_id}/queue");
    let place = client.post(&path, &json!({})).expect(201).await?;
    let number_taken = number(&place, "number")?;
    report.step(&format!("alice joins and gets place {number_taken}"));
    let (_, again) = client.post(&path, &json!({})).answer().await?;
    check(number(&again, "number")? == number_taken, || format!("another place: {again}"))?;
    report.step("joining again is the same place");

    let admitted = |place: &Value| text(place, "status").is_ok_and(|s| s == "admitted");
    let place = client.wait_for(&format!("{path}/place"), "admitted", admitted).await?;
    report.step("it is her turn: she is admitted for a time");

    let token = text(&place, "admission_token")?;
    let wish = json!({"event_id": event_id, "choice": choice, "admission_token": token});
    let borrowed = stage.person("buyer").await?;
    let borrowed = borrowed.post_once("/api/v1/bookings", &money::new_key(), &wish);
    borrowed.refused(403, "ADMISSION_REQUIRED").await?;
    let booking = money::open(client, &wish).await?;
    report.step("she books the best two seats; her admission is no use to others");
    money::pay(stage, client, &booking, "pm_card_visa").await?;
    money::confirmed(client, text(&booking, "booking_id")?).await?;
    report.step("and pays: confirmed");
    Ok(())
}
