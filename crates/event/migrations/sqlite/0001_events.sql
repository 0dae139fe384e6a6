-- Venues with their seating plans, and the events that take place in them. What buyers read of a
-- venue (name, city, zone, capacity) is copied into the event, so that reading an event touches one
-- row; the plan is copied when the event is published, so that it stays as it was sold.
create table venues (
    id blob primary key,
    organization_id blob not null,
    name text not null,
    address text not null,
    city text not null,
    country text not null,
    time_zone text not null,
    plan text not null,
    capacity integer not null,
    created_at integer not null
) strict;
create index venues_organization on venues (organization_id, id);

create table events (
    id blob primary key,
    organization_id blob not null,
    venue_id blob not null references venues (id),
    venue_name text not null,
    venue_city text not null,
    time_zone text not null,
    capacity integer not null,
    name text not null,
    description text not null,
    kind text not null,
    starts_at integer not null,
    ends_at integer not null,
    sale_starts_at integer,
    sale_ends_at integer,
    currency text not null,
    categories text not null,
    max_per_booking integer not null,
    queue_enabled integer not null,
    queue_admissions_per_minute integer not null,
    queue_admission_ttl_seconds integer not null,
    status text not null,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    published_at integer,
    -- When its status has to move by itself; null: never.
    due_at integer,
    -- Name and city in lower case: what a search looks through.
    search text not null
) strict;
-- The public list, in its order.
create index events_public on events (starts_at, id)
    where status in ('published', 'on_sale', 'sold_out');
create index events_organization on events (organization_id, starts_at, id);
create index events_all on events (starts_at, id);
create index events_due on events (due_at) where due_at is not null;

-- Plans as they were published.
create table event_plans (
    event_id blob primary key references events (id),
    plan text not null
) strict;

-- Every step of every event's status.
create table event_history (
    event_id blob not null references events (id),
    version integer not null,
    from_status text,
    to_status text not null,
    actor text not null,
    at integer not null,
    primary key (event_id, version)
) strict, without rowid;
