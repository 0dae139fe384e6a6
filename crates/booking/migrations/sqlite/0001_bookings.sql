-- Bookings with the cursor of their saga: a row is due when somebody has to go on with it, and is leased to whoever does.
-- The request's idempotency key is on the booking itself, so that key, change and events are one transaction.
create table bookings (
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
    version integer not null,
    unique (account_id, idempotency_key)
) strict;

-- Lists of a buyer's bookings, newest first: ids sort by time.
create index bookings_account on bookings (account_id, id);

-- Few rows are due at a time, however many bookings there are.
create index bookings_due on bookings (due_at) where due_at is not null;

-- Every step that a booking took.
create table booking_history (
    booking_id blob not null,
    version integer not null,
    ordinal integer not null,
    from_status text not null,
    to_status text not null,
    input text not null,
    reason text not null,
    at integer not null,
    primary key (booking_id, version, ordinal)
) strict, without rowid;

-- Undoings that keep failing and wait for an operator.
create table dead_letters (
    booking_id blob not null,
    step text not null,
    attempts integer not null,
    last_error text not null,
    since integer not null,
    primary key (booking_id, step)
) strict, without rowid;
