//! Rows of a result, read by position.

use std::fmt;

use kernel::Timestamp;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{Error, Json, value::each_id};

/// A row of a result.
pub struct Row(pub(crate) Columns);

pub(crate) enum Columns {
    Postgres(tokio_postgres::Row),
    Sqlite(Cells),
}

/// The columns of a row of SQLite, its texts and its blobs each in one piece: two or three
/// allocations a row, however many columns it has.
pub(crate) struct Cells {
    pub(crate) cells: Box<[Stored]>,
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

/// What SQLite stored in one column; a text or blob by where it begins and ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored {
    Null,
    I64(i64),
    F64(f64),
    Text(usize, usize),
    Bytes(usize, usize),
}

/// What one column holds, as its engine knows it.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    Null,
    I64(i64),
    F64(f64),
    Bool(bool),
    Text(&'a str),
    Uuid(Uuid),
    Time(Timestamp),
    Json(&'a str),
    Bytes(&'a [u8]),
}

/// A type that a column can be read as: `i64`, `i32`, `u32`, `f64`, `bool`, `String`, `Uuid`,
/// `Timestamp`, `serde_json::Value`, [`Json`] of what can be deserialized, `History`, `Vec<u8>`,
/// every id of `kernel`, and `Option` of each.
pub trait FromValue: Sized {
    /// The value in `cell`, if it is one of this type.
    #[doc(hidden)]
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl Row {
    /// The column at `index`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if there is no such column or it holds something else.
    pub fn get<T: FromValue>(&self, index: usize) -> Result<T, Error> {
        let cell = self.0.cell(index).map_err(|detail| self.corrupt(index, detail))?;
        T::from_cell(cell).ok_or_else(|| {
            let wanted = std::any::type_name::<T>();
            self.corrupt(index, format!("{} where {wanted} was expected", cell.kind()))
        })
    }

    fn corrupt(&self, index: usize, detail: String) -> Error {
        let name = match &self.0 {
            Columns::Postgres(row) => row.columns().get(index).map(tokio_postgres::Column::name),
            Columns::Sqlite(_) => None,
        };
        Error::Corrupt { column: name.map_or_else(|| index.to_string(), str::to_owned), detail }
    }
}

impl fmt::Debug for Row {
    /// Prints no values: they may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = match &self.0 {
            Columns::Postgres(row) => row.len(),
            Columns::Sqlite(row) => row.cells.len(),
        };
        write!(f, "Row({columns} columns)")
    }
}

impl Columns {
    fn cell(&self, index: usize) -> Result<Cell<'_>, String> {
        match self {
            Self::Postgres(row) => row.try_get(index).map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                cause.unwrap_or_else(|| error.to_string())
            }),
            Self::Sqlite(row) => Ok(match *row.cells.get(index).ok_or("no such column")? {
                Stored::Null => Cell::Null,
                Stored::I64(value) => Cell::I64(value),
                Stored::F64(value) => Cell::F64(value),
                Stored::Text(from, to) => Cell::Text(row.text.get(from..to).unwrap_or_default()),
                Stored::Bytes(from, to) => Cell::Bytes(row.bytes.get(from..to).unwrap_or_default()),
            }),
        }
    }
}

impl Cell<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::I64(_) => "an integer",
            Self::F64(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Text(_) => "text",
            Self::Uuid(_) => "a uuid",
            Self::Time(_) => "a time",
            Self::Json(_) => "json",
            Self::Bytes(_) => "bytes",
        }
    }
}

macro_rules! from_cell {
    ($($type:ty: $($cell:pat => $value:expr),+;)*) => {$(
        impl FromValue for $type {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    $($cell => $value,)+
                    _ => None,
                }
            }
        }
    )*};
}

// SQLite knows integers, floats, text and blobs; the other types are read from those.
from_cell! {
    i64: Cell::I64(value) => Some(value);
    i32: Cell::I64(value) => value.try_into().ok();
    u32: Cell::I64(value) => value.try_into().ok();
    f64: Cell::F64(value) => Some(value), Cell::I64(value) => exact(value);
    bool: Cell::Bool(value) => Some(value), Cell::I64(0) => Some(false), Cell::I64(1) => Some(true);
    String: Cell::Text(text) | Cell::Json(text) => Some(text.to_owned());
    Uuid: Cell::Uuid(uuid) => Some(uuid), Cell::Bytes(bytes) => Uuid::from_slice(bytes).ok();
    Timestamp: Cell::Time(at) => Some(at), Cell::I64(us) => Some(Timestamp::from_micros(us));
    serde_json::Value: Cell::Json(text) | Cell::Text(text) => serde_json::from_str(text).ok();
    Vec<u8>: Cell::Bytes(bytes) => Some(bytes.to_vec());
}

/// SQLite stores a whole float in an expression without affinity as an integer.
fn exact(value: i64) -> Option<f64> {
    const LIMIT: i64 = 1 << 53;
    (-LIMIT..=LIMIT).contains(&value).then_some(value as f64)
}

impl<T: DeserializeOwned> FromValue for Json<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Json(text) | Cell::Text(text) => serde_json::from_str(text).ok().map(Json),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}

macro_rules! ids_from_cell {
    ($($id:ident),*) => {$(
        impl FromValue for kernel::$id {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                Uuid::from_cell(cell).map(Self::from_uuid)
            }
        }
    )*};
}

each_id!(ids_from_cell);
