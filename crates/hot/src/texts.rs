//! Words of the kernel: read from text and written as text.

use kernel::{BookingId, Currency, EventId, Money, SeatRef, Timestamp};

use crate::{NOON, Once, seeded};

/// Ids: made, written, read.
pub(crate) fn ids() -> Once {
    let ids = seeded();
    Box::new(move || {
        let made = BookingId::new(&ids, NOON);
        let text = made.to_string();
        let read: Option<EventId> = text.parse().ok();
        read.map_or(0, |read| read.uuid().as_u64_pair().1)
    })
}

/// An amount: its currency read, multiplied, summed up, written.
pub(crate) fn money() -> Once {
    let mut minor = 0;
    Box::new(move || {
        minor = (minor + 137) % 90_000;
        let total = "EUR".parse::<Currency>().ok().and_then(|currency| {
            let price = Money::new(minor, currency);
            price.times(4).ok()?.plus(Money::new(250, currency)).ok()
        });
        total.map_or(0, |total| total.to_string().len() as u64 + total.minor.unsigned_abs())
    })
}

/// The name of a seat: read, and taken apart.
pub(crate) fn seat_names() -> Once {
    let names: Vec<String> =
        (1..=64).map(|number| format!("stalls-{}-{number}", number / 8)).collect();
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % names.len();
        let seat = names.get(at).and_then(|name| name.parse::<SeatRef>().ok());
        seat.map_or(0, |seat| {
            (seat.section().len() + seat.row().len() + seat.number().len()) as u64
        })
    })
}

/// A moment: written, read.
pub(crate) fn times() -> Once {
    let mut micros = NOON.micros();
    Box::new(move || {
        micros += 1_234_567;
        let text = Timestamp::from_micros(micros).to_string();
        Timestamp::parse(&text).map_or(0, |read| read.micros().unsigned_abs())
    })
}
