//! The buyer's half: make the authorization and have it signed.

use std::borrow::Cow;

use alloy_primitives::{B256, U256};
use async_trait::async_trait;
use groat_core::ports::{Fate, Mechanism, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Fault, Offer, Payment};

use super::ExactEvm;
use super::check::domain;
use super::proof::{Authorization, Proof};
use super::{fate, typed_data};
use crate::{account, assets};

/// Dialects of version 1 start validity ten minutes ago, as their clients do; newer ones at zero.
const V1_BACKDATE_S: u64 = 600;

#[async_trait]
impl Payer for ExactEvm {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: &str| SignError::Offer(what.to_owned());
        let domain = domain(&named(offer)).map_err(|reason| SignError::Offer(reason.to_string()))?;
        let window_s = offer.timeout_s.clamp(1, request.window_s_max.max(1));
        let valid_after = match request.dialect.as_str() {
            "x402-v1" => request.now.0.saturating_sub(V1_BACKDATE_S),
            _ => 0,
        };
        let authorization = Authorization {
            from: account::parse(&signer.account())
                .ok_or_else(|| unpayable("the signer is not an EVM account"))?,
            to: account::parse(&offer.pay_to).ok_or_else(|| unpayable("the payee is not an EVM account"))?,
            value: offer.amount.as_u256(),
            valid_after: U256::from(valid_after),
            valid_before: U256::from(request.now.plus(window_s).0),
            nonce: B256::from(request.nonce),
        };
        let intent = TypedIntent {
            sentence: self.sentence(offer),
            typed_data: domain.typed_data(&authorization),
            digest: domain.digest(&authorization).0,
        };
        let signature = signer.sign(&intent).await?;
        Ok(Payment {
            dialect: request.dialect.clone(),
            scheme: offer.scheme.clone(),
            network: offer.network.clone(),
            proof: Proof::write(&authorization, &signature),
            accepted: None,
            resource: None,
            extensions: Default::default(),
        })
    }

    /// Where a node of the chain is known; a buyer needs none to pay.
    async fn fate(&self, payment: &Payment, offer: &Offer) -> Result<Fate, Fault> {
        let chain = self.chains().iter().find(|chain| *chain.network() == payment.network);
        let proof = Proof::read(&payment.proof).ok();
        let (Some(chain), Some(proof), Some(token)) = (chain, proof, account::parse(&offer.asset)) else {
            return Ok(Fate::Open { transaction: None });
        };
        let Authorization { from, nonce, valid_before, .. } = proof.authorization;
        fate::fate(chain, token, from, nonce, typed_data::seconds(valid_before)).await
    }
}

/// The offer with what our own table says of its token, where it says nothing itself: not every dialect names the domain.
fn named(offer: &Offer) -> Cow<'_, Offer> {
    let says = |key| offer.extra.contains_key(key);
    let known = account::parse(&offer.asset).and_then(|asset| assets::find(&offer.network, asset));
    match known {
        Some(known) if !says("name") && !says("version") => {
            let mut offer = offer.clone();
            for (key, text) in [("name", &known.name), ("version", &known.version)] {
                offer.extra.insert(key.to_owned(), text.as_str().into());
            }
            Cow::Owned(offer)
        }
        _ => Cow::Borrowed(offer),
    }
}

impl ExactEvm {
    fn sentence(&self, offer: &Offer) -> String {
        let network = offer.network.known().map_or(offer.network.as_str(), |known| known.name);
        match self.token(&offer.network, &offer.asset) {
            Some(token) => {
                format!(
                    "pay {} {} on {network} to {}",
                    offer.amount.to_decimal(token.decimals),
                    token.symbol,
                    offer.pay_to
                )
            }
            None => format!("pay {} units of {} on {network} to {}", offer.amount, offer.asset, offer.pay_to),
        }
    }
}

#[cfg(test)]
mod tests {
    use groat_core::{Amount, Network, Reason};
    use serde_json::{Map, Value, json};

    use super::*;

    fn offer(asset: &str, extra: &Value) -> Offer {
        Offer {
            scheme: "exact".into(),
            network: Network::eip155(84532),
            asset: asset.into(),
            amount: Amount::from_units(1),
            pay_to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
            timeout_s: 60,
            extra: extra.as_object().cloned().unwrap_or_else(Map::new),
            price: None,
            dialect: None,
            currency: None,
            verbatim: None,
        }
    }

    #[test]
    fn e02_the_domain_of_a_known_token_is_ours_and_nothing_is_guessed() {
        let usdc = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
        let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C9";
        let domain =
            |asset, extra| domain(&named(&offer(asset, &extra))).map(|domain| (domain.name, domain.version));
        assert_eq!(domain(usdc, json!({})), Ok(("USDC".into(), "2".into())));
        assert_eq!(domain(usdc, json!({"name": "USDC", "version": "2"})), Ok(("USDC".into(), "2".into())));
        assert_eq!(domain(usdc, json!({"name": "USDC"})), Err(Reason::MissingDomain));
        assert_eq!(domain(usdc, json!({"name": "Gold", "version": "2"})), Err(Reason::TokenNameMismatch));
        assert_eq!(domain(other, json!({})), Err(Reason::MissingDomain));
    }
}
