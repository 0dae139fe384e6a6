//! More buyers than seats: each seat is sold once, and the rest are told so.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kernel::{Clock, SystemClock};
use serde_json::{Value, json};

use super::{
    Client, Report, Stage, Surprise, buyer,
    client::{check, list, number, text},
    money,
};

const BUYERS: usize = 200;
const SEATS: u64 = 50;
/// How many sign up at once; hashing passwords is all the work there is.
const SIGN_UPS_AT_ONCE: usize = 16;

/// Sells a hall of 50 seats to 200 buyers who come at once.
pub(super) async fn race(stage: &Stage, report: &mut Report) -> Result<(), Surprise> {
    let event_id = small_hall(&stage.person("theatre").await?).await?;
    report.step(&format!("the theatre puts a hall of {SEATS} free seats on sale"));

    let operator = stage.person("operator").await?;
    let names = (0..BUYERS).map(|at| format!("racer{at}"));
    let sign_ups = names.map(|name| {
        let (visitor, operator) = (&stage.visitor, &operator);
        async move { buyer::sign_up_quietly(visitor, operator, &name).await }
    });
    let buyers: Vec<_> = stream::iter(sign_ups).buffer_unordered(SIGN_UPS_AT_ONCE).collect().await;
    let buyers = buyers.into_iter().collect::<Result<Vec<Client>, Surprise>>()?;
    report.step(&format!("{BUYERS} buyers sign up"));

    let choice = json!({"best_available": {"quantity": 1}});
    let wish = json!({"event_id": event_id, "choice": choice});
    let tries = buyers.iter().map(|client| {
        let wish = &wish;
        async move { client.post_once("/api/v1/bookings", &money::new_key(), wish).answer().await }
    });
    let answers = futures_util::future::join_all(tries).await;
    let mut seats = Vec::new();
    let mut refused = 0_u64;
    for answer in answers {
        let (status, body) = answer?;
        match status {
            201 => seats.push(seat_of(&body)?),
            409 if text(&body, "code")? == "SOLD_OUT" => refused += 1,
            _ => return Err(Surprise(format!("a racer was answered {status}: {body}"))),
        }
    }
    let sold = seats.len() as u64;
    seats.sort_unstable();
    seats.dedup();
    check(
        sold == SEATS && seats.len() as u64 == SEATS && refused == BUYERS as u64 - SEATS,
        || format!("{sold} sold, {} different seats, {refused} refused", seats.len()),
    )?;
    let path = format!("/api/v1/events/{event_id}/availability");
    let all_sold = |availability: &Value| {
        let sections = list(availability, "sections").into_iter().flatten();
        sections.filter_map(|section| number(section, "sold").ok()).sum::<i64>() == SEATS as i64
    };
    stage.visitor.wait_for(&path, "all seats sold", all_sold).await?;
    report
        .step(&format!("exactly {SEATS} seats are sold, each once; {refused} buyers are refused"));
    Ok(())
}

fn seat_of(booking: &Value) -> Result<String, Surprise> {
    let places = list(booking, "places")?;
    Ok(text(places.first().unwrap_or(&Value::Null), "seat")?.to_owned())
}

async fn small_hall(theatre: &Client) -> Result<String, Surprise> {
    let rows: Vec<_> = ["A", "B", "C", "D", "E"]
        .map(|name| json!({"name": name, "first_number": 1, "seats": 10}))
        .into();
    let section = json!({
        "key": "hall", "name": "Hall", "kind": "seated", "category": "free", "rows": rows,
    });
    let venue = json!({
        "name": "Rehearsal room", "address": "2 Harbour Street", "city": "Hamburg",
        "country": "DE", "time_zone": "Europe/Berlin", "plan": {"sections": [section]},
    });
    let venue = theatre.post("/api/v1/venues", &venue).expect(201).await?;
    let day = Duration::from_secs(24 * 3_600);
    let starts_at = SystemClock.now().plus(day);
    let event = json!({
        "venue_id": text(&venue, "venue_id")?, "name": "Open rehearsal", "kind": "theater",
        "description": "A look behind the curtain.", "currency": "EUR", "max_per_booking": 2,
        "starts_at": starts_at.to_string(), "ends_at": starts_at.plus(day).to_string(),
        "categories": [{"key": "free", "name": "Free", "price_minor": 0}],
    });
    let event = theatre.post("/api/v1/events", &event).expect(201).await?;
    let event_id = text(&event, "event_id")?.to_owned();
    theatre.post(&format!("/api/v1/events/{event_id}/publish"), &json!({})).expect(200).await?;
    Ok(event_id)
}
