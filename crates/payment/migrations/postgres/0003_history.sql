-- The history of a payment stands in its own row: a status change and its history are one write,
-- instead of a row and two pages of the log for each step. A step is a comma and a JSON object,
-- with its time in microseconds since 1970.
alter table payments add column history text not null default '';

update payments p set history = h.steps from (
    select payment_id, string_agg(',' || json_build_object(
        'number', number, 'from', from_state, 'to', to_state, 'cause', cause,
        'at', (extract(epoch from at) * 1000000)::bigint)::text, '' order by number) as steps
    from payment_transitions group by payment_id) h
where p.payment_id = h.payment_id;
drop table payment_transitions;

-- The histories as rows: `number` 0 is the making of a payment, and each status change adds one.
create view payment_transitions as
select p.payment_id, s.number, s."from" as from_state, s."to" as to_state, s.cause,
    timestamptz 'epoch' + s.at * interval '1 microsecond' as at
from payments p
cross join lateral jsonb_to_recordset(('[' || substr(p.history, 2) || ']')::jsonb) s (
    number bigint, "from" text, "to" text, cause text, at bigint);
