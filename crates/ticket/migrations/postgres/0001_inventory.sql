-- What may be sold of each event, and who has it. A seat has no row until it is not free: a claim
-- is unique on (event, seat), and that is what keeps a seat from being sold twice. Counters are
-- kept, never counted.
create table inventories (
  event_id uuid primary key,
  organization_id uuid not null,
  plan jsonb not null,
  max_per_hold bigint not null,
  ends_at timestamptz not null,
  capacity bigint not null,
  opened_at timestamptz not null
);

-- Apart from the inventory, because every change of the event writes this row.
create table tallies (
  event_id uuid primary key references inventories (event_id),
  available bigint not null,
  version bigint not null,
  constraint tallies_available_check check (available >= 0)
) with (fillfactor = 50);

create table sections (
  event_id uuid not null references inventories (event_id),
  section text not null,
  kind text not null,
  capacity bigint not null,
  held bigint not null,
  sold bigint not null,
  primary key (event_id, section),
  constraint sections_kind_check check (kind in ('seated', 'admission')),
  constraint sections_capacity_check check (held >= 0 and sold >= 0 and held + sold <= capacity)
) with (fillfactor = 50);

-- Seats by name, or a number of admissions to one section; never both.
create table holds (
  hold_id uuid primary key,
  event_id uuid not null,
  account_id uuid not null,
  fingerprint text not null,
  seats jsonb not null,
  section text,
  quantity bigint not null,
  status text not null,
  expires_at timestamptz not null,
  held_at timestamptz not null,
  ended_at timestamptz,
  reason text,
  constraint holds_status_check check (status in ('held', 'issued', 'released', 'expired')),
  constraint holds_quantity_check check (quantity > 0)
) with (fillfactor = 80);
create index holds_due on holds (expires_at) where status = 'held';

-- Its seats are named by its hold, so that it needs no second index.
create table claims (
  event_id uuid not null,
  seat text not null,
  hold_id uuid not null,
  state text not null,
  expires_at timestamptz,
  primary key (event_id, seat),
  constraint claims_state_check check ((state = 'held') = (expires_at is not null))
) with (fillfactor = 80);
