-- Bookings with the cursor of their saga: a row is due when somebody has to go on with it, and is leased to whoever does.
-- The request's idempotency key is on the booking itself, so that key, change and events are one transaction.
create table bookings (
    id uuid primary key,
    reference text not null unique,
    account_id uuid not null,
    idempotency_key text not null,
    event_id uuid not null,
    choice jsonb not null,
    admitted boolean not null,
    status text not null check (status in (
        'PENDING', 'RESERVING', 'SEATS_RESERVED', 'PAYMENT_PENDING', 'PAYMENT_PROCESSING',
        'PAYMENT_FAILED', 'CONFIRMED', 'CANCELLED', 'FAILED', 'EXPIRED')),
    payment_status text not null check (payment_status in (
        'NOT_REQUIRED', 'PENDING', 'AUTHORIZED', 'CAPTURED', 'FAILED', 'REFUNDING', 'REFUNDED',
        'VOIDED')),
    terms jsonb,
    places jsonb,
    lines jsonb,
    total_minor bigint check (total_minor >= 0),
    currency text,
    payment_id uuid,
    client_secret text,
    reason text not null,
    refusal jsonb,
    expires_at timestamptz not null,
    created_at timestamptz not null,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    due_at timestamptz,
    leased boolean not null,
    lease bigint not null,
    attempts bigint not null,
    undo text not null,
    cancelling boolean not null,
    refunds_failed bigint not null,
    version bigint not null,
    unique (account_id, idempotency_key)
);

-- Lists of a buyer's bookings, newest first: ids sort by time.
create index bookings_account on bookings (account_id, id);

-- Few rows are due at a time, however many bookings there are.
create index bookings_due on bookings (due_at) where due_at is not null;

-- Every step that a booking took.
create table booking_history (
    booking_id uuid not null,
    version bigint not null,
    ordinal bigint not null,
    from_status text not null,
    to_status text not null,
    input text not null,
    reason text not null,
    at timestamptz not null,
    primary key (booking_id, version, ordinal)
);

-- Undoings that keep failing and wait for an operator.
create table dead_letters (
    booking_id uuid not null,
    step text not null,
    attempts bigint not null,
    last_error text not null,
    since timestamptz not null,
    primary key (booking_id, step)
);
