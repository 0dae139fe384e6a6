-- A step of a booking leaves out what most have in common: ordinal 0, and no reason.
drop view booking_history;
create view booking_history as
select b.id as booking_id, s.value ->> 'version' as version,
    coalesce(s.value ->> 'ordinal', 0) as ordinal, s.value ->> 'from' as from_status,
    s.value ->> 'to' as to_status, s.value ->> 'input' as input,
    coalesce(s.value ->> 'reason', '') as reason, s.value ->> 'at' as at
from bookings b cross join json_each('[' || substr(b.history, 2) || ']') s;
