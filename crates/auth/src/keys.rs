//! The keys that sign access tokens: made when there is none, replaced when they are old, sealed in
//! the database. Replicas share them.

use std::{sync::Arc, time::Duration};

use db::Tx;
use kernel::{Failure, Secret, Timestamp};
use platform::{
    Vault,
    tokens::{Claims, SigningKey},
};
use tokio::sync::Mutex;

use crate::{
    Config,
    app::App,
    error::Error,
    store::{self, StoredKey},
};

/// The keys of the service.
pub(crate) struct Keys {
    vault: Arc<Vault>,
    signs_for: Duration,
    verifies_for: Duration,
    current: Mutex<Option<Current>>,
}

#[derive(Clone)]
struct Current {
    key: Arc<SigningKey>,
    signs_until: Timestamp,
}

impl Keys {
    pub(crate) fn new(config: &Config, secret: &Secret<Vec<u8>>) -> Result<Self, Failure> {
        let signs_for = Duration::from_secs(config.signing_key_seconds);
        Ok(Self {
            vault: Arc::new(Vault::new(secret, "auth signing keys")?),
            signs_for,
            // A replica may sign with a key for a while after another has made a new one.
            verifies_for: signs_for + Duration::from_secs(config.access_ttl_seconds * 2),
            current: Mutex::new(None),
        })
    }

    /// Signs claims with the current key, which is made if there is none.
    pub(crate) async fn sign(&self, app: &App, claims: &Claims) -> Result<String, Error> {
        Ok(self.current(app).await?.key.sign(claims, app.now())?)
    }

    /// Makes a new key if the current one is old.
    pub(crate) async fn rotate(&self, app: &App) -> Result<(), Error> {
        self.current(app).await.map(|_| ())
    }

    async fn current(&self, app: &App) -> Result<Current, Error> {
        let mut current = self.current.lock().await;
        let now = app.now();
        if let Some(current) = current.as_ref().filter(|current| now < current.signs_until) {
            return Ok(current.clone());
        }
        let fresh = self.load_or_make(app, now).await?;
        *current = Some(fresh.clone());
        Ok(fresh)
    }

    async fn load_or_make(&self, app: &App, now: Timestamp) -> Result<Current, Error> {
        let offer = self.make(app, now)?;
        let stored: StoredKey = app
            .db
            .write(move |tx: &mut Tx| {
                let offer = offer.clone();
                Box::pin(async move {
                    store::forget_old_keys(tx, now).await?;
                    if let Some(key) = store::signing_key(tx, now).await? {
                        return Ok::<_, Error>(key);
                    }
                    store::insert_key(tx, &offer).await?;
                    // Another replica may have been first: whoever signs longest is used by all.
                    store::signing_key(tx, now)
                        .await
                        .map(|key| key.unwrap_or(offer))
                        .map_err(Into::into)
                })
            })
            .await?;
        let pkcs8 = self.vault.open(&stored.sealed)?;
        let key = Arc::new(SigningKey::from_pkcs8(&stored.key_id, &pkcs8)?);
        Ok(Current { key, signs_until: stored.signs_until })
    }

    fn make(&self, app: &App, now: Timestamp) -> Result<StoredKey, Failure> {
        let pkcs8 = SigningKey::generate()?;
        let key_id = app.ids.uuid(now).simple().to_string();
        let jwk = SigningKey::from_pkcs8(&key_id, &pkcs8)?.jwk();
        Ok(StoredKey {
            sealed: self.vault.seal(&pkcs8, &*app.ids)?,
            key_id,
            jwk,
            signs_until: now.plus(self.signs_for),
            verifies_until: now.plus(self.verifies_for),
        })
    }
}
