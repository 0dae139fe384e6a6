-- The steps that a booking took stand in its own row: a change and its history are one write,
-- instead of a row and two pages of the log for each step. A step is a comma and a JSON object,
-- with its time in microseconds since 1970.
alter table bookings add column history text not null default '';

update bookings b set history = h.steps from (
    select booking_id, string_agg(',' || json_build_object(
        'version', version, 'ordinal', ordinal, 'from', from_status, 'to', to_status,
        'input', input, 'reason', reason, 'at', (extract(epoch from at) * 1000000)::bigint)::text,
        '' order by version, ordinal) as steps
    from booking_history group by booking_id) h
where b.id = h.booking_id;
drop table booking_history;

-- Every step that a booking took, as rows.
create view booking_history as
select b.id as booking_id, s.version, s.ordinal, s."from" as from_status, s."to" as to_status,
    s.input, s.reason, timestamptz 'epoch' + s.at * interval '1 microsecond' as at
from bookings b
cross join lateral jsonb_to_recordset(('[' || substr(b.history, 2) || ']')::jsonb) s (
    version bigint, ordinal bigint, "from" text, "to" text, input text, reason text, at bigint);
