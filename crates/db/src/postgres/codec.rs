//! PostgreSQL's binary formats of parameters and columns.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use kernel::Timestamp;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::unnamed;
use crate::{Value, row::Cell};

type Fault = Box<dyn StdError + Sync + Send>;

/// Microseconds from 1970 to 2000, where PostgreSQL's time begins.
const EPOCH_OFFSET_MICROS: i64 = 946_684_800_000_000;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        if let Kind::Domain(inner) = ty.kind() {
            return self.to_sql(inner, out);
        }
        if *ty == Type::UNKNOWN && *self != Self::Null {
            unnamed::put(self, out);
            return Ok(IsNull::No);
        }
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::I64(value) => put_integer(value, ty, out)?,
            Self::F64(value) => put_float(*value, ty, out)?,
            Self::Bool(value) => put_bool(value, ty, out)?,
            Self::Text(text) => put_text(text, ty, out)?,
            Self::Uuid(uuid) => put_uuid(uuid, ty, out)?,
            Self::Time(at) => put_time(at, ty, out)?,
            Self::Json(json) => put_json(json, ty, out)?,
            Self::Bytes(bytes) if *ty == Type::BYTEA => out.put_slice(bytes),
            Self::Bytes(_) => return Err(mismatch("bytes", ty)),
            Self::I64s(list) => put_array(list, ty, out, put_integer)?,
            Self::Bools(list) => put_array(list, ty, out, put_bool)?,
            Self::Texts(list) => put_array(list, ty, out, |item, ty, out| put_text(item, ty, out))?,
            Self::Uuids(list) => put_array(list, ty, out, put_uuid)?,
            Self::Times(list) => put_array(list, ty, out, put_time)?,
            Self::Column(list) => put_column(list, ty, out)?,
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true // `to_sql` says what does not fit, with both types' names
    }

    fn encode_format(&self, ty: &Type) -> Format {
        if *ty == Type::UNKNOWN { Format::Text } else { Format::Binary }
    }

    to_sql_checked!();
}

fn mismatch(what: &str, ty: &Type) -> Fault {
    format!("{what} given where {ty} is wanted").into()
}

fn put_integer(&value: &i64, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::INT8 => out.put_i64(value),
        Type::INT4 => out.put_i32(value.try_into()?),
        Type::INT2 => out.put_i16(value.try_into()?),
        _ => return Err(mismatch("an integer", ty)),
    }
    Ok(())
}

fn put_float(value: f64, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::FLOAT8 => out.put_f64(value),
        _ => return Err(mismatch("a float", ty)),
    }
    Ok(())
}

fn put_bool(&value: &bool, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::BOOL => out.put_u8(u8::from(value)),
        _ => return Err(mismatch("a boolean", ty)),
    }
    Ok(())
}

fn put_text(text: &str, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON => {}
        Type::JSONB => out.put_u8(1),
        _ if matches!(ty.kind(), Kind::Enum(_)) => {}
        _ => return Err(mismatch("text", ty)),
    }
    out.put_slice(text.as_bytes());
    Ok(())
}

fn put_uuid(uuid: &Uuid, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    if *ty != Type::UUID {
        return Err(mismatch("a uuid", ty));
    }
    out.put_slice(uuid.as_bytes());
    Ok(())
}

fn put_time(at: &Timestamp, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    if *ty != Type::TIMESTAMPTZ {
        return Err(mismatch("a time", ty));
    }
    let micros = at.micros().checked_sub(EPOCH_OFFSET_MICROS).ok_or("time out of range")?;
    out.put_i64(micros);
    Ok(())
}

fn put_json(json: &str, ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    match *ty {
        Type::JSONB => out.put_u8(1),
        Type::JSON | Type::TEXT => {}
        _ => return Err(mismatch("json", ty)),
    }
    out.put_slice(json.as_bytes());
    Ok(())
}

fn put_array<T>(
    items: &[T],
    ty: &Type,
    out: &mut BytesMut,
    put: impl Fn(&T, &Type, &mut BytesMut) -> Result<(), Fault>,
) -> Result<(), Fault> {
    put_items(items, ty, out, |item, ty, out| put(item, ty, out).map(|()| IsNull::No))
}

fn put_column(items: &[Value], ty: &Type, out: &mut BytesMut) -> Result<(), Fault> {
    put_items(items, ty, out, Value::to_sql)
}

/// One dimension, counted from 1. The server looks for nulls itself, whatever the header says.
fn put_items<T>(
    items: &[T],
    ty: &Type,
    out: &mut BytesMut,
    put: impl Fn(&T, &Type, &mut BytesMut) -> Result<IsNull, Fault>,
) -> Result<(), Fault> {
    let Kind::Array(member) = ty.kind() else { return Err(mismatch("an array", ty)) };
    out.put_i32(i32::from(!items.is_empty()));
    out.put_i32(0);
    out.put_u32(member.oid());
    if items.is_empty() {
        return Ok(());
    }
    out.put_i32(items.len().try_into()?);
    out.put_i32(1);
    for item in items {
        let start = out.len();
        out.put_i32(0);
        let length = match put(item, member, out)? {
            IsNull::Yes => -1,
            IsNull::No => i32::try_from(out.len() - start - size_of::<i32>())?,
        };
        if let Some(slot) = out.get_mut(start..start + size_of::<i32>()) {
            slot.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        if let Kind::Domain(inner) = ty.kind() {
            return Self::from_sql(inner, raw);
        }
        Ok(match *ty {
            Type::INT8 => Cell::I64(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Cell::I64(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => Cell::I64(i16::from_be_bytes(raw.try_into()?).into()),
            Type::NUMERIC => Cell::I64(whole_numeric(raw).ok_or("a numeric that is no bigint")?),
            Type::FLOAT8 => Cell::F64(f64::from_be_bytes(raw.try_into()?)),
            Type::FLOAT4 => Cell::F64(f32::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => Cell::Bool(raw != [0]),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
                Cell::Text(std::str::from_utf8(raw)?)
            }
            Type::UUID => Cell::Uuid(Uuid::from_slice(raw)?),
            Type::TIMESTAMPTZ => Cell::Time(time(i64::from_be_bytes(raw.try_into()?))?),
            Type::JSON => Cell::Json(std::str::from_utf8(raw)?),
            Type::JSONB => match raw.split_first() {
                Some((1, text)) => Cell::Json(std::str::from_utf8(text)?),
                _ => return Err("an unknown version of jsonb".into()),
            },
            Type::BYTEA => Cell::Bytes(raw),
            Type::VOID => Cell::Null,
            _ if matches!(ty.kind(), Kind::Enum(_)) => Cell::Text(std::str::from_utf8(raw)?),
            _ => return Err(format!("{ty}, which has no counterpart here").into()),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Cell::Null)
    }

    fn accepts(_: &Type) -> bool {
        true // `from_sql` says what has no counterpart
    }
}

fn time(micros: i64) -> Result<Timestamp, Fault> {
    let since_1970 = micros.checked_add(EPOCH_OFFSET_MICROS).ok_or("time out of range")?;
    Ok(Timestamp::from_micros(since_1970))
}

/// What `sum` over `bigint` gives, so that one text serves both engines.
fn whole_numeric(raw: &[u8]) -> Option<i64> {
    let mut words = raw.chunks_exact(2).map(|word| Some(i16::from_be_bytes(word.try_into().ok()?)));
    let mut next = move || words.next().flatten();
    let (digits, weight, sign, _scale) = (next()?, next()?, next()?, next()?);
    let mut value = 0_i64;
    for position in 0..digits.max(weight + 1) {
        let digit = if position < digits { i64::from(next()?) } else { 0 };
        if position <= weight {
            value = value.checked_mul(10_000)?.checked_sub(digit)?;
        } else if digit != 0 {
            return None;
        }
    }
    // Summed up as a negative number, which has the wider range.
    match sign {
        0 => value.checked_neg(),
        0x4000 => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numerics_are_read_exactly_and_others_refused() {
        let numeric = |words: &[i16]| {
            let raw: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            whole_numeric(&raw)
        };
        assert_eq!(numeric(&[0, 0, 0, 0]), Some(0));
        assert_eq!(numeric(&[1, 1, 0, 0, 12]), Some(120_000));
        assert_eq!(numeric(&[2, 1, 0x4000, 0, 12, 34]), Some(-120_034));
        let least = [5, 4, 0x4000, 0, 922, 3372, 368, 5477, 5808];
        assert_eq!(numeric(&least), Some(i64::MIN));
        assert_eq!(numeric(&[5, 4, 0, 0, 922, 3372, 368, 5477, 5808]), None, "one too many");
        assert_eq!(numeric(&[1, -1, 0, 2, 5000]), None, "a fraction");
        assert_eq!(numeric(&[0, 0, -0x4000, 0]), None, "not a number");
    }
}
