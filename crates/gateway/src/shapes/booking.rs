//! Bookings and what a buyer wishes for.

use kernel::Failure;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::pb::{
    booking::v1 as pb,
    kernel::v1::{
        self as words,
        choice::{Admissions, BestAvailable, Seats, Wish},
    },
};

use super::{Money, at, moment, some, ticket::Place, word};

/// What is wanted: exactly one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(try_from = "OneOf", rename_all = "snake_case")]
pub(crate) enum Choice {
    /// Chosen seats, each as section/row/number.
    #[schema(example = json!(["stalls/C/12"]))]
    Seats(Vec<String>),
    /// The best seats still free, together where possible.
    BestAvailable(Best),
    /// Places without a number.
    Admissions(Entry),
}

/// A choice as it comes in: none or several of them are well-formed JSON, and no choice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneOf {
    seats: Option<Vec<String>>,
    best_available: Option<Best>,
    admissions: Option<Entry>,
}

impl TryFrom<OneOf> for Choice {
    type Error = &'static str;

    fn try_from(wanted: OneOf) -> Result<Self, Self::Error> {
        match (wanted.seats, wanted.best_available, wanted.admissions) {
            (Some(seats), None, None) => Ok(Self::Seats(seats)),
            (None, Some(best), None) => Ok(Self::BestAvailable(best)),
            (None, None, Some(entry)) => Ok(Self::Admissions(entry)),
            _ => Err("needs exactly one of seats, best_available and admissions"),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Best {
    pub quantity: u32,
    /// Only in this section.
    #[serde(default)]
    pub section: String,
    /// Only of this price category.
    #[serde(default)]
    pub category: String,
    /// How many of them are wheelchair places.
    #[serde(default)]
    pub wheelchair: u32,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub section: String,
    pub quantity: u32,
}

impl From<Choice> for words::Choice {
    fn from(choice: Choice) -> Self {
        let wish = match choice {
            Choice::Seats(seats) => Wish::Seats(Seats { seats }),
            Choice::BestAvailable(best) => Wish::BestAvailable(BestAvailable {
                quantity: best.quantity,
                section: best.section,
                category: best.category,
                wheelchair: best.wheelchair,
            }),
            Choice::Admissions(Entry { section, quantity }) => {
                Wish::Admissions(Admissions { section, quantity })
            }
        };
        Self { wish: Some(wish) }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenBooking {
    pub event_id: String,
    pub choice: Choice,
    /// For an event in queue mode.
    #[serde(default)]
    pub admission_token: String,
    /// The hold that was made for the same choice, if there is one: the booking bears its id.
    #[serde(default)]
    pub hold_id: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldPlaces {
    pub event_id: String,
    pub choice: Choice,
    /// For an event in queue mode.
    #[serde(default)]
    pub admission_token: String,
}

/// Places set aside until a moment, and what they cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hold {
    pub hold_id: String,
    pub event_id: String,
    pub places: Vec<Place>,
    pub lines: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    #[schema(format = DateTime)]
    pub expires_at: String,
}

impl From<pb::Hold> for Hold {
    fn from(hold: pb::Hold) -> Self {
        Self {
            hold_id: hold.hold_id,
            event_id: hold.event_id,
            places: hold.places.into_iter().map(Into::into).collect(),
            lines: hold.lines.into_iter().map(Into::into).collect(),
            total: hold.total.map(Into::into),
            expires_at: at(hold.expires_at_us),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBooking {
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Booking {
    pub booking_id: String,
    /// For people.
    #[schema(example = "BKG7Q2M9XK4T1ZC")]
    pub reference: String,
    pub account_id: String,
    pub event_id: String,
    pub event_name: String,
    /// pending, reserving, seats_reserved, payment_pending, payment_processing, payment_failed,
    /// confirmed, cancelled, failed or expired.
    pub status: String,
    /// not_required, pending, processing, authorized, captured, failed, refunding, refunded or
    /// voided.
    pub payment_status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    pub places: Vec<Place>,
    pub lines: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// With which the buyer pays at the provider, while payment is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub cancelled_at: Option<String>,
    pub version: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    pub category: String,
    pub category_name: String,
    pub quantity: u32,
    pub unit_price_minor: i64,
}

impl From<pb::booking::Line> for Line {
    fn from(line: pb::booking::Line) -> Self {
        Self {
            category: line.category,
            category_name: line.category_name,
            quantity: line.quantity,
            unit_price_minor: line.unit_price_minor,
        }
    }
}

impl From<pb::Booking> for Booking {
    fn from(booking: pb::Booking) -> Self {
        let status = word(booking.status().as_str_name(), "BOOKING_STATUS_");
        let payment_status = word(booking.payment_status().as_str_name(), "PAYMENT_STATUS_");
        Self {
            booking_id: booking.booking_id,
            reference: booking.reference,
            account_id: booking.account_id,
            event_id: booking.event_id,
            event_name: booking.event_name,
            status,
            payment_status,
            total: booking.total.map(Into::into),
            places: booking.places.into_iter().map(Into::into).collect(),
            lines: booking.lines.into_iter().map(Into::into).collect(),
            payment_id: some(booking.payment_id),
            client_secret: some(booking.client_secret),
            reason: some(booking.reason),
            expires_at: moment(booking.expires_at_us),
            created_at: at(booking.created_at_us),
            confirmed_at: moment(booking.confirmed_at_us),
            cancelled_at: moment(booking.cancelled_at_us),
            version: booking.version,
        }
    }
}

/// One step that a booking took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transition {
    pub from: String,
    pub to: String,
    pub input: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[schema(format = DateTime)]
    pub at: String,
}

impl From<pb::get_history_response::Transition> for Transition {
    fn from(transition: pb::get_history_response::Transition) -> Self {
        Self {
            from: word(transition.from().as_str_name(), "BOOKING_STATUS_"),
            to: word(transition.to().as_str_name(), "BOOKING_STATUS_"),
            input: transition.input,
            reason: some(transition.reason),
            at: at(transition.at_us),
        }
    }
}

/// A step that keeps failing and waits for an operator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetter {
    pub booking_id: String,
    pub step: String,
    pub attempts: u32,
    pub last_error: String,
    #[schema(format = DateTime)]
    pub since: String,
}

impl From<pb::DeadLetter> for DeadLetter {
    fn from(letter: pb::DeadLetter) -> Self {
        Self {
            booking_id: letter.booking_id,
            step: letter.step,
            attempts: letter.attempts,
            last_error: letter.last_error,
            since: at(letter.since_us),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryDeadLetter {
    pub booking_id: String,
    pub step: String,
}

/// A choice that makes sense, checked early enough to name what is wrong with it.
pub(crate) fn checked(choice: Choice) -> Result<words::Choice, Failure> {
    let choice = choice.into();
    wire::choice(Some(&choice))?;
    Ok(choice)
}
