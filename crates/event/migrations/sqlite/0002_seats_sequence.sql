-- The message about the event's seats that last changed its status: what is older is not followed, whoever handles it.
alter table events add column seats_sequence integer not null default 0;
