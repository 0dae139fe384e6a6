-- The log as a table with rows: in one without, an event of more than a quarter of a page has a page of its own.
create table bus_rows (
    topic text not null,
    seq bigint not null,
    id blob not null unique,
    key text not null,
    event text not null,
    primary key (topic, seq)
);
insert into bus_rows (topic, seq, id, key, event)
select topic, seq, id, key, event from bus_log order by id;
drop table bus_log;
alter table bus_rows rename to bus_log;
