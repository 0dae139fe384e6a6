//! The events that one booking of two seats leads to, as the services write them.

use kernel::{Clock, Failure, SystemClock};
use platform::{
    SystemIds,
    bus::{BOOKING_EVENTS, Delivery, Envelope, PAYMENT_EVENTS, TICKET_EVENTS},
};
use uuid::Uuid;
use wire::{
    Context,
    pb::{
        booking::v1::{Booking, BookingChanged, booking::Line},
        kernel::v1::Money,
        payment::v1::PaymentChanged,
        ticket::v1::{Place, SeatsChanged, Ticket},
    },
};

/// Topic and kind of each.
pub(crate) const KINDS: [(&str, &str); 10] = [
    (BOOKING_EVENTS, "booking.opened"),
    (BOOKING_EVENTS, "booking.seats_reserved"),
    (BOOKING_EVENTS, "booking.payment_requested"),
    (BOOKING_EVENTS, "booking.payment_processing"),
    (BOOKING_EVENTS, "booking.confirmed"),
    (TICKET_EVENTS, "seats.held"),
    (TICKET_EVENTS, "seats.sold"),
    (PAYMENT_EVENTS, "payment.requested"),
    (PAYMENT_EVENTS, "payment.authorized"),
    (PAYMENT_EVENTS, "payment.captured"),
];

/// What booking `number` puts on `topic`.
pub(crate) fn events(topic: &'static str, number: u32) -> Result<Vec<Envelope>, Failure> {
    let booking = Uuid::from_u64_pair(0x018f_0000_0000_7000, number.into());
    let context = Context::service("bench");
    let kinds = KINDS.iter().filter(|(on, _)| *on == topic);
    kinds
        .map(|(_, kind)| {
            let origin: (&dyn kernel::Ids, _) = (&SystemIds, SystemClock.now());
            let about = (topic, "bench", *kind);
            match topic {
                BOOKING_EVENTS => {
                    Envelope::new(about, booking, &changed(booking, kind), &context, origin)
                }
                TICKET_EVENTS => Envelope::new(about, event(), &seats(number), &context, origin),
                _ => Envelope::new(about, booking, &payment(booking), &context, origin),
            }
        })
        .collect()
}

/// Reads it as a consumer does.
pub(crate) fn read(delivery: &Delivery) -> Result<(), Failure> {
    match &*delivery.topic {
        BOOKING_EVENTS => delivery.read::<BookingChanged>().map(drop),
        TICKET_EVENTS => delivery.read::<SeatsChanged>().map(drop),
        _ => delivery.read::<PaymentChanged>().map(drop),
    }
}

/// All are for one event: the rush.
fn event() -> Uuid {
    Uuid::from_u64_pair(0x018f_0000_0000_7000, u64::MAX)
}

fn place(number: u32) -> Place {
    Place {
        section: "hall".to_owned(),
        seat: format!("hall/{}/{}", number / 50, number % 50),
        category: "standard".to_owned(),
        wheelchair: false,
    }
}

fn money() -> Option<Money> {
    Some(Money { minor: 9_000, currency: "EUR".to_owned() })
}

fn changed(booking: Uuid, kind: &str) -> BookingChanged {
    let number = (booking.as_u128() & 0xffff_ffff) as u32;
    let places = vec![place(number * 2), place(number * 2 + 1)];
    let ticket = |place: &Place| Ticket {
        ticket_id: booking.to_string(),
        number: format!("TKT{number:010}"),
        event_id: event().to_string(),
        booking_id: booking.to_string(),
        account_id: booking.to_string(),
        place: Some(place.clone()),
        price: money(),
        code: format!("BX1.{}", "c".repeat(120)),
        ..Ticket::default()
    };
    let tickets = match kind {
        "booking.confirmed" => places.iter().map(ticket).collect(),
        _ => Vec::new(),
    };
    BookingChanged {
        booking: Some(Booking {
            booking_id: booking.to_string(),
            reference: format!("BKG{number:010}"),
            account_id: booking.to_string(),
            event_id: event().to_string(),
            event_name: "A night of measurements".to_owned(),
            total: money(),
            places,
            lines: vec![Line {
                category: "standard".to_owned(),
                category_name: "Standard".to_owned(),
                quantity: 2,
                unit_price_minor: 4_500,
            }],
            payment_id: booking.to_string(),
            ..Booking::default()
        }),
        tickets,
        venue_name: "The hall".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        ..BookingChanged::default()
    }
}

fn seats(number: u32) -> SeatsChanged {
    SeatsChanged {
        event_id: event().to_string(),
        hold_id: event().to_string(),
        places: vec![place(number * 2), place(number * 2 + 1)],
        available: 50_000,
        sequence: i64::from(number) + 1,
        ..SeatsChanged::default()
    }
}

fn payment(booking: Uuid) -> PaymentChanged {
    PaymentChanged {
        payment_id: booking.to_string(),
        booking_id: booking.to_string(),
        account_id: booking.to_string(),
        amount: money(),
        ..PaymentChanged::default()
    }
}
