//! Secrets at rest: AES-256-GCM (NIST SP 800-38D) under the deployment's key, for private keys that
//! stand in a database.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use kernel::{Failure, Ids, Secret};

/// Seals secrets for one purpose. Cheap to make.
pub struct Vault {
    key: LessSafeKey,
    purpose: &'static str,
}

impl Vault {
    /// A vault for `purpose`; what another purpose sealed can't be opened.
    ///
    /// # Errors
    /// If the deployment's key can't be used.
    pub fn new(secret: &Secret<Vec<u8>>, purpose: &'static str) -> Result<Self, Failure> {
        let refused = |_| Failure::internal("the deployment's secret can't be used as a key");
        let derived = Salt::new(HKDF_SHA256, b"boxoffice vault").extract(secret.expose());
        let info = [purpose.as_bytes()];
        let key: UnboundKey = derived.expand(&info, &AES_256_GCM).map_err(refused)?.into();
        Ok(Self { key: LessSafeKey::new(key), purpose })
    }

    /// Seals `plain`.
    ///
    /// # Errors
    /// If it is too long to be sealed.
    pub fn seal(&self, plain: &Secret<Vec<u8>>, ids: &dyn Ids) -> Result<Vec<u8>, Failure> {
        let mut nonce = [0_u8; NONCE_LEN];
        ids.fill(&mut nonce);
        let mut sealed = plain.expose().clone();
        let aad = Aad::from(self.purpose.as_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| Failure::internal("a secret can't be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Vault::seal`] made.
    ///
    /// # Errors
    /// If it was sealed under another key or for another purpose, or was changed.
    pub fn open(&self, sealed: &[u8]) -> Result<Secret<Vec<u8>>, Failure> {
        let refused =
            || Failure::internal(format!("{}: sealed under another secret", self.purpose));
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut rest = rest.to_vec();
        let aad = Aad::from(self.purpose.as_bytes());
        let plain = self.key.open_in_place(nonce, aad, &mut rest).map_err(|_| refused())?;
        Ok(Secret::new(plain.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemIds;

    #[test]
    fn only_the_same_key_and_purpose_open_and_only_what_was_not_changed() {
        let deployment = Secret::new(vec![7; 32]);
        let vault = Vault::new(&deployment, "keys").unwrap();
        let plain = Secret::new(b"private".to_vec());
        let mut sealed = vault.seal(&plain, &SystemIds).unwrap();
        assert_eq!(vault.open(&sealed).unwrap(), plain);
        assert!(Vault::new(&deployment, "other").unwrap().open(&sealed).is_err());
        assert!(Vault::new(&Secret::new(vec![8; 32]), "keys").unwrap().open(&sealed).is_err());
        *sealed.last_mut().unwrap() ^= 1;
        assert!(vault.open(&sealed).is_err());
        assert!(vault.open(&[]).is_err());
    }
}
