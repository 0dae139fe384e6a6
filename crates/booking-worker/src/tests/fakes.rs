//! A booking-service and a realtime-service that remember what they were asked, and do as told.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use kernel::{BookingId, Caller};
use serde_json::Value;
use tokio::sync::Notify;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;
use wire::{
    Context,
    pb::{
        booking::v1::{self as booking, booking_service_server::BookingService},
        realtime::v1::{self as realtime, realtime_service_server::RealtimeService},
    },
};

/// How the next call ends.
pub(super) enum Answer {
    /// Nothing is booked.
    Refused(Status),
    /// It is booked, and nobody hears of it.
    Lost,
    /// It is answered as a booking that failed, with this reason.
    Failed(&'static str),
    /// It waits for `go`, having told `entered`.
    Waits,
}

#[derive(Default)]
pub(super) struct FakeBooking {
    /// What was asked of it, and by whom.
    pub(super) asked: Mutex<Vec<(booking::OpenBookingRequest, Caller)>>,
    /// By account and key.
    pub(super) bookings: Mutex<BTreeMap<(String, String), BookingId>>,
    /// How the next calls end; those after them succeed.
    pub(super) answers: Mutex<VecDeque<Answer>>,
    pub(super) entered: Notify,
    pub(super) go: Notify,
}

#[derive(Default)]
pub(super) struct FakeRealtime {
    /// Room, type and payload.
    pub(super) broadcasts: Mutex<Vec<(String, String, Value)>>,
    /// Account, type and payload.
    pub(super) sent: Mutex<Vec<(String, String, Value)>>,
    pub(super) down: AtomicBool,
}

impl FakeBooking {
    pub(super) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(super) fn keys(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(request, _)| request.idempotency_key.clone()).collect()
    }
}

impl FakeRealtime {
    /// What accounts were sent: type and account.
    pub(super) fn told(&self) -> Vec<(String, String)> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|(account, kind, _)| (kind.clone(), account.clone())).collect()
    }

    /// The payload that everybody got last.
    pub(super) fn last(&self) -> Value {
        self.broadcasts.lock().unwrap().last().map(|(.., payload)| payload.clone()).unwrap()
    }

    fn up(&self) -> Result<(), Status> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(Status::internal("on purpose")),
            false => Ok(()),
        }
    }
}

impl FakeBooking {
    async fn open(
        &self,
        request: Request<booking::OpenBookingRequest>,
    ) -> Result<Response<booking::Booking>, Status> {
        let caller = Context::of(&request).caller;
        let request = request.into_inner();
        self.asked.lock().unwrap().push((request.clone(), caller));
        let answer = self.answers.lock().unwrap().pop_front();
        let mut booking = booking::Booking::default();
        booking.set_status(booking::BookingStatus::PaymentPending);
        match &answer {
            Some(Answer::Refused(status)) => return Err(status.clone()),
            Some(Answer::Failed(reason)) => {
                booking.set_status(booking::BookingStatus::Failed);
                booking.reason = (*reason).to_owned();
            }
            Some(Answer::Waits) => {
                self.entered.notify_one();
                self.go.notified().await;
            }
            Some(Answer::Lost) | None => {}
        }
        let mut bookings = self.bookings.lock().unwrap();
        let number = bookings.len() as u128 + 1;
        let key = (request.account_id.clone(), request.idempotency_key);
        let id = bookings.entry(key).or_insert(BookingId::from_uuid(Uuid::from_u128(number)));
        booking.booking_id = id.to_string();
        match answer {
            Some(Answer::Lost) => Err(Status::unavailable("lost")),
            _ => Ok(Response::new(booking)),
        }
    }
}

macro_rules! booking_service {
    ($($name:ident: $request:ident -> $response:ident,)*) => {
        #[async_trait]
        impl BookingService for FakeBooking {
            async fn open_booking(
                &self,
                request: Request<booking::OpenBookingRequest>,
            ) -> Result<Response<booking::Booking>, Status> {
                self.open(request).await
            }

            $(async fn $name(
                &self,
                _: Request<booking::$request>,
            ) -> Result<Response<booking::$response>, Status> {
                Err(Status::unimplemented("booking-worker has no business here"))
            })*
        }
    };
}

booking_service! {
    hold_places: HoldPlacesRequest -> Hold,
    release_places: ReleasePlacesRequest -> ReleasePlacesResponse,
    get_booking: GetBookingRequest -> Booking,
    list_bookings: ListBookingsRequest -> ListBookingsResponse,
    cancel_booking: CancelBookingRequest -> Booking,
    get_history: GetHistoryRequest -> GetHistoryResponse,
    list_dead_letters: ListDeadLettersRequest -> ListDeadLettersResponse,
    retry_dead_letter: RetryDeadLetterRequest -> RetryDeadLetterResponse,
}

#[async_trait]
impl RealtimeService for FakeRealtime {
    async fn broadcast(
        &self,
        request: Request<realtime::BroadcastRequest>,
    ) -> Result<Response<realtime::BroadcastResponse>, Status> {
        assert!(Context::of(&request).caller.is_service(crate::NAME));
        self.up()?;
        let realtime::BroadcastRequest { room, r#type, payload_json } = request.into_inner();
        let payload = serde_json::from_str(&payload_json).unwrap();
        self.broadcasts.lock().unwrap().push((room, r#type, payload));
        Ok(Response::new(realtime::BroadcastResponse { recipients: 1 }))
    }

    async fn send_to_user(
        &self,
        request: Request<realtime::SendToUserRequest>,
    ) -> Result<Response<realtime::SendToUserResponse>, Status> {
        assert!(Context::of(&request).caller.is_service(crate::NAME));
        self.up()?;
        let realtime::SendToUserRequest { account_id, r#type, payload_json } = request.into_inner();
        let payload = serde_json::from_str(&payload_json).unwrap();
        self.sent.lock().unwrap().push((account_id, r#type, payload));
        Ok(Response::new(realtime::SendToUserResponse { recipients: 1 }))
    }

    async fn get_connection_stats(
        &self,
        _: Request<realtime::GetConnectionStatsRequest>,
    ) -> Result<Response<realtime::ConnectionStats>, Status> {
        Err(Status::unimplemented("booking-worker has no business here"))
    }
}
