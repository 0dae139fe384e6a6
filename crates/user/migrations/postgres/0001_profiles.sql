-- One profile an account; preferences are free-form, so that a new one needs no migration.
create table profiles (
    account_id uuid primary key,
    email text not null,
    first_name text not null,
    last_name text not null,
    phone text not null,
    date_of_birth text not null,
    preferences jsonb not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);
