//! Everybody who has to learn of a step does: one event a step, one mail an event. What a log has
//! trimmed is not missed.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "the log has no hole and nothing twice",
        "news",
        "select topic, 'the log of ' || topic || ' has a hole: ' || count || ' events from '
           || first || ' to ' || (next - 1)
         from span where count <> next - first
         union all select id, 'event is in the log twice' from doubled
         union all select topic, 'what is no event: ' || substr(words, 1, 200) from stray",
    ),
    rule(
        "each step of a booking is told once, in order",
        "booking",
        "with expected as (
           select b.id, b.reference, b.created, 'booking.opened' || coalesce((
             select group_concat(case
               when s.input = 'REFUNDED' then ' booking.refunded'
               when s.from_status = s.to_status and s.input <> 'PAYMENT_DECLINED' then ''
               else case s.to_status
                 when 'SEATS_RESERVED' then ' booking.seats_reserved'
                 when 'PAYMENT_PENDING' then ' booking.payment_requested'
                 when 'PAYMENT_PROCESSING' then ' booking.payment_processing'
                 when 'PAYMENT_FAILED' then ' booking.payment_failed'
                 when 'CONFIRMED' then ' booking.confirmed'
                 when 'CANCELLED' then ' booking.cancelled'
                 when 'FAILED' then ' booking.failed'
                 when 'EXPIRED' then ' booking.expired' else '' end end, '' order by s.n)
             from step s where s.machine = 'booking' and s.subject = b.id), '') as kinds,
             coalesce((select group_concat(n.kind, ' ' order by n.part, n.pos) from news n
               where n.topic = 'booking-events' and n.key = b.id), '') as told
           from resting b)
         select e.id, 'events of ' || reference || ': told ' || told || ', not ' || kinds
         from expected e where case when created > coalesce((select h.at from horizon h
             where h.topic = 'booking-events'), -1) then told <> kinds
           else told <> '' and substr(kinds, -length(told)) <> told end
         union all
         select n.id, 'event ' || n.kind || ' of no booking' from news n, bound
         left join booking b on b.id = n.key
         where n.topic = 'booking-events' and b.id is null and n.at < bound.judged",
    ),
    rule(
        "each turn of a payment is told once",
        "payment",
        "with turns as (select subject, to_status, count(*) as times from step
             where machine = 'payment' and from_status in ('requires_payment', 'processing',
               'authorized') and to_status in ('authorized', 'captured', 'cancelled', 'failed')
             group by subject, to_status)
         select p.id, 'the payment was told ' || coalesce(count(n.id), 0) || ' times to be '
           || t.to_status || ', and was so ' || t.times || ' times'
         from turns t join payment p on p.id = t.subject join resting b on b.id = p.booking
         left join news n on n.topic = 'payment-events' and n.key = p.booking
           and n.kind = 'payment.' || t.to_status
         where p.created > coalesce((select h.at from horizon h
             where h.topic = 'payment-events'), -1)
         group by p.id, t.to_status having count(n.id) <> t.times",
    ),
    rule(
        "each turn of a hold is told",
        "hold",
        "with known as (select h.id, h.taken, h.status = 'held' as held,
             exists (select 1 from ticket t where t.booking = h.id) as sold,
             exists (select 1 from live t where t.booking = h.id) as lives,
             coalesce((select group_concat(n.kind, ' ' order by n.part, n.pos) from news n
               where n.hold = h.id), '') as told
           from hold h, bound left join booking b on b.id = h.id
           where b.id in (select id from resting)
             or (b.id is null and coalesce(h.due, h.taken) < bound.judged))
         select k.id, 'events of hold are ' || told
         from known k where k.taken > coalesce((select h.at from horizon h
             where h.topic = 'ticket-events'), -1) and (
           (length(told) - length(replace(told, 'seats.held', ''))) / 10 <> 1
           or (length(told) - length(replace(told, 'seats.sold', ''))) / 10 <> sold
           or told not like '%' || case when held then 'seats.held' when lives then 'seats.sold'
             else 'seats.released' end)",
    ),
    // Mails are kept for a time; none is missed that is older than the oldest.
    rule(
        "each offer confirmed, cancelled or refunded is written of once",
        "mail",
        "with expected as (
           select case when s.input = 'REFUNDED' then 'booking_refunded'
               when s.to_status = 'CONFIRMED' then 'booking_confirmed'
               else 'booking_cancelled' end as template,
             b.reference, coalesce(c.email, '') as address, count(*) as times
           from resting b join step s on s.machine = 'booking' and s.subject = b.id
           left join contact c on c.account = b.account
           where (s.input = 'REFUNDED' or (s.from_status <> s.to_status
               and (s.to_status = 'CONFIRMED' or (s.to_status = 'CANCELLED'
                 and s.from_status not in ('PENDING', 'RESERVING')))))
             and s.at >= coalesce((select min(created) from mail), 0)
           group by 1, 2, 3),
         written as (select m.template, m.reference, m.address, count(*) as times from mail m
           join resting b on b.reference = m.reference
           where m.template in ('booking_confirmed', 'booking_cancelled', 'booking_refunded')
           group by 1, 2, 3)
         select reference, 'mail ' || template || ' to ' || address || ': ' || sum(written)
           || ' written, ' || sum(expected) || ' expected'
         from (select template, reference, address, times as expected, 0 as written from expected
           union all select template, reference, address, 0, times from written)
         group by reference, template, address having sum(written) <> sum(expected)",
    ),
    rule(
        "each account has one profile and one address for mails",
        "account",
        "select a.id, 'account has ' || (select count(*) from profile p where p.account = a.id)
           || ' profiles and ' || (select count(*) from contact c where c.account = a.id)
           || ' addresses'
         from account a, bound where a.created < bound.judged
           and ((select count(*) from profile p where p.account = a.id) <> 1
             or (select count(*) from contact c where c.account = a.id) <> 1)",
    ),
];
