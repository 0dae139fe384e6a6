//! The signing keys of this deployment: made at first start, kept sealed, the newest signs, all
//! verify.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use db::Db;
use kernel::{Failure, Ids, Secret, Timestamp};
use platform::Vault;

use crate::{
    code::{self, Code, CodeError},
    error::Error,
    store::keys::{self, StoredKey},
};

/// The keys that sign and verify ticket codes.
pub(crate) struct Keys {
    db: Db,
    vault: Vault,
    ring: RwLock<Arc<Ring>>,
}

struct Ring {
    /// Id and public key, the newest last.
    public: Vec<(String, Vec<u8>)>,
    signing: (u32, Ed25519KeyPair),
}

impl Keys {
    /// Loads the keys; makes the first one where there is none.
    ///
    /// # Errors
    /// If they can't be read, or were sealed under another secret.
    pub(crate) async fn load(
        db: Db,
        secret: &Secret<Vec<u8>>,
        ids: &dyn Ids,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let vault = Vault::new(secret, "ticket signing keys")?;
        let mut stored = read(&db).await?;
        if stored.is_empty() {
            let key = Arc::new(make(&vault, ids)?);
            db.write(move |tx| {
                let key = key.clone();
                Box::pin(async move { keys::insert(tx, &key, now).await })
            })
            .await?;
            // Another replica may have made one at the same time: both are good.
            stored = read(&db).await?;
        }
        let ring = RwLock::new(Arc::new(Ring::open(&stored, &vault)?));
        Ok(Self { db, vault, ring })
    }

    /// The signed code of a ticket.
    #[must_use]
    pub(crate) fn sign(&self, code: &Code) -> String {
        let ring = self.ring();
        let (key_id, key) = &ring.signing;
        code::sign(code, *key_id, key)
    }

    /// What a code says. A key that is not known here may be another replica's new one: looked up
    /// once.
    ///
    /// # Errors
    /// `INVALID_TICKET` if it is not a code of ours.
    pub(crate) async fn verify(&self, text: &str) -> Result<Code, Error> {
        let ring = self.ring();
        let verified = match code::verify(text, &ring.public) {
            Err(CodeError::UnknownKey(_)) => code::verify(text, &self.public().await?),
            verified => verified,
        };
        verified.map_err(|error| Error::InvalidTicket(error.to_string()))
    }

    /// All public keys with their ids, as the database has them now.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) async fn public(&self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let ring = Arc::new(Ring::open(&read(&self.db).await?, &self.vault)?);
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring.clone();
        Ok(ring.public.clone())
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ring {
    fn open(stored: &[StoredKey], vault: &Vault) -> Result<Self, Error> {
        let newest = stored.last().ok_or_else(|| Failure::internal("no signing key"))?;
        let seed = vault.open(&newest.sealed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose())
            .map_err(|_| Failure::internal("a stored signing key is no ed25519 key"))?;
        let key_id = u32::from_str_radix(&newest.key_id, 16)
            .map_err(|_| Failure::internal("a stored signing key's id is no number"))?;
        let public = stored.iter().map(|key| (key.key_id.clone(), key.public_key.clone()));
        Ok(Self { public: public.collect(), signing: (key_id, pair) })
    }
}

async fn read(db: &Db) -> Result<Vec<StoredKey>, Error> {
    db.read(|tx| Box::pin(async move { Ok(keys::all(tx).await?) })).await
}

fn make(vault: &Vault, ids: &dyn Ids) -> Result<StoredKey, Error> {
    let (mut seed, mut key_id) = (vec![0_u8; 32], [0_u8; 4]);
    ids.fill(&mut seed);
    ids.fill(&mut key_id);
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed)
        .map_err(|_| Failure::internal("no ed25519 key can be made"))?;
    Ok(StoredKey {
        key_id: format!("{:08x}", u32::from_be_bytes(key_id)),
        public_key: pair.public_key().as_ref().to_vec(),
        sealed: vault.seal(&Secret::new(seed), ids)?,
    })
}
