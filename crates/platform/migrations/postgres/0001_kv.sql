-- The queue's lines. Rows stay when their places are gone: a number is never given out twice.
create table kv_lines (
    line bigint not null primary key,
    name text not null unique,
    last bigint not null,
    serving bigint not null,
    turn bigint not null
);
-- Places that wait, or are claimed and not acknowledged. leased_until is set once claimed.
create table kv_places (
    line bigint not null,
    number bigint not null,
    member text not null,
    content text not null,
    joined_at timestamptz not null,
    leased_until timestamptz,
    attempts bigint not null default 0,
    primary key (line, number),
    unique (line, member)
);
-- One row: how often the locks have begun anew. Fences of a later term are greater.
create table kv_terms (one bigint not null primary key, term bigint not null);
