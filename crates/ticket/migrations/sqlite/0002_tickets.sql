-- Tickets, their history, and the keys that sign their codes. A second guard beside the claims:
-- no seat of an event can have two living tickets.
create table tickets (
  ticket_id blob primary key,
  number text not null unique,
  hold_id blob not null,
  booking_id blob not null,
  booking_reference text not null,
  ordinal integer not null,
  event_id blob not null,
  account_id blob not null,
  section text not null,
  seat text,
  category text not null,
  wheelchair integer not null,
  price_minor integer not null,
  currency text not null,
  status text not null,
  code text not null,
  issued_at integer not null,
  used_at integer,
  used_gate text,
  unique (booking_id, ordinal),
  constraint tickets_status_check
    check (status in ('issued', 'used', 'cancelled', 'refunded', 'transferred')),
  constraint tickets_used_check check ((status = 'used') = (used_at is not null))
) strict;
create unique index tickets_seat_key on tickets (event_id, seat)
  where seat is not null and status in ('issued', 'used');
create index tickets_account on tickets (account_id, ticket_id);

create table ticket_transitions (
  ticket_id blob not null,
  ordinal integer not null,
  status text not null,
  reason text not null,
  actor text not null,
  at integer not null,
  primary key (ticket_id, ordinal)
) strict, without rowid;

create table signing_keys (
  key_id text primary key,
  public_key blob not null,
  sealed blob not null,
  created_at integer not null
) strict, without rowid;
