//! Which offer is taken: all are weighed by the policy, the cheapest allowed one wins (threat row Y09).

use std::sync::Arc;

use groat_core::payment::DialectId;
use groat_core::policy::{Decision, Denial, PayAsk};
use groat_core::ports::{Payer, Token};
use groat_core::reason::printable;
use groat_core::{Challenge, Offer};
use url::Url;

use super::url::{host, private_way, same_service, same_shop};
use super::{BuyError, Client};
use crate::past::{self, View, host_name};

/// The longest account or token that CAIP-10 and CAIP-19 allow.
const NAME_BYTES_MAX: usize = 128;

/// What a person is shown before a payment; all of it from the offer that would be signed (threat row Y23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskView {
    /// Who asks for money: the host that was really asked.
    pub host: String,
    /// The offer.
    pub offer: Offer,
    /// Its token, from our own table.
    pub token: Option<Token>,
    /// Its price in millionths of a dollar.
    pub usd_micros: u64,
    /// So long the payment would be good, in seconds.
    pub window_s: u64,
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
    /// Its token, from our own table; whatever the offer says of it does not count (threat row Y07).
    pub token: Option<Token>,
    /// Its price in millionths of a dollar, where the token has a known value.
    pub usd_micros: Option<u64>,
    /// What the policy says; `None` when this client cannot pay it at all.
    pub decision: Option<Decision>,
}

impl Plan {
    pub(super) fn free(status: u16) -> Self {
        Self { status, dialect: None, description: String::new(), offers: Vec::new(), chosen: None }
    }

    /// The offer that would be paid.
    pub fn chosen(&self) -> Option<&PlannedOffer> {
        self.offers.get(self.chosen?)
    }

    /// Why nothing can be chosen.
    pub(super) fn refusal(&self) -> BuyError {
        let denied = |planned: &PlannedOffer| match &planned.decision {
            Some(Decision::Deny(denial)) => Some(denial.clone()),
            _ => None,
        };
        let denials: Vec<Denial> = self.offers.iter().filter_map(denied).collect();
        if !denials.is_empty() {
            return BuyError::Denied(denials);
        }
        let name = |planned: &PlannedOffer| {
            format!("{} on {}", printable(&planned.offer.scheme, 40), planned.offer.network)
        };
        let names: Vec<String> = self.offers.iter().map(name).collect();
        BuyError::NoOffer(if names.is_empty() { "no offers".to_owned() } else { names.join(", ") })
    }
}

impl Client {
    /// Weighs all offers of a challenge.
    pub(super) fn weigh(
        &self,
        view: &View,
        url: &Url,
        dialect: &DialectId,
        challenge: &Challenge,
    ) -> Result<Plan, BuyError> {
        if let Ok(named) = Url::parse(&challenge.resource.url)
            && !same_shop(url, &named)
        {
            return Err(BuyError::NoOffer(format!(
                "the challenge is for {} and not for {}",
                host(&named),
                host(url)
            )));
        }
        let weighed = |offer: &Offer| {
            let payer = self.payer(offer).filter(|_| known_flow(offer) && is_taken_here(url, offer));
            let token = payer.and_then(|payer| payer.token(&offer.network, &offer.asset));
            let usd_micros = token.and_then(|token| token.usd_micros(offer.amount));
            let decision = payer.map(|payer| self.decide(view, url, payer.as_ref(), offer, usd_micros));
            PlannedOffer { offer: offer.clone(), token, usd_micros, decision }
        };
        let offers: Vec<PlannedOffer> =
            challenge.offers.iter().filter(|offer| is_plain(offer)).map(weighed).collect();
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

    /// What the policy says of one offer.
    pub(super) fn decide(
        &self,
        view: &View,
        url: &Url,
        payer: &dyn Payer,
        offer: &Offer,
        usd_micros: Option<u64>,
    ) -> Decision {
        let policy = &self.buyer.policy;
        let host = host(url);
        // Denying a host denies it on every port; allowing it allows what is written.
        if policy.hosts_denied.iter().any(|denied| denied.eq_ignore_ascii_case(host_name(&host))) {
            return Decision::Deny(Denial::Host(host));
        }
        let forgotten = self.buyer.options.payees_forgotten.get(&host).copied();
        let before = view.payee(&host, offer, forgotten);
        let ask = PayAsk {
            private_way: private_way(url),
            network: offer.network.clone(),
            usd_micros,
            pay_to: offer.pay_to.clone(),
            // Two spellings of one account are no change.
            pay_to_before: before.map(|before| {
                if payer.same_account(before, &offer.pay_to) { &offer.pay_to } else { before }.to_owned()
            }),
            host,
        };
        policy.decide(&ask, &view.spent(&ask.host, is_prepaid(offer)), view.now)
    }

    pub(super) fn payer(&self, offer: &Offer) -> Option<&Arc<dyn Payer>> {
        self.buyer.payers.iter().find(|payer| payer.scheme() == offer.scheme && payer.speaks(&offer.network))
    }
}

/// Whether its names can be names at all, in any scheme on any chain. What is not is shown to nobody: it may be written
/// to be read by a terminal or a model (threat row Y06).
fn is_plain(offer: &Offer) -> bool {
    [&offer.scheme, &offer.asset, &offer.pay_to]
        .iter()
        .all(|name| name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Whether whoever takes the payment is who was asked. A debit that is made out to another payment service is good there,
/// out of the balance there, for whoever has it.
fn is_taken_here(url: &Url, offer: &Offer) -> bool {
    match offer.extra.get("audience").filter(|_| is_prepaid(offer)) {
        None => true,
        Some(audience) => {
            let audience = audience.as_str().and_then(|audience| Url::parse(audience).ok());
            audience.is_some_and(|audience| same_service(url, &audience))
        }
    }
}

/// Whether the money left the wallet before: it comes out of a balance.
fn is_prepaid(offer: &Offer) -> bool {
    past::is_prepaid(&offer.network)
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
