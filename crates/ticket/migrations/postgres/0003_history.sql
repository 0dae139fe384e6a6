-- The history of a ticket stands in its own row: a change and its history are one write, instead of
-- a row and two pages of the log for each step. A step is a comma and a JSON object, with its time
-- in microseconds since 1970.
alter table tickets add column history text not null default '';

update tickets t set history = h.steps from (
  select ticket_id, string_agg(',' || json_build_object(
    'ordinal', ordinal, 'status', status, 'reason', reason, 'actor', actor,
    'at', (extract(epoch from at) * 1000000)::bigint)::text, '' order by ordinal) as steps
  from ticket_transitions group by ticket_id) h
where t.ticket_id = h.ticket_id;
drop table ticket_transitions;

-- The histories as rows.
create view ticket_transitions as
select t.ticket_id, s.ordinal, s.status, s.reason, s.actor,
  timestamptz 'epoch' + s.at * interval '1 microsecond' as at
from tickets t
cross join lateral jsonb_to_recordset(('[' || substr(t.history, 2) || ']')::jsonb) s (
  ordinal bigint, status text, reason text, actor text, at bigint);
