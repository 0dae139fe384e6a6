//! Tickets, their codes and their use.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wire::pb::ticket::v1 as pb;

use super::{Money, at, moment, some, word};

/// One place of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Place {
    pub section: String,
    /// section/row/number; absent for an admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seat: Option<String>,
    pub category: String,
    pub wheelchair: bool,
}

impl From<pb::Place> for Place {
    fn from(place: pb::Place) -> Self {
        Self {
            section: place.section,
            seat: some(place.seat),
            category: place.category,
            wheelchair: place.wheelchair,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ticket {
    pub ticket_id: String,
    /// For people.
    pub number: String,
    pub event_id: String,
    pub booking_id: String,
    pub account_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// issued, used, cancelled, refunded or transferred.
    pub status: String,
    /// The signed code, as the QR code holds it; for the holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[schema(format = DateTime)]
    pub issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_gate: Option<String>,
}

impl From<pb::Ticket> for Ticket {
    fn from(ticket: pb::Ticket) -> Self {
        Self {
            status: word(ticket.status().as_str_name(), "TICKET_STATUS_"),
            ticket_id: ticket.ticket_id,
            number: ticket.number,
            event_id: ticket.event_id,
            booking_id: ticket.booking_id,
            account_id: ticket.account_id,
            place: ticket.place.map(Into::into),
            price: ticket.price.map(Into::into),
            code: some(ticket.code),
            issued_at: at(ticket.issued_at_us),
            used_at: moment(ticket.used_at_us),
            used_gate: some(ticket.used_gate),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ValidateTicket {
    pub code: String,
    /// The event at whose door this is.
    pub event_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Validated {
    pub valid: bool,
    /// Why not: INVALID_TICKET, TICKET_EVENT_MISMATCH, TICKET_ALREADY_USED or CANCELLED_TICKET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UseTicket {
    pub code: String,
    pub event_id: String,
    #[serde(default)]
    pub gate: String,
}

/// A public key that verifies ticket codes offline.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SigningKey {
    pub key_id: String,
    /// Ed25519, 32 bytes in URL-safe base 64.
    pub public_key: String,
}

impl From<pb::get_signing_keys_response::SigningKey> for SigningKey {
    fn from(key: pb::get_signing_keys_response::SigningKey) -> Self {
        Self { key_id: key.key_id, public_key: URL_SAFE_NO_PAD.encode(key.public_key) }
    }
}
