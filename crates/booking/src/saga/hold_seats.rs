//! Sets the places aside and prices them; undone by releasing the hold.

use kernel::{AccountId, Code, Currency, EventId, Failure, HoldId, Place, Timestamp};
use wire::{
    Context,
    pb::{
        event::v1::{QuoteRequest, QuoteResponse, client::EventServiceClient},
        ticket::v1::{HoldSeatsRequest, ReleaseHoldRequest, client::TicketServiceClient},
    },
};

use crate::{
    app::App,
    domain::{Booking, Line, Offer, Status, Step, Terms},
    refusals::Wish,
    saga::counted,
};

/// What is to be held, and for whom.
#[derive(Debug)]
pub(crate) struct Wanted<'w> {
    /// Under which id: a booking's own, or its hold's, which is the same.
    pub(crate) hold_id: HoldId,
    pub(crate) event_id: EventId,
    pub(crate) account_id: AccountId,
    /// With or without admission from the queue, which places.
    pub(crate) wish: &'w Wish,
}

/// As [`hold_seats`], and has those who come next know what was granted or refused.
pub(crate) async fn hold_places(
    app: &App,
    context: &Context,
    wanted: &Wanted<'_>,
) -> Result<(Offer, Timestamp), Failure> {
    let asked_at = app.clock.now();
    let result = hold_seats(app, context, wanted).await;
    match counted(app, Step::HoldSeats, result) {
        Ok(held) => {
            app.refusals.lift(wanted.event_id, wanted.wish);
            Ok(held)
        }
        Err(failure) => {
            app.refusals.note(wanted.event_id, wanted.wish.clone(), asked_at, &failure);
            Err(failure)
        }
    }
}

/// Checks the terms of sale, holds the places, and prices what is held as the terms said: the
/// offer, and when the hold expires. A repeat with the same id finds the hold.
async fn hold_seats(
    app: &App,
    context: &Context,
    wanted: &Wanted<'_>,
) -> Result<(Offer, Timestamp), Failure> {
    let context = app.calling(context);
    let (event_id, (admitted, choice)) = (wanted.event_id, wanted.wish);
    let quote = quote(app, &context, event_id).await?;
    check_terms(*admitted, choice.quantity(), &quote)?;
    let hold = HoldSeatsRequest {
        hold_id: wanted.hold_id.to_string(),
        event_id: event_id.to_string(),
        account_id: wanted.account_id.to_string(),
        choice: Some(wire::to_choice(choice)),
        ttl_seconds: app.config.hold_ttl_seconds,
    };
    let mut tickets = TicketServiceClient::new(app.ticket.with(&context));
    let hold = tickets.hold_seats(hold).await.map_err(|status| wire::failure(&status))?;
    let hold = hold.into_inner();
    let places: Vec<Place> = hold.places.iter().map(wire::place).collect::<Result<_, _>>()?;
    if places.len() != choice.quantity() as usize {
        return Err(Failure::internal("the hold has another number of places than was asked for"));
    }
    Ok((offer(places, &quote)?, Timestamp::from_micros(hold.expires_at_us)))
}

/// Gives the hold's places back. A hold that became tickets, or never was, has nothing to give
/// back.
pub(crate) async fn release_hold(
    app: &App,
    context: &Context,
    booking: &Booking,
) -> Result<(), Failure> {
    let reason = match booking.state.status {
        Status::Expired => "expired",
        Status::Failed => "payment_failed",
        _ => "cancelled",
    };
    let request = ReleaseHoldRequest {
        hold_id: booking.id.to_string(),
        reason: reason.to_owned(),
        account_id: String::new(),
    };
    let mut tickets = TicketServiceClient::new(app.ticket.with(&app.calling(context)));
    match tickets.release_hold(request).await.map_err(|status| wire::failure(&status)) {
        Err(failure) if !matches!(failure.code, Code::NotFound | Code::Conflict) => Err(failure),
        Ok(answer) if answer.get_ref().released => {
            app.refusals.forget(booking.event_id, app.clock.now());
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn quote(app: &App, context: &Context, event_id: EventId) -> Result<QuoteResponse, Failure> {
    let request = QuoteRequest { event_id: event_id.to_string() };
    let mut events = EventServiceClient::new(app.event.with(context));
    let answer = events.quote(request).await.map_err(|status| wire::failure(&status))?;
    Ok(answer.into_inner())
}

fn check_terms(admitted: bool, quantity: u32, terms: &QuoteResponse) -> Result<(), Failure> {
    if !terms.on_sale {
        let detail = "the event is not on sale";
        return Err(Failure::new(Code::Conflict, "SALE_CLOSED", detail)
            .with("sale_starts_at_us", terms.sale_starts_at_us)
            .with("sale_ends_at_us", terms.sale_ends_at_us));
    }
    if terms.queue_mode && !admitted {
        let detail = "the event is in queue mode: join its queue first";
        return Err(Failure::new(Code::Forbidden, "ADMISSION_REQUIRED", detail));
    }
    let limit = terms.max_per_booking;
    if limit > 0 && quantity > limit {
        let mut failure = Failure::invalid("choice", format!("at most {limit} places"));
        failure.reason = "TOO_MANY_PLACES".into();
        return Err(failure.with("max_per_booking", limit));
    }
    Ok(())
}

/// The places by their categories, in the order in which these first appear, at the price of each.
fn lines(places: &[Place], quote: &QuoteResponse) -> Result<Vec<Line>, Failure> {
    let mut lines: Vec<Line> = Vec::new();
    for place in places {
        if let Some(line) = lines.iter_mut().find(|line| line.category == place.category) {
            line.quantity += 1;
            continue;
        }
        let price = quote.prices.iter().find(|price| price.category == place.category);
        let price = price.filter(|price| price.unit_price_minor >= 0).ok_or_else(|| {
            Failure::internal(format!("what is held has no price: {}", place.category))
        })?;
        lines.push(Line {
            category: price.category.clone(),
            category_name: price.category_name.clone(),
            quantity: 1,
            unit_price_minor: price.unit_price_minor,
        });
    }
    Ok(lines)
}

/// What is held, with its price and what it is for.
fn offer(places: Vec<Place>, quote: &QuoteResponse) -> Result<Offer, Failure> {
    let currency: Currency = quote.currency.parse().map_err(Failure::internal)?;
    let lines = lines(&places, quote)?;
    let total = Offer::sum(&lines, currency).map_err(Failure::internal)?;
    let organization_id = match quote.organization_id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(Failure::internal)?),
    };
    let terms = Terms {
        event_name: quote.event_name.clone(),
        organization_id,
        venue_name: quote.venue_name.clone(),
        time_zone: quote.time_zone.clone(),
        starts_at: Timestamp::from_micros(quote.starts_at_us),
    };
    Ok(Offer { terms, places, lines, total })
}
