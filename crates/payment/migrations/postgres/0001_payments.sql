-- A payment is written before the provider hears of it, so that a crash in between leaves a row that says what to
-- finish; `due_at` is when somebody looks next, null once nothing is left to do.
create table payments (
    payment_id uuid primary key,
    booking_id uuid not null,
    booking_reference text not null,
    account_id uuid not null,
    amount_minor bigint not null,
    currency text not null,
    captured_minor bigint not null default 0,
    refunded_minor bigint not null default 0,
    pending_refund_minor bigint not null default 0,
    state text not null,
    version bigint not null default 0,
    provider_reference text,
    client_secret text,
    decline_code text,
    decline_reference text,
    provider_event_s bigint not null default 0,
    correlation_id text not null,
    due_at timestamptz,
    attempts bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint payments_booking_id_key unique (booking_id),
    constraint payments_provider_reference_key unique (provider_reference),
    constraint payments_amount_check check (amount_minor > 0 and captured_minor >= 0),
    constraint payments_refunds_check check (
        refunded_minor >= 0 and pending_refund_minor >= 0 and refunded_minor <= captured_minor)
);
create index payments_account_id on payments (account_id, payment_id);
create index payments_due_at on payments (due_at) where due_at is not null;

-- The history of a payment: `number` 0 is its making, and each status change adds one.
create table payment_transitions (
    payment_id uuid not null,
    number bigint not null,
    from_state text not null,
    to_state text not null,
    cause text not null,
    at timestamptz not null,
    primary key (payment_id, number)
);

-- `idempotency_key` is null where the refund was made at the provider and not by us.
create table refunds (
    refund_id uuid primary key,
    payment_id uuid not null,
    amount_minor bigint not null,
    state text not null,
    reason text not null,
    provider_reference text,
    idempotency_key text,
    due_at timestamptz,
    attempts bigint not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint refunds_provider_reference_key unique (provider_reference),
    constraint refunds_idempotency_key_key unique (idempotency_key),
    constraint refunds_amount_check check (amount_minor > 0)
);
create index refunds_payment_id on refunds (payment_id);
create index refunds_due_at on refunds (due_at) where due_at is not null;

-- What the provider told us, each event once.
create table provider_events (
    event_id text primary key,
    kind text not null,
    payment_id uuid,
    body jsonb not null,
    created_s bigint not null,
    received_at timestamptz not null
);

-- What we asked the provider and what it said, without secrets.
create table transaction_log (
    entry_id uuid primary key,
    payment_id uuid not null,
    operation text not null,
    request jsonb not null,
    response jsonb not null,
    outcome text not null,
    duration_us bigint not null,
    correlation_id text not null,
    at timestamptz not null
);
create index transaction_log_payment_id on transaction_log (payment_id, entry_id);
