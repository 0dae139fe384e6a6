-- What every service database has beside its own tables: the outbox, the inbox and the idempotency records.

-- Events that wait for the relay, in the order of seq. Rows are short-lived: written in the transaction of the change they
-- tell about, deleted once the event log has them. The content is text because nobody looks into it here.
create table boxoffice_outbox (
  seq bigint generated always as identity primary key,
  id uuid not null,
  topic text not null,
  key text not null,
  kind text not null,
  source text not null,
  at timestamptz not null,
  correlation_id text not null,
  content text not null
);
-- A queue's statistics are always wrong, and its dead rows lie where the relay looks first.
alter table boxoffice_outbox set (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

-- Which replica relays. It only saves double work: the relay is right without it.
create table boxoffice_lease (
  name text primary key,
  holder uuid not null,
  expires_at timestamptz not null
);

-- Events that a consumer has handled. Ids are UUIDv7, so the key's order is the order of age, which pruning needs.
create table boxoffice_inbox (
  id uuid not null,
  consumer text not null,
  primary key (id, consumer)
);

-- Requests that came with an idempotency key. The fingerprint is a SHA-256; the answer is null until there is one.
create table boxoffice_idempotency (
  scope text not null,
  key text not null,
  fingerprint bytea not null,
  answer jsonb,
  at timestamptz not null,
  primary key (scope, key)
);
create index boxoffice_idempotency_at_idx on boxoffice_idempotency (at);
