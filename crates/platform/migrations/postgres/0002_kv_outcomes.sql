-- A line has settings, which outlive its places; and what became of a place is kept for a while, so
-- that its member can ask, and can't come back for another while it holds.
alter table kv_lines add column settings text not null default '';
create table kv_outcomes (
    line bigint not null,
    member text not null,
    number bigint not null,
    joined_at timestamptz not null,
    outcome text not null,
    holds_until timestamptz not null,
    kept_until timestamptz not null,
    primary key (line, member)
);
