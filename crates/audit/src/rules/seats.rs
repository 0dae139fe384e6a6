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
        "select coalesce(t.event, c.event), 'seat ' || coalesce(t.seat, c.seat) || ' has '
           || (t.id is not null) || ' tickets, but ' || (c.seat is not null) || ' claims as sold'
         from (select * from live where seat is not null) t
         full join (select * from claim where sold) c
           on c.event = t.event and c.seat = t.seat and c.hold = t.hold
         where t.id is null or c.seat is null",
    ),
    rule(
        "seats are held as they are claimed",
        "hold",
        "select coalesce(h.hold, c.hold), 'seat ' || coalesce(h.seat, c.seat) || ' is claimed '
           || (c.seat is not null) || ' times by a hold that has it ' || (h.seat is not null)
           || ' times'
         from held_seat h full join (select * from claim where not sold) c
           on c.hold = h.hold and c.seat = h.seat
         where h.hold is null or c.hold is null",
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
