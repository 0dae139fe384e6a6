//! The audit: what must hold after whatever happened, rule by rule. Each answers what breaks it, in
//! words.

mod money;
mod news;
mod promises;
mod rest;
mod seats;

use std::collections::BTreeMap;

use super::{
    facts::{Booking, Facts},
    journal::Entries,
};

pub(crate) use rest::unsettled;

/// All that breaks a rule.
pub(crate) fn audit(facts: &Facts, entries: &Entries) -> Vec<String> {
    let mut found = unsettled(facts);
    found.extend(seats::sold_twice(facts));
    found.extend(seats::miscounted(facts));
    found.extend(money::without_tickets(facts));
    found.extend(money::unexplained(facts));
    found.extend(promises::broken_keys(facts, entries));
    found.extend(promises::lost_places(facts, entries));
    found.extend(news::broken_histories(facts));
    found.extend(news::lost_events(facts));
    found.extend(news::lost_mails(facts));
    found
}

fn by_id(facts: &Facts) -> BTreeMap<&str, &Booking> {
    facts.bookings.iter().map(|booking| (booking.id.as_str(), booking)).collect()
}

/// How often each comes.
fn counted<K: Ord>(items: impl IntoIterator<Item = K>) -> BTreeMap<K, i64> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// The sums by key.
fn summed<K: Ord>(items: impl IntoIterator<Item = (K, i64)>) -> BTreeMap<K, i64> {
    let mut sums = BTreeMap::new();
    for (key, amount) in items {
        *sums.entry(key).or_default() += amount;
    }
    sums
}

/// The two sides where they differ; a missing count is 0.
fn differing<K: Ord + Copy>(
    one: &BTreeMap<K, i64>,
    other: &BTreeMap<K, i64>,
) -> Vec<(K, i64, i64)> {
    let count = |side: &BTreeMap<K, i64>, key: K| side.get(&key).copied().unwrap_or(0);
    let mut keys: Vec<K> = one.keys().chain(other.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let pairs = keys.into_iter().map(|key| (key, count(one, key), count(other, key)));
    pairs.filter(|(_, one, other)| one != other).collect()
}
