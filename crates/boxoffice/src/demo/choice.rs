//! Which seats to ask for: some that are free now, so that the demo can walk through a platform
//! that has sold some.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;

use super::{
    Stage, Surprise,
    client::{list, number, text},
};

/// How often others may be quicker.
const TRIES: u32 = 10;
/// The plan may be that much behind: so long is waited before choosing again.
const PAUSE: Duration = Duration::from_millis(200);

/// Chooses `count` free seats of a section and has `ask` hold some of them, again where somebody
/// was quicker; answers the seats and the booking.
pub(super) async fn hold(
    stage: &Stage,
    (event_id, section, count): (&str, &str, usize),
    mut ask: impl AsyncFnMut(&[String]) -> Result<(u16, Value), Surprise>,
) -> Result<(Vec<String>, Value), Surprise> {
    for _ in 0..TRIES {
        let seats = side_by_side(stage, event_id, section, count).await?;
        match ask(&seats).await? {
            (201, booking) => return Ok((seats, booking)),
            (409, problem) if text(&problem, "code")? == "SEAT_TAKEN" => {}
            (status, body) => {
                return Err(Surprise(format!("holding {seats:?} was answered {status}: {body}")));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Surprise(format!("others were quicker in {section}, {TRIES} times")))
}

/// `count` free seats side by side in `section` of an event, in the first row from the back that
/// has them.
async fn side_by_side(
    stage: &Stage,
    event_id: &str,
    section: &str,
    count: usize,
) -> Result<Vec<String>, Surprise> {
    let plan = stage.visitor.get(&format!("/api/v1/events/{event_id}/seating-plan"));
    let plan = plan.expect(200).await?;
    let path = format!("/api/v1/events/{event_id}/availability");
    let availability = stage.visitor.get(&path).expect(200).await?;
    let taken = taken(&availability)?;
    let sections = list(&plan, "sections")?.iter();
    let found = sections.filter(|its| text(its, "key").is_ok_and(|key| key == section));
    for row in found.flat_map(|section| list(section, "rows")).flatten().rev() {
        let (name, first) = (text(row, "name")?, number(row, "first_number")?);
        let numbers = first..first + number(row, "seats")?;
        let seats: Vec<String> = numbers.map(|n| format!("{section}/{name}/{n}")).collect();
        let free = |seats: &&[String]| seats.iter().all(|seat| !taken.contains(seat.as_str()));
        if let Some(seats) = seats.windows(count).find(free) {
            return Ok(seats.to_vec());
        }
    }
    Err(Surprise(format!("{section} of event {event_id} has no {count} free seats side by side")))
}

fn taken(availability: &Value) -> Result<HashSet<&str>, Surprise> {
    let mut taken = HashSet::new();
    for section in list(availability, "sections")? {
        for key in ["held_seats", "sold_seats"] {
            taken.extend(list(section, key)?.iter().filter_map(Value::as_str));
        }
    }
    Ok(taken)
}
