-- The history of a ticket stands in its own row: a change and its history are one write, instead of
-- a row and two pages of the log for each step. A step is a comma and a JSON object, with its time
-- in microseconds since 1970.
alter table tickets add column history text not null default '';

update tickets set history = h.steps from (
  select ticket_id as id, group_concat(',' || json_object(
    'ordinal', ordinal, 'status', status, 'reason', reason, 'actor', actor,
    'at', at), '' order by ordinal) as steps
  from ticket_transitions group by ticket_id) h
where ticket_id = h.id;
drop table ticket_transitions;

-- The histories as rows.
create view ticket_transitions as
select t.ticket_id, s.value ->> 'ordinal' as ordinal, s.value ->> 'status' as status,
  s.value ->> 'reason' as reason, s.value ->> 'actor' as actor, s.value ->> 'at' as at
from tickets t cross join json_each('[' || substr(t.history, 2) || ']') s;
