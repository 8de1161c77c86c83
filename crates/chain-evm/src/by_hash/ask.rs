//! What a seller says of a service of AgentXPay, and the terms that follow from it.

use groat_core::offer::Ask;
use groat_core::{Amount, Network, Terms};
use serde_json::{Map, Value, json};

use super::{NATIVE, SCHEME};

/// How old a payment may be when it is shown, as told to buyers.
const TIMEOUT_S: u64 = 900;

/// A service that is for sale.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceAsk {
    /// The payment manager that buyers pay through.
    pub manager: String,
    /// Its number in the registry.
    pub service: u64,
    /// Who earns.
    pub provider: String,
    /// What a call costs.
    pub price_wei: Amount,
    /// Whether whoever shows a payment must prove to be its payer: `off`, `optional`, `required`; `off` by default.
    pub payer: Option<String>,
    /// The subscription manager, where subscribers are let in.
    pub subscriptions: Option<String>,
    /// What subscribers show: `off`, `signed`, `unsigned`; `signed` where a subscription manager is named.
    pub subscription: Option<String>,
}

impl ServiceAsk {
    /// The terms on this network. Whether they are good shows when an offer is made of them.
    pub fn terms(&self, network: Network) -> Terms {
        let mut extra = service_terms(&self.service.to_string(), &self.provider);
        let more = [
            ("payer", &self.payer),
            ("subscriptions", &self.subscriptions),
            ("subscription", &self.subscription),
        ];
        for (key, value) in more {
            if let Some(value) = value {
                extra.insert(key.to_owned(), json!(value));
            }
        }
        Terms {
            scheme: SCHEME.to_owned(),
            network,
            price: Ask::Units { asset: NATIVE.to_owned(), amount: self.price_wei, extra },
            pay_to: self.manager.clone(),
            timeout_s: TIMEOUT_S,
        }
    }
}

/// Whether terms are those of a payment by transaction.
pub fn is_service(terms: &Terms) -> bool {
    terms.scheme == SCHEME
}

/// What a seller writes into the terms of a service.
pub fn service_terms(service_id: &str, provider: &str) -> Map<String, Value> {
    [("serviceId", service_id), ("provider", provider)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect()
}
