-- What every service database has beside its own tables: the outbox, the inbox and the idempotency records.

-- Events that wait for the relay, in the order of seq; autoincrement, so that no number ever comes twice.
create table boxoffice_outbox (
  seq integer primary key autoincrement,
  id blob not null,
  topic text not null,
  key text not null,
  kind text not null,
  source text not null,
  at integer not null,
  correlation_id text not null,
  content text not null
) strict;

-- Events that a consumer has handled. Ids are UUIDv7, so the key's order is the order of age, which pruning needs.
create table boxoffice_inbox (
  id blob not null,
  consumer text not null,
  primary key (id, consumer)
) strict, without rowid;

-- Requests that came with an idempotency key. The fingerprint is a SHA-256; the answer is null until there is one.
create table boxoffice_idempotency (
  scope text not null,
  key text not null,
  fingerprint blob not null,
  answer text,
  at integer not null,
  primary key (scope, key)
) strict, without rowid;
create index boxoffice_idempotency_at_idx on boxoffice_idempotency (at);
