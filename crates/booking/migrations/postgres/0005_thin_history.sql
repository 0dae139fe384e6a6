-- A step of a booking leaves out what most have in common: ordinal 0, and no reason.
create or replace view booking_history as
select b.id as booking_id, s.version, coalesce(s.ordinal, 0) as ordinal, s."from" as from_status,
    s."to" as to_status, s.input, coalesce(s.reason, '') as reason,
    timestamptz 'epoch' + s.at * interval '1 microsecond' as at
from bookings b
cross join lateral jsonb_to_recordset(('[' || substr(b.history, 2) || ']')::jsonb) s (
    version bigint, ordinal bigint, "from" text, "to" text, input text, reason text, at bigint);
