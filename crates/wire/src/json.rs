//! JSON from outside: bounded in size, depth and numbers, with every key once (threat rows H01, H03).
//!
//! One pass builds a [`Value`] and checks it on the way. Texts of sub-values that somebody compares to the letter
//! are taken by a second, borrowing pass over text that has been checked here.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::WireError;

/// How deep objects and arrays may nest.
pub const DEPTH_MAX: u8 = 16;

/// From this on a double cannot count, and an integer that was read as one has lost digits (2^64).
const NUMBER_END: f64 = 18_446_744_073_709_551_616.0;

/// Reads one JSON text of at most `size_bytes_max` bytes, nested at most [`DEPTH_MAX`] deep.
///
/// Refused: invalid UTF-8, repeated keys at any level, anything after the value, lone surrogates, NUL, and numbers
/// beyond ±2^64 (they would silently become others).
pub fn parse(bytes: &[u8], place: &'static str, size_bytes_max: usize) -> Result<Value, WireError> {
    parse_to_depth(bytes, place, size_bytes_max, DEPTH_MAX)
}

/// [`parse`] with another limit of depth, for messages that wrap or describe others.
pub fn parse_to_depth(
    bytes: &[u8],
    place: &'static str,
    size_bytes_max: usize,
    depth_max: u8,
) -> Result<Value, WireError> {
    if bytes.len() > size_bytes_max {
        return Err(WireError::TooLarge { place, size_bytes_max });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| WireError::malformed(place, "not UTF-8"))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict { depth_left: depth_max }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        // The messages of syntax errors are constants, and so are ours.
        .map_err(|error| WireError::malformed(place, format!("not the JSON we read: {error}")))
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: u8,
}

impl Strict {
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).filter(|_| value.abs() < NUMBER_END);
        number.map(Value::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        no_nul(&text)?;
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            no_nul(&key)?;
            let value = map.next_value_seed(inside)?;
            if members.insert(key, value).is_some() {
                return Err(de::Error::custom("a key is there twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

/// Databases and C libraries end a text at NUL, so the same text would mean two things.
fn no_nul<E: de::Error>(text: &str) -> Result<(), E> {
    if text.contains('\0') { Err(E::custom("NUL in a text")) } else { Ok(()) }
}
