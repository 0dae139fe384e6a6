//! Seals: small facts that only our own services can have written, bound to a purpose and a time.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use kernel::{Code, Failure, Secret, Timestamp};

/// The longest sealed text that is looked at.
const MAX_TEXT_BYTES: usize = 8_192;
const TIME_BYTES: usize = 8;
const MAC_BYTES: usize = 32;

/// Seals small facts between services with HMAC-SHA256, for a purpose and a time. Cheap to clone.
#[derive(Clone)]
pub struct Seal(Arc<hmac::Key>);

impl Seal {
    /// A seal with the key that all services of a deployment share.
    #[must_use]
    pub fn new(key: &Secret<Vec<u8>>) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key.expose())))
    }

    /// Seals `content` for `purpose` until `expires_at`, as URL-safe text.
    #[must_use]
    pub fn seal(&self, purpose: &str, content: &str, expires_at: Timestamp) -> String {
        let mut bytes = Vec::with_capacity(TIME_BYTES + content.len() + MAC_BYTES);
        bytes.extend_from_slice(&expires_at.micros().to_be_bytes());
        bytes.extend_from_slice(content.as_bytes());
        let mac = hmac::sign(&self.0, &bound(purpose, &bytes));
        bytes.extend_from_slice(mac.as_ref());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Opens what was sealed for the same purpose: its content and when it expires.
    ///
    /// # Errors
    /// `INVALID_TOKEN` if it is not ours or was changed, `EXPIRED_TOKEN` if its time is over.
    pub fn open(
        &self,
        purpose: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<(String, Timestamp), Failure> {
        let (content, expires_at) = self.verified(purpose, text).ok_or_else(|| {
            Failure::new(Code::Forbidden, "INVALID_TOKEN", "the token is not valid")
        })?;
        if expires_at <= now {
            return Err(Failure::new(Code::Forbidden, "EXPIRED_TOKEN", "the token has expired"));
        }
        Ok((content, expires_at))
    }

    fn verified(&self, purpose: &str, text: &str) -> Option<(String, Timestamp)> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sealed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        hmac::verify(&self.0, &bound(purpose, sealed), mac).ok()?;
        let (time, content) = sealed.split_first_chunk::<TIME_BYTES>()?;
        let expires_at = Timestamp::from_micros(i64::from_be_bytes(*time));
        Some((String::from_utf8(content.to_vec()).ok()?, expires_at))
    }
}

/// What is signed: the purpose with its length before it, so that no purpose runs into a content.
fn bound(purpose: &str, sealed: &[u8]) -> Vec<u8> {
    let length = u64::try_from(purpose.len()).unwrap_or(u64::MAX);
    [&length.to_be_bytes(), purpose.as_bytes(), sealed].concat()
}
