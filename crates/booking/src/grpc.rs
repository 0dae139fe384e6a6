//! The gRPC face: wire in, verb, wire out.

use std::sync::Arc;

use kernel::{AccountId, BookingId, Failure, HoldId};
use tonic::{Request, Response, Status};
use wire::{
    Context,
    pb::booking::v1::{
        Booking, CancelBookingRequest, GetBookingRequest, GetHistoryRequest, GetHistoryResponse,
        Hold, HoldPlacesRequest, ListBookingsRequest, ListBookingsResponse, ListDeadLettersRequest,
        ListDeadLettersResponse, OpenBookingRequest, ReleasePlacesRequest, ReleasePlacesResponse,
        RetryDeadLetterRequest, RetryDeadLetterResponse, booking_service_server::BookingService,
    },
};

use crate::{
    Error,
    app::App,
    domain::Step,
    ops::{self, CancelBooking, HoldPlaces, OpenBooking, RetryDeadLetter},
    shapes,
};

/// The service as gRPC serves it.
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl BookingService for Api {
    async fn open_booking(
        &self,
        request: Request<OpenBookingRequest>,
    ) -> Result<Response<Booking>, Status> {
        let context = Context::of(&request);
        let command = open_booking(request.into_inner()).map_err(wire::status)?;
        let (app, context) = (self.app.clone(), context);
        let work = async move {
            let booking = ops::open_booking(&app, &context, command).await?;
            Ok(shapes::booking_for(&context.caller, &booking))
        };
        let mut opened = answer(self.app.tasks.finish(work).await)?;
        wire::tell_behind(&mut opened, self.app.lag.behind(self.app.clock.now()));
        Ok(opened)
    }

    async fn hold_places(
        &self,
        request: Request<HoldPlacesRequest>,
    ) -> Result<Response<Hold>, Status> {
        let context = Context::of(&request);
        let HoldPlacesRequest { hold_id, event_id, choice, admission_token } = request.into_inner();
        let command = HoldPlaces {
            hold_id: wire::id("hold_id", &hold_id).map_err(wire::status)?,
            event_id: wire::id("event_id", &event_id).map_err(wire::status)?,
            choice: wire::choice(choice.as_ref()).map_err(wire::status)?,
            admission_token,
        };
        let app = self.app.clone();
        let work = async move {
            let (offer, expires_at) = ops::hold_places(&app, &context, command).await?;
            Ok(shapes::hold((hold_id, event_id), &offer, expires_at))
        };
        answer(self.app.tasks.finish(work).await)
    }

    async fn release_places(
        &self,
        request: Request<ReleasePlacesRequest>,
    ) -> Result<Response<ReleasePlacesResponse>, Status> {
        let context = Context::of(&request);
        let hold_id = wire::id("hold_id", &request.get_ref().hold_id).map_err(wire::status)?;
        let app = self.app.clone();
        let work = async move { ops::release_places(&app, &context, hold_id).await };
        let released = self.app.tasks.finish(work).await;
        answer(released.map(|released| ReleasePlacesResponse { released }))
    }

    async fn get_booking(
        &self,
        request: Request<GetBookingRequest>,
    ) -> Result<Response<Booking>, Status> {
        let context = Context::of(&request);
        let id = booking_id(&request.into_inner().booking_id).map_err(wire::status)?;
        let booking = ops::get_booking(&self.app, &context, id).await;
        answer(booking.map(|booking| shapes::booking_for(&context.caller, &booking)))
    }

    async fn list_bookings(
        &self,
        request: Request<ListBookingsRequest>,
    ) -> Result<Response<ListBookingsResponse>, Status> {
        let context = Context::of(&request);
        let page = wire::page(request.into_inner().page.as_ref()).map_err(wire::status)?;
        let listed = ops::list_bookings(&self.app, &context, &page).await;
        answer(listed.map(|(bookings, next_cursor)| ListBookingsResponse {
            bookings: bookings.iter().map(|b| shapes::booking_for(&context.caller, b)).collect(),
            next_cursor,
        }))
    }

    async fn cancel_booking(
        &self,
        request: Request<CancelBookingRequest>,
    ) -> Result<Response<Booking>, Status> {
        let context = Context::of(&request);
        let CancelBookingRequest { booking_id: id, reason } = request.into_inner();
        let booking_id = booking_id(&id).map_err(wire::status)?;
        let app = self.app.clone();
        let work = async move {
            let command = CancelBooking { booking_id, reason };
            let booking = ops::cancel_booking(&app, &context, command).await?;
            Ok(shapes::booking_for(&context.caller, &booking))
        };
        answer(self.app.tasks.finish(work).await)
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<GetHistoryResponse>, Status> {
        let context = Context::of(&request);
        let id = booking_id(&request.into_inner().booking_id).map_err(wire::status)?;
        let steps = ops::get_history(&self.app, &context, id).await;
        answer(steps.map(|steps| GetHistoryResponse {
            transitions: steps.iter().map(shapes::transition).collect(),
        }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let context = Context::of(&request);
        let page = wire::page(request.into_inner().page.as_ref()).map_err(wire::status)?;
        let listed = ops::list_dead_letters(&self.app, &context, &page).await;
        answer(listed.map(|(letters, next_cursor)| ListDeadLettersResponse {
            dead_letters: letters.iter().map(shapes::dead_letter).collect(),
            next_cursor,
        }))
    }

    async fn retry_dead_letter(
        &self,
        request: Request<RetryDeadLetterRequest>,
    ) -> Result<Response<RetryDeadLetterResponse>, Status> {
        let context = Context::of(&request);
        let command = retry_dead_letter(&request.into_inner()).map_err(wire::status)?;
        let app = self.app.clone();
        let work = async move {
            ops::retry_dead_letter(&app, &context, command).await?;
            Ok(RetryDeadLetterResponse {})
        };
        answer(self.app.tasks.finish(work).await)
    }
}

/// Reads what a buyer wants.
///
/// # Errors
/// Names the field that is wrong.
fn open_booking(request: OpenBookingRequest) -> Result<OpenBooking, Failure> {
    let account_id = match request.account_id.as_str() {
        "" => None,
        id => Some(wire::id::<AccountId>("account_id", id)?),
    };
    Ok(OpenBooking {
        event_id: wire::id("event_id", &request.event_id)?,
        choice: wire::choice(request.choice.as_ref())?,
        idempotency_key: request.idempotency_key,
        admission_token: request.admission_token,
        account_id,
        hold_id: hold_id(&request.hold_id)?,
    })
}

fn hold_id(text: &str) -> Result<Option<HoldId>, Failure> {
    if text.is_empty() { Ok(None) } else { wire::id("hold_id", text).map(Some) }
}

fn retry_dead_letter(request: &RetryDeadLetterRequest) -> Result<RetryDeadLetter, Failure> {
    let step = Step::named(&request.step);
    Ok(RetryDeadLetter {
        booking_id: booking_id(&request.booking_id)?,
        step: step.ok_or_else(|| Failure::invalid("step", "is no step"))?,
    })
}

fn booking_id(text: &str) -> Result<BookingId, Failure> {
    wire::id("booking_id", text)
}

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|error| wire::status(error.into()))
}
