//! The keys that sign access tokens.

use db::{Error, Tx};
use kernel::Timestamp;

/// A signing key as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredKey {
    pub key_id: String,
    pub sealed: Vec<u8>,
    pub jwk: serde_json::Value,
    pub signs_until: Timestamp,
    pub verifies_until: Timestamp,
}

/// The key that signs at `now`.
pub(crate) async fn signing_key(tx: &mut Tx, now: Timestamp) -> Result<Option<StoredKey>, Error> {
    let row = tx
        .query_opt(
            "select key_id, sealed, jwk, signs_until, verifies_until from signing_keys
             where signs_until > $1 order by signs_until desc, key_id limit 1",
            &[now.into()],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StoredKey {
        key_id: row.get(0)?,
        sealed: row.get(1)?,
        jwk: row.get(2)?,
        signs_until: row.get(3)?,
        verifies_until: row.get(4)?,
    }))
}

pub(crate) async fn insert_key(tx: &mut Tx, key: &StoredKey) -> Result<(), Error> {
    tx.execute(
        "insert into signing_keys (key_id, sealed, jwk, signs_until, verifies_until)
         values ($1, $2, $3, $4, $5)",
        &[
            key.key_id.clone().into(),
            key.sealed.clone().into(),
            key.jwk.clone().into(),
            key.signs_until.into(),
            key.verifies_until.into(),
        ],
    )
    .await?;
    Ok(())
}

/// The public keys that verify tokens.
pub(crate) async fn public_keys(tx: &mut Tx) -> Result<Vec<serde_json::Value>, Error> {
    let rows = tx.query("select jwk from signing_keys order by signs_until desc", &[]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Forgets keys whose last token has expired.
pub(crate) async fn forget_old_keys(tx: &mut Tx, now: Timestamp) -> Result<(), Error> {
    tx.execute("delete from signing_keys where verifies_until < $1", &[now.into()]).await?;
    Ok(())
}
