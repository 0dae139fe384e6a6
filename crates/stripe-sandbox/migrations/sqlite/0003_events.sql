-- An event says what an object was at its moment, and mostly the object still is so: then the object is kept nowhere
-- else, and what an idempotency key stands for neither.
create table stripe_events (
    seq integer primary key autoincrement,
    id text not null unique,
    kind text not null,
    created integer not null,
    key text,
    subject text not null
) strict;
insert into stripe_events (id, kind, created, key, subject)
select id, lookup, doc ->> '$.created', doc ->> '$.request.idempotency_key', doc -> '$.data.object'
from stripe_objects where kind = 'event' order by seq;

create table stripe_kept (
    seq integer primary key autoincrement,
    id text not null unique,
    kind text not null,
    lookup text not null,
    doc text,
    event text
) strict;
insert into stripe_kept (seq, id, kind, lookup, doc)
select seq, id, kind, lookup, doc from stripe_objects where kind <> 'event' order by seq;
drop table stripe_objects;
alter table stripe_kept rename to stripe_objects;
create index stripe_objects_of_intent on stripe_objects (lookup, seq) where kind in ('charge', 'refund');

alter table stripe_idempotency add column event text;
