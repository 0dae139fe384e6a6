//! Why a process can't start: one clear line each.

use std::{fmt::Display, path::Path};

/// Why a process can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(#[from] platform::config::ConfigError),
    /// The state directory can't be used.
    #[error("state directory: {path}: {detail}")]
    State {
        /// The file or directory.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// A port can't be had.
    #[error("{service}: can't listen on {address} for {face}: {detail}")]
    Listen {
        /// Whose face.
        service: String,
        /// Which face.
        face: &'static str,
        /// The address.
        address: String,
        /// What is wrong.
        detail: String,
    },
    /// A database can't be opened or brought up to date.
    #[error("{service}: database: {detail}")]
    Database {
        /// Whose database.
        service: String,
        /// What is wrong.
        detail: String,
    },
    /// A service can't be built.
    #[error("{service}: {detail}")]
    Build {
        /// Which service.
        service: String,
        /// What is wrong.
        detail: String,
    },
    /// Services can't reach each other.
    #[error("mesh: {0}")]
    Mesh(#[from] wire::MeshError),
    /// The demo can't be made.
    #[error("demo: {0}")]
    Demo(String),
}

impl StartError {
    pub(crate) fn state(path: &Path, detail: &dyn Display) -> Self {
        Self::State { path: path.display().to_string(), detail: detail.to_string() }
    }

    pub(crate) fn build(service: &str, detail: impl Display) -> Self {
        Self::Build { service: service.to_owned(), detail: detail.to_string() }
    }

    pub(crate) fn database(service: &str, detail: impl Display) -> Self {
        Self::Database { service: service.to_owned(), detail: detail.to_string() }
    }
}
