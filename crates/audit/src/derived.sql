-- What rules ask for more than once. Bookings that rest are those that may be judged against other stores:
-- nobody is at them, and they last changed long enough before the reading began.
create table resting as
select b.* from booking b, bound
where not b.open and max(b.created, coalesce((
    select s.at from step s where s.machine = 'booking' and s.subject = b.id
    order by s.n desc limit 1), 0)) < bound.judged;
create unique index resting_id on resting (id);
create index resting_reference on resting (reference);
create index booking_key on booking (account, key);
create index ticket_booking on ticket (booking) where status in ('issued', 'used');
create index ticket_seat on ticket (event, seat)
    where seat is not null and status in ('issued', 'used');
create index claim_seat on claim (event, seat);
create index claim_hold on claim (hold, seat);
create index payment_booking on payment (booking);
create index payment_intent on payment (intent);
create index refund_payment on refund (payment);
create index intent_booking on intent (booking);
create index back_intent on back (intent);
create index news_key on news (topic, key, part, pos, kind);
create index news_hold on news (hold, part, pos, kind) where hold is not null;
create index mail_reference on mail (reference, template, address);
create index contact_account on contact (account);
create index profile_account on profile (account);
create index place_number on place (line, number);
create index outcome_number on outcome (line, number);
create index told_key on told (account, key, n);

create view live as select * from ticket where status in ('issued', 'used');
-- What the provider took of each intent, and gave back.
create view taken as
select i.id, i.booking, i.status, i.currency, i.received, i.created, coalesce((
    select sum(b.amount) from back b where b.intent = i.id and b.status = 'succeeded'), 0) as back
from intent i;
-- Where each history should have led.
create view standing as
select 'booking' as machine, id, 'PENDING' as start, status from booking
union all select 'payment', id, '', state from payment
union all select 'ticket', id, '', status from ticket
union all select 'event', id, '', status from show;
-- Since when a topic tells everything: five seconds after its first event was made, as events that meet are not written in
-- the order of their making.
create table horizon as
select topic, coalesce(max(trimmed) + 5000000, -1) as at from span group by topic;
