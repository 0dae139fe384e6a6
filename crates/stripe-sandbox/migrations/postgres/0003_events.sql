-- An event says what an object was at its moment, and mostly the object still is so: then the object is kept nowhere
-- else, and what an idempotency key stands for neither.
create table stripe_events (
    seq bigint generated always as identity primary key,
    id text not null unique,
    kind text not null,
    created bigint not null,
    key text,
    subject json not null
);
insert into stripe_events (id, kind, created, key, subject)
select id, lookup, (doc ->> 'created')::bigint, doc -> 'request' ->> 'idempotency_key', (doc -> 'data' -> 'object')::json
from stripe_objects where kind = 'event' order by seq;

delete from stripe_objects where kind = 'event';
alter table stripe_objects alter column doc type json using doc::json;
alter table stripe_objects alter column doc drop not null;
alter table stripe_objects add column event text;

alter table stripe_idempotency add column event text;
