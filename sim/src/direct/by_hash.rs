//! The hash of a transaction that pays for services, and of which of its payments. Who shows it may have to have signed.

use async_trait::async_trait;
use groat_core::books::Mined;
use groat_core::key::KeyKind;
use groat_core::offer::Ask;
use groat_core::ports::{Mechanism, Observer, Seen, Token};
use groat_core::{
    Claim, Depth, Failure, Fault as Trouble, Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp,
};
use groat_wire::agentxpay::{ID, SCHEME};
use serde_json::{Map, Value, json};

use super::{AGE_S_MAX, depth, find, parse_hash, refused};
use crate::Planted;
use crate::chain::{Account, Made, Way, fnv};
use crate::exact::NETWORK;
use crate::node::{Node, unavailable};

/// The coin of the chain.
pub(crate) const NATIVE: &str = "native";
/// Payments of one transaction that are looked at.
const COUNT_MAX: u64 = 8;

/// Payments by hash; with a node it also looks.
pub(crate) struct ByHash {
    pub(crate) node: Option<Node>,
}

/// What an offer says of its service, and of who may show a payment for it.
pub(crate) fn service_terms(service: u64, is_bound: bool) -> Map<String, Value> {
    let payer = if is_bound { "required" } else { "off" };
    let members = [
        ("serviceId", service.to_string()),
        ("provider", Account::SHOP.to_string()),
        ("payer", payer.to_owned()),
    ];
    members.into_iter().map(|(key, text)| (key.to_owned(), json!(text))).collect()
}

/// What stands in for an account's signature of the lines of a request.
pub(crate) fn binding(account: Account, lines: &str) -> String {
    format!("{account}{:016x}", fnv(lines.as_bytes()))
}

fn read(payment: &Payment) -> Result<(u64, u64), Reason> {
    let hash = payment.proof.get("hash").and_then(Value::as_str).and_then(parse_hash);
    let count = payment.proof.get("count").and_then(Value::as_u64).filter(|count| *count < COUNT_MAX);
    hash.zip(count).ok_or(Reason::InvalidPayload)
}

/// Whether whoever shows it has to be the payer, and is.
fn check_binding(payment: &Payment, offer: &Offer, payer: Account) -> Result<(), Reason> {
    let text = |key: &str| payment.proof.get(key).and_then(Value::as_str);
    if offer.extra.get("payer").and_then(Value::as_str) != Some("required") {
        return Ok(());
    }
    let is_his = text("lines")
        .zip(text("signature"))
        .is_some_and(|(lines, signature)| signature == binding(payer, lines));
    if is_his { Ok(()) } else { Err(Reason::InvalidSignature) }
}

impl Mechanism for ByHash {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.as_str() == NETWORK
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        let Ask::Units { asset, amount, extra } = &terms.price else { return Ok(None) };
        Ok((terms.scheme == SCHEME).then(|| Offer {
            scheme: SCHEME.to_owned(),
            network: terms.network.clone(),
            asset: asset.clone(),
            amount: *amount,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra: extra.clone(),
            price: None,
            dialect: Some(ID),
            currency: None,
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let (hash, count) = read(payment)?;
        let parts: [&[u8]; 2] = [&hash.to_be_bytes(), &count.to_be_bytes()];
        Ok((PaymentKey::new(KeyKind::Transaction, &offer.network, &parts), Timestamp(u64::MAX)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        one == other || Account::parse(one).is_some_and(|account| Some(account) == Account::parse(other))
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn next(&self, payment: &Payment) -> Option<Payment> {
        let count = read(payment).ok()?.1 + 1;
        let mut next = payment.clone();
        next.proof.as_object_mut()?.insert("count".to_owned(), json!(count));
        (count < COUNT_MAX).then_some(next)
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

/// The payment with this number, and why it is not for the offer.
fn made(several: &[Made], count: u64, offer: &Offer) -> Option<Result<(), Reason>> {
    let made = several.get(usize::try_from(count).ok()?)?;
    let service = offer.extra.get("serviceId").and_then(Value::as_str);
    Some(match () {
        () if service != Some(made.service.to_string().as_str()) => Err(Reason::RecipientMismatch),
        () if u128::from(made.value) < offer.amount.as_u256().try_into().unwrap_or(u128::MAX) => {
            Err(Reason::AmountMismatch)
        }
        () => Ok(()),
    })
}

#[async_trait]
impl Observer for ByHash {
    async fn ready(&self) -> Vec<Network> {
        Network::parse(NETWORK).into_iter().collect()
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Seen, Failure> {
        let node = self.node.as_ref().ok_or_else(|| unavailable("this side has no node"))?;
        let (hash, mut count) = read(payment)?;
        let found = match find(node, hash).await {
            Err(Failure::Fault(Trouble::Pending { .. })) if node.stage.planted(Planted::PendingRefused) => {
                return Err(refused(Reason::TransactionFailed, hash));
            }
            found => found?,
        };
        let paid = found.paid.as_ref().ok_or_else(|| refused(Reason::TransactionFailed, hash))?;
        let several = match &paid.way {
            Way::Services(several) => several.as_slice(),
            Way::Request(_) => &[],
        };
        if node.stage.planted(Planted::EndlessCredit) && !several.is_empty() {
            count %= several.len() as u64;
        }
        made(several, count, offer)
            .unwrap_or(Err(Reason::TransferEventMismatch))
            .map_err(|reason| refused(reason, hash))?;
        let valid_until = Timestamp(paid.time).plus(AGE_S_MAX);
        if valid_until < now {
            return Err(refused(Reason::Expired, hash));
        }
        if !node.stage.planted(Planted::UnsignedHash) {
            check_binding(payment, offer, paid.payer)?;
        }
        let claim = Claim {
            key: self.key(payment, offer)?.0,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: paid.payer.to_string(),
            pay_to: offer.pay_to.clone(),
            amount: offer.amount,
            valid_from: Timestamp(0),
            valid_until,
            alone: false,
            funds: None,
        };
        Ok(Seen { claim, settled: found.settled(hash) })
    }

    async fn depth(&self, _network: &Network, mined: &Mined) -> Result<Depth, Trouble> {
        depth(self.node.as_ref().ok_or_else(|| unavailable("this side has no node"))?, mined).await
    }
}
