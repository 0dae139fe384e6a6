//! The handles that every verb gets.

use std::sync::Arc;

use db::Db;
use kernel::Clock;
use platform::Tasks;

pub(crate) struct App {
    pub db: Db,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
}
