//! Opens a booking: writes the intent down, then has the saga hold the places and ask for payment.

use std::{sync::Arc, time::Duration};

use kernel::{AccountId, BookingId, Caller, Choice, Code, EventId, Failure, HoldId, reference};
use platform::idempotency::MAX_KEY_BYTES;
use tokio::time::Instant;
use wire::Context;

use super::{hold_places::check_id, is_admitted};
use crate::{
    Error,
    app::{App, Known},
    change::Change,
    domain::{Booking, Cursor, RefusedWish, State, Status},
    saga::{self, Driven},
    store::{
        self,
        keys::{self, Answer},
    },
};

/// What a buyer wants.
#[derive(Debug, Clone)]
pub(crate) struct OpenBooking {
    /// Of which event.
    pub(crate) event_id: EventId,
    /// Which places.
    pub(crate) choice: Choice,
    /// One effect per account and key.
    pub(crate) idempotency_key: String,
    /// From the event's queue; empty without.
    pub(crate) admission_token: String,
    /// For whom, where a service asks.
    pub(crate) account_id: Option<AccountId>,
    /// Under which id the places are held, if they are held already.
    pub(crate) hold_id: Option<HoldId>,
}

/// After how long a caller may ask again for a booking that could not be opened yet, in
/// milliseconds.
const RETRY_MS: u64 = 1_000;

/// How soon a repeated request looks again whether another process has opened the booking; twice
/// as long each time, up to a limit.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// Opens a booking, or finds the one that the same key opened before: as it stands now, or refused
/// as it was then. What the same wish was refused with moments ago it is refused with again,
/// without asking anybody.
///
/// # Errors
/// What the request's form, the terms of sale or the places refuse; [`Error::KeyReused`];
/// unavailable where a part is down, in which case the booking is gone on with, and a repeat with
/// the same key finds it.
pub(crate) async fn open_booking(
    app: &Arc<App>,
    context: &Context,
    command: OpenBooking,
) -> Result<Booking, Error> {
    let account_id = buyer(&context.caller, command.account_id)?;
    check_form(&command)?;
    let now = app.clock.now();
    let (event_id, key) = (command.event_id, command.idempotency_key);
    let admitted = is_admitted(app, account_id, event_id, &command.admission_token)?;
    let wish = (admitted, command.choice);
    let (id, refusal) = match command.hold_id {
        None => (BookingId::new(&*app.ids, now), app.refusals.recall(event_id, &wish, now)),
        Some(hold) => {
            check_id(hold, now)?;
            let id = BookingId::from_uuid(hold.uuid());
            let owner = (account_id, &key);
            if let Some(found) = of_hold(app, id, owner, (event_id, &wish.1)).await? {
                return repeated(app, context, found).await;
            }
            (id, None)
        }
    };
    let (admitted, choice) = wish;
    if let Some(refusal) = refusal {
        let wish = RefusedWish { id, account_id, key, event_id, choice, refusal, at: now };
        let wish = Arc::new(wish);
        return match app.refuse(wish.clone()).await? {
            None => Err(wish.refusal.clone().into()),
            Some(known) => answer_known(app, context, known, (event_id, &wish.choice)).await,
        };
    }
    let booking = Booking {
        id,
        reference: reference("BKG", &*app.ids, now),
        account_id,
        key,
        event_id,
        choice,
        admitted,
        state: State::NEW,
        offer: None,
        payment_id: None,
        client_secret: None,
        reason: String::new(),
        refusal: None,
        expires_at: now.plus(Duration::from_secs(u64::from(app.config.hold_ttl_seconds))),
        created_at: now,
        confirmed_at: None,
        cancelled_at: None,
        version: 0,
        cursor: Cursor::default(),
    };
    let _flight = app.flights.take_off(id);
    let change = Change::opening(booking, app.lease_until(now))?;
    let asked = change.booking.clone();
    let known = match app.open(context, change).await {
        // Two keys for one hold, at the same time.
        Err(Error::Db(db::Error::Unique { .. })) if command.hold_id.is_some() => {
            let (owner, asked) = ((account_id, &asked.key), (event_id, &asked.choice));
            let found = of_hold(app, id, owner, asked).await?.ok_or(Error::Busy)?;
            Some(Known::Booking(found))
        }
        known => known?,
    };
    match known {
        None => opened(Box::pin(saga::drive(app, context, asked)).await?),
        Some(known) => answer_known(app, context, known, (event_id, &asked.choice)).await,
    }
}

/// The booking that was made of a hold before, under whatever key that stands for nothing else.
async fn of_hold(
    app: &App,
    id: BookingId,
    (account_id, key): (AccountId, &String),
    (event_id, choice): (EventId, &Choice),
) -> Result<Option<Booking>, Error> {
    let owner = (account_id, key.clone());
    let found = app.db.read(move |tx| {
        let owner = owner.clone();
        Box::pin(async move {
            let Some(found) = store::load(tx, id).await? else { return Ok((None, None)) };
            let keys = keys::find_all(tx, std::iter::once((owner.0, &owner.1))).await?;
            Ok::<_, Error>((Some(found), keys.into_values().next()))
        })
    });
    let (found, meant) = found.await?;
    if meant.is_some_and(|meant| meant != Answer::Booking(id)) {
        return Err(Error::KeyReused);
    }
    let same = |found: &Booking| {
        (found.account_id, found.event_id, &found.choice) == (account_id, event_id, choice)
    };
    if found.as_ref().is_none_or(same) {
        return Ok(found);
    }
    let detail = "the hold was made by somebody else, or for another wish";
    Err(Failure::new(Code::Conflict, "HOLD_MISMATCH", detail).into())
}

/// For whom it is: the caller, or whom a service names.
fn buyer(caller: &Caller, named: Option<AccountId>) -> Result<AccountId, Failure> {
    match (caller, named) {
        (Caller::Service(_), Some(account)) => Ok(account),
        (Caller::Service(_), None) => Err(Failure::invalid("account_id", "is required")),
        (_, None) => caller.account(),
        (_, Some(named)) => match caller.account()? {
            own if own == named => Ok(own),
            _ => Err(Failure::forbidden("only services book for others")),
        },
    }
}

fn check_form(command: &OpenBooking) -> Result<(), Failure> {
    let key = &command.idempotency_key;
    if key.is_empty() {
        return Err(Failure::invalid("idempotency_key", "is required"));
    }
    if key.len() > MAX_KEY_BYTES {
        let detail = format!("at most {MAX_KEY_BYTES} bytes");
        return Err(Failure::invalid("idempotency_key", detail));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(Failure::invalid("idempotency_key", "printable ascii only"));
    }
    Ok(())
}

/// The answer to a request whose key was used before, if it was for the same.
async fn answer_known(
    app: &Arc<App>,
    context: &Context,
    known: Known,
    asked: (EventId, &Choice),
) -> Result<Booking, Error> {
    match known {
        Known::Booking(found) if (found.event_id, &found.choice) == asked => {
            repeated(app, context, found).await
        }
        Known::Refusal(found) if (found.event_id, &found.choice) == asked => {
            Err(found.refusal.into())
        }
        Known::Booking(_) | Known::Refusal(_) => Err(Error::KeyReused),
    }
}

/// The answer to a repeated request: once the first is over, here or in another process, or by
/// going on where it stopped.
async fn repeated(app: &Arc<App>, context: &Context, found: Booking) -> Result<Booking, Error> {
    if !found.is_opening() {
        return answer(found);
    }
    let id = found.id;
    let limit = Duration::from_secs(app.config.wait_seconds);
    let until = Instant::now() + limit;
    app.flights.landed(id, limit).await;
    let mut pause = FIRST_LOOK;
    loop {
        let decided = app
            .decide(context, (id, None), move |change| {
                let booking = &change.booking;
                Ok(booking.is_opening() && !booking.is_leased(change.at))
            })
            .await?
            .ok_or(Error::NotFound)?;
        if decided.mine {
            return opened(Box::pin(saga::drive(app, context, decided.booking)).await?);
        }
        if !decided.booking.is_opening() {
            return answer(decided.booking);
        }
        if Instant::now() + pause > until {
            return Err(not_yet());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
    }
}

fn not_yet() -> Error {
    let detail = "the booking could not be opened yet; it is being tried again";
    Failure::unavailable(detail).retry_after(RETRY_MS).into()
}

fn opened(driven: Driven) -> Result<Booking, Error> {
    match driven.trouble {
        Some(trouble) if driven.booking.is_opening() => {
            tracing::warn!(booking = %driven.booking.id, %trouble, "booking not opened yet");
            Err(not_yet())
        }
        _ => answer(driven.booking),
    }
}

/// The booking, or what it was refused with when it was opened.
fn answer(booking: Booking) -> Result<Booking, Error> {
    match booking.refusal {
        Some(refusal) if booking.state.status == Status::Failed => Err(refusal.into()),
        _ => Ok(booking),
    }
}
