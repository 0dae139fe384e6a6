//! Reads one booking.

use kernel::BookingId;
use wire::Context;

use crate::{Error, app::App, domain::Booking, ops::visible};

/// The booking, for its buyer, its event's organization, and operators.
///
/// # Errors
/// [`Error::NotFound`], also for anybody else's.
pub(crate) async fn get_booking(
    app: &App,
    context: &Context,
    id: BookingId,
) -> Result<Booking, Error> {
    visible(app, &context.caller, id).await
}
