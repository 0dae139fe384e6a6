-- The outbox has a row for all that a transaction tells, up to a page of it, instead of one for each event: an array of JSON
-- objects. Rows are short-lived, so they are neither compressed nor cut in pieces as long as they fit a page.
create table boxoffice_outbox_batches (
  seq bigint generated always as identity primary key,
  topic text not null,
  events text not null
);
alter table boxoffice_outbox_batches alter column events set storage external;
alter table boxoffice_outbox_batches set (toast_tuple_target = 8160);
-- A queue's statistics are always wrong, and its dead rows lie where the relay looks first.
alter table boxoffice_outbox_batches set (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

insert into boxoffice_outbox_batches (topic, events)
select topic, json_build_array(json_build_object('id', id, 'key', key, 'kind', kind, 'source', source,
  'at', (extract(epoch from at) * 1000000)::bigint, 'correlation_id', correlation_id, 'content', content::json))::text
from boxoffice_outbox order by seq;
drop table boxoffice_outbox;

-- The events one by one, in the order of seq.
create view boxoffice_outbox as
select b.seq * 1000 + e.position as seq, (e.event ->> 'id')::uuid as id, b.topic, e.event ->> 'key' as key, e.event ->> 'kind' as kind,
  e.event ->> 'source' as source, timestamptz 'epoch' + (e.event ->> 'at')::bigint * interval '1 microsecond' as at,
  e.event ->> 'correlation_id' as correlation_id, e.event ->> 'content' as content
from boxoffice_outbox_batches b cross join lateral json_array_elements(b.events::json) with ordinality e (event, position);
