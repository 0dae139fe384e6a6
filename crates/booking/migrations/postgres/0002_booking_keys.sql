-- What each idempotency key of an account stands for: the booking of this id, or, where there is a refusal, a wish that was
-- refused without a booking. One row a key, so that it is answered once, whoever answers.
create table booking_keys (
    account_id uuid not null,
    idempotency_key text not null,
    id uuid not null,
    event_id uuid,
    choice jsonb,
    refusal jsonb,
    refused_at timestamptz,
    primary key (account_id, idempotency_key),
    check (num_nulls(event_id, choice, refusal, refused_at) in (0, 4))
);

-- Refusals are forgotten by age.
create index booking_keys_refused on booking_keys (refused_at) where refused_at is not null;

insert into booking_keys (account_id, idempotency_key, id) select account_id, idempotency_key, id from bookings;
alter table bookings drop constraint bookings_account_id_idempotency_key_key;
