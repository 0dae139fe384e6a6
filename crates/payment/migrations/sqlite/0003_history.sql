-- The history of a payment stands in its own row: a status change and its history are one write,
-- instead of a row and two pages of the log for each step. A step is a comma and a JSON object,
-- with its time in microseconds since 1970.
alter table payments add column history text not null default '';

update payments set history = h.steps from (
    select payment_id as id, group_concat(',' || json_object(
        'number', number, 'from', from_state, 'to', to_state, 'cause', cause,
        'at', at), '' order by number) as steps
    from payment_transitions group by payment_id) h
where payment_id = h.id;
drop table payment_transitions;

-- The histories as rows: `number` 0 is the making of a payment, and each status change adds one.
create view payment_transitions as
select p.payment_id, s.value ->> 'number' as number, s.value ->> 'from' as from_state,
    s.value ->> 'to' as to_state, s.value ->> 'cause' as cause, s.value ->> 'at' as at
from payments p cross join json_each('[' || substr(p.history, 2) || ']') s;
