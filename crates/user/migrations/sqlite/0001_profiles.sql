-- One profile an account; preferences are free-form, so that a new one needs no migration.
create table profiles (
    account_id blob primary key,
    email text not null,
    first_name text not null,
    last_name text not null,
    phone text not null,
    date_of_birth text not null,
    preferences text not null,
    version integer not null,
    created_at integer not null,
    updated_at integer not null
) strict, without rowid;
