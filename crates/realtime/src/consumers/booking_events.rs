//! `booking-events`: the buyer is told of every step. Never with the client secret or ticket codes:
//! those are read with a call, by whom they belong to.

use kernel::Failure;
use platform::bus::Delivery;
use serde_json::json;
use wire::pb::booking::v1::{BookingChanged, BookingStatus, PaymentStatus};

use super::{money, some, time, to_account};
use crate::relay::Post;

pub(super) fn post(delivery: &Delivery) -> Result<Option<Post>, Failure> {
    let kind = match &*delivery.kind {
        "booking.opened" | "booking.payment_processing" => "booking:processing",
        "booking.seats_reserved" => "booking:seats_reserved",
        "booking.payment_requested" => "booking:payment_pending",
        "booking.payment_failed" => "booking:payment_failed",
        "booking.confirmed" => "booking:confirmed",
        "booking.cancelled" => "booking:cancelled",
        "booking.failed" => "booking:failed",
        "booking.expired" => "booking:expired",
        "booking.refunded" => "booking:refunded",
        _ => return Ok(None),
    };
    let changed: BookingChanged = delivery.read()?;
    let booking = changed.booking.ok_or_else(|| Failure::invalid("booking", "is missing"))?;
    let payload = json!({
        "booking_id": booking.booking_id,
        "reference": booking.reference,
        "event_id": booking.event_id,
        "event_name": some(&booking.event_name),
        "status": word(booking.status().as_str_name(), BookingStatus::Unspecified.as_str_name()),
        "payment_status":
            word(booking.payment_status().as_str_name(), PaymentStatus::Unspecified.as_str_name()),
        "total": money(booking.total.as_ref()),
        "reason": some(&booking.reason),
        "expires_at": time(booking.expires_at_us),
    });
    to_account(delivery, &booking.account_id, kind, payload)
}

/// `BOOKING_STATUS_CONFIRMED` is `confirmed`; what is not set is nothing.
fn word(name: &str, unset: &str) -> Option<String> {
    let prefix = unset.strip_suffix("UNSPECIFIED")?;
    let word = name.strip_prefix(prefix)?;
    (name != unset).then(|| word.to_lowercase())
}
