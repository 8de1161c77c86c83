//! Payment by a permit: the payer signs that a contract may take an amount, and we bring the signature to it.
//!
//! Two kinds are known. *Permit2*: a transfer by signature through the contract of this name, which the payer has allowed to
//! move the token once and for all. *EIP-2612*: a permit of the token itself. Neither says where the money goes, only who may
//! take it. So the taker is a [`till`]: a contract without an owner that can give what it takes to one payee only, and whose
//! address follows from that payee. An offer names the payee in `extra.payee` and the till as `pay_to`; whether they belong
//! together is computed, not believed.
//!
//! x402 has another flow for Permit2 (`exact` with `assetTransferMethod`), where the payee is signed as a witness. This is the
//! one of `x402-mock`, for the token endpoint; the two share nothing but Permit2 itself.

mod ask;
mod check;
mod judge;
mod look;
mod outcome;
mod payer;
mod proof;
mod settle;
#[cfg(test)]
mod tests;
pub mod till;
mod typed_data;

use std::fmt;

use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::payment::DialectId;
use groat_core::ports::{Mechanism, Token};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::{Map, Value, json};

use crate::exact::ExactEvm;
use crate::{Chain, account, assets};

pub use ask::PermitAsk;
pub use proof::Permit;
pub use typed_data::{permit_digest, permit_typed_data};

/// The scheme.
pub(crate) const SCHEME: &str = "permit";
/// The one dialect that can say it.
const DIALECT: DialectId = DialectId::new("token");

/// Which kind of permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitKind {
    /// A transfer by signature through Permit2.
    Permit2,
    /// A permit of the token itself.
    Eip2612,
}

impl PermitKind {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permit2 => "Permit2",
            Self::Eip2612 => "EIP2612",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Permit2, Self::Eip2612].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for PermitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Payment by permit on EVM.
#[derive(Debug, Clone, Default)]
pub struct PermitEvm {
    /// What every transaction of ours needs, whatever it carries.
    exact: ExactEvm,
}

impl PermitEvm {
    /// For sellers.
    pub fn offline() -> Self {
        Self::default()
    }

    /// For facilitators on these chains, and for buyers who ask their nodes.
    pub fn on(chains: Vec<Chain>) -> Self {
        Self { exact: ExactEvm::on(chains) }
    }
}

/// What an offer says beside the price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taking {
    kind: PermitKind,
    payee: alloy_primitives::Address,
    till: alloy_primitives::Address,
    asset: alloy_primitives::Address,
}

impl Taking {
    /// Reads an offer. A till that is not the one of its payee is refused.
    fn of(offer: &Offer) -> Result<Self, Reason> {
        let wrong = Reason::InvalidRequirements;
        let text = |key: &str| offer.extra.get(key).and_then(Value::as_str);
        let kind = text("permitType").and_then(PermitKind::parse).ok_or(wrong.clone())?;
        let payee = text("payee").and_then(account::parse).ok_or(wrong.clone())?;
        let asset = account::parse(&offer.asset).ok_or(wrong.clone())?;
        let till = till::address(payee).filter(|till| account::parse(&offer.pay_to) == Some(*till));
        Ok(Self { kind, payee, till: till.ok_or(wrong)?, asset })
    }
}

impl Mechanism for PermitEvm {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.chain_id().is_some()
    }

    /// The terms name the payee; the offer names its till.
    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let Ask::Units { asset, amount, extra } = &terms.price else {
            return Err("a payment by permit has its price in units of a token".to_owned());
        };
        let text = |key: &str| extra.get(key).and_then(Value::as_str);
        let kind = text("permitType").and_then(PermitKind::parse);
        let kind = kind.ok_or("the kind of a permit is `Permit2` or `EIP2612`")?;
        let payee = account::parse(&terms.pay_to).filter(|account| !account.is_zero());
        let payee = payee.ok_or_else(|| format!("`{}` is not an account that can be paid", terms.pay_to))?;
        let till = till::address(payee).ok_or("the till's code cannot be read")?;
        let asset = account::parse(asset).ok_or_else(|| format!("`{asset}` is not a token contract"))?;
        if amount.is_zero() {
            return Err("a price of zero sells for nothing: leave the route unpriced instead".to_owned());
        }
        let known = assets::find(&terms.network, asset);
        let stated = || {
            let decimals = extra.get("decimals").and_then(Value::as_u64)?;
            Some(Currency { symbol: text("symbol")?.to_owned(), decimals: decimals.try_into().ok()? })
        };
        let currency = match known {
            Some(known) => Some(Currency { symbol: known.symbol.clone(), decimals: known.decimals }),
            None => stated(),
        };
        let currency = currency
            .ok_or("the token is not in the table: say its `symbol` and its `decimals` for those who pay")?;
        // Clients of the token endpoint want a name and a version of every token, also where nothing is signed with them.
        let name = known.map(|known| known.name.as_str()).or(text("name"));
        let version = known.map(|known| known.version.as_str()).or(text("version"));
        if kind == PermitKind::Eip2612 && (name.is_none() || version.is_none()) {
            return Err(
                "a permit of the token is signed with its EIP-712 `name` and `version`: say them".to_owned()
            );
        }
        let mut told = Map::new();
        told.insert("name".to_owned(), json!(name.unwrap_or(&currency.symbol)));
        told.insert("version".to_owned(), json!(version.unwrap_or("1")));
        told.insert("payee".to_owned(), json!(account::text(payee)));
        told.insert("permitType".to_owned(), json!(kind.name()));
        Ok(Some(Offer {
            scheme: SCHEME.to_owned(),
            network: terms.network.clone(),
            asset: account::text(asset),
            amount: *amount,
            pay_to: account::text(till),
            timeout_s: terms.timeout_s,
            extra: told,
            price: None,
            dialect: Some(DIALECT),
            currency: Some(currency),
            verbatim: None,
        }))
    }

    /// What Permit2 or the token lets happen once: a nonce of Permit2 whatever the token, a nonce of a token by itself.
    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let permit = Permit::read(&payment.proof)?;
        let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
        let (owner, nonce) = (permit.owner.as_slice(), permit.nonce.to_be_bytes::<32>());
        let key = match permit.kind {
            PermitKind::Permit2 => PaymentKey::new(KeyKind::Permit2, &offer.network, &[owner, &nonce]),
            PermitKind::Eip2612 => {
                PaymentKey::new(KeyKind::Eip2612, &offer.network, &[asset.as_slice(), owner, &nonce])
            }
        };
        Ok((key, permit.valid_until()))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        self.exact.same_account(one, other)
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        self.exact.token(network, asset)
    }
}
