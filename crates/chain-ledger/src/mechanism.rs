//! The scheme `balance`: what is offered, and what makes a debit unique.

use groat_core::ports::{Mechanism, Token};
use groat_core::{Network, Offer, Payment, PaymentKey, Reason, Terms, Timestamp};
use serde_json::json;

use crate::debit::{read_nonce, replay_key};
use crate::offer::offer;
use crate::{Debit, Holder, Ledger, PERMIT_TYPE, SCHEME, signature};

/// Payment out of a ledger of ours: for sellers and for the engine that takes the money.
#[derive(Debug, Clone)]
pub struct BalanceLedger {
    pub(crate) ledger: Ledger,
    pub(crate) audience: String,
}

impl BalanceLedger {
    /// Debits of this ledger that are made out to `audience`: the URL of the payment service that takes them. Another
    /// service on the same ledger has another one, or the debits of its customers are good here.
    pub fn new(ledger: Ledger, audience: &str) -> Self {
        Self { ledger, audience: audience.to_owned() }
    }
}

impl Mechanism for BalanceLedger {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn speaks(&self, network: &Network) -> bool {
        network == self.ledger.network()
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        if terms.scheme != SCHEME || !self.speaks(&terms.network) {
            return Ok(None);
        }
        let known = |symbol: &str| {
            self.ledger.currency(symbol).ok_or_else(|| format!("`{symbol}` is not kept in {}", terms.network))
        };
        let pay_to = Holder::parse(&terms.pay_to).map_err(|error| format!("`{}`: {error}", terms.pay_to))?;
        let extra = [("permitType", json!(PERMIT_TYPE)), ("audience", json!(self.audience))];
        let extra = extra.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        offer(terms, known, pay_to.to_string(), extra).map(Some)
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        key(payment, offer)
    }

    fn key_of(
        &self,
        network: &Network,
        asset: &str,
        payer: &str,
        nonce: &str,
    ) -> Result<Option<PaymentKey>, String> {
        if !self.speaks(network) {
            return Ok(None);
        }
        if self.ledger.currency(asset).is_none() {
            return Err(format!("this currency is not kept in {network}"));
        }
        let holder = Holder::parse(payer).map_err(|error| format!("the authorizer: {error}"))?;
        let nonce = read_nonce(nonce).ok_or("the nonce is not 0x and 64 hex digits")?;
        Ok(Some(replay_key(network, &holder, &nonce)))
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        same_account(one, other)
    }

    fn has_signed(&self, account: &str, text: &str, signature: &str) -> bool {
        Holder::parse(account).is_ok_and(|holder| {
            signature::read(&holder, signature)
                .is_some_and(|signature| signature::is_signed(&holder, text, &signature))
        })
    }

    fn token(&self, _network: &Network, asset: &str) -> Option<Token> {
        self.ledger.currency(asset).map(|currency| currency.token())
    }
}

pub(crate) fn key(payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
    let debit = Debit::read(&payment.proof)?;
    Ok((debit.key(&offer.network), debit.deadline))
}

pub(crate) fn same_account(one: &str, other: &str) -> bool {
    one == other || Holder::parse(one).is_ok_and(|holder| Holder::parse(other) == Ok(holder))
}
