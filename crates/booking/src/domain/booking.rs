//! A booking with all that belongs to it.

use std::sync::Arc;

use kernel::{
    AccountId, BookingId, Choice, Currency, EventId, Failure, Money, OrganizationId, PaymentId,
    Place, Secret, Timestamp,
};

use crate::domain::{State, Status, Undo};

/// A booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booking {
    /// Names it, its hold and its payment.
    pub(crate) id: BookingId,
    /// BKG…, for people.
    pub(crate) reference: String,
    /// The buyer.
    pub(crate) account_id: AccountId,
    /// The key of the request that opened it.
    pub(crate) key: String,
    /// The event.
    pub(crate) event_id: EventId,
    /// What the buyer wants.
    pub(crate) choice: Choice,
    /// Whether the buyer came with an admission from the event's queue.
    pub(crate) admitted: bool,
    /// Where it is.
    pub(crate) state: State,
    /// What is held, on which terms; none before.
    pub(crate) offer: Option<Arc<Offer>>,
    /// The payment; none before it was made.
    pub(crate) payment_id: Option<PaymentId>,
    /// With which the buyer pays.
    pub(crate) client_secret: Option<Secret<String>>,
    /// Why it ended, in SCREAMING_SNAKE_CASE; empty before.
    pub(crate) reason: String,
    /// What the request that opened it was refused with.
    pub(crate) refusal: Option<Failure>,
    /// Until when it has to be paid.
    pub(crate) expires_at: Timestamp,
    /// When it was opened.
    pub(crate) created_at: Timestamp,
    /// When it was confirmed.
    pub(crate) confirmed_at: Option<Timestamp>,
    /// When it was cancelled.
    pub(crate) cancelled_at: Option<Timestamp>,
    /// Grows with every write; a write against an older one is refused.
    pub(crate) version: i64,
    /// Who works on it, and what is left to do.
    pub(crate) cursor: Cursor,
}

/// A wish that is refused under a key of its buyer, without a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedWish {
    /// Names it as its booking would be named.
    pub(crate) id: BookingId,
    /// The buyer.
    pub(crate) account_id: AccountId,
    /// The key of the request.
    pub(crate) key: String,
    /// The event.
    pub(crate) event_id: EventId,
    /// What the buyer wants.
    pub(crate) choice: Choice,
    /// What it is refused with.
    pub(crate) refusal: Failure,
    /// When.
    pub(crate) at: Timestamp,
}

/// The saga's cursor: when the booking is to be looked at again, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cursor {
    /// When whoever finds it may take it; never, if there is nothing to do.
    pub(crate) due_at: Option<Timestamp>,
    /// Whether somebody works on it, until `due_at`.
    pub(crate) leased: bool,
    /// Grows with every lease; names its holder.
    pub(crate) lease: i64,
    /// Tries of the current step that failed.
    pub(crate) attempts: u32,
    /// What has to be undone.
    pub(crate) undo: Undo,
    /// Confirmed, but to be cancelled as soon as its tickets are.
    pub(crate) cancelling: bool,
    /// Refunds that the provider could not make; each further one needs a key of its own.
    pub(crate) refunds_failed: u32,
}

/// What is held for a booking, and on which terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The event's terms.
    pub(crate) terms: Terms,
    /// The places.
    pub(crate) places: Vec<Place>,
    /// What they cost, by category.
    pub(crate) lines: Vec<Line>,
    /// The sum.
    pub(crate) total: Money,
}

/// What a booking needs to know of its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The event's name.
    pub(crate) event_name: String,
    /// Who sells it.
    pub(crate) organization_id: Option<OrganizationId>,
    /// Where it is.
    pub(crate) venue_name: String,
    /// IANA zone of the venue.
    pub(crate) time_zone: String,
    /// When it starts.
    pub(crate) starts_at: Timestamp,
}

/// The price of the places of one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The category's key.
    pub(crate) category: String,
    /// Its name for people.
    pub(crate) category_name: String,
    /// How many places.
    pub(crate) quantity: u32,
    /// What one costs.
    pub(crate) unit_price_minor: i64,
}

impl Booking {
    /// Whether somebody is at work on it.
    pub(crate) fn is_leased(&self, now: Timestamp) -> bool {
        self.cursor.leased && self.cursor.due_at.is_some_and(|until| until > now)
    }

    /// Whether its opening is still under way.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state.status, Status::Pending | Status::Reserving | Status::SeatsReserved)
    }

    /// The sum to pay, once it is known.
    pub(crate) fn total(&self) -> Option<Money> {
        self.offer.as_ref().map(|offer| offer.total)
    }

    /// The organization whose event it is, once it is known.
    pub(crate) fn organization_id(&self) -> Option<OrganizationId> {
        self.offer.as_ref().and_then(|offer| offer.terms.organization_id)
    }
}

impl Offer {
    /// The sum of `lines`, exactly.
    ///
    /// # Errors
    /// If it does not fit.
    pub(crate) fn sum(lines: &[Line], currency: Currency) -> Result<Money, kernel::MoneyError> {
        lines.iter().try_fold(Money::zero(currency), |sum, line| {
            sum.plus(Money::new(line.unit_price_minor, currency).times(line.quantity)?)
        })
    }
}
