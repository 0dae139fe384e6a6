-- All that somebody or something has yet to do, and when it should have: what is not at rest.
create table waiting as
select 'saga' as what, id as subject,
    'booking ' || reference || ' is ' || status || ' ' || payment_status || ', unfinished' as words,
    due
from booking where open
union all
select 'hold', id, 'hold is still held', due from hold where status = 'held'
union all
select 'payment', id, 'payment is ' || state, due from payment
where state not in ('captured', 'partially_refunded', 'refunded', 'failed', 'cancelled')
union all
select 'refund', id, 'a refund that is ' || state || ' of ' || amount, due
from refund where state = 'pending'
union all
select 'intent', id, 'intent is ' || status, null from intent
where status not in ('succeeded', 'canceled')
    and (status <> 'untouched' or id in (select intent from payment))
union all
select 'provider', null, 'the provider has yet to do: ' || words, due from provider_due
union all
select 'outbox', null, origin || ': in the outbox: ' || kind || ' of ' || key, at from outbox
union all
select 'key', null, origin || ': no answer under key ' || key, at from unanswered
union all
-- Mails go at a pace that spares the sale: they have an hour.
select 'mail', id, 'a mail is not sent: ' || template || ' ' || address,
    case status when 'failed' then due else created + 3600000000 end
from mail where status not in ('sent', 'cancelled')
union all
select 'log', null, consumer || ' is ' || events || ' events behind in ' || topic, null
from behind where events > 0
union all
select 'log', null, consumer || ' is ' || (last - number) || ' events behind in ' || topic, null
from reached join written using (topic) where number < last
union all
select 'log', null, consumer || ' has read up to ' || number || ' of ' || topic || ', which ends at ' || last, null
from reached join written using (topic) where number > last
union all
select 'given up', null, words, null from given_up
union all
select 'given up', booking, 'booking''s dead letter ' || words, null from dead_letter
union all
select 'queue', null, waiting || ' places wait in line ' || name, null
from line where waiting > 0;
