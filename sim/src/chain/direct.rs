//! Payments that payers make by themselves, in transactions of their own: of services, and of requests.

use serde::{Deserialize, Serialize};

use super::Account;

/// A payment for a service, as a payment manager says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) service: u64,
    pub(crate) value: u64,
}

/// A payment of a request; a number stands in for the hash of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) value: u64,
}

/// What a transaction pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// So many uses of services.
    Services(Vec<Made>),
    Request(Request),
}

impl Way {
    pub(crate) fn value(&self) -> u64 {
        match self {
            Self::Services(several) => several.iter().map(|made| made.value).sum(),
            Self::Request(request) => request.value,
        }
    }

    /// Where the money goes.
    pub(crate) fn payee(&self) -> Account {
        match self {
            Self::Services(_) => Account::MANAGER,
            Self::Request(_) => Account::SHOP,
        }
    }

    /// For the hash of the transaction.
    pub(super) fn words(&self) -> Vec<u64> {
        match self {
            Self::Services(several) => several.iter().flat_map(|made| [made.service, made.value]).collect(),
            Self::Request(request) => vec![request.id, request.value, 3],
        }
    }
}

/// One that went through.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    pub(crate) payer: Account,
    /// Of its block.
    pub(crate) time: u64,
    pub(crate) way: Way,
}

/// A hash that is good enough among a few texts.
pub(crate) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7)
    })
}
