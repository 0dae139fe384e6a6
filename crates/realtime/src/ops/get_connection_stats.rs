//! What is connected to this replica, and how much it has carried since it started.

use wire::Context;

use super::check_caller;
use crate::{app::App, error::Error};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    pub total: i64,
    pub authenticated: i64,
    pub anonymous: i64,
    pub rooms: i64,
    /// Messages handed to connections.
    pub sent: u64,
    pub received: u64,
}

pub(crate) fn get_connection_stats(app: &App, context: &Context) -> Result<Stats, Error> {
    check_caller(context)?;
    let meters = &app.meters;
    Ok(Stats {
        total: meters.connections.get(),
        authenticated: meters.authenticated.get(),
        anonymous: meters.anonymous.get(),
        rooms: meters.rooms.get(),
        sent: meters.sent.get(),
        received: meters.received.get(),
    })
}
