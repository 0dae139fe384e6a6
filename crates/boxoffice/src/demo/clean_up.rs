//! A hold that nobody paid expires, and its seats come back.

use kernel::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{
    Report, Stage, Surprise,
    buyer::Buyer,
    client::{PATIENCE, check, list, text},
    money,
    seats::Forgotten,
};

/// Waits for the hold to expire, and sees its seat sold to somebody else.
pub(super) async fn seats_come_back(
    stage: &Stage,
    report: &mut Report,
    buyer: &Buyer,
    forgotten: &Forgotten,
) -> Result<(), Surprise> {
    let path = format!("/api/v1/bookings/{}", forgotten.booking_id);
    let is = |status: &'static str| {
        move |booking: &Value| text(booking, "status").is_ok_and(|its| its == status)
    };
    if forgotten.expires_at < SystemClock.now().plus(PATIENCE) {
        buyer.client.wait_for(&path, "expired", is("expired")).await?;
        report.step("bob's forgotten booking has expired");
    } else {
        let cancelled = buyer.client.post_once(
            &format!("{path}/cancel"),
            &money::new_key(),
            &json!({"reason": "found again"}),
        );
        cancelled.expect(200).await?;
        buyer.client.wait_for(&path, "cancelled", is("cancelled")).await?;
        report.step("here holds last too long to wait for: bob finds his booking, and cancels it");
    }

    let path = format!("/api/v1/events/{}/availability", forgotten.event_id);
    let free = |availability: &Value| {
        let sections = list(availability, "sections").into_iter().flatten();
        let mut taken = sections.flat_map(|section| list(section, "held_seats")).flatten();
        !taken.any(|seat| seat.as_str() == Some(&forgotten.seat))
    };
    stage.visitor.wait_for(&path, "the seat is free", free).await?;
    let choice = json!({"seats": [forgotten.seat]});
    let wish = json!({"event_id": forgotten.event_id, "choice": choice});
    let other = stage.person("buyer").await?;
    let booking = money::open(&other, &wish).await?;
    check(text(&booking, "status")? == "payment_pending", || format!("{booking}"))?;
    report.step(&format!("{} is free again, and goes to the next buyer", forgotten.seat));
    Ok(())
}
