-- Accounts and what proves them. Passwords, PINs and refresh tokens are stored as hashes only; private keys are sealed.
create table organizations (
    organization_id uuid primary key,
    name text not null,
    created_at timestamptz not null
);
create table accounts (
    account_id uuid primary key,
    email text not null unique,
    password_hash text not null,
    first_name text not null,
    last_name text not null,
    role text not null check (role in ('admin', 'organization', 'individual')),
    verified boolean not null,
    organization_id uuid references organizations,
    login_failures bigint not null default 0,
    locked_until timestamptz,
    created_at timestamptz not null
);
create table account_history (
    account_id uuid not null references accounts,
    at timestamptz not null,
    action text not null,
    actor text not null,
    detail text not null
);
create index account_history_by_account on account_history (account_id, at);
create table verifications (
    account_id uuid primary key references accounts,
    pin_hash bytea not null,
    attempts bigint not null,
    expires_at timestamptz not null
);
create table sessions (
    session_id uuid primary key,
    account_id uuid not null references accounts,
    ip text not null,
    user_agent text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text
);
create index sessions_by_account on sessions (account_id);
create index sessions_by_expiry on sessions (expires_at);
create table refresh_tokens (
    token_hash bytea primary key,
    session_id uuid not null references sessions on delete cascade,
    used_at timestamptz
);
create index refresh_tokens_by_session on refresh_tokens (session_id);
create table signing_keys (
    key_id text primary key,
    sealed bytea not null,
    jwk jsonb not null,
    signs_until timestamptz not null,
    verifies_until timestamptz not null
);
