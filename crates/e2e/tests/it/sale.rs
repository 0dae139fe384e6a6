//! A sale that is watched: clients that note what they are told, what the stores say, and the audit
//! of both. Used by all that is done to a platform while it sells.

pub(crate) mod audit;
pub(crate) mod facts;
pub(crate) mod journal;
pub(crate) mod load;
mod log;
pub(crate) mod plants;
pub(crate) mod stage;
pub(crate) mod stores;
pub(crate) mod web;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::{
    audit::{audit, unsettled},
    facts::Facts,
    journal::Entries,
    stage::Stage,
    stores::Stores,
};

/// Limits that let one address be many buyers, who think of passwords that nobody uses again.
pub(crate) const ROOMY: &[(&str, &str)] = &[
    ("auth.argon2_memory_kib", "64"),
    ("auth.argon2_passes", "1"),
    ("gateway.visitor_burst", "100000"),
    ("gateway.visitor_per_minute", "100000"),
    ("gateway.account_burst", "100000"),
    ("gateway.account_per_minute", "100000"),
    ("gateway.sign_in_burst", "100000"),
    ("gateway.sign_in_per_minute", "100000"),
    ("booking.hold_ttl_seconds", "10"),
    ("log.filter", "error"),
];

/// What makes a platform forgetful enough for a test: short leases and timeouts.
pub(crate) const FORGETFUL: &[(&str, &str)] = &[
    ("booking.call_timeout_seconds", "2"),
    ("booking.lease_seconds", "8"),
    ("booking.wait_seconds", "1"),
    ("booking.resume_period_ms", "100"),
    ("booking.retry_first_ms", "50"),
    ("booking.retry_limit_seconds", "1"),
    ("ticket.expiry_period_ms", "200"),
    ("payment.lease_seconds", "2"),
    ("payment.reconcile_after_seconds", "3"),
    ("payment.reconcile_at_most_seconds", "6"),
    ("payment.due_period_ms", "200"),
    ("email-worker.lease_seconds", "5"),
    ("booking-worker.booking_timeout_seconds", "2"),
    ("booking-worker.lease_seconds", "5"),
];

/// What is put on sale beside the stage.
const DEMO_EVENTS: usize = 3;
const POLL: Duration = Duration::from_millis(300);

/// Waits until nothing is left undone, or the time for it is over: the audit says what is left.
pub(crate) async fn come_to_rest(stores: &Stores, patience: Duration) {
    let give_up = Instant::now() + patience;
    loop {
        let left = unsettled(&Facts::read(stores).await);
        if left.is_empty() || Instant::now() > give_up {
            return;
        }
        sleep(POLL).await;
    }
}

/// All that breaks a rule, and events that are not on sale as the stage was set.
pub(crate) fn violations(facts: &Facts, entries: &Entries, stage: &Stage) -> Vec<String> {
    let mut violations = audit(facts, entries);
    let events = stage.halls.len() + stage.queues.len() + DEMO_EVENTS;
    if facts.tallies.len() != events {
        violations.push(format!("{} events are on sale, not {events}", facts.tallies.len()));
    }
    violations
}

/// Tells how much happened.
pub(crate) fn report(facts: &Facts, entries: &Entries, took: Duration) {
    let status = |name: &str| facts.bookings.iter().filter(|its| its.status == name).count();
    println!(
        "{} bookings asked for in {took:?}: {} confirmed, {} cancelled, {} expired, {} failed; \
         {} tickets, {} refunds, {} places in queues, {} events, {} mails",
        entries.wishes.len(),
        status("CONFIRMED"),
        status("CANCELLED"),
        status("EXPIRED"),
        status("FAILED"),
        facts.tickets.len(),
        facts.provider_refunds.len(),
        entries.places.len(),
        facts.events.len(),
        facts.mails.len(),
    );
}
