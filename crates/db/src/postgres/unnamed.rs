//! Parameters of statements that are not prepared: each declares its own type where only one can
//! be meant, else it goes as text, for the server to infer the type as it would on preparing.

use std::fmt::Write as _;

use bytes::{BufMut as _, BytesMut};
use tokio_postgres::types::Type;

use crate::Value;

/// The type to declare `value` as; unknown where it depends on the statement.
pub(super) fn declared(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::BOOL,
        Value::F64(_) => Type::FLOAT8,
        Value::Uuid(_) => Type::UUID,
        Value::Time(_) => Type::TIMESTAMPTZ,
        Value::Bytes(_) => Type::BYTEA,
        Value::Bools(_) => Type::BOOL_ARRAY,
        Value::Uuids(_) => Type::UUID_ARRAY,
        Value::Times(_) => Type::TIMESTAMPTZ_ARRAY,
        // bigint or smaller; text, an enum or jsonb; jsonb, json or text.
        Value::Null | Value::I64(_) | Value::Text(_) | Value::Json(_) => Type::UNKNOWN,
        Value::I64s(_) | Value::Texts(_) => Type::UNKNOWN,
        Value::Column(items) => match items.iter().find(|item| **item != Value::Null) {
            Some(Value::Uuid(_)) => Type::UUID_ARRAY,
            Some(Value::Time(_)) => Type::TIMESTAMPTZ_ARRAY,
            Some(Value::Bool(_)) => Type::BOOL_ARRAY,
            Some(Value::F64(_)) => Type::FLOAT8_ARRAY,
            Some(Value::Bytes(_)) => Type::BYTEA_ARRAY,
            _ => Type::UNKNOWN,
        },
    }
}

/// Writes a value that [`declared`] leaves unknown as text; nothing for any other.
pub(super) fn put(value: &Value, out: &mut BytesMut) {
    match value {
        Value::I64(value) => put_number(*value, out),
        Value::Text(text) | Value::Json(text) => out.put_slice(text.as_bytes()),
        Value::I64s(list) => put_list(list, out, |item, out| put_number(*item, out)),
        Value::Texts(list) => put_list(list, out, |item, out| put_quoted(item, out)),
        Value::Column(list) => put_list(list, out, |item, out| match item {
            Value::I64(value) => put_number(*value, out),
            Value::Text(text) | Value::Json(text) => put_quoted(text, out),
            _ => out.put_slice(b"null"),
        }),
        _ => {}
    }
}

fn put_number(value: i64, out: &mut BytesMut) {
    let _never_fails = write!(out, "{value}");
}

fn put_list<T>(list: &[T], out: &mut BytesMut, put: impl Fn(&T, &mut BytesMut)) {
    out.put_u8(b'{');
    for (index, item) in list.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        put(item, out);
    }
    out.put_u8(b'}');
}

fn put_quoted(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.put_u8(b'\\');
        }
        out.put_u8(byte);
    }
    out.put_u8(b'"');
}
