-- A line has settings, which outlive its places; and what became of a place is kept for a while, so
-- that its member can ask, and can't come back for another while it holds.
alter table kv_lines add column settings text not null default '';
create table kv_outcomes (
    line bigint not null,
    member text not null,
    number bigint not null,
    joined_at integer not null,
    outcome text not null,
    holds_until integer not null,
    kept_until integer not null,
    primary key (line, member)
);
