-- The event log and its consumer groups. Topics number their events from 1, without gaps.
create table bus_topics (topic text not null primary key, last bigint not null);

create table bus_log (
    topic text not null,
    seq bigint not null,
    id blob not null unique,
    key text not null,
    event text not null,
    primary key (topic, seq)
) without rowid;

-- All of a topic up to seq is done or parked.
create table bus_offsets (
    grp text not null,
    topic text not null,
    seq bigint not null,
    primary key (grp, topic)
) without rowid;

-- Events that failed and are tried again, and those of the same key behind them, in order.
create table bus_parked (
    number integer primary key autoincrement,
    grp text not null,
    topic text not null,
    id blob not null,
    key text not null,
    event text not null,
    attempts bigint not null,
    faults bigint not null,
    error text not null,
    unique (grp, id)
);

create table bus_dead_letters (
    number integer primary key autoincrement,
    grp text not null,
    topic text not null,
    id blob not null,
    key text not null,
    event text not null,
    attempts bigint not null,
    error text not null,
    unique (grp, id)
);
