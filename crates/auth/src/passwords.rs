//! Argon2id (RFC 9106), in threads of its own and only a few at once: hashing is the one thing here
//! that costs milliseconds.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use kernel::{Failure, Ids, Secret};
use tokio::sync::Semaphore;

use crate::Config;

/// Hashes and verifies passwords.
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    room: Arc<Semaphore>,
    /// The hash of no password: verifying against it costs as much as against a real one.
    nobody: String,
}

impl Passwords {
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let params = Params::new(config.argon2_memory_kib, config.argon2_passes, 1, None);
        let params = params.map_err(|error| error.to_string())?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody: PasswordHash = argon2
            .hash_password_with_salt(b"", b"the same for all")
            .map_err(|error| error.to_string())?;
        let room = Arc::new(Semaphore::new(config.argon2_at_once));
        Ok(Self { argon2, room, nobody: nobody.to_string() })
    }

    /// The hash of `password` with a fresh salt, in PHC form.
    pub(crate) async fn hash(
        &self,
        password: Secret<String>,
        ids: &dyn Ids,
    ) -> Result<String, Failure> {
        let mut salt = [0_u8; 16];
        ids.fill(&mut salt);
        let argon2 = self.argon2.clone();
        self.in_thread(move || {
            let hash: Result<PasswordHash, _> =
                argon2.hash_password_with_salt(password.expose().as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(Failure::internal)
        })
        .await?
    }

    /// Whether `password` belongs to `hash`; without a hash the answer is no, and takes as long.
    pub(crate) async fn verify(
        &self,
        password: Secret<String>,
        hash: Option<String>,
    ) -> Result<bool, Failure> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let argon2 = self.argon2.clone();
        self.in_thread(move || {
            let hash = PasswordHash::new(&hash).map_err(Failure::internal)?;
            Ok(known && argon2.verify_password(password.expose().as_bytes(), &hash).is_ok())
        })
        .await?
    }

    async fn in_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let _room = self.room.acquire().await.map_err(Failure::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
    }
}
