//! The SQL of auth-service; one function, one promise.

mod keys;

use db::{Error, Row, Tx};
use kernel::{AccountId, OrganizationId, Role, SessionId, Timestamp};

pub(crate) use self::keys::{StoredKey, forget_old_keys, insert_key, public_keys, signing_key};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Organization {
    pub id: OrganizationId,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub id: AccountId,
    pub email: String,
    pub password_hash: String,
    pub first_name: String,
    pub last_name: String,
    pub role: Role,
    pub verified: bool,
    pub organization: Option<Organization>,
    pub locked_until: Option<Timestamp>,
    pub created_at: Timestamp,
}

const ACCOUNT_BY_EMAIL: &str =
    "select account_id, email, password_hash, first_name, last_name, role, verified,
            organization_id, name, locked_until, a.created_at
     from accounts a left join organizations o using (organization_id) where email = $1";
const ACCOUNT_BY_ID: &str =
    "select account_id, email, password_hash, first_name, last_name, role, verified,
            organization_id, name, locked_until, a.created_at
     from accounts a left join organizations o using (organization_id) where account_id = $1";

fn account(row: &Row) -> Result<Account, Error> {
    let role: String = row.get(5)?;
    let organization = match (row.get::<Option<OrganizationId>>(7)?, row.get(8)?) {
        (Some(id), Some(name)) => Some(Organization { id, name }),
        _ => None,
    };
    Ok(Account {
        id: row.get(0)?,
        email: row.get(1)?,
        password_hash: row.get(2)?,
        first_name: row.get(3)?,
        last_name: row.get(4)?,
        role: role.parse().map_err(|_| Error::Corrupt { column: "role".into(), detail: role })?,
        verified: row.get(6)?,
        organization,
        locked_until: row.get(9)?,
        created_at: row.get(10)?,
    })
}

/// The account with this address, in normal form.
pub(crate) async fn account_by_email(tx: &mut Tx, email: &str) -> Result<Option<Account>, Error> {
    // No address has it, and PostgreSQL takes no text with it, not even to look for.
    if email.contains('\0') {
        return Ok(None);
    }
    let found = tx.query_opt(ACCOUNT_BY_EMAIL, &[email.into()]).await?;
    found.as_ref().map(account).transpose()
}

/// The account with this id.
pub(crate) async fn account_by_id(tx: &mut Tx, id: AccountId) -> Result<Option<Account>, Error> {
    let found = tx.query_opt(ACCOUNT_BY_ID, &[id.into()]).await?;
    found.as_ref().map(account).transpose()
}

/// Inserts the account and its organization; `false` if the address is taken, and then nothing is
/// inserted.
pub(crate) async fn insert_account(tx: &mut Tx, account: &Account) -> Result<bool, Error> {
    if let Some(organization) = &account.organization {
        tx.execute(
            "insert into organizations (organization_id, name, created_at) values ($1, $2, $3)",
            &[organization.id.into(), organization.name.clone().into(), account.created_at.into()],
        )
        .await?;
    }
    let inserted = tx
        .execute(
            "insert into accounts (account_id, email, password_hash, first_name, last_name, role,
                                   verified, organization_id, created_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (email) do nothing",
            &[
                account.id.into(),
                account.email.clone().into(),
                account.password_hash.clone().into(),
                account.first_name.clone().into(),
                account.last_name.clone().into(),
                account.role.as_str().into(),
                account.verified.into(),
                account.organization.as_ref().map(|its| its.id).into(),
                account.created_at.into(),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// Writes down what happened to an account, and who did it.
pub(crate) async fn insert_history(
    tx: &mut Tx,
    id: AccountId,
    (action, actor, detail): (&str, &str, &str),
    now: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "insert into account_history (account_id, at, action, actor, detail)
         values ($1, $2, $3, $4, $5)",
        &[id.into(), now.into(), action.into(), actor.into(), detail.into()],
    )
    .await?;
    Ok(())
}

/// What happened to an account, oldest first: action, actor, detail.
#[cfg(test)]
pub(crate) async fn history(
    tx: &mut Tx,
    id: AccountId,
) -> Result<Vec<(String, String, String)>, Error> {
    let rows = tx
        .query(
            "select action, actor, detail from account_history where account_id = $1 order by at",
            &[id.into()],
        )
        .await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).collect()
}

pub(crate) async fn set_verified(tx: &mut Tx, id: AccountId) -> Result<(), Error> {
    tx.execute("update accounts set verified = true where account_id = $1", &[id.into()]).await?;
    tx.execute("delete from verifications where account_id = $1", &[id.into()]).await?;
    Ok(())
}

pub(crate) async fn set_role(tx: &mut Tx, id: AccountId, role: Role) -> Result<(), Error> {
    tx.execute(
        "update accounts set role = $2 where account_id = $1",
        &[id.into(), role.as_str().into()],
    )
    .await?;
    Ok(())
}

/// A PIN as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verification {
    pub pin_hash: Vec<u8>,
    /// How often a wrong PIN was given.
    pub attempts: i64,
    pub expires_at: Timestamp,
}

/// Replaces an account's PIN.
pub(crate) async fn put_verification(
    tx: &mut Tx,
    id: AccountId,
    verification: &Verification,
) -> Result<(), Error> {
    tx.execute(
        "insert into verifications (account_id, pin_hash, attempts, expires_at)
         values ($1, $2, $3, $4)
         on conflict (account_id) do update
         set pin_hash = excluded.pin_hash, attempts = excluded.attempts,
             expires_at = excluded.expires_at",
        &[
            id.into(),
            verification.pin_hash.clone().into(),
            verification.attempts.into(),
            verification.expires_at.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Counts a try at an account's PIN, before it is looked at, so that tries at once are all counted.
/// None if it has no PIN.
pub(crate) async fn try_pin(tx: &mut Tx, id: AccountId) -> Result<Option<Verification>, Error> {
    let row = tx
        .query_opt(
            "update verifications set attempts = attempts + 1 where account_id = $1
             returning pin_hash, attempts, expires_at",
            &[id.into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Verification { pin_hash: row.get(0)?, attempts: row.get(1)?, expires_at: row.get(2)? }))
}

/// Counts a wrong password, and locks the account at the `limit`th in a row.
pub(crate) async fn count_login_failure(
    tx: &mut Tx,
    id: AccountId,
    limit: u32,
    locked_until: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "update accounts
         set login_failures = case when login_failures + 1 >= $2 then 0 else login_failures + 1 end,
             locked_until = case when login_failures + 1 >= $2 then $3 else locked_until end
         where account_id = $1",
        &[id.into(), limit.into(), locked_until.into()],
    )
    .await?;
    Ok(())
}

pub(crate) async fn forget_login_failures(tx: &mut Tx, id: AccountId) -> Result<(), Error> {
    tx.execute(
        "update accounts set login_failures = 0, locked_until = null
         where account_id = $1 and (login_failures > 0 or locked_until is not null)",
        &[id.into()],
    )
    .await?;
    Ok(())
}

/// A session as it is opened.
#[derive(Debug, Clone)]
pub(crate) struct NewSession {
    pub id: SessionId,
    pub account: AccountId,
    pub ip: String,
    pub user_agent: String,
    pub now: Timestamp,
    pub expires_at: Timestamp,
    pub token_hash: Vec<u8>,
}

/// Opens a session with its first refresh token.
pub(crate) async fn insert_session(tx: &mut Tx, session: &NewSession) -> Result<(), Error> {
    tx.execute(
        "insert into sessions (session_id, account_id, ip, user_agent, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        &[
            session.id.into(),
            session.account.into(),
            session.ip.clone().into(),
            session.user_agent.clone().into(),
            session.now.into(),
            session.expires_at.into(),
        ],
    )
    .await?;
    insert_refresh_token(tx, session.id, &session.token_hash).await
}

pub(crate) async fn insert_refresh_token(
    tx: &mut Tx,
    session: SessionId,
    token_hash: &[u8],
) -> Result<(), Error> {
    tx.execute(
        "insert into refresh_tokens (token_hash, session_id) values ($1, $2)",
        &[token_hash.to_vec().into(), session.into()],
    )
    .await?;
    Ok(())
}

/// Uses up a refresh token: of tries at once, one gets `true`.
pub(crate) async fn use_refresh_token(
    tx: &mut Tx,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<bool, Error> {
    let used = tx
        .execute(
            "update refresh_tokens set used_at = $2 where token_hash = $1 and used_at is null",
            &[token_hash.to_vec().into(), now.into()],
        )
        .await?;
    Ok(used == 1)
}

/// The session that a refresh token belongs to, used or not: its id, account, and whether it goes
/// on at `now`.
pub(crate) async fn session_by_token(
    tx: &mut Tx,
    token_hash: &[u8],
    now: Timestamp,
) -> Result<Option<(SessionId, AccountId, bool)>, Error> {
    let row = tx
        .query_opt(
            "select session_id, account_id, expires_at, ended_at
             from refresh_tokens join sessions using (session_id) where token_hash = $1",
            &[token_hash.to_vec().into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let ended: Option<Timestamp> = row.get(3)?;
    let goes_on = ended.is_none() && now < row.get::<Timestamp>(2)?;
    Ok(Some((row.get(0)?, row.get(1)?, goes_on)))
}

pub(crate) async fn extend_session(
    tx: &mut Tx,
    session: SessionId,
    expires_at: Timestamp,
) -> Result<(), Error> {
    tx.execute(
        "update sessions set expires_at = $2 where session_id = $1 and ended_at is null",
        &[session.into(), expires_at.into()],
    )
    .await?;
    Ok(())
}

/// Ends a session; `false` if it was over.
pub(crate) async fn end_session(
    tx: &mut Tx,
    session: SessionId,
    reason: &str,
    now: Timestamp,
) -> Result<bool, Error> {
    let ended = tx
        .execute(
            "update sessions set ended_at = $2, end_reason = $3
             where session_id = $1 and ended_at is null",
            &[session.into(), now.into(), reason.into()],
        )
        .await?;
    Ok(ended == 1)
}

/// Ends every session of an account.
pub(crate) async fn end_sessions_of(
    tx: &mut Tx,
    account: AccountId,
    reason: &str,
    now: Timestamp,
) -> Result<u64, Error> {
    tx.execute(
        "update sessions set ended_at = $2, end_reason = $3
         where account_id = $1 and ended_at is null",
        &[account.into(), now.into(), reason.into()],
    )
    .await
}

/// Removes up to `limit` sessions that expired before `before`, with their tokens.
pub(crate) async fn remove_sessions(
    tx: &mut Tx,
    before: Timestamp,
    limit: u32,
) -> Result<u64, Error> {
    tx.execute(
        "delete from sessions where session_id in
             (select session_id from sessions where expires_at < $1 order by expires_at limit $2)",
        &[before.into(), limit.into()],
    )
    .await
}
