-- A mail is written in the transaction that handles the event it stems from, once per event; whoever is alive delivers it.
-- Contacts are learnt from account-events, since no event about a booking carries an address.
create table contacts (
    account_id blob primary key,
    email text not null,
    first_name text not null
) strict, without rowid;
create table mails (
    mail_id blob primary key,
    to_address text not null,
    subject text not null,
    template text not null,
    html text not null,
    text text not null,
    status text not null check (status in ('pending', 'processing', 'sent', 'failed', 'cancelled')),
    attempts integer not null,
    due_at integer,
    last_error text not null,
    created_at integer not null,
    sent_at integer
) strict, without rowid;
create index mails_due on mails (due_at) where due_at is not null;
create index mails_by_address on mails (to_address, mail_id);
