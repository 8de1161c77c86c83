//! Payment by transaction hash: the payer sends money by a transaction of its own and shows its hash.
//!
//! Two ways are known. Through a *payment manager*, a contract that emits [`PaymentMade`](event::PaymentMade) for a
//! service: only this event counts, never whom the transaction called or what it carried, because a deposit that can be
//! withdrawn again looks the same. Or directly to the payee, in the chain's own coin or a token.
//!
//! A transaction can carry several payments. Those to one payee (or manager) in one asset are told apart by counting, from
//! 0, whatever price or service they are for. With payee and asset the count names one log, so the replay key is chain,
//! hash, payee, asset, count: whoever shows a hash knows nothing of logs, and the key is needed before anybody looks.

mod access;
mod ask;
mod binding;
mod discovery;
mod event;
mod fate;
mod history;
mod observe;
mod payer;
mod registry;

use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::payment::DialectId;
use groat_core::ports::{Mechanism, Token};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::{Value, json};

use crate::{Chain, account, assets};

pub use ask::{ServiceAsk, is_service, service_terms};
pub use discovery::{Listed, Wanted, discover};
pub use event::{MadeLog, PAYMENT_MADE};
pub(crate) use fate::{discard, fate};
pub use history::{Contracts, EventKind, PaidEvent, SUBSCRIPTION_PAID, history, history_of};
pub(crate) use observe::find;
pub use payer::Purse;
pub(crate) use payer::{Own, publish, sign};
pub use registry::ServiceTrouble;

/// The scheme.
pub(crate) const SCHEME: &str = "transaction";
/// The one dialect that can say it.
const DIALECT: DialectId = DialectId::new("agentxpay");
/// The chain's own coin, as an asset.
pub const NATIVE: &str = "native";
/// Payments of one transaction that are looked at.
const COUNT_MAX: u64 = 64;

/// Payment by transaction hash on EVM.
#[derive(Debug, Clone, Default)]
pub struct ByHashEvm {
    chains: Vec<Chain>,
    purse: Purse,
    remembered: access::Remembered,
}

impl ByHashEvm {
    /// For sellers.
    pub fn offline() -> Self {
        Self::default()
    }

    /// For facilitators on these chains.
    pub fn on(chains: Vec<Chain>) -> Self {
        Self { chains, ..Self::default() }
    }

    /// For buyers, who send their transactions to the nodes of these chains.
    pub fn buying(chains: Vec<Chain>, purse: Purse) -> Self {
        Self { chains, purse, ..Self::default() }
    }
}

/// A service of a payment manager, as an offer names it in `extra`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) id: alloy_primitives::U256,
    /// Who earns; the manager only keeps it for them.
    pub(crate) provider: alloy_primitives::Address,
}

impl Service {
    /// The service of an offer; `None` for a payment straight to the payee.
    pub(crate) fn of(offer: &Offer) -> Result<Option<Self>, Reason> {
        let Some(id) = offer.extra.get("serviceId") else { return Ok(None) };
        let wrong = Reason::InvalidRequirements;
        let id = id.as_str().and_then(|text| text.parse().ok()).ok_or(wrong.clone())?;
        let provider = offer.extra.get("provider").and_then(Value::as_str).and_then(account::parse);
        Ok(Some(Self { id, provider: provider.ok_or(wrong)? }))
    }
}

/// The proof: which transaction, and which of its payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) hash: alloy_primitives::B256,
    pub(crate) count: u64,
}

impl Proof {
    /// Reads `{hash, count}`. The hash is 32 bytes in hex, in any case (threat row R21).
    pub(crate) fn read(value: &Value) -> Result<Self, Reason> {
        let hash = value.get("hash").and_then(Value::as_str).and_then(parse_hash);
        let count = value.get("count").map_or(Some(0), Value::as_u64).filter(|count| *count < COUNT_MAX);
        hash.zip(count).map(|(hash, count)| Self { hash, count }).ok_or(Reason::InvalidPayload)
    }
}

pub(crate) fn parse_hash(text: &str) -> Option<alloy_primitives::B256> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let mut bytes = [0; 32];
    (digits.len() == 64).then_some(())?;
    alloy_primitives::hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes.into())
}

impl Mechanism for ByHashEvm {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.chain_id().is_some()
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let Ask::Units { asset, amount, extra } = &terms.price else {
            return Err("a payment by transaction has its price in units of a coin or token".to_owned());
        };
        let pay_to = account::parse(&terms.pay_to).filter(|account| !account.is_zero());
        let pay_to =
            pay_to.ok_or_else(|| format!("`{}` is not an account that can be paid", terms.pay_to))?;
        let (asset, currency) = match asset.as_str() {
            NATIVE => (NATIVE.to_owned(), None),
            token => {
                let token =
                    account::parse(token).ok_or_else(|| format!("`{token}` is not a token contract"))?;
                let known = assets::find(&terms.network, token);
                let currency =
                    known.map(|known| Currency { symbol: known.symbol.clone(), decimals: known.decimals });
                (account::text(token), currency)
            }
        };
        if amount.is_zero() {
            return Err("a price of zero sells for nothing: leave the route unpriced instead".to_owned());
        }
        let offer = Offer {
            scheme: SCHEME.to_owned(),
            network: terms.network.clone(),
            asset,
            amount: *amount,
            pay_to: account::text(pay_to),
            timeout_s: terms.timeout_s,
            extra: extra.clone(),
            price: None,
            dialect: Some(DIALECT),
            currency,
            verbatim: None,
        };
        let service = Service::of(&offer).map_err(|_| {
            "a service of a payment manager has a `serviceId`, a whole number as text, and a `provider`, an account"
        })?;
        if service.is_some() && offer.asset != NATIVE {
            return Err("a payment manager takes the chain's own coin only".to_owned());
        }
        binding::Binding::of(&offer).map_err(|_| "`payer` is `off`, `optional` or `required`")?;
        access::Subscriptions::of(&offer).map_err(|_| {
            "`subscriptions` is the account of a subscription manager, for a service, and `subscription` is one of off, \
             signed, unsigned"
        })?;
        Ok(Some(offer))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let Proof { hash, count } = Proof::read(&payment.proof)?;
        let wrong = Reason::InvalidRequirements;
        let pay_to = account::parse(&offer.pay_to).ok_or(wrong.clone())?;
        let asset = match offer.asset.as_str() {
            // Of no contract.
            NATIVE => alloy_primitives::Address::ZERO,
            token => account::parse(token).filter(|token| !token.is_zero()).ok_or(wrong)?,
        };
        let parts: [&[u8]; 4] = [hash.as_slice(), pay_to.as_slice(), asset.as_slice(), &count.to_be_bytes()];
        // A transaction can be mined at any time; how old it may be is seen when it is looked at.
        Ok((PaymentKey::new(KeyKind::Transaction, &offer.network, &parts), Timestamp(u64::MAX)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one == other || account::parse(one).is_some_and(|account| Some(account) == account::parse(other))
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn gives_access(&self, offer: &Offer) -> bool {
        matches!(access::Subscriptions::of(offer), Ok(Some(_)))
    }

    fn next(&self, payment: &Payment) -> Option<Payment> {
        let count = Proof::read(&payment.proof).ok()?.count + 1;
        let mut next = payment.clone();
        next.proof.as_object_mut()?.insert("count".to_owned(), json!(count));
        (count < COUNT_MAX).then_some(next)
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        if asset == NATIVE {
            let rate = self.purse.coins.iter().find(|(of, _)| of == network).map(|(_, rate)| *rate);
            return Some(Token { symbol: "coin", decimals: 18, unit_usd_micros: rate });
        }
        let known = assets::find(network, account::parse(asset)?)?;
        Some(Token { symbol: &known.symbol, decimals: known.decimals, unit_usd_micros: Some(Token::DOLLAR) })
    }
}
