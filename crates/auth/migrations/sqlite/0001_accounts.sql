-- Accounts and what proves them. Passwords, PINs and refresh tokens are stored as hashes only; private keys are sealed.
create table organizations (
    organization_id blob primary key,
    name text not null,
    created_at integer not null
) strict, without rowid;
create table accounts (
    account_id blob primary key,
    email text not null unique,
    password_hash text not null,
    first_name text not null,
    last_name text not null,
    role text not null check (role in ('admin', 'organization', 'individual')),
    verified integer not null,
    organization_id blob references organizations,
    login_failures integer not null default 0,
    locked_until integer,
    created_at integer not null
) strict, without rowid;
create table account_history (
    account_id blob not null references accounts,
    at integer not null,
    action text not null,
    actor text not null,
    detail text not null
) strict;
create index account_history_by_account on account_history (account_id, at);
create table verifications (
    account_id blob primary key references accounts,
    pin_hash blob not null,
    attempts integer not null,
    expires_at integer not null
) strict, without rowid;
create table sessions (
    session_id blob primary key,
    account_id blob not null references accounts,
    ip text not null,
    user_agent text not null,
    created_at integer not null,
    expires_at integer not null,
    ended_at integer,
    end_reason text
) strict, without rowid;
create index sessions_by_account on sessions (account_id);
create index sessions_by_expiry on sessions (expires_at);
create table refresh_tokens (
    token_hash blob primary key,
    session_id blob not null references sessions on delete cascade,
    used_at integer
) strict, without rowid;
create index refresh_tokens_by_session on refresh_tokens (session_id);
create table signing_keys (
    key_id text primary key,
    sealed blob not null,
    jwk text not null,
    signs_until integer not null,
    verifies_until integer not null
) strict, without rowid;
