//! The door: a code is verified offline, lets in once, and is refused the second time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Report, Stage, Surprise,
    buyer::Buyer,
    client::{check, list, text},
};

/// Goes in with the first ticket of a booking, and tries again.
pub(super) async fn enter_once(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
    booking: &Value,
) -> Result<(), Surprise> {
    let booking_id = text(booking, "booking_id")?;
    let event_id = text(booking, "event_id")?;
    let path = format!("/api/v1/tickets?booking_id={booking_id}");
    let tickets = buyer.client.get(&path).expect(200).await?;
    let tickets = list(&tickets, "items")?;
    check(tickets.len() == 2, || format!("expected 2 tickets: {tickets:?}"))?;
    let code = text(tickets.first().unwrap_or(&Value::Null), "code")?;

    verify_offline(stage, code).await?;
    report.step("the code is verified offline, with the public keys alone");

    let theatre = stage.person("theatre").await?;
    let forged = code.replace(|c: char| c.is_ascii_digit(), "0");
    let forged = json!({"code": forged, "event_id": event_id, "gate": "north"});
    theatre.post("/api/v1/tickets/use", &forged).refused(422, "INVALID_TICKET").await?;
    let door = json!({"code": code, "event_id": event_id, "gate": "north"});
    buyer.client.post("/api/v1/tickets/use", &door).expect(403).await?;
    let used = theatre.post("/api/v1/tickets/use", &door).expect(200).await?;
    check(text(&used, "status")? == "used", || format!("{used}"))?;
    report.step("the theatre lets alice in at the north gate; a forged code it did not");

    theatre.post("/api/v1/tickets/use", &door).refused(409, "TICKET_ALREADY_USED").await?;
    report.step("the same code a second time is refused");
    Ok(())
}

async fn verify_offline(stage: &Stage, code: &str) -> Result<(), Surprise> {
    let keys = stage.visitor.get("/api/v1/tickets/keys").expect(200).await?;
    let mut public = Vec::new();
    for key in list(&keys, "items")? {
        let bytes = URL_SAFE_NO_PAD.decode(text(key, "public_key")?);
        let bytes = bytes.map_err(|error| Surprise(format!("public key: {error}")))?;
        public.push((text(key, "key_id")?.to_owned(), bytes));
    }
    ticket::code::verify(code, &public)
        .map(|_| ())
        .map_err(|refusal| Surprise(format!("the code does not verify: {refusal}")))
}
