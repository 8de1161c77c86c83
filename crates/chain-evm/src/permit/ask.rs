//! What a seller says of payments by permit, and the terms that follow from it.

use groat_core::offer::Ask;
use groat_core::{Amount, Network, Terms};
use serde_json::{Map, Value, json};

use super::{PermitKind, SCHEME};

/// How long a permit may take, as told to buyers. Clients of the token endpoint sign for ten minutes.
const TIMEOUT_S: u64 = 600;

/// A token that is taken by permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitAsk {
    /// Which kind of permit.
    pub kind: PermitKind,
    /// The token's contract.
    pub asset: String,
    /// Atomic units of it.
    pub amount: Amount,
    /// Who is paid; the till is found from it.
    pub pay_to: String,
    /// What people call the token, where it is not in the table.
    pub symbol: Option<String>,
    /// Decimals of its atomic unit, where it is not in the table.
    pub decimals: Option<u8>,
    /// Its EIP-712 name, where it is not in the table.
    pub name: Option<String>,
    /// Its EIP-712 version, where it is not in the table.
    pub version: Option<String>,
}

impl PermitAsk {
    /// The terms on this network. Whether they are good shows when an offer is made of them.
    pub fn terms(&self, network: Network) -> Terms {
        let texts = [("symbol", &self.symbol), ("name", &self.name), ("version", &self.version)];
        let mut extra: Map<String, Value> = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?))))
            .collect();
        extra.insert("permitType".to_owned(), json!(self.kind.name()));
        if let Some(decimals) = self.decimals {
            extra.insert("decimals".to_owned(), json!(decimals));
        }
        Terms {
            scheme: SCHEME.to_owned(),
            network,
            price: Ask::Units { asset: self.asset.clone(), amount: self.amount, extra },
            pay_to: self.pay_to.clone(),
            timeout_s: TIMEOUT_S,
        }
    }
}
