//! Changes of outboxes and of the event log.

use super::{BOOKINGS, BUS, PAYMENTS, Plant, TICKETS, plant};

/// What breaks the log where it is outboxes in files.
pub(super) const LOG: &[Plant] = &[
    plant(
        BOOKINGS,
        &["delete from boxoffice_outbox where seq = (select max(seq) from boxoffice_outbox
             where kind = 'booking.confirmed')"],
        &["the log of booking-events has a hole", "events of BKG"],
    ),
    plant(
        TICKETS,
        &["delete from boxoffice_outbox where kind = 'seats.sold'"],
        &["the log of ticket-events has a hole", "events of hold"],
    ),
    plant(
        PAYMENTS,
        &["delete from boxoffice_outbox where kind = 'payment.captured'"],
        &["was told 0 times"],
    ),
    plant(
        BOOKINGS,
        &["insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
           select id, topic, key, kind, source, at, correlation_id, content
           from boxoffice_outbox where seq = 1"],
        &["is in the log twice", "email-worker is 1 events behind in booking-events"],
    ),
    plant(
        BOOKINGS,
        &["insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
           values ({uuid}, 'booking-events', '00000000-0000-0000-0000-000000000001',
             'planted', 'x', {time}, 'x', '{}')"],
        &["event planted of no booking", "realtime is 1 events behind in booking-events"],
    ),
    plant(
        BUS,
        &["update bus_offsets set seq = seq - 1 where seq > 0"],
        &["email-worker is 1 events behind", "booking is 1 events behind in payment-events"],
    ),
    plant(
        BUS,
        &["update bus_offsets set seq = seq + 1 where topic = 'payment-events outbox'"],
        &["booking has read up to"],
    ),
];

/// What breaks it where outboxes lead to brokers.
pub(super) const UNTOLD: &[Plant] = &[plant(
    BOOKINGS,
    &["insert into boxoffice_outbox (id, topic, key, kind, source, at, correlation_id, content)
       values ({uuid}, 'x', 'x', 'planted', 'x', {time}, 'x', '{}')"],
    &["in the outbox: planted of x, past its time"],
)];
