//! The saga of a booking. Each step is durable where it is done before the next begins, every call
//! may be repeated, and any process can go on from what the row says.
//!
//! | from | step | do | undo |
//! |---|---|---|---|
//! | RESERVING | [`hold_seats`] | hold the places, price them | release the hold |
//! | RESERVING, SEATS_RESERVED | [`request_payment`] | make the payment | cancel it: void |
//! | PAYMENT_PROCESSING | [`issue_tickets`] | turn the hold into tickets | cancel them |
//! | PAYMENT_PROCESSING | [`capture_payment`] | take the money | refund it |
//!
//! A free booking has its tickets issued from SEATS_RESERVED, without payment. Of others the
//! payment is asked for as soon as the places are held, and both are written at once: hold and
//! payment bear the booking's id, so that whoever finds the row of before gets the same two by
//! asking again. Only where there is no payment yet does a booking rest in SEATS_RESERVED.
//!
//! Undone in the order tickets, money, hold. An undoing that keeps failing becomes a dead letter.
//!
//! Whoever drives a booking holds its lease. Others may change the booking meanwhile (a buyer
//! cancels, a payment event comes in): the driver's next write, which may be the one that ends its
//! lease, is then refused by the version, and it goes on from what the booking has become. A driver
//! begins no step that its lease may not outlast: one that was stopped for a while leaves the
//! booking to whoever takes it next.

mod capture_payment;
pub(crate) mod hold_seats;
mod issue_tickets;
mod request_payment;
mod undo;

use std::{sync::Arc, time::Duration};

use kernel::{Code, Failure, HoldId, Timestamp};
use wire::Context;

use self::hold_seats::Wanted;

use crate::{
    Error,
    app::{App, Written},
    change::Change,
    domain::{Booking, Input, PaymentStatus, Plan, Refusal, Status, Step, Undo, plan, undo_of},
};

/// How far a booking was driven.
pub(crate) struct Driven {
    /// The booking as it is now.
    pub(crate) booking: Booking,
    /// What the last step was refused with, or stopped by.
    pub(crate) trouble: Option<Failure>,
}

/// The most steps of one run; a booking has far fewer unless it is changed under the driver's feet
/// again and again.
const MAX_ROUNDS: u32 = 64;

/// Drives a booking, whose lease the caller holds, as far as it goes.
///
/// # Errors
/// If the database fails: the lease then runs out, and somebody else goes on.
pub(crate) async fn drive(
    app: &Arc<App>,
    context: &Context,
    booking: Booking,
) -> Result<Driven, Error> {
    let started = app.clock.now();
    let driven = run(app, context, booking).await;
    let driven = driven.inspect_err(|error| app.counts.refused(error))?;
    let took = app.clock.now().since(started);
    app.counts.ran(driven.booking.state.status, took.as_secs_f64());
    Ok(driven)
}

async fn run(app: &Arc<App>, context: &Context, mut booking: Booking) -> Result<Driven, Error> {
    let mut lease = booking.cursor.lease;
    let mut trouble = None;
    for _ in 0..MAX_ROUNDS {
        if !booking.cursor.leased || booking.cursor.lease != lease {
            return Ok(Driven { booking, trouble });
        }
        if !booking.is_leased(app.clock.now().plus(app.longest_step())) {
            let detail = "the lease ran out; whoever takes the booking next goes on";
            let trouble = trouble.or_else(|| Some(Failure::unavailable(detail)));
            return Ok(Driven { booking, trouble });
        }
        let known = booking.state;
        let (change, setback) = Box::pin(advance(app, context, booking)).await?;
        trouble = setback.or(trouble);
        booking = match app.write(context, change).await? {
            Written::Done(booking) => booking,
            Written::Overtaken(booking) if booking.cursor.lease == lease => booking,
            // Ours had run out. What we did last may have come after the undoing of it.
            Written::Overtaken(booking) => match redo_undo(app, context, booking, known).await? {
                Ok(retaken) => {
                    lease = retaken.cursor.lease;
                    retaken
                }
                Err(booking) => return Ok(Driven { booking, trouble }),
            },
        };
    }
    tracing::warn!(booking = %booking.id, "changed again and again while it was driven");
    Err(Error::Busy)
}

/// Has an ended booking undo again what its late driver did from state `known`. `Ok` with the
/// lease, `Err` if there is nothing to do or somebody else does it.
async fn redo_undo(
    app: &Arc<App>,
    context: &Context,
    booking: Booking,
    known: crate::domain::State,
) -> Result<Result<Booking, Booking>, Error> {
    if !booking.state.status.is_terminal() || known.status.is_terminal() {
        return Ok(Err(booking));
    }
    let decided = app
        .decide(context, (booking.id, None), move |change| {
            let cursor = &mut change.booking.cursor;
            cursor.undo = undo_of(known).steps().fold(cursor.undo, Undo::with);
            Ok(!cursor.undo.is_empty())
        })
        .await?;
    Ok(match decided {
        Some(decided) if decided.mine => Ok(decided.booking),
        Some(decided) => Err(decided.booking),
        None => Err(booking),
    })
}

/// Does what comes next, and answers the change that it leads to, with what went wrong.
async fn advance(
    app: &Arc<App>,
    context: &Context,
    booking: Booking,
) -> Result<(Change, Option<Failure>), Error> {
    let next = plan(&booking, app.clock.now());
    let unchanged = || Change::of(booking.clone(), app.clock.now());
    let result = match next {
        Plan::HoldSeats => match hold(app, context, &booking).await? {
            Ok(held) if goes_on_to_payment(app, &held) => request(app, context, held).await?,
            Ok(held) => Ok(held),
            Err(failure) => Err(nothing_done(failure)),
        },
        Plan::RequestPayment => request(app, context, unchanged()).await?,
        Plan::LapsePayment => lapse(app, context, &booking).await?.map_err(nothing_done),
        Plan::Fulfil => fulfil(app, context, &booking).await?.map_err(nothing_done),
        Plan::CancelTickets => {
            cancel_confirmed(app, context, &booking).await?.map_err(nothing_done)
        }
        Plan::Expire => Ok(expired(app, &booking)?),
        Plan::Undo => return undo::undo(app, context, booking).await,
        Plan::Wait(_) | Plan::Rest => Ok(unchanged()),
    };
    match result {
        Ok(mut change) => {
            change.booking.cursor.attempts = 0;
            change.rest_or_go_on(app.lease_until(change.at));
            Ok((change, None))
        }
        Err((done, failure)) => {
            let change = done.map_or_else(unchanged, |done| *done);
            Ok((set_back(app, change, next, &failure)?, Some(failure)))
        }
    }
}

/// What a step leads to: a change, or what it failed with.
type Outcome = Result<Result<Change, Failure>, Refusal>;

/// As [`Outcome`], with what was done before it failed.
type Partly = Result<Change, (Option<Box<Change>>, Failure)>;

const fn nothing_done(failure: Failure) -> (Option<Box<Change>>, Failure) {
    (None, failure)
}

async fn hold(app: &App, context: &Context, booking: &Booking) -> Outcome {
    let wanted = Wanted {
        hold_id: HoldId::from_uuid(booking.id.uuid()),
        event_id: booking.event_id,
        account_id: booking.account_id,
        wish: &(booking.admitted, booking.choice.clone()),
    };
    let (offer, expires_at) = match hold_seats::hold_places(app, context, &wanted).await {
        Ok(held) => held,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut change = Change::of(booking.clone(), app.clock.now());
    if change.booking.state.status == Status::Pending {
        change.step(Input::ReserveSeats)?;
    }
    change.booking.expires_at = expires_at;
    let free = offer.total.is_zero();
    change.booking.offer = Some(Arc::new(offer));
    change.step(Input::SeatsReserved)?;
    if free {
        change.step(Input::WaivePayment)?;
    }
    Ok(Ok(change))
}

/// Whether a booking whose places were just held has its payment made before that is written.
fn goes_on_to_payment(app: &App, held: &Change) -> bool {
    let now = app.clock.now();
    held.booking.is_leased(now.plus(app.longest_step()))
        && plan(&held.booking, now) == Plan::RequestPayment
}

async fn request(app: &App, context: &Context, mut change: Change) -> Result<Partly, Refusal> {
    let result = request_payment::request_payment(app, context, &change.booking).await;
    match counted(app, Step::RequestPayment, result) {
        Ok(made) => {
            change.booking.payment_id = Some(made.id);
            change.booking.client_secret = Some(made.client_secret);
            change.step(Input::RequestPayment)?;
            if let Some(paid) = made.paid {
                change.step(paid)?;
            }
            Ok(Ok(change))
        }
        Err(failure) => Ok(Err((Some(Box::new(change)), failure))),
    }
}

async fn lapse(app: &App, context: &Context, booking: &Booking) -> Outcome {
    let result = request_payment::paid_after_all(app, context, booking).await;
    match counted(app, Step::LapsePayment, result) {
        Ok(Some(input)) => {
            let mut change = Change::of(booking.clone(), app.clock.now());
            change.step(input)?;
            Ok(Ok(change))
        }
        Err(failure) if is_transient(&failure) => Ok(Err(failure)),
        Ok(None) | Err(_) => Ok(Ok(expired(app, booking)?)),
    }
}

fn expired(app: &App, booking: &Booking) -> Result<Change, Refusal> {
    let mut change = Change::of(booking.clone(), app.clock.now());
    change.end(Input::Expire, "EXPIRED")?;
    Ok(change)
}

async fn fulfil(app: &App, context: &Context, booking: &Booking) -> Outcome {
    let result = issue_tickets::issue_tickets(app, context, booking).await;
    let tickets = match counted(app, Step::IssueTickets, result) {
        Ok(tickets) => tickets,
        Err(failure) => return Ok(Err(failure)),
    };
    let captures = booking.state.payment == PaymentStatus::Authorized;
    if captures {
        let result = capture_payment::capture_payment(app, context, booking).await;
        if let Err(failure) = counted(app, Step::CapturePayment, result) {
            return Ok(Err(failure));
        }
    }
    let mut change = Change::of(booking.clone(), app.clock.now());
    if captures {
        change.step(Input::PaymentCaptured)?;
    }
    change.step_with(Input::Confirm, tickets)?;
    Ok(Ok(change))
}

async fn cancel_confirmed(app: &App, context: &Context, booking: &Booking) -> Outcome {
    let result = issue_tickets::cancel_tickets(app, context, booking).await;
    if let Err(failure) = counted(app, Step::CancelTickets, result) {
        return Ok(Err(failure));
    }
    let mut change = Change::of(booking.clone(), app.clock.now());
    change.step(Input::Cancel)?;
    Ok(Ok(change))
}

/// What a failed step leads to, with the change that is left of it: another try later, or the end.
fn set_back(
    app: &App,
    mut change: Change,
    step: Plan,
    failure: &Failure,
) -> Result<Change, Refusal> {
    change.booking.cursor.attempts += 1;
    let attempts = change.booking.cursor.attempts;
    let exhausted = attempts >= app.config.max_attempts;
    let transient = is_transient(failure);
    // Before money is set aside, the booking's expiry is the end of trying.
    let again = transient && (!exhausted || !matches!(step, Plan::Fulfil | Plan::CancelTickets));
    if again {
        let mut due_at = back_off(app, change.at, attempts);
        if change.booking.state.status.may_expire() {
            due_at = due_at.min(change.booking.expires_at.max(change.at));
        }
        change.postpone(due_at);
        return Ok(change);
    }
    if step == Plan::CancelTickets {
        // The booking stays confirmed. Only what could still succeed is kept for an operator.
        if transient {
            change.dead_letters.push(undo::letter(
                &change.booking,
                Step::CancelTickets,
                failure,
                &change,
            ));
        }
        change.booking.cursor.cancelling = false;
        change.booking.reason.clear();
    } else {
        if change.booking.is_opening() {
            change.booking.refusal = Some(failure.clone());
        }
        let reserving = change.booking.state.status == Status::Reserving;
        let first = attempts == 1 && change.booking.cursor.lease == 1;
        change.end(Input::Fail, &failure.reason)?;
        if reserving && first {
            // Nobody has come as far as to ask for a payment.
            let cursor = &mut change.booking.cursor;
            cursor.undo = cursor.undo.without(Step::CancelPayment);
        }
    }
    change.booking.cursor.attempts = 0;
    change.rest_or_go_on(app.lease_until(change.at));
    Ok(change)
}

/// When a step that failed `attempts` times is tried again: later each time, up to a limit.
fn back_off(app: &App, now: Timestamp, attempts: u32) -> Timestamp {
    let doublings = attempts.saturating_sub(1).min(16);
    let first = Duration::from_millis(app.config.retry_first_ms);
    let limit = Duration::from_secs(app.config.retry_limit_seconds);
    now.plus(first.saturating_mul(1 << doublings).min(limit))
}

/// Whether the same call may succeed later: its part is down, had a fault of its own, or says when
/// to ask again.
fn is_transient(failure: &Failure) -> bool {
    use Code::{Deadline, Exhausted, Internal, Unavailable};
    matches!(failure.code, Unavailable | Deadline | Exhausted | Internal)
        || failure.retry_after_ms.is_some()
}

fn counted<T>(app: &App, step: Step, result: Result<T, Failure>) -> Result<T, Failure> {
    app.counts.step(step, ended_as(&result));
    result
}

fn ended_as<T>(result: &Result<T, Failure>) -> &'static str {
    match result {
        Ok(_) => "done",
        Err(failure) if is_transient(failure) => "later",
        Err(_) => "refused",
    }
}
