-- The outbox has a row for all that a transaction tells, up to a few KB of it, instead of one for each event: an array of JSON
-- objects. Events are numbered as before, without gaps: seq is the number of the row's last one. Autoincrement, so that no
-- number ever comes twice.
create table boxoffice_outbox_batches (
  seq integer primary key autoincrement,
  count integer not null check (count > 0),
  topic text not null,
  events text not null
) strict;

insert into boxoffice_outbox_batches (seq, count, topic, events)
select seq, 1, topic, json_array(json_object('id', lower(substr(hex(id), 1, 8) || '-' || substr(hex(id), 9, 4) || '-'
  || substr(hex(id), 13, 4) || '-' || substr(hex(id), 17, 4) || '-' || substr(hex(id), 21)), 'key', key, 'kind', kind,
  'source', source, 'at', at, 'correlation_id', correlation_id, 'content', json(content)))
from boxoffice_outbox order by seq;
delete from sqlite_sequence where name = 'boxoffice_outbox_batches';
insert into sqlite_sequence (name, seq)
select 'boxoffice_outbox_batches', seq from sqlite_sequence where name = 'boxoffice_outbox';
drop table boxoffice_outbox;

-- The events one by one, in the order of seq.
create view boxoffice_outbox as
select b.seq - b.count + 1 + e.key as seq, unhex(e.value ->> 'id', '-') as id, b.topic, e.value ->> 'key' as key, e.value ->> 'kind' as kind,
  e.value ->> 'source' as source, e.value ->> 'at' as at, e.value ->> 'correlation_id' as correlation_id,
  e.value -> 'content' as content
from boxoffice_outbox_batches b, json_each(b.events) e;
