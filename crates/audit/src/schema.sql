-- What the stores say, as the audit keeps it while it looks: one table a kind of fact, each with no more than
-- a rule asks for. Ids are 16 bytes, times microseconds since 1970, money minor units.
create table bound (began integer, overdue integer, judged integer);

create table booking (
    id blob primary key, reference text, account blob, key text, event blob, status text,
    payment_status text, places integer, total integer, currency text, payment blob, due integer,
    created integer, open integer
) without rowid;
-- What an account's key stands for: a booking, or a refusal without one.
create table answer (
    account blob, key text, id blob, refused integer, primary key (account, key)
) without rowid;
-- Every history: of bookings, payments, tickets and events. from_status is null where it is not told.
create table step (
    machine text, subject blob, n integer, from_status text, to_status text, input text, at integer
);
create index step_of on step (machine, subject, n);
create table dead_letter (booking blob, words text);

create table ticket (
    id blob primary key, booking blob, hold blob, event blob, section text, seat text,
    price integer, currency text, status text, issued integer
) without rowid;
create table claim (event blob, seat text, hold blob, sold integer);
create table hold (
    id blob primary key, event blob, section text, quantity integer, status text, due integer,
    taken integer
) without rowid;
create table held_seat (hold blob, seat text);
create table section (event blob, name text, capacity integer, held integer, sold integer);
create table tally (event blob, capacity integer, available integer);

create table payment (
    id blob primary key, booking blob, amount integer, currency text, captured integer,
    refunded integer, state text, intent text, due integer, created integer
) without rowid;
create table refund (
    id blob primary key, payment blob, amount integer, state text, due integer
) without rowid;
-- The provider's own books.
create table intent (
    id text primary key, booking blob, status text, received integer, currency text, created integer
) without rowid;
create table back (id text primary key, intent text, amount integer, currency text, status text);
create table provider_due (words text, due integer);

-- The event log. Each event once; where it was told again, at its first place.
create table news (
    id blob primary key, topic text, part integer, pos integer, key blob, kind text, hold blob,
    at integer
) without rowid;
-- What a part of a topic holds: from where to where, how much, and, where its beginning was trimmed,
-- when its first event was made.
create table span (
    topic text, part integer, first integer, next integer, count integer, trimmed integer
);
create table doubled (id blob);
-- Where the log is outboxes in files: up to which number each is written, and each consumer has read it.
create table written (topic text, last integer);
create table reached (consumer text, topic text, number integer);
create table stray (topic text, words text);
create table behind (consumer text, topic text, events integer);
create table given_up (words text);

create table mail (
    id blob primary key, address text, template text, reference text, status text, due integer,
    created integer
) without rowid;
create table contact (account blob, email text);
create table account (id blob primary key, created integer) without rowid;
create table profile (account blob);
create table show (id blob primary key, status text, created integer) without rowid;

create table line (name text, last integer, serving integer, waiting integer);
create table place (line text, number integer, member text);
create table outcome (line text, number integer, member text);

create table outbox (origin text, kind text, key text, at integer);
create table unanswered (origin text, key text, at integer);

-- What clients were told, in the order in which they noted it.
create table told (
    n integer primary key, account blob, key text, body integer, http integer, booking blob,
    reference text, status text, total integer, currency text, code text
);
create table given (
    n integer primary key, account blob, event text, number integer, status text, booking blob
);
create table way (machine text, from_status text, to_status text);
