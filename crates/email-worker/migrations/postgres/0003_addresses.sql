-- A mail gets its place among those of its address when it is done, not when it is written, which is while a sale runs.
drop index mails_by_address;
create index mails_by_address on mails (to_address, mail_id) where due_at is null;
