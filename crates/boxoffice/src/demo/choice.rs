//! Which seats to ask for: some that are free now, so that the demo can walk through a platform that
//! has sold some.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    Stage, Surprise,
    client::{list, number, text},
};

/// `count` free seats side by side in `section` of an event, in the first row from the back that
/// has them.
pub(super) async fn side_by_side(
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
