//! Sends a message to all connections of an account.

use kernel::AccountId;
use wire::Context;

use super::{check_caller, check_message};
use crate::{
    app::App,
    domain::Room,
    error::Error,
    relay::{self, Post},
};

pub(crate) struct SendToUser {
    pub account: AccountId,
    /// Such as `booking:admitted`.
    pub kind: String,
    pub payload: String,
}

/// Answers how many connections of this replica it is for; those of others get it too.
pub(crate) async fn send_to_user(
    app: &App,
    context: &Context,
    command: SendToUser,
) -> Result<usize, Error> {
    check_caller(context)?;
    let SendToUser { account, kind, payload } = command;
    check_message(&kind, &payload)?;
    let room = Room::User(account);
    relay::publish(app, &Post { room, kind, payload }).await?;
    Ok(app.hub.members(room))
}
