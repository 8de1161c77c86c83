//! Positional parameters, read strictly enough that nothing panics and loosely enough for every client.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RpcError;

/// The `params` member.
pub(super) struct Params<'v>(&'v [Value]);

impl<'v> Params<'v> {
    pub(super) fn new(params: &'v Value) -> Self {
        Self(params.as_array().map_or(&[], Vec::as_slice))
    }

    /// The value at this place, null when missing.
    pub(super) fn at(&self, index: usize) -> &'v Value {
        const NULL: &Value = &Value::Null;
        self.0.get(index).unwrap_or(NULL)
    }

    /// The value at this place as something.
    pub(super) fn read<T: DeserializeOwned>(&self, index: usize, what: &str) -> Result<T, RpcError> {
        T::deserialize(self.at(index))
            .map_err(|_| RpcError::params(format!("parameter {index} must be {what}")))
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, RpcError> {
        self.read(index, "an address")
    }

    pub(super) fn hash(&self, index: usize) -> Result<B256, RpcError> {
        self.read(index, "a 32-byte hash")
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        self.read(index, "hex bytes")
    }

    /// A number in hex or decimal, as text or as a JSON number.
    pub(super) fn number(&self, index: usize) -> Result<U256, RpcError> {
        number(self.at(index)).ok_or_else(|| RpcError::params(format!("parameter {index} must be a number")))
    }

    pub(super) fn small(&self, index: usize) -> Result<u64, RpcError> {
        self.number(index)?
            .try_into()
            .map_err(|_| RpcError::params(format!("parameter {index} is too large")))
    }
}

/// A number in whatever spelling.
pub(super) fn number(value: &Value) -> Option<U256> {
    match value {
        Value::Number(number) => number.as_u64().map(U256::from),
        Value::String(text) => match text.strip_prefix("0x") {
            Some("") => Some(U256::ZERO),
            Some(digits) => U256::from_str_radix(digits, 16).ok(),
            None => U256::from_str_radix(text, 10).ok(),
        },
        _ => None,
    }
}
