//! Books for places that came with a wish.
//!
//! A place may be handed out twice, after a crash or a slow answer; its booking is keyed by the
//! place's number, which no other place ever gets, so that it is booked once all the same.

use std::time::Duration;

use futures_util::future::join_all;
use kernel::{Choice, Code, EventId, Failure, Timestamp};
use tokio::time::Instant;
use wire::{
    Context,
    pb::booking::v1::{Booking, BookingStatus, OpenBookingRequest, client::BookingServiceClient},
};

use super::settle_places::settle_places;
use crate::{
    NAME,
    app::App,
    domain::{Line, Outcome, Turn},
};

/// Books for each of them, claimed at `claimed_at`. A place for which booking-service can't answer,
/// or whose lease would end while it is asked, is left claimed, and handed out again when the lease
/// is over, ahead of all others.
pub(super) async fn book_wishes(
    app: &App,
    of: (EventId, &Line),
    (turns, claimed_at): (Vec<Turn>, Timestamp),
) -> Result<(), Failure> {
    let limit = Duration::from_secs(app.config.booking_timeout_seconds);
    let last_begin = claimed_at.plus(app.lease()).minus(limit);
    let booking = turns.into_iter().filter_map(|mut turn| {
        let wish = turn.wish.take()?;
        Some(async move {
            match book(app, of, (&turn, &wish), last_begin).await {
                Some(outcome) => settle_places(app, of, vec![(turn, outcome)]).await,
                None => Ok(()),
            }
        })
    });
    join_all(booking).await.into_iter().collect()
}

/// What became of it; none if that is not known.
async fn book(
    app: &App,
    (event, line): (EventId, &Line),
    (turn, wish): (&Turn, &Choice),
    last_begin: Timestamp,
) -> Option<Outcome> {
    // The semaphore is never closed.
    let _leave = app.bookings.acquire().await.ok()?;
    let now = app.clock.now();
    if now > last_begin {
        app.counts.failed("own_lease");
        return None;
    }
    let expires_at = now.plus(line.admission_ttl);
    let request = OpenBookingRequest {
        event_id: event.to_string(),
        choice: Some(wire::to_choice(wish)),
        // Numbers begin anew where a queue was lost; when the place was taken tells them apart.
        idempotency_key: format!("queue:{event}:{}:{}", turn.number, turn.joined_at.micros()),
        admission_token: app.admission(event, turn.account, expires_at),
        account_id: turn.account.to_string(),
        hold_id: String::new(),
    };
    let started = Instant::now();
    let limit = Duration::from_secs(app.config.booking_timeout_seconds);
    let wire = app.booking.with(&Context::service(NAME).within(started + limit));
    let answer = BookingServiceClient::new(wire).open_booking(request).await;
    app.counts.booking_seconds.observe(started.elapsed().as_secs_f64());
    let answer = answer.map_err(|status| wire::failure(&status));
    match answer.map(tonic::Response::into_inner).and_then(booked) {
        Ok(outcome) => Some(outcome),
        Err(failure) if !may_pass(failure.code) => {
            Some(Outcome::Failed { reason: failure.reason.into_owned() })
        }
        Err(failure) => {
            app.counts.failed("booking");
            later(app, event, turn, &failure)
        }
    }
}

fn booked(booking: Booking) -> Result<Outcome, Failure> {
    if booking.status() == BookingStatus::Failed {
        return Ok(Outcome::Failed { reason: booking.reason });
    }
    let booking = booking.booking_id.parse().map_err(Failure::internal)?;
    Ok(Outcome::Completed { booking })
}

/// Whether the same call may succeed later.
const fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Deadline | Code::Exhausted | Code::Internal)
}

fn later(app: &App, event: EventId, turn: &Turn, failure: &Failure) -> Option<Outcome> {
    let (number, attempts) = (turn.number, turn.attempts.saturating_add(1));
    if attempts < app.config.max_attempts {
        tracing::warn!(%event, number, attempts, %failure, "place not booked yet");
        return None;
    }
    app.counts.given_up.inc();
    tracing::error!(%event, number, attempts, %failure, "place given up");
    Some(Outcome::Failed { reason: "BOOKING_UNAVAILABLE".to_owned() })
}
