//! The SQL of user-service; one function, one promise.

use db::{Error, Tx};
use kernel::AccountId;
use serde_json::Value;

use crate::domain::Profile;

/// Makes a profile, unless the account has one.
pub(crate) async fn insert_profile(tx: &mut Tx, profile: &Profile) -> Result<bool, Error> {
    let inserted = tx
        .execute(
            "insert into profiles (account_id, email, first_name, last_name, phone, date_of_birth,
                                   preferences, version, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (account_id) do nothing",
            &[
                profile.account_id.into(),
                profile.email.clone().into(),
                profile.first_name.clone().into(),
                profile.last_name.clone().into(),
                profile.phone.clone().into(),
                profile.date_of_birth.clone().into(),
                Value::Object(serde_json::Map::new()).into(),
                profile.version.into(),
                profile.created_at.into(),
                profile.updated_at.into(),
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// An account's profile with its preferences.
pub(crate) async fn profile(
    tx: &mut Tx,
    account: AccountId,
) -> Result<Option<(Profile, Value)>, Error> {
    let row = tx
        .query_opt(
            "select account_id, email, first_name, last_name, phone, date_of_birth, version,
                    created_at, updated_at, preferences
             from profiles where account_id = $1",
            &[account.into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let profile = Profile {
        account_id: row.get(0)?,
        email: row.get(1)?,
        first_name: row.get(2)?,
        last_name: row.get(3)?,
        phone: row.get(4)?,
        date_of_birth: row.get(5)?,
        version: row.get(6)?,
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    };
    Ok(Some((profile, row.get(9)?)))
}

/// Stores an edited profile over the version before it; `false` if that is not the current one any
/// more.
pub(crate) async fn update_profile(
    tx: &mut Tx,
    profile: &Profile,
    preferences: &Value,
) -> Result<bool, Error> {
    let updated = tx
        .execute(
            "update profiles
             set first_name = $3, last_name = $4, phone = $5, date_of_birth = $6, preferences = $7,
                 version = $8, updated_at = $9
             where account_id = $1 and version = $2",
            &[
                profile.account_id.into(),
                (profile.version - 1).into(),
                profile.first_name.clone().into(),
                profile.last_name.clone().into(),
                profile.phone.clone().into(),
                profile.date_of_birth.clone().into(),
                preferences.clone().into(),
                profile.version.into(),
                profile.updated_at.into(),
            ],
        )
        .await?;
    Ok(updated == 1)
}
