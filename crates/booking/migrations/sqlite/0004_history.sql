-- The steps that a booking took stand in its own row: a change and its history are one write,
-- instead of a row and two pages of the log for each step. A step is a comma and a JSON object,
-- with its time in microseconds since 1970.
alter table bookings add column history text not null default '';

update bookings set history = h.steps from (
    select booking_id, group_concat(',' || json_object(
        'version', version, 'ordinal', ordinal, 'from', from_status, 'to', to_status,
        'input', input, 'reason', reason, 'at', at), '' order by version, ordinal) as steps
    from booking_history group by booking_id) h
where id = h.booking_id;
drop table booking_history;

-- Every step that a booking took, as rows.
create view booking_history as
select b.id as booking_id, s.value ->> 'version' as version, s.value ->> 'ordinal' as ordinal,
    s.value ->> 'from' as from_status, s.value ->> 'to' as to_status, s.value ->> 'input' as input,
    s.value ->> 'reason' as reason, s.value ->> 'at' as at
from bookings b cross join json_each('[' || substr(b.history, 2) || ']') s;
