//! Access tokens for as many accounts as one likes, signed with the platform's own key: to sign a
//! million accounts up would take longer than all that is measured. Nobody but auth-service asks
//! whether an account exists.

use std::time::Duration;

use db::{Db, Settings, Tx};
use kernel::{AccountId, Clock, Role, Secret, SessionId, SystemClock};
use platform::{
    Vault,
    tokens::{Claims, SigningKey},
};
use testkit::SeededIds;

use crate::Failure;

const LIFETIME: Duration = Duration::from_secs(86_400);
const DATABASE: &str = "booking_system_auth";
/// What auth-service's vault is for.
const PURPOSE: &str = "auth signing keys";

/// Signs as auth-service does.
pub(crate) struct Mint {
    key: SigningKey,
    ids: SeededIds,
}

impl Mint {
    /// With the key in the database at `url`, sealed under the deployment's `secret` (hex digits).
    pub(crate) async fn open(url: &str, secret: &str) -> Result<Self, Failure> {
        let db = Db::open(&Settings::new(url)).await?;
        let sealed = db.read(|tx: &mut Tx| {
            Box::pin(async move {
                let newest =
                    "select key_id, sealed from signing_keys order by signs_until desc limit 1";
                let row = tx.query_opt(newest, &[]).await?;
                row.map(|row| Ok((row.get::<String>(0)?, row.get::<Vec<u8>>(1)?))).transpose()
            })
        });
        let sealed: Result<Option<_>, db::Error> = sealed.await;
        db.close().await;
        let (key_id, sealed) = sealed?.ok_or("auth-service has no key yet")?;
        let pkcs8 = Vault::new(&key(secret)?, PURPOSE)?.open(&sealed)?;
        let began = u64::try_from(SystemClock.now().micros())?;
        Ok(Self { key: SigningKey::from_pkcs8(&key_id, &pkcs8)?, ids: SeededIds::new(began) })
    }

    /// The line of a head that signs an account in which nobody has heard of.
    pub(crate) fn bearer_line(&self) -> Result<String, Failure> {
        let now = SystemClock.now();
        let claims = Claims {
            account: AccountId::new(&self.ids, now),
            session: SessionId::new(&self.ids, now),
            role: Role::Individual,
            organization: None,
            expires_at: now.plus(LIFETIME),
        };
        Ok(format!("authorization: Bearer {}\r\n", self.key.sign(&claims, now)?))
    }
}

/// Where auth-service's database is, given the state directory or the server's url.
pub(crate) fn database(server: Option<&str>, state: &std::path::Path) -> String {
    match server {
        Some(server) => format!("{server}/{DATABASE}"),
        None => format!("sqlite:{}", state.join(format!("{DATABASE}.sqlite")).display()),
    }
}

/// The key that the deployment's secret stands for.
pub(crate) fn key(hex: &str) -> Result<Secret<Vec<u8>>, Failure> {
    let pairs = hex.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    bytes.collect::<Result<_, Failure>>().map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_digits() {
        assert_eq!(key("00ff1a").unwrap().expose(), &[0, 255, 26]);
        assert!(key("0x").is_err());
    }

    #[test]
    fn the_database_is_a_file_or_one_of_a_server() {
        let state = std::path::Path::new("/state");
        assert_eq!(database(None, state), "sqlite:/state/booking_system_auth.sqlite");
        let server = database(Some("postgres://at:1"), state);
        assert_eq!(server, "postgres://at:1/booking_system_auth");
    }
}
