//! Typed access to the members of a JSON object. `null` counts as absent, as the official SDKs have it.

use serde_json::{Map, Value};

use crate::WireError;

/// An object from outside and where it stands, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members<'v> {
    members: &'v Map<String, Value>,
    place: &'static str,
}

impl<'v> Members<'v> {
    /// The value, which must be an object.
    pub(crate) fn of(value: &'v Value, place: &'static str) -> Result<Self, WireError> {
        let members = value.as_object().ok_or_else(|| WireError::malformed(place, "not a JSON object"))?;
        Ok(Self { members, place })
    }

    /// A member, when it is there and not null.
    pub(crate) fn value(&self, key: &str) -> Option<&'v Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// A member that must be there.
    pub(crate) fn required(&self, key: &str) -> Result<&'v Value, WireError> {
        self.value(key).ok_or_else(|| self.wrong(key, "is missing"))
    }

    /// A text, possibly empty, that must be there.
    pub(crate) fn text(&self, key: &str) -> Result<&'v str, WireError> {
        self.required(key)?.as_str().ok_or_else(|| self.wrong(key, "is not a text"))
    }

    /// A text with at least one character.
    pub(crate) fn word(&self, key: &str) -> Result<&'v str, WireError> {
        self.text(key)
            .and_then(|text| if text.is_empty() { Err(self.wrong(key, "is empty")) } else { Ok(text) })
    }

    /// A text that may be absent.
    pub(crate) fn text_or_none(&self, key: &str) -> Result<Option<&'v str>, WireError> {
        self.value(key)
            .map(|value| value.as_str().ok_or_else(|| self.wrong(key, "is not a text")))
            .transpose()
    }

    /// `true` or `false`, which must be there.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, WireError> {
        self.required(key)?.as_bool().ok_or_else(|| self.wrong(key, "is not true or false"))
    }

    /// An object that must be there.
    pub(crate) fn object(&self, key: &str) -> Result<&'v Map<String, Value>, WireError> {
        self.required(key)?.as_object().ok_or_else(|| self.wrong(key, "is not an object"))
    }

    /// An object that may be absent, which is the same as empty.
    pub(crate) fn object_or_empty(&self, key: &str) -> Result<Map<String, Value>, WireError> {
        if self.value(key).is_some() { self.object(key).cloned() } else { Ok(Map::new()) }
    }

    /// An array that must be there.
    pub(crate) fn array(&self, key: &str) -> Result<&'v Vec<Value>, WireError> {
        self.required(key)?.as_array().ok_or_else(|| self.wrong(key, "is not an array"))
    }

    /// An error about a member. The key is ours, never the sender's.
    pub(crate) fn wrong(&self, key: &str, problem: &str) -> WireError {
        WireError::malformed(self.place, format!("`{key}` {problem}"))
    }
}
