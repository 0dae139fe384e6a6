//! Decides requests about payments that met in one transaction: a handful of statements, however
//! many requests there are, and each decided as if it had come alone, in their order.

use std::collections::{HashMap, HashSet};

use db::Tx;
use kernel::{BookingId, Failure, PaymentId, Timestamp};

use super::observe::take_in;
use crate::{
    domain::{Change, Payment},
    events,
    ledger::{Desk, Ledger, Step},
    store::{self, Entry, Noted},
    stripe::{EventHead, Intent},
};

/// What is asked.
pub(crate) enum Request {
    /// Writes the payment of a booking down, unless the booking has one.
    Open(Box<Opening>),
    /// How a payment stands.
    Read(PaymentId),
    /// Takes in what a call of ours to the provider was answered with.
    Heard(Box<Heard>),
    /// Takes in an event of the provider about an intent.
    Told(Box<Told>),
}

/// A new payment.
pub(crate) struct Opening {
    pub(crate) payment: Payment,
    /// The record of the call that asked for its intent.
    pub(crate) entry: Entry,
}

/// What we know from a call of ours.
pub(crate) struct Heard {
    pub(crate) payment: PaymentId,
    pub(crate) news: News,
    /// The call's record, if there was one.
    pub(crate) entry: Option<Entry>,
    /// Why it was made, for the history.
    pub(crate) cause: String,
    pub(crate) now: Timestamp,
}

/// What a call tells about a payment.
pub(crate) enum News {
    /// Nothing, but its record is kept.
    Nothing,
    /// How its intent stands.
    Intent(Intent),
    /// There never was one, and will be none, for a reason with this code.
    GivenUp(String),
}

/// What an event says.
pub(crate) struct Told {
    pub(crate) event: EventHead,
    pub(crate) intent: Intent,
    /// The event as JSON, without secrets.
    pub(crate) body: String,
    pub(crate) now: Timestamp,
}

/// What came of a request.
pub(crate) struct Decided {
    /// The payment as it is now, if it is about one.
    pub(crate) payment: Option<Payment>,
    pub(crate) change: Option<Change>,
    /// In a word, of an event.
    pub(crate) outcome: &'static str,
}

impl Decided {
    const fn nothing(outcome: &'static str) -> Self {
        Self { payment: None, change: None, outcome }
    }

    fn of(payment: &Payment, change: Option<Change>) -> Self {
        let outcome = if change.is_some() { "applied" } else { "known" };
        Self { payment: Some(payment.clone()), change, outcome }
    }

    /// The payment of a request that is about one.
    pub(crate) fn payment(self) -> Result<Payment, Failure> {
        self.payment.ok_or_else(|| Failure::not_found("payment"))
    }
}

/// Decides `requests`, first come first served.
///
/// # Errors
/// If all of it has to be undone: the database refused, or an event could not be made.
pub(crate) async fn decide(
    tx: &mut Tx,
    desk: &Desk,
    requests: &[Request],
) -> Result<Vec<Result<Decided, Failure>>, Failure> {
    let mut ledger = Ledger::new(desk);
    let opened = open(tx, &ledger, requests).await?;
    let seen = read(tx, requests).await?;
    let owners = lock(tx, &mut ledger, requests).await?;
    let mut fresh = note_events(tx, requests, &owners).await?;
    let mut decided = Vec::with_capacity(requests.len());
    for request in requests {
        decided.push(match request {
            Request::Open(opening) => {
                ledger.note(&opening.entry);
                opened
                    .get(&opening.payment.booking)
                    .map(|payment| Decided::of(payment, None))
                    .ok_or_else(|| Failure::unavailable("payment of booking is being made"))
            }
            Request::Read(id) => ledger
                .find(*id)
                .or_else(|| seen.get(id))
                .map(|payment| Decided::of(payment, None))
                .ok_or_else(|| Failure::not_found("payment")),
            Request::Heard(heard) if needs_lock(heard) && ledger.find(heard.payment).is_none() => {
                Err(Failure::not_found("payment"))
            }
            Request::Heard(heard) => Ok(hear(&mut ledger, heard)?),
            Request::Told(told) if !fresh.remove(told.event.id.as_str()) => {
                Ok(Decided::nothing("duplicate"))
            }
            Request::Told(told) => {
                Ok(listen(&mut ledger, told, owners.get(told.intent.id.as_str()))?)
            }
        });
    }
    ledger.write(tx).await?;
    Ok(decided)
}

fn needs_lock(heard: &Heard) -> bool {
    !matches!(heard.news, News::Nothing)
}

/// Writes the payments that are not there yet; those of all bookings asked for. Locks bookings in
/// order, before any payment is locked.
async fn open(
    tx: &mut Tx,
    ledger: &Ledger<'_>,
    requests: &[Request],
) -> Result<HashMap<BookingId, Payment>, db::Error> {
    let payment = |request: &'_ Request| match request {
        Request::Open(opening) => Some(opening.payment.clone()),
        _ => None,
    };
    let mut wanted: Vec<Payment> = requests.iter().filter_map(payment).collect();
    // Of two for one booking the first one counts.
    wanted.sort_by_key(|payment| payment.booking);
    wanted.dedup_by_key(|payment| payment.booking);
    // Whoever makes its intent has a lease.
    let patience = ledger.desk.patience;
    let due = |payment: &Payment| match payment.provider_reference {
        Some(_) => patience.next(payment.created_at, 0),
        None => payment.created_at.plus(patience.lease),
    };
    let made = store::insert(tx, &wanted, "create_intent", due).await?;
    let (new, old): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|payment| made.contains(&payment.id));
    let known = store::of_bookings(tx, old.iter().map(|payment| payment.booking)).await?;
    Ok(new.into_iter().chain(known).map(|payment| (payment.booking, payment)).collect())
}

/// The payments that are asked for, but to look at.
async fn read(tx: &mut Tx, requests: &[Request]) -> Result<HashMap<PaymentId, Payment>, db::Error> {
    let id = |request: &Request| match request {
        Request::Read(id) => Some(*id),
        _ => None,
    };
    let found = store::payments(tx, requests.iter().filter_map(id)).await?;
    Ok(found.into_iter().map(|payment| (payment.id, payment)).collect())
}

/// Locks the payments that may change, and says whose the intents are that events tell about: we
/// have named their payment to the provider, else it is found by the intent's id.
async fn lock<'r>(
    tx: &mut Tx,
    ledger: &mut Ledger<'_>,
    requests: &'r [Request],
) -> Result<HashMap<&'r str, PaymentId>, db::Error> {
    let mut owners: HashMap<&str, PaymentId> = HashMap::new();
    let mut nameless = Vec::new();
    let mut ids = Vec::new();
    for request in requests {
        match request {
            Request::Heard(heard) if needs_lock(heard) => {
                ids.push(heard.payment);
                if let News::Intent(intent) = &heard.news {
                    owners.insert(&intent.id, heard.payment);
                }
            }
            Request::Told(told) => {
                // An event may be faster than the answer that tells us the intent's id.
                let named = told.intent.metadata.get("payment_id").and_then(|id| id.parse().ok());
                match named {
                    Some(id) => {
                        owners.insert(&told.intent.id, id);
                        ids.push(id);
                    }
                    None => nameless.push(told.intent.id.as_str()),
                }
            }
            _ => {}
        }
    }
    let known = store::by_references(tx, nameless.iter().copied()).await?;
    for reference in nameless {
        if let Some(id) = known.get(reference) {
            owners.insert(reference, *id);
            ids.push(*id);
        }
    }
    ledger.lock(tx, ids).await?;
    Ok(owners)
}

/// Notes the events, and says which of them are new.
async fn note_events<'r>(
    tx: &mut Tx,
    requests: &'r [Request],
    owners: &HashMap<&str, PaymentId>,
) -> Result<HashSet<&'r str>, db::Error> {
    let noted = requests.iter().filter_map(|request| match request {
        Request::Told(told) => Some(Noted {
            event: &told.event,
            payment: owners.get(told.intent.id.as_str()).copied(),
            body: &told.body,
            now: told.now,
        }),
        _ => None,
    });
    store::insert_events(tx, noted.collect()).await
}

/// Takes in what a call told.
fn hear<'a>(ledger: &mut Ledger<'a>, heard: &'a Heard) -> Result<Decided, Failure> {
    if let Some(entry) = &heard.entry {
        ledger.note(entry);
    }
    let (id, now) = (heard.payment, heard.now);
    let change = match &heard.news {
        News::Nothing => return Ok(Decided::nothing("known")),
        News::Intent(intent) => {
            let payment = ledger.payment(id)?.clone();
            let change = take_in(ledger, payment, intent, (&heard.cause, now))?;
            if change.is_none() {
                ledger.put_off(id, now);
            }
            change
        }
        News::GivenUp(code) => give_up(ledger, heard, code)?,
    };
    Ok(Decided::of(ledger.payment(id)?, change))
}

/// Ends a payment that the provider never took up.
fn give_up(ledger: &mut Ledger<'_>, heard: &Heard, code: &str) -> Result<Option<Change>, Failure> {
    let mut payment = ledger.payment(heard.payment)?.clone();
    let from = payment.state;
    if payment.provider_reference.is_some() {
        return Ok(None);
    }
    let Ok(change) = payment.fail(code) else { return Ok(None) };
    let step = Step { from, cause: &heard.cause, now: heard.now };
    if let Some(fact) = change.fact {
        ledger.tell(events::changed(&payment, fact, &*ledger.desk.ids, heard.now)?);
    }
    ledger.record(payment, &step);
    Ok(Some(change))
}

/// Takes in an event that is new.
fn listen(
    ledger: &mut Ledger<'_>,
    told: &Told,
    owner: Option<&PaymentId>,
) -> Result<Decided, Failure> {
    let theirs = |its: &&Payment| {
        its.provider_reference.as_ref().is_none_or(|reference| *reference == told.intent.id)
    };
    let Some(payment) = owner.and_then(|id| ledger.find(*id)).filter(theirs) else {
        return Ok(Decided::nothing("unknown"));
    };
    if told.event.created < payment.provider_event_s {
        return Ok(Decided::nothing("outdated"));
    }
    let (id, mut payment) = (payment.id, payment.clone());
    payment.provider_event_s = told.event.created;
    let cause = format!("{} {}", told.event.kind, told.event.id);
    let change = take_in(ledger, payment, &told.intent, (&cause, told.now))?;
    Ok(Decided::of(ledger.payment(id)?, change))
}
