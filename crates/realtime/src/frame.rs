//! Frames `{type, room?, seq?, payload}` as text: written once for all who get them, read with
//! care.

use axum::extract::ws::Utf8Bytes;
use kernel::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::{Room, Seq};

/// The longest frame that a client may send, in bytes.
pub(crate) const MAX_FRAME_BYTES: usize = 65_536;

/// A frame as it goes out. Cloning shares its bytes.
pub(crate) type Frame = Utf8Bytes;

/// What a client sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Incoming {
    /// Such as `room:join`.
    #[serde(rename = "type")]
    pub kind: String,
    room: Option<String>,
    payload: Option<Ask>,
}

/// The payload of what a client sends.
#[derive(Debug, Default, Deserialize)]
struct Ask {
    room: Option<String>,
    since: Option<String>,
    token: Option<String>,
}

/// Why a client's message is refused; it is told as `system:error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In SCREAMING_SNAKE_CASE.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn frame(&self) -> Frame {
        system("system:error", &json!({ "code": self.code, "message": self.message }))
    }
}

impl Incoming {
    /// Reads what a client sent.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        serde_json::from_str(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                Refusal::new("INVALID_PAYLOAD", format!("the frame's shape is wrong: {error}"))
            }
            _ => Refusal::new("PARSE_ERROR", format!("the frame is not valid json: {error}")),
        })
    }

    /// The room it speaks of, in the payload or beside it.
    pub(crate) fn room(&self) -> Result<Room, Refusal> {
        let inner = self.payload.as_ref().and_then(|payload| payload.room.as_ref());
        let text = inner.or(self.room.as_ref());
        let text =
            text.ok_or_else(|| Refusal::new("INVALID_PAYLOAD", "payload.room is missing"))?;
        text.parse::<Room>().map_err(|error| Refusal::new("UNKNOWN_ROOM", error.to_string()))
    }

    /// The last message of the room that the client has.
    pub(crate) fn since(&self) -> Result<Option<Seq>, Refusal> {
        let text = self.payload.as_ref().and_then(|payload| payload.since.as_deref());
        let seq = text.map(str::parse::<Seq>).transpose();
        seq.map_err(|error| Refusal::new("INVALID_PAYLOAD", error.to_string()))
    }

    /// The access token it brings.
    pub(crate) fn token(&self) -> Option<&str> {
        self.payload.as_ref()?.token.as_deref()
    }
}

/// A message of a room. `kind` needs no escaping, `payload` is JSON.
pub(crate) fn of_room(kind: &str, room: Room, seq: Seq, payload: &str) -> Frame {
    let text = format!(r#"{{"type":"{kind}","room":"{room}","seq":"{seq}","payload":{payload}}}"#);
    text.into()
}

/// A message that belongs to no room's sequence. `kind` needs no escaping.
pub(crate) fn system(kind: &str, payload: &Value) -> Frame {
    format!(r#"{{"type":"{kind}","payload":{payload}}}"#).into()
}

/// The first frame of a connection.
pub(crate) fn connected(connection_id: uuid::Uuid, now: Timestamp) -> Frame {
    let payload = json!({
        "connection_id": connection_id.to_string(),
        "server_time": now.to_string(),
    });
    system("system:connected", &payload)
}

/// Whether `kind` may be the type of a message: `noun:what_happened`, and none that steers clients.
pub(crate) fn is_kind(kind: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let parts = kind.split_once(':');
    kind.len() <= 64
        && parts.is_some_and(|(noun, what)| {
            word(noun) && word(what) && !matches!(noun, "system" | "room")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
        result.expect_err("should be refused").code
    }

    #[test]
    fn bad_frames_are_told_apart() {
        let deep = format!("{{\"x\":{}", "[".repeat(5_000));
        for text in ["", "{", "nonsense", "{\"type\":", &deep] {
            assert_eq!(code(Incoming::read(text)), "PARSE_ERROR", "{text:.9}");
        }
        for text in ["1", "null", "{}", r#"{"type":1}"#, r#"{"type":"a","payload":{"since":7}}"#] {
            assert_eq!(code(Incoming::read(text)), "INVALID_PAYLOAD", "{text}");
        }
        let read = |text: &str| Incoming::read(text).unwrap();
        assert_eq!(code(read(r#"{"type":"room:join"}"#).room()), "INVALID_PAYLOAD");
        assert_eq!(code(read(r#"{"type":"x","room":"lobby"}"#).room()), "UNKNOWN_ROOM");
        let since = r#"{"type":"x","payload":{"since":"yesterday"}}"#;
        assert_eq!(code(read(since).since()), "INVALID_PAYLOAD");
        let fine =
            r#"{"type":"x","payload":null,"room":"user:018f0000-0000-7000-8000-000000000001"}"#;
        assert!(read(fine).room().is_ok() && read(fine).since() == Ok(None));
    }

    #[test]
    fn no_service_can_send_what_steers_clients_or_breaks_a_frame() {
        for kind in ["booking:queue_position", "event:cancelled"] {
            assert!(is_kind(kind), "{kind}");
        }
        let long = format!("a:{}", "b".repeat(63));
        for kind in
            ["", "a", ":", "a:", ":b", "system:error", "room:joined", "a:b\"", "a:b\n", &long]
        {
            assert!(!is_kind(kind), "{kind}");
        }
    }
}
