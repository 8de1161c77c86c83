//! A signed proof that a transaction has paid a request. The token and its claims are the real ones; the signature is a
//! stand-in that says who signed, and as malleable as real ones.

use async_trait::async_trait;
use groat_core::books::Mined;
use groat_core::key::KeyKind;
use groat_core::offer::{Ask, Currency};
use groat_core::ports::{Mechanism, Observer, Seen, Token};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault as Trouble, Network, Offer, Payment, PaymentKey, Reason, Terms,
    Timestamp,
};
use groat_wire::want_pay::proof::{Algorithm, Claims, signing_input};
use groat_wire::want_pay::{ID, SCHEME};
use serde_json::{Value, json};

use super::{depth, find, parse_hash, refused};
use crate::chain::{Account, Way, fnv};
use crate::exact::NETWORK;
use crate::node::{Node, unavailable};

const ALGORITHM: Algorithm = Algorithm::Es256kR;

/// Payments of requests; with a node it also looks.
pub(crate) struct ByProof {
    pub(crate) node: Option<Node>,
}

/// What stands in for an account's signature of claims. The last byte may be anything.
pub(crate) fn sign_proof(account: Account, claims: &Claims, spelling: u8) -> Vec<u8> {
    sign(account, &signing_input(ALGORITHM, claims), spelling)
}

fn sign(account: Account, input: &str, spelling: u8) -> Vec<u8> {
    let mut signature = account.0.to_be_bytes().to_vec();
    signature.extend(fnv(input.as_bytes()).to_be_bytes());
    signature.resize(64, 0);
    signature.push(spelling);
    signature
}

fn claim<'p>(payment: &'p Payment, key: &str) -> &'p str {
    payment.proof.get("claims").and_then(|claims| claims.get(key)?.as_str()).unwrap_or_default()
}

/// The account in the claims, if it has signed them.
fn signer(payment: &Payment) -> Option<Account> {
    let text = |key: &str| payment.proof.get(key).and_then(Value::as_str);
    let account = Account::parse(claim(payment, "iss"))?;
    let signature = text("signature")?.strip_prefix("0x")?;
    let ours: String =
        sign(account, text("signingInput")?, 0).iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    signature.starts_with(&ours).then_some(account)
}

impl Mechanism for ByProof {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network.as_str() == NETWORK
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        let Ask::Units { asset, amount, .. } = &terms.price else { return Ok(None) };
        Ok((terms.scheme == SCHEME).then(|| Offer {
            scheme: SCHEME.to_owned(),
            network: terms.network.clone(),
            asset: asset.clone(),
            amount: *amount,
            pay_to: terms.pay_to.clone(),
            timeout_s: terms.timeout_s,
            extra: [("contract".to_owned(), json!(Account::DESK.to_string()))].into_iter().collect(),
            price: None,
            dialect: Some(ID),
            currency: Some(Currency { symbol: "USD".to_owned(), decimals: 6 }),
            verbatim: None,
        }))
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        let id = claim(payment, "sub");
        let exp = payment.proof.get("claims").and_then(|claims| claims.get("exp")?.as_u64());
        let exp = exp.filter(|_| !id.is_empty()).ok_or(Reason::InvalidPayload)?;
        let parts: [&[u8]; 2] = [offer.pay_to.as_bytes(), id.as_bytes()];
        Ok((PaymentKey::new(KeyKind::Request, &offer.network, &parts), Timestamp(exp)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        Account::parse(one).is_some_and(|account| Some(account) == Account::parse(other))
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn token(&self, _network: &Network, _asset: &str) -> Option<Token> {
        None
    }
}

#[async_trait]
impl Observer for ByProof {
    async fn ready(&self) -> Vec<Network> {
        Network::parse(NETWORK).into_iter().collect()
    }

    async fn observe(&self, payment: &Payment, offer: &Offer, _now: Timestamp) -> Result<Seen, Failure> {
        let node = self.node.as_ref().ok_or_else(|| unavailable("this side has no node"))?;
        let payer = signer(payment).ok_or_else(|| Reason::from_code("bad_signature"))?;
        let hash = parse_hash(claim(payment, "tx")).ok_or(Reason::InvalidPayload)?;
        let found = find(node, hash).await?;
        let refuse = |code: &str| refused(Reason::from_code(code), hash);
        let paid = found.paid.as_ref().ok_or_else(|| refuse("not_settled"))?;
        let Way::Request(request) = &paid.way else { return Err(refuse("not_settled")) };
        let amount = Amount::from_units(u128::from(request.value));
        if request.id != fnv(claim(payment, "sub").as_bytes()) {
            return Err(refuse("not_settled"));
        }
        if amount != offer.amount {
            return Err(refuse("amount_mismatch"));
        }
        if paid.payer != payer {
            return Err(refuse("claims_mismatch"));
        }
        let expires = payment.proof.get("expires").and_then(Value::as_u64);
        if expires.is_some_and(|expires| paid.time > expires) {
            return Err(refuse("expired"));
        }
        let (key, valid_until) = self.key(payment, offer)?;
        let claim = Claim {
            key,
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer: payer.to_string(),
            pay_to: offer.pay_to.clone(),
            amount,
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
