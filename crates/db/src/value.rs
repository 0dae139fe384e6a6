//! Parameters and columns: the few types that both engines share.

use kernel::Timestamp;
use uuid::Uuid;

/// A parameter of a statement. Arrays are PostgreSQL arrays (`unnest($1::uuid[])`), and on SQLite
/// JSON text for `json_each($1)`, where uuids are 32 hex digits (`unhex(value)`) and bytes are hex
/// too.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL null, of any type.
    Null,
    /// `bigint`.
    I64(i64),
    /// `double precision`.
    F64(f64),
    /// `boolean`; 0 or 1 on SQLite.
    Bool(bool),
    /// `text`.
    Text(String),
    /// `uuid`; a blob of 16 bytes on SQLite.
    Uuid(Uuid),
    /// `timestamptz`; integer microseconds since 1970 on SQLite.
    Time(Timestamp),
    /// `jsonb`, given as JSON text; text on SQLite.
    Json(String),
    /// `bytea`; a blob on SQLite.
    Bytes(Vec<u8>),
    /// `bigint[]`.
    I64s(Vec<i64>),
    /// `boolean[]`.
    Bools(Vec<bool>),
    /// `text[]`.
    Texts(Vec<String>),
    /// `uuid[]`.
    Uuids(Vec<Uuid>),
    /// `timestamptz[]`.
    Times(Vec<Timestamp>),
    /// An array of whatever the statement says, with nulls; PostgreSQL only.
    Column(Vec<Value>),
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from! {
    i64 => I64,
    i32 => I64,
    u32 => I64,
    f64 => F64,
    bool => Bool,
    &str => Text,
    &String => Text,
    String => Text,
    Uuid => Uuid,
    Timestamp => Time,
    &[u8] => Bytes,
    Vec<u8> => Bytes,
    Vec<i64> => I64s,
    Vec<bool> => Bools,
    Vec<String> => Texts,
    Vec<Uuid> => Uuids,
    Vec<Timestamp> => Times,
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Self::Json(json.to_string())
    }
}

/// A document, read without a tree in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Calls `$then!` with every id type of `kernel`.
macro_rules! each_id {
    ($then:ident) => {
        $then! {
            AccountId, BookingId, EventId, HoldId, MailId, MessageId, OrganizationId, PaymentId,
            RefundId, SessionId, TicketId, VenueId
        }
    };
}
pub(crate) use each_id;

macro_rules! from_ids {
    ($($id:ident),*) => {$(
        impl From<kernel::$id> for Value {
            fn from(id: kernel::$id) -> Self {
                Self::Uuid(id.uuid())
            }
        }

        impl From<Vec<kernel::$id>> for Value {
            fn from(ids: Vec<kernel::$id>) -> Self {
                Self::Uuids(ids.into_iter().map(kernel::$id::uuid).collect())
            }
        }
    )*};
}

each_id!(from_ids);
