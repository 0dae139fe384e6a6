//! What clients were told stays true: one booking a key, the same answer again, a place for good.

use super::{Needs, Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "a key has one booking",
        "booking",
        "select account, 'key ' || key || ' stands for ' || count(*) || ' bookings'
         from booking group by account, key having count(*) > 1
         union all
         select b.account, 'key ' || b.key || ' of booking ' || b.reference || case
           when a.id is null then ' stands for nothing'
           when a.refused then ' stands for a refusal' else ' stands for another' end
         from booking b left join answer a on a.account = b.account and a.key = b.key
         where a.id is null or a.refused or a.id <> b.id
         union all
         select a.account, 'key ' || a.key || ' stands for a booking that is not there'
         from answer a left join booking b on b.id = a.id where not a.refused and b.id is null",
    ),
    rule(
        "a number of a line is given once",
        "place",
        "with numbered as (select line, number, member from place
           union select line, number, member from outcome)
         select line, 'place ' || number || ' was given to ' || count(*) || ' members'
         from numbered group by line, number having count(*) > 1
         union all
         select line, member || ' has ' || count(*) || ' places' from place
         group by line, member having count(*) > 1
         union all
         select n.line, 'place ' || n.number || ' is behind the end of its line'
         from numbered n left join line l on l.name = n.line
         where l.name is null or n.number > l.last or n.number < 1",
    ),
    rule(
        "an acknowledged booking is there",
        "told",
        "select t.booking, 'booking of key ' || t.key || ' is lost' from told t
         left join booking b on b.id = t.booking and b.account = t.account and b.key = t.key
         where t.booking is not null and b.id is null group by t.booking, t.key",
    )
    .with(Needs::Journal),
    // An answer to another body under the same key is a refusal that says so, and no second effect.
    rule(
        "a key is answered once and for all",
        "told",
        "select account, 'key ' || key || ' stands for ' || count(distinct booking)
           || ' bookings that were acknowledged'
         from told where booking is not null group by account, key
         having count(distinct booking) > 1
         union all
         select account, 'key ' || key || ' was acknowledged with ' || count(distinct body)
           || ' bodies'
         from told where booking is not null group by account, key having count(distinct body) > 1
         union all
         select account, 'key ' || key || ' was answered ' || was || ', then ' || now from (
           select account, key, booking, http || ' ' || code as now,
             lag(booking) over same as before_booking, lag(status) over same as before_status,
             lag(http || ' ' || code) over same as was
           from told window same as (partition by account, key, body order by n))
         where was is not null and case when before_booking is null
             then booking is not null or now <> was
             else booking is null and before_status not in ('pending', 'reserving',
               'seats_reserved') end",
    )
    .with(Needs::Journal),
    rule(
        "what was refused was not done",
        "told",
        "select t.account, 'key ' || t.key || ' was refused (' || t.http || ' ' || t.code
           || '), and is ' || b.status
         from told t join booking b on b.account = t.account and b.key = t.key
         where t.booking is null and b.status <> 'FAILED' and not exists (
           select 1 from told o where o.account = t.account and o.key = t.key
             and o.booking is not null)
         group by t.account, t.key",
    )
    .with(Needs::Journal),
    rule(
        "a booking is as it was shown",
        "told",
        "select b.id, 'key ' || t.key || ' was shown as it is not: ' || t.status || ' for '
           || coalesce(t.total, '-') || ' ' || coalesce(t.currency, '') || ', and is '
           || b.status || ' for ' || coalesce(b.total, '-') || ' ' || coalesce(b.currency, '')
         from told t join booking b on b.id = t.booking
         where (t.status = 'cancelled' and b.status <> 'CANCELLED')
           or (t.status = 'confirmed' and b.status not in ('CONFIRMED', 'CANCELLED'))
           or t.total <> b.total or t.currency <> b.currency or t.reference <> b.reference
         group by b.id",
    )
    .with(Needs::Journal),
    rule(
        "an acknowledged place is there",
        "given",
        "with latest as (select *, max(n) from given group by account, event, number)
         select account, 'place ' || number || ' of ' || event || ' is lost' from latest g
         where status in ('waiting', 'processing')
           and not exists (select 1 from place p where p.line = g.event and p.number = g.number)
           and not exists (select 1 from outcome o where o.line = g.event and o.number = g.number)
         union all
         select g.account, 'place ' || number || ' of ' || g.event
           || ' is behind the end of its line'
         from latest g left join line l on l.name = g.event
         where l.name is null or g.number > l.last
         union all
         select g.account, 'place ' || number || ' of ' || g.event
           || ' names a booking that is not its'
         from latest g left join booking b on b.id = g.booking and b.account = g.account
         where g.booking is not null and b.id is null
         union all
         select account, 'place ' || number || ' of ' || event || ' is completed without a booking'
         from latest where status = 'completed' and booking is null",
    )
    .with(Needs::Journal),
    rule(
        "a place is one account's, and its only one",
        "given",
        "select event, 'place ' || number || ' was given to ' || count(distinct account)
           || ' accounts'
         from given group by event, number having count(distinct account) > 1
         union all
         select account, 'has places ' || group_concat(distinct number) || ' in ' || event
         from (select account, event, number, max(status not in ('waiting', 'processing')) as over
           from given group by account, event, number)
         where not over group by account, event having count(*) > 1",
    )
    .with(Needs::Journal),
];
