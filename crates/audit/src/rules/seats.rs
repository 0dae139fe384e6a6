//! No seat is sold twice, and the counters are true.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "a seat has one living ticket",
        "ticket",
        "select event, 'seat ' || seat || ' was sold ' || count(*) || ' times'
         from live where seat is not null group by event, seat having count(*) > 1",
    ),
    rule(
        "a seat has one claim",
        "claim",
        "select event, 'seat ' || seat || ' is claimed ' || count(*) || ' times'
         from claim group by event, seat having count(*) > 1",
    ),
    rule(
        "seats are sold as they are claimed",
        "claim",
        "select event, 'seat ' || seat || ' has ' || sum(tickets) || ' tickets, but '
           || sum(claims) || ' claims as sold'
         from (select event, seat, hold, 1 as tickets, 0 as claims from live where seat is not null
           union all select event, seat, hold, 0, 1 from claim where sold)
         group by event, seat, hold having sum(tickets) <> sum(claims)",
    ),
    rule(
        "seats are held as they are claimed",
        "hold",
        "select hold, 'seat ' || seat || ' is claimed ' || sum(claims)
           || ' times by a hold that has it ' || sum(held) || ' times'
         from (select hold, seat, 1 as held, 0 as claims from held_seat
           union all select hold, seat, 0, 1 from claim where not sold)
         group by hold, seat having sum(held) <> sum(claims)",
    ),
    rule(
        "sections keep to their capacity and count right",
        "section",
        "with sold as (select event, section, count(*) as places from live group by event, section),
           held as (select event, section, sum(quantity) as places from hold
             where status = 'held' group by event, section)
         select s.event, 'section ' || s.name || ' of ' || s.capacity || ' counts ' || s.sold
           || ' sold and ' || s.held || ' held; they are ' || coalesce(sold.places, 0) || ' and '
           || coalesce(held.places, 0)
           || case when coalesce(sold.places, 0) + coalesce(held.places, 0) > s.capacity
             then ': over its capacity' else '' end
         from section s
         left join sold on sold.event = s.event and sold.section = s.name
         left join held on held.event = s.event and held.section = s.name
         where s.sold <> coalesce(sold.places, 0) or s.held <> coalesce(held.places, 0)
           or coalesce(sold.places, 0) + coalesce(held.places, 0) > s.capacity
           or s.sold + s.held > s.capacity
         union all
         select t.event, 'a ticket for section ' || t.section || ', which there is not'
         from live t left join section s on s.event = t.event and s.name = t.section
         where s.name is null",
    ),
    rule(
        "free places are what is neither held nor sold",
        "tally",
        "select t.event, 'counts ' || t.available || ' free places; ' || (t.capacity
           - coalesce(sum(s.sold + s.held), 0)) || ' are'
         from tally t left join section s on s.event = t.event
         group by t.event, t.capacity, t.available
         having t.available <> t.capacity - coalesce(sum(s.sold + s.held), 0)",
    ),
];
