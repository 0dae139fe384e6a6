//! The public keys that verify ticket codes offline. For everybody.

use crate::{app::App, error::Error};

/// Ids and public keys, the newest last.
///
/// # Errors
/// If they can't be read.
pub async fn get_signing_keys(app: &App) -> Result<Vec<(String, Vec<u8>)>, Error> {
    app.keys.public().await
}
