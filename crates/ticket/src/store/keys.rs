//! Signing keys, sealed.

use db::{Error, Row, Tx};
use kernel::Timestamp;

/// A signing key as stored.
pub struct StoredKey {
    /// Names it in codes.
    pub key_id: String,
    /// Verifies what it signed.
    pub public_key: Vec<u8>,
    /// The private part, sealed.
    pub sealed: Vec<u8>,
}

/// All keys, the newest last.
pub async fn all(tx: &mut Tx) -> Result<Vec<StoredKey>, Error> {
    let rows = tx
        .query(
            "select key_id, public_key, sealed from signing_keys order by created_at, key_id",
            &[],
        )
        .await?;
    let key = |row: &Row| {
        Ok(StoredKey { key_id: row.get(0)?, public_key: row.get(1)?, sealed: row.get(2)? })
    };
    rows.iter().map(key).collect()
}

/// Keeps a new key.
pub async fn insert(tx: &mut Tx, key: &StoredKey, now: Timestamp) -> Result<(), Error> {
    tx.execute(
        "insert into signing_keys (key_id, public_key, sealed, created_at) values ($1, $2, $3, $4)",
        &[
            key.key_id.as_str().into(),
            key.public_key.clone().into(),
            key.sealed.clone().into(),
            now.into(),
        ],
    )
    .await?;
    Ok(())
}
