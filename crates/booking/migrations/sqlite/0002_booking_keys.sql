-- What each idempotency key of an account stands for: the booking of this id, or, where there is a refusal, a wish that was
-- refused without a booking. One row a key, so that it is answered once, whoever answers.
create table booking_keys (
    account_id blob not null,
    idempotency_key text not null,
    id blob not null,
    event_id blob,
    choice text,
    refusal text,
    refused_at integer,
    primary key (account_id, idempotency_key),
    check ((event_id is null) + (choice is null) + (refusal is null) + (refused_at is null) in (0, 4))
) strict, without rowid;

-- Refusals are forgotten by age.
create index booking_keys_refused on booking_keys (refused_at) where refused_at is not null;

insert into booking_keys (account_id, idempotency_key, id) select account_id, idempotency_key, id from bookings;

-- The same table, whose keys are not unique by themselves any more.
create table bookings_without_keys (
    id blob primary key not null,
    reference text not null unique,
    account_id blob not null,
    idempotency_key text not null,
    event_id blob not null,
    choice text not null,
    admitted integer not null,
    status text not null check (status in (
        'PENDING', 'RESERVING', 'SEATS_RESERVED', 'PAYMENT_PENDING', 'PAYMENT_PROCESSING',
        'PAYMENT_FAILED', 'CONFIRMED', 'CANCELLED', 'FAILED', 'EXPIRED')),
    payment_status text not null check (payment_status in (
        'NOT_REQUIRED', 'PENDING', 'AUTHORIZED', 'CAPTURED', 'FAILED', 'REFUNDING', 'REFUNDED',
        'VOIDED')),
    terms text,
    places text,
    lines text,
    total_minor integer check (total_minor >= 0),
    currency text,
    payment_id blob,
    client_secret text,
    reason text not null,
    refusal text,
    expires_at integer not null,
    created_at integer not null,
    confirmed_at integer,
    cancelled_at integer,
    due_at integer,
    leased integer not null,
    lease integer not null,
    attempts integer not null,
    undo text not null,
    cancelling integer not null,
    refunds_failed integer not null,
    version integer not null
) strict;
insert into bookings_without_keys select * from bookings order by rowid;
drop table bookings;
alter table bookings_without_keys rename to bookings;
create index bookings_account on bookings (account_id, id);
create index bookings_due on bookings (due_at) where due_at is not null;
