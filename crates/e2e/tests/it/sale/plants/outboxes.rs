//! Changes of outboxes and of the event log.

use super::{BOOKINGS, BUS, PAYMENTS, Plant, TICKETS, plant};

/// What breaks the log where it is outboxes in files.
pub(super) const LOG: &[Plant] = &[
    plant(
        BOOKINGS,
        &["update boxoffice_outbox_batches set events = (
             select json_group_array(json(value)) from json_each(events)
             where value ->> 'id' <> (select value ->> 'id'
               from boxoffice_outbox_batches b, json_each(b.events)
               where value ->> 'kind' = 'booking.confirmed' order by b.seq desc limit 1))"],
        &["the log of booking-events has a hole", "events of BKG"],
    ),
    plant(
        TICKETS,
        &["delete from boxoffice_outbox_batches
           where exists (select 1 from json_each(events) where value ->> 'kind' = 'seats.sold')"],
        &["the log of ticket-events has a hole", "events of hold"],
    ),
    plant(
        PAYMENTS,
        &["delete from boxoffice_outbox_batches where exists (
             select 1 from json_each(events) where value ->> 'kind' = 'payment.captured')"],
        &["was told 0 times"],
    ),
    plant(
        BOOKINGS,
        &["insert into boxoffice_outbox_batches (count, topic, events)
           select 1, topic, json_array(json(events -> 0))
           from boxoffice_outbox_batches order by seq limit 1"],
        &["is in the log twice", "email-worker is 1 events behind in booking-events"],
    ),
    plant(
        BOOKINGS,
        &["insert into boxoffice_outbox_batches (count, topic, events)
           select 1, 'booking-events', json_array(json_set(events -> 0,
             '$.id', '01900000-0000-7000-8000-000000000001',
             '$.key', '00000000-0000-0000-0000-000000000001', '$.kind', 'planted'))
           from boxoffice_outbox_batches order by seq limit 1"],
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
    &["insert into boxoffice_outbox_batches (topic, events)
       values ('x', '[{\"id\": \"01900000-0000-7000-8000-000000000001\", \"key\": \"x\",
         \"kind\": \"planted\", \"source\": \"x\", \"at\": 1700000000000000,
         \"correlation_id\": \"x\", \"content\": {}}]')"],
    &["in the outbox: planted of x, past its time"],
)];
