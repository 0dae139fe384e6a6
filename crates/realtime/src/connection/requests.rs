//! What a client may ask for, and what it is answered.

use serde_json::json;

use super::Connection;
use crate::{
    domain::{Room, Seq},
    frame::{self, Frame, Incoming, Refusal},
};

impl Connection {
    /// Does what a frame asks for; answers what is to be written.
    pub(super) async fn answer(&mut self, text: &str) -> Result<Vec<Frame>, Refusal> {
        let incoming = Incoming::read(text)?;
        self.app.meters.received(&incoming.kind);
        match incoming.kind.as_str() {
            "room:join" => self.join(incoming.room()?, incoming.since()?),
            "room:leave" => {
                let room = incoming.room()?;
                self.leave(room);
                Ok(vec![frame::system("room:left", &json!({ "room": room.to_string() }))])
            }
            "user:subscribe" => self.subscribe(&incoming).await,
            "system:ping" => {
                let now = self.app.clock.now().to_string();
                Ok(vec![frame::system("system:pong", &json!({ "server_time": now }))])
            }
            "system:pong" => Ok(Vec::new()),
            _ => Err(Refusal::new("UNKNOWN_TYPE", "there is no message of this type")),
        }
    }

    /// Joins a room: what the client missed, then `room:joined`. What comes later waits in the
    /// queue, and so follows.
    pub(super) fn join(&mut self, room: Room, since: Option<Seq>) -> Result<Vec<Frame>, Refusal> {
        if let Room::User(account) = room
            && self.identity.is_none_or(|identity| identity.account != account)
        {
            return Err(Refusal::new("UNAUTHORIZED", "this room belongs to another account"));
        }
        let is_new = !self.rooms.contains(&room);
        if is_new && self.rooms.len() >= self.app.config.max_rooms_per_connection {
            return Err(Refusal::new("TOO_MANY_ROOMS", "leave a room first"));
        }
        let (hub, now) = (&self.app.hub, self.app.clock.now());
        let joined = hub
            .join(room, self.member(), since, now)
            .map_err(|_| Refusal::new("TOO_MANY_ROOMS", "no more rooms here at the moment"))?;
        if is_new {
            self.rooms.push(room);
        }
        let text = room.to_string();
        let seq = joined.seq.to_string();
        let payload = match &joined.missed {
            Some(missed) => json!({ "room": text, "seq": seq, "replayed": missed.len() }),
            None => json!({ "room": text, "seq": seq, "refetch": true }),
        };
        let mut frames = joined.missed.unwrap_or_default();
        frames.push(frame::of_room("room:joined", room, joined.seq, &payload.to_string()));
        Ok(frames)
    }

    pub(super) fn leave(&mut self, room: Room) {
        self.rooms.retain(|joined| *joined != room);
        self.app.hub.leave(room, self.number, self.app.clock.now());
    }

    /// Joins the account's own room; with a token, as the token's account.
    async fn subscribe(&mut self, incoming: &Incoming) -> Result<Vec<Frame>, Refusal> {
        let since = incoming.since()?;
        if let Some(token) = incoming.token() {
            let claims = self.app.access.verify(token).await;
            let claims = claims.map_err(|failure| match failure.code {
                kernel::Code::Unauthenticated => Refusal::new("UNAUTHORIZED", failure.detail),
                _ => Refusal::new("UNAVAILABLE", "tokens can't be checked at the moment"),
            })?;
            self.sign_in(&claims);
        }
        match self.identity {
            Some(identity) => self.join(Room::User(identity.account), since),
            None => Err(Refusal::new("UNAUTHORIZED", "connect with a token, or bring one here")),
        }
    }
}
