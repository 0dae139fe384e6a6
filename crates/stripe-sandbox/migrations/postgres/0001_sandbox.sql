-- What Stripe would keep for us. One table for all objects: the sandbox knows them by id and lists them by age,
-- and the document is the wire format. `lookup` is what a list is filtered by: the intent of a charge or refund,
-- the type of an event.
create table stripe_objects (
    seq bigint generated always as identity primary key,
    id text not null unique,
    kind text not null,
    lookup text not null,
    doc jsonb not null
);
create index stripe_objects_kind_seq on stripe_objects (kind, seq);
create index stripe_objects_kind_lookup_seq on stripe_objects (kind, lookup, seq);

-- Work that is due: an event to deliver, a refund to settle. It survives the process as it would survive ours.
create table stripe_due (
    seq bigint generated always as identity primary key,
    due_at timestamptz not null,
    kind text not null,
    target text not null,
    attempts bigint not null
);
create index stripe_due_at on stripe_due (due_at, seq);

create table stripe_idempotency (
    key text primary key,
    fingerprint text not null,
    status bigint not null,
    body text not null,
    created_at timestamptz not null
);
create index stripe_idempotency_created_at on stripe_idempotency (created_at);
