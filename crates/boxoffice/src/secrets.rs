//! Secrets of the one-process shape: made at the first start, kept in the state directory, readable
//! by its owner only.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::hmac;
use kernel::{Ids, Secret};

use crate::StartError;

const FILE: &str = "secrets.toml";

/// Named secrets of one state directory.
pub(crate) struct Secrets {
    path: PathBuf,
    by_name: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the secrets of `directory`; none if it has none yet.
    ///
    /// # Errors
    /// If the file is there and can't be read.
    pub(crate) fn open(directory: &Path) -> Result<Self, StartError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(StartError::state(&path, &error)),
        };
        let by_name = toml::from_str(&text).map_err(|error| StartError::state(&path, &error))?;
        Ok(Self { path, by_name })
    }

    /// The secret called `name`: 64 hex digits, made by `make` and kept if it is not there yet.
    ///
    /// # Errors
    /// If it can't be kept.
    pub(crate) fn get(
        &mut self,
        name: &str,
        make: impl FnOnce() -> String,
    ) -> Result<Secret<String>, StartError> {
        if let Some(secret) = self.by_name.get(name) {
            return Ok(Secret::new(secret.clone()));
        }
        let secret = make();
        self.by_name.insert(name.to_owned(), secret.clone());
        self.keep()?;
        Ok(Secret::new(secret))
    }

    /// Writes the whole file beside the old one and then takes its place, so that a crash leaves
    /// one of the two.
    fn keep(&self) -> Result<(), StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::state(&self.path, error);
        let text = toml::to_string(&self.by_name).map_err(|error| failed(&error))?;
        let beside = self.path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &self.path))
            .map_err(|error| failed(&error))
    }
}

/// A new secret of 256 bits, as 64 hex digits.
#[must_use]
pub(crate) fn hex_secret(ids: &dyn Ids) -> String {
    let mut bytes = [0_u8; 32];
    ids.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that hex digits stand for; anything that is no pair of hex digits is left out.
#[must_use]
pub(crate) fn bytes(hex: &Secret<String>) -> Secret<Vec<u8>> {
    let hex = hex.expose().as_bytes();
    let pairs = hex.chunks_exact(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    Secret::new(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect())
}

/// What `purpose` is given of the deployment's secret (HMAC-SHA256, as 64 hex digits): the same in
/// every process, kept nowhere, and telling nothing of the secret itself.
pub(crate) fn derived(secret: &Secret<Vec<u8>>, purpose: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let tag = hmac::sign(&key, format!("boxoffice/derived/1 {purpose}").as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut secrets = Secrets::open(directory.path()).unwrap();
        let made = secrets.get("mesh", || "ab".repeat(32)).unwrap();
        let again =
            Secrets::open(directory.path()).unwrap().get("mesh", || unreachable!()).unwrap();
        assert_eq!(made, again);
        assert_eq!(bytes(&made).expose(), &vec![0xab; 32]);
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "not toml at all [").unwrap();
        assert!(Secrets::open(directory.path()).is_err());
    }
}
