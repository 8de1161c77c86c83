//! Which offer is taken: all are weighed by the policy, the cheapest allowed one wins (threat row Y09).

use std::sync::Arc;

use groat_core::payment::DialectId;
use groat_core::policy::{Decision, Denial, PayAsk};
use groat_core::ports::Payer;
use groat_core::reason::printable;
use groat_core::{Challenge, Offer};
use url::Url;

use super::{BuyError, Client, host};
use crate::budget;

/// What a person is shown before a payment; all of it from the offer that would be signed (threat row Y23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskView {
    /// Who asks for money: the host that was really asked.
    pub host: String,
    /// The offer.
    pub offer: Offer,
    /// Its price in millionths of a dollar.
    pub usd_micros: u64,
    /// Why a person is asked.
    pub why: String,
}

/// What a request would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// HTTP status of the unpaid answer.
    pub status: u16,
    /// The language that would be spoken.
    pub dialect: Option<DialectId>,
    /// What the seller says it sells: data, never instructions.
    pub description: String,
    /// Every offer with the verdict on it.
    pub offers: Vec<PlannedOffer>,
    /// Which one would be paid.
    pub chosen: Option<usize>,
}

/// An offer and what would become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedOffer {
    /// The offer.
    pub offer: Offer,
    /// Its price in millionths of a dollar, where the token has a known value.
    pub usd_micros: Option<u64>,
    /// What the policy says; `None` when this client cannot pay it at all.
    pub decision: Option<Decision>,
}

impl Plan {
    pub(super) fn free(status: u16) -> Self {
        Self { status, dialect: None, description: String::new(), offers: Vec::new(), chosen: None }
    }

    /// Why nothing can be chosen.
    pub(super) fn refusal(&self) -> BuyError {
        let denials: Vec<Denial> = self
            .offers
            .iter()
            .filter_map(|planned| match &planned.decision {
                Some(Decision::Deny(denial)) => Some(denial.clone()),
                _ => None,
            })
            .collect();
        if denials.is_empty() {
            let names: Vec<String> = self
                .offers
                .iter()
                .map(|planned| format!("{} on {}", planned.offer.scheme, planned.offer.network))
                .collect();
            return BuyError::NoOffer(if names.is_empty() {
                "no offers".to_owned()
            } else {
                names.join(", ")
            });
        }
        BuyError::Denied(denials)
    }
}

impl Client {
    /// Weighs all offers of a challenge.
    pub(super) async fn weigh(
        &self,
        fingerprint: &str,
        url: &Url,
        dialect: &DialectId,
        challenge: &Challenge,
    ) -> Result<Plan, BuyError> {
        same_shop(url, &challenge.resource.url)?;
        let now = self.buyer.clock.now();
        let mut offers = Vec::new();
        for offer in &challenge.offers {
            let token = self.payer(offer).and_then(|payer| payer.token(&offer.network, &offer.asset));
            let usd_micros = token.and_then(|token| token.usd_micros(offer.amount));
            let decision = match self.payer(offer) {
                Some(_) if known_flow(offer) => {
                    let past =
                        budget::past(&self.journal, fingerprint, &host(url), Some(&offer.network), now)
                            .await?;
                    let ask = PayAsk {
                        host: host(url),
                        private_way: private_way(url),
                        network: offer.network.clone(),
                        usd_micros,
                        pay_to: offer.pay_to.clone(),
                        pay_to_before: past.pay_to_before,
                    };
                    Some(self.buyer.policy.decide(&ask, &past.spent, now))
                }
                _ => None,
            };
            offers.push(PlannedOffer { offer: offer.clone(), usd_micros, decision });
        }
        let chosen = offers
            .iter()
            .enumerate()
            .filter(|(_, planned)| matches!(planned.decision, Some(Decision::Allow(_) | Decision::Ask(_))))
            .min_by_key(|(index, planned)| (planned.usd_micros, settles_first(&planned.offer), *index))
            .map(|(index, _)| index);
        Ok(Plan {
            status: 402,
            dialect: Some(dialect.clone()),
            description: printable(&challenge.resource.description, 200),
            offers,
            chosen,
        })
    }

    pub(super) fn payer(&self, offer: &Offer) -> Option<&Arc<dyn Payer>> {
        self.buyer.payers.iter().find(|payer| payer.scheme() == offer.scheme && payer.speaks(&offer.network))
    }
}

/// Flows that this client understands (x402 `paymentFlow`); others are not offers to it.
fn known_flow(offer: &Offer) -> bool {
    let method = offer.extra.get("assetTransferMethod").and_then(|method| method.as_str());
    matches!(method, None | Some("eip3009"))
        && matches!(flow(offer), None | Some("authorization" | "upfront"))
}

fn flow(offer: &Offer) -> Option<&str> {
    offer.extra.get("paymentFlow").map(|flow| flow.as_str().unwrap_or("unknown"))
}

/// At the same price, paying after the answer is better than before.
fn settles_first(offer: &Offer) -> bool {
    flow(offer) == Some("upfront")
}

/// The challenge must be about the host that was asked (threat row B12).
fn same_shop(asked: &Url, named: &str) -> Result<(), BuyError> {
    let Ok(named) = Url::parse(named) else { return Ok(()) };
    let loopback_pair = private_way(asked) && is_loopback(&named);
    if named.host_str() == asked.host_str() || loopback_pair && is_loopback(asked) {
        return Ok(());
    }
    Err(BuyError::NoOffer(format!(
        "the challenge is for {} and not for {}",
        named.host_str().unwrap_or("nobody"),
        asked.host_str().unwrap_or("nobody")
    )))
}

/// Whether nobody on the way can read or change what is sent.
fn private_way(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}
