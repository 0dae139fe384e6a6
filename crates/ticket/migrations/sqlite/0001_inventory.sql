-- What may be sold of each event, and who has it. A seat has no row until it is not free: a claim
-- is unique on (event, seat), and that is what keeps a seat from being sold twice. Counters are
-- kept, never counted.
create table inventories (
  event_id blob primary key,
  organization_id blob not null,
  plan text not null,
  max_per_hold integer not null,
  ends_at integer not null,
  capacity integer not null,
  opened_at integer not null
) strict;

-- Apart from the inventory, because every change of the event writes this row.
create table tallies (
  event_id blob primary key references inventories (event_id),
  available integer not null,
  version integer not null,
  constraint tallies_available_check check (available >= 0)
) strict, without rowid;

create table sections (
  event_id blob not null references inventories (event_id),
  section text not null,
  kind text not null,
  capacity integer not null,
  held integer not null,
  sold integer not null,
  primary key (event_id, section),
  constraint sections_kind_check check (kind in ('seated', 'admission')),
  constraint sections_capacity_check check (held >= 0 and sold >= 0 and held + sold <= capacity)
) strict, without rowid;

-- Seats by name, or a number of admissions to one section; never both.
create table holds (
  hold_id blob primary key,
  event_id blob not null,
  account_id blob not null,
  fingerprint text not null,
  seats text not null,
  section text,
  quantity integer not null,
  status text not null,
  expires_at integer not null,
  held_at integer not null,
  ended_at integer,
  reason text,
  constraint holds_status_check check (status in ('held', 'issued', 'released', 'expired')),
  constraint holds_quantity_check check (quantity > 0)
) strict, without rowid;
create index holds_due on holds (expires_at) where status = 'held';

-- Its seats are named by its hold, so that it needs no second index.
create table claims (
  event_id blob not null,
  seat text not null,
  hold_id blob not null,
  state text not null,
  expires_at integer,
  primary key (event_id, seat),
  constraint claims_state_check check ((state = 'held') = (expires_at is not null))
) strict, without rowid;
