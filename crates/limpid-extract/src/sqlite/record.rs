//! Rows as they lie in cells: numbers of varying length, and records ("SQLite Database File Format", section 2).

use crate::damage::Damage;

/// Columns of a table: SQLite's own bound where it was not told otherwise.
pub(super) const COLUMNS_MAX: usize = 2000;

/// A value of a row. Numbers with a point are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The next number of one to nine bytes, seven bits each but for the ninth, which has eight.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for place in 0..9 {
        let byte = *bytes.get(place)?;
        if place == 8 {
            value = value << 8 | u64::from(byte);
        } else {
            value = value << 7 | u64::from(byte & 0x7f);
        }
        if place == 8 || byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Some(value);
        }
    }
    None
}

/// The values of a record. A column without a value stands for the row's number where it is its key.
pub(super) fn record(payload: &[u8], row: i64) -> Result<Vec<Value<'_>>, Damage> {
    let damaged = || Damage::new("its record is damaged");
    let mut header = payload;
    let header_bytes = varint(&mut header).ok_or_else(damaged)?;
    let header_bytes = usize::try_from(header_bytes).map_err(|_| damaged())?;
    let consumed = payload.len() - header.len();
    let mut types = payload.get(consumed..header_bytes).ok_or_else(damaged)?;
    let mut body = &payload[header_bytes..];
    let mut values = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types).ok_or_else(damaged)?;
        if values.len() >= COLUMNS_MAX {
            return Err(Damage::new(format!("it has more than {COLUMNS_MAX} columns")));
        }
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(damaged()),
            // Even ones are blobs, odd ones texts.
            _ => usize::try_from((kind - 12) / 2).map_err(|_| damaged())?,
        };
        let (bytes, rest) = body.split_at_checked(length).ok_or_else(damaged)?;
        body = rest;
        values.push(match kind {
            0 if values.is_empty() => Value::Integer(row),
            0 | 7 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(signed(bytes)),
            _ => Value::Bytes(bytes),
        });
    }
    Ok(values)
}

/// A big-endian number of at most eight bytes in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        let read = |mut bytes: &[u8]| varint(&mut bytes).map(|value| (value, bytes.len()));
        assert_eq!(read(&[0x7f, 1]), Some((127, 1)));
        assert_eq!(read(&[0x81, 0x00]), Some((128, 0)));
        assert_eq!(read(&[0xff; 9]), Some((u64::MAX, 0)));
        assert_eq!(read(&[0xff; 8]), None);
    }

    #[test]
    fn records() {
        let payload = [5, 0, 1, 2, 19, 0xff, 0x01, 0x00, b'a', b'b', b'c'];
        let values = record(&payload, 7).unwrap();
        assert_eq!(values[..3], [Value::Integer(7), Value::Integer(-1), Value::Integer(256)]);
        assert_eq!(values[3], Value::Bytes(b"abc"));
        assert!(record(&payload[..9], 7).is_err());
        assert!(record(&[0], 7).is_err());
        assert!(record(&[0xff; 9], 7).is_err());
    }
}
