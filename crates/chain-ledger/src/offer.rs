//! What a seller asks for off the chain, as an offer of the token endpoint.

use groat_core::offer::{Ask, Currency as Spelled};
use groat_core::payment::DialectId;
use groat_core::{Offer, Terms};
use serde_json::{Map, Value};

use crate::Currency;

/// The one dialect that can say it: orders travel to the token endpoint.
const DIALECT: DialectId = DialectId::new("token");

/// The offer for these terms. `known` finds a currency by its symbol, or says why there is none; `extra` is what a buyer is told
/// beside the price.
pub(crate) fn offer<'c>(
    terms: &Terms,
    known: impl Fn(&str) -> Result<&'c Currency, String>,
    pay_to: String,
    extra: Map<String, Value>,
) -> Result<Offer, String> {
    let (currency, amount, price) = match &terms.price {
        Ask::Price(price) => {
            let currency = known(price.ticker().unwrap_or("USD"))?;
            let amount = price.to_units(currency.decimals).map_err(|error| error.to_string())?;
            (currency, amount, Some(price.to_string()))
        }
        Ask::Units { asset, amount, .. } => (known(asset)?, *amount, None),
    };
    if amount.is_zero() {
        return Err("a price of zero sells for nothing: leave the route unpriced instead".to_owned());
    }
    Ok(Offer {
        scheme: terms.scheme.clone(),
        network: terms.network.clone(),
        asset: currency.symbol.to_owned(),
        amount,
        pay_to,
        timeout_s: terms.timeout_s,
        extra,
        price,
        dialect: Some(DIALECT),
        currency: Some(Spelled { symbol: currency.symbol.to_owned(), decimals: currency.decimals }),
        verbatim: None,
    })
}
