//! The service as built: by its gRPC face, with its tasks running.

use std::{sync::Arc, time::Duration};

use kernel::{Clock as _, Code};
use platform::{
    Metrics, Tasks,
    bus::{BOOKING_EVENTS, Envelope, PAYMENT_EVENTS, Urgency},
};
use tokio::sync::mpsc;
use tonic::Code as Status;
use wire::{
    Context,
    pb::{
        booking::v1::{
            Booking, BookingChanged, BookingStatus, CancelBookingRequest, GetBookingRequest,
            GetHistoryRequest, ListBookingsRequest, OpenBookingRequest, RetryDeadLetterRequest,
            client::BookingServiceClient,
        },
        kernel::v1::Page,
        payment::v1::PaymentChanged,
    },
};

use super::{
    stage::{Stage, stage},
    world::Fault,
};
use crate::{Config, build, domain::Status as Booked};

type Client = BookingServiceClient;

async fn served(
    stage: &Stage,
) -> (platform::Unit, impl Fn(&Context) -> Client, platform::bus::Bus) {
    let (config, deps) = stage.parts().await;
    let bus = deps.bus.clone();
    let mut unit = build(config, deps).unwrap();
    let mesh = stage.mesh();
    let _ = mesh.fill("booking", unit.grpc.take().unwrap()).unwrap();
    let wire = mesh.wire("gateway", "booking").unwrap();
    (unit, move |context: &Context| BookingServiceClient::new(wire.with(context)), bus)
}

fn request(stage: &Stage, key: &str) -> OpenBookingRequest {
    OpenBookingRequest {
        event_id: stage.event.to_string(),
        choice: Some(wire::to_choice(&stage.wish(key).choice)),
        idempotency_key: key.to_owned(),
        ..OpenBookingRequest::default()
    }
}

#[tokio::test]
async fn a_payment_event_on_the_log_leads_to_a_confirmation_on_the_log() {
    let stage = stage().await;
    let (mut unit, client, bus) = served(&stage).await;
    let (sender, mut events) = mpsc::channel(64);
    let listeners = Tasks::new();
    let handler: platform::bus::Handler = Arc::new(move |delivery| {
        let sender = sender.clone();
        Box::pin(async move { sender.send(delivery).await.map_err(kernel::Failure::internal) })
    });
    bus.consume(("test", Urgency::Soon), &[BOOKING_EVENTS], handler, &Metrics::new(), &listeners);
    for start in unit.tasks.drain(..) {
        start(unit.tracked.clone());
    }
    let buyer = stage.as_buyer();
    let opened = client(&buyer).open_booking(request(&stage, "k")).await.unwrap().into_inner();
    let id: kernel::BookingId = opened.booking_id.parse().unwrap();
    stage.authorize(id);
    let paid = PaymentChanged {
        payment_id: opened.payment_id,
        booking_id: opened.booking_id.clone(),
        ..PaymentChanged::default()
    };
    let about = (PAYMENT_EVENTS, "payment", "payment.authorized");
    let origin: (&dyn kernel::Ids, _) = (&*stage.ids, stage.clock.now());
    let paid = Envelope::new(about, id, &paid, &buyer, origin).unwrap();
    bus.publish(&[paid]).await.unwrap();
    let confirmed = async {
        loop {
            let event = events.recv().await.unwrap();
            if &*event.kind == "booking.confirmed" {
                return event.read::<BookingChanged>().unwrap();
            }
        }
    };
    let confirmed = tokio::time::timeout(Duration::from_secs(20), confirmed).await.unwrap();
    assert_eq!(confirmed.tickets.len(), 2);
    assert_eq!((&*confirmed.tickets[0].code, &*confirmed.venue_name), ("code-0", "Globe"));
    assert_eq!(confirmed.booking.unwrap().booking_id, opened.booking_id);
    assert_eq!(unit.tracked.stop(Duration::from_secs(10)).await, 0);
    listeners.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn an_opening_goes_on_when_its_client_leaves() {
    let stage = stage().await;
    let (unit, client, _) = served(&stage).await;
    stage.world.fail("HoldSeats", Fault::Wait);
    let buyer = stage.as_buyer();
    let (mut leaving, died) = (client(&buyer), stage.world.died.clone());
    tokio::select! {
        () = died.notified() => {}
        _ = leaving.open_booking(request(&stage, "k")) => panic!("it waits"),
    }
    stage.world.go.notify_one();
    assert_eq!(unit.tracked.stop(Duration::from_secs(10)).await, 0);
    stage.world.heal();
    let opened = stage.open(&stage.app().await, "k").await.unwrap();
    assert_eq!(opened.state.status, Booked::PaymentPending);
    assert_eq!(stage.world.count("HoldSeats"), 1);
}

#[tokio::test]
async fn each_rpc_refuses_what_can_t_be_right_and_changes_nothing() {
    let stage = stage().await;
    let (_unit, client, _) = served(&stage).await;
    let buyer = stage.as_buyer();
    let mut client = client(&buyer);
    let good = request(&stage, "k");
    for wrong in [
        OpenBookingRequest { event_id: String::new(), ..good.clone() },
        OpenBookingRequest { event_id: "7".to_owned(), ..good.clone() },
        OpenBookingRequest { choice: None, ..good.clone() },
        OpenBookingRequest { idempotency_key: String::new(), ..good.clone() },
        OpenBookingRequest { account_id: "me".to_owned(), ..good.clone() },
        OpenBookingRequest { hold_id: "h".to_owned(), ..good.clone() },
    ] {
        let status = client.open_booking(wrong).await.unwrap_err();
        assert_eq!(status.code(), Status::InvalidArgument);
    }
    let booking_id = "nonsense".to_owned();
    let get = GetBookingRequest { booking_id: booking_id.clone() };
    assert_eq!(client.get_booking(get).await.unwrap_err().code(), Status::InvalidArgument);
    let history = GetHistoryRequest { booking_id: booking_id.clone() };
    assert_eq!(client.get_history(history).await.unwrap_err().code(), Status::InvalidArgument);
    let cancel = CancelBookingRequest { booking_id: booking_id.clone(), reason: String::new() };
    assert_eq!(client.cancel_booking(cancel).await.unwrap_err().code(), Status::InvalidArgument);
    let page = Some(Page { limit: 1_000, cursor: String::new() });
    let list = client.list_bookings(ListBookingsRequest { page }).await;
    assert_eq!(list.unwrap_err().code(), Status::InvalidArgument);
    let retry = RetryDeadLetterRequest { booking_id, step: "release_hold".to_owned() };
    assert_eq!(client.retry_dead_letter(retry).await.unwrap_err().code(), Status::InvalidArgument);
    assert!(stage.kinds().await.is_empty());

    let opened: Booking = client.open_booking(good).await.unwrap().into_inner();
    assert_eq!(opened.status(), BookingStatus::PaymentPending);
    let step = "make_coffee".to_owned();
    let retry = RetryDeadLetterRequest { booking_id: opened.booking_id.clone(), step };
    assert_eq!(client.retry_dead_letter(retry).await.unwrap_err().code(), Status::InvalidArgument);
    let step = "release_hold".to_owned();
    let retry = RetryDeadLetterRequest { booking_id: opened.booking_id, step };
    let refused = client.retry_dead_letter(retry).await.unwrap_err();
    assert_eq!(wire::failure(&refused).code, Code::Forbidden);
}

#[tokio::test]
async fn a_configuration_out_of_range_is_refused_by_its_key() {
    let stage = stage().await;
    for (key, change) in [
        ("hold_ttl_seconds", (|config| config.hold_ttl_seconds = 0) as fn(&mut Config)),
        ("lease_seconds", |config| config.lease_seconds = 19),
        ("max_attempts", |config| config.max_attempts = 0),
        ("resume_batch", |config| config.resume_batch = 0),
    ] {
        let (mut config, deps) = stage.parts().await;
        change(&mut config);
        let error = build(config, deps).err().unwrap().to_string();
        assert!(error.contains(key), "{error}");
    }
}
