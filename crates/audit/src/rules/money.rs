//! Money and tickets match, to the cent and in the currency of the booking; and the provider's own
//! books say the same as ours.

use super::{Needs, Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "a booking has tickets for what was paid",
        "booking",
        "select b.id, 'booking ' || b.reference || ' (' || b.status || '): ' || count(t.id)
           || ' tickets for ' || case b.status when 'CONFIRMED' then b.places else 0 end
           || ' places; its tickets cost ' || coalesce(sum(t.price), 0) || ', not '
           || case b.status when 'CONFIRMED' then b.total else 0 end
           || case when max(t.currency) is not min(t.currency) or max(t.currency) <> b.currency
             then ', in ' || group_concat(distinct t.currency) || ', not ' || b.currency
             else '' end
         from resting b left join live t on t.booking = b.id
         group by b.id
         having case b.status when 'CONFIRMED' then count(t.id) is not b.places
             or coalesce(sum(t.price), 0) is not b.total or max(t.currency) <> b.currency
             or max(t.currency) is not min(t.currency) else count(t.id) <> 0 end",
    ),
    rule(
        "a ticket has its booking",
        "ticket",
        "select t.id, 'a ticket of no booking' from ticket t, bound
         left join booking b on b.id = t.booking
         where (b.id is null or b.event <> t.event) and t.issued < bound.judged",
    ),
    // What was given back of a confirmed booking was an operator's wish: it is in our books.
    rule(
        "captured money has tickets or went back",
        "payment",
        "select b.id, 'booking ' || b.reference || ' (' || b.status || '): '
           || coalesce(sum(p.captured), 0) || ' captured and ' || coalesce(sum(p.refunded), 0)
           || ' given back of a total of ' || coalesce(b.total, 0)
         from resting b left join payment p on p.booking = b.id
         group by b.id
         having case b.status when 'CONFIRMED' then coalesce(sum(p.captured), 0) is not b.total
           else coalesce(sum(p.captured - p.refunded), 0) <> 0 end",
    ),
    rule(
        "the provider took what tickets cost",
        "intent",
        "select b.id, 'booking ' || b.reference || ' (' || b.status || '): '
           || coalesce(sum(t.received - t.back), 0) || ' ' || coalesce(t.currency, '')
           || ' taken of a total of ' || case b.status when 'CONFIRMED' then b.total || ' '
             || coalesce(b.currency, '') else 0 end
         from resting b left join taken t on t.booking = b.id
         group by b.id, t.currency
         having case b.status when 'CONFIRMED' then coalesce(sum(t.received - t.back), 0)
               + coalesce((select sum(p.refunded) from payment p where p.booking = b.id), 0)
               is not b.total or (sum(t.received) > 0 and t.currency <> b.currency)
           else coalesce(sum(t.received - t.back), 0) <> 0 end",
    )
    .with(Needs::Provider),
    rule(
        "a booking says of its money what is true",
        "booking",
        "select id, 'booking ' || reference || ' (' || status || '): payment is '
           || payment_status
         from resting where not case status
           when 'CONFIRMED' then case total when 0 then payment_status = 'NOT_REQUIRED'
             else payment_status in ('CAPTURED', 'REFUNDED') end
           else payment_status not in ('AUTHORIZED', 'CAPTURED', 'REFUNDING') end",
    ),
    // A booking may end before it is written what its places cost; what was made by then is void.
    rule(
        "a payment is of one booking, and of its total",
        "payment",
        "select p.id, case when b.id is null then 'payment of nothing'
           when p.amount is not b.total or p.currency is not b.currency
             then 'payment of ' || p.amount || ' ' || p.currency || ' is not of its booking''s '
               || coalesce(b.total, 'no') || ' ' || coalesce(b.currency, 'total')
           else 'payment is not the one its booking names' end
         from payment p, bound left join booking b on b.id = p.booking
         where p.created < bound.judged and (b.id is null or (not b.open
           and not (b.total is null and p.state in ('cancelled', 'failed'))
           and (p.amount is not b.total or p.currency is not b.currency or b.payment <> p.id)))",
    ),
    rule(
        "refunds add up to what was given back",
        "refund",
        "select p.id, 'payment has given back ' || p.refunded || ', its refunds '
           || coalesce(sum(r.amount), 0)
         from payment p left join refund r on r.payment = p.id and r.state = 'succeeded'
         group by p.id having p.refunded <> coalesce(sum(r.amount), 0)",
    ),
    // An intent that no booking knows of may be left behind where a process dies: nobody was told
    // of it, so nobody can pay it.
    rule(
        "the provider's books say what ours say",
        "intent",
        "select t.id, 'intent (' || t.status || ') of no booking' from taken t, bound
         left join booking b on b.id = t.booking
         where b.id is null and t.created < bound.judged
         union all
         select t.id, 'intent (' || t.status || ') of no payment' from taken t, bound
         left join payment p on p.intent = t.id
         where p.id is null and t.created < bound.judged and (t.status <> 'untouched'
             or t.booking in (select id from booking where payment is not null))
           and (t.booking is null or t.booking not in (select id from booking where open))
         union all
         select p.id, 'payment has ' || p.captured || ' captured and ' || p.refunded
           || ' given back ' || p.currency || ' here, ' || t.received || ' and ' || t.back || ' '
           || t.currency || ' there'
         from payment p join taken t on t.id = p.intent join resting b on b.id = p.booking
         where p.captured <> t.received or p.refunded <> t.back or p.currency <> t.currency
         union all
         select p.id, 'payment and its intent differ in the booking'
         from payment p join taken t on t.id = p.intent where p.booking is not t.booking
         union all
         select p.id, 'payment whose intent there is not'
         from payment p left join intent i on i.id = p.intent
         where p.intent is not null and i.id is null",
    )
    .with(Needs::Provider),
];
