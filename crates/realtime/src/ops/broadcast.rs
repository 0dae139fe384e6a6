//! Sends a message to everybody in an event's room.

use kernel::EventId;
use wire::Context;

use super::{check_caller, check_message};
use crate::{
    app::App,
    domain::Room,
    error::Error,
    relay::{self, Post},
};

pub(crate) struct Broadcast {
    pub event: EventId,
    /// Such as `booking:queue_position`.
    pub kind: String,
    pub payload: String,
}

/// Answers how many connections of this replica it is for; those of others get it too.
pub(crate) async fn broadcast(
    app: &App,
    context: &Context,
    command: Broadcast,
) -> Result<usize, Error> {
    check_caller(context)?;
    let Broadcast { event, kind, payload } = command;
    check_message(&kind, &payload)?;
    let room = Room::Event(event);
    relay::publish(app, &Post { room, kind, payload }).await?;
    Ok(app.hub.members(room))
}
