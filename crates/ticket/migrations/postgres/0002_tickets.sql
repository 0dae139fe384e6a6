-- Tickets, their history, and the keys that sign their codes. A second guard beside the claims:
-- no seat of an event can have two living tickets.
create table tickets (
  ticket_id uuid primary key,
  number text not null unique,
  hold_id uuid not null,
  booking_id uuid not null,
  booking_reference text not null,
  ordinal bigint not null,
  event_id uuid not null,
  account_id uuid not null,
  section text not null,
  seat text,
  category text not null,
  wheelchair boolean not null,
  price_minor bigint not null,
  currency text not null,
  status text not null,
  code text not null,
  issued_at timestamptz not null,
  used_at timestamptz,
  used_gate text,
  unique (booking_id, ordinal),
  constraint tickets_status_check
    check (status in ('issued', 'used', 'cancelled', 'refunded', 'transferred')),
  constraint tickets_used_check check ((status = 'used') = (used_at is not null))
) with (fillfactor = 80);
create unique index tickets_seat_key on tickets (event_id, seat)
  where seat is not null and status in ('issued', 'used');
create index tickets_account on tickets (account_id, ticket_id);

create table ticket_transitions (
  ticket_id uuid not null,
  ordinal bigint not null,
  status text not null,
  reason text not null,
  actor text not null,
  at timestamptz not null,
  primary key (ticket_id, ordinal)
);

create table signing_keys (
  key_id text primary key,
  public_key bytea not null,
  sealed bytea not null,
  created_at timestamptz not null
);
