//! Tokens: EdDSA access tokens (RFC 7519, RFC 8037) that name the caller, and sealed tokens between
//! services.

mod seal;
mod verifier;

#[cfg(test)]
mod tests;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kernel::{AccountId, Caller, Failure, OrganizationId, Role, Secret, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

pub use seal::Seal;
pub use verifier::{KeySource, Verifier};

/// Who issues access tokens.
const ISSUER: &str = "boxoffice";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`.
    pub account: AccountId,
    /// `sid`.
    pub session: SessionId,
    /// `role`.
    pub role: Role,
    /// `org`.
    pub organization: Option<OrganizationId>,
    /// `exp`.
    pub expires_at: Timestamp,
}

/// Claims as they stand in a token.
#[derive(Serialize, Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    sid: String,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    iat: i64,
    exp: i64,
}

impl Claims {
    /// The caller that these claims stand for.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller::Account {
            id: self.account,
            role: self.role,
            organization: self.organization,
            session: Some(self.session),
        }
    }
}

/// An Ed25519 key that signs access tokens.
pub struct SigningKey {
    key_id: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl SigningKey {
    /// A new key pair, as PKCS #8 (RFC 5958) for storage.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn generate() -> Result<Secret<Vec<u8>>, Failure> {
        let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8());
        let document = made.map_err(|_| Failure::internal("can't make an ed25519 key"))?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    /// The key called `key_id` from its PKCS #8 form.
    ///
    /// # Errors
    /// If it is no Ed25519 key.
    pub fn from_pkcs8(key_id: &str, pkcs8: &Secret<Vec<u8>>) -> Result<Self, Failure> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.expose())
            .map_err(|_| Failure::internal(format!("signing key {key_id} is no ed25519 key")))?;
        Ok(Self {
            key_id: key_id.to_owned(),
            key: EncodingKey::from_ed_der(pkcs8.expose()),
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    /// Signs claims as a JWT of issuer `boxoffice`, issued at `now`.
    ///
    /// # Errors
    /// If signing fails.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, Failure> {
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::EdDSA) };
        let payload = Payload {
            iss: ISSUER.to_owned(),
            sub: claims.account.to_string(),
            sid: claims.session.to_string(),
            role: claims.role.to_string(),
            org: claims.organization.map(|id| id.to_string()),
            iat: now.seconds(),
            exp: claims.expires_at.seconds(),
        };
        jsonwebtoken::encode(&header, &payload, &self.key).map_err(Failure::internal)
    }

    /// The public half as a JWK (RFC 8037: `kty` OKP, `crv` Ed25519).
    #[must_use]
    pub fn jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": self.key_id,
            "x": BASE64_URL_SAFE_NO_PAD.encode(&self.public),
        })
    }
}

/// The JWK set (RFC 7517) of these JWKs, as a [`KeySource`] answers it.
#[must_use]
pub fn key_set(jwks: &[serde_json::Value]) -> String {
    serde_json::json!({ "keys": jwks }).to_string()
}
