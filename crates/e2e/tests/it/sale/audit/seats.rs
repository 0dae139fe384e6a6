//! No seat is sold twice, and the counters are true.

use super::{counted, differing, summed};
use crate::sale::facts::Facts;

/// Seats with more than one living ticket or claim, claims that don't go with a ticket or hold, and
/// admissions over the capacity.
pub(crate) fn sold_twice(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let ticketed =
        counted(facts.tickets.iter().filter(|ticket| ticket.live).filter_map(|ticket| {
            let seat = ticket.seat.as_deref()?;
            Some((ticket.event.as_str(), seat))
        }));
    for ((_, seat), count) in ticketed.iter().filter(|(_, count)| **count > 1) {
        found.push(format!("seat {seat} was sold {count} times"));
    }
    let claims = counted(facts.claims.iter().map(|its| (its.event.as_str(), its.seat.as_str())));
    for ((_, seat), count) in claims.iter().filter(|(_, count)| **count > 1) {
        found.push(format!("seat {seat} is claimed {count} times"));
    }
    let sold = facts.claims.iter().filter(|claim| claim.sold);
    let sold = counted(sold.map(|claim| (claim.event.as_str(), claim.seat.as_str())));
    for ((_, seat), tickets, claims) in differing(&ticketed, &sold) {
        found.push(format!("seat {seat} has {tickets} tickets, but {claims} claims as sold"));
    }
    let held = facts.claims.iter().filter(|claim| !claim.sold);
    let held = counted(held.map(|claim| (claim.hold.as_str(), claim.seat.as_str())));
    let wanted = facts.holds.iter().filter(|hold| hold.held);
    let wanted = counted(
        wanted.flat_map(|hold| hold.seats.iter().map(|seat| (hold.id.as_str(), seat.as_str()))),
    );
    for ((hold, seat), claims, holds) in differing(&held, &wanted) {
        found.push(format!("seat {seat}: {claims} claims of hold {hold}, which has it {holds}x"));
    }
    found
}

/// Sections whose counters are not what is held and sold in them, or more than there is.
pub(crate) fn miscounted(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let of = |event: &str, section: &str| format!("{event} {section}");
    let sold = facts.tickets.iter().filter(|ticket| ticket.live);
    let sold = counted(sold.map(|ticket| of(&ticket.event, &ticket.section)));
    let held = facts.holds.iter().filter(|hold| hold.held);
    let held = summed(held.map(|hold| {
        let seat = hold.seats.first().map(|seat| seat.split('/').next().unwrap());
        (of(&hold.event, hold.section.as_deref().or(seat).unwrap()), hold.quantity)
    }));
    for section in &facts.sections {
        let key = of(&section.event, &section.section);
        let count = |counts: &std::collections::BTreeMap<String, i64>| {
            counts.get(&key).copied().unwrap_or(0)
        };
        let (sold, held) = (count(&sold), count(&held));
        if sold > section.capacity {
            found.push(format!("section {key}: {sold} sold of {}", section.capacity));
        }
        if (section.sold, section.held) != (sold, held) {
            found.push(format!(
                "section {key} counts {} sold and {} held; they are {sold} and {held}",
                section.sold, section.held
            ));
        }
    }
    let taken = facts.sections.iter().map(|its| (its.event.as_str(), its.sold + its.held));
    let taken = summed(taken);
    for (event, capacity, available) in &facts.tallies {
        let left = capacity - taken.get(event.as_str()).copied().unwrap_or(0);
        if left != *available {
            found.push(format!("event {event} counts {available} free places; {left} are"));
        }
    }
    found
}
