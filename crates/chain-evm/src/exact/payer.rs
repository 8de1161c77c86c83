//! The buyer's half: make the authorization and have it signed.

use alloy_primitives::{B256, U256};
use async_trait::async_trait;
use groat_core::ports::{Fate, Mechanism, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Fault, Offer, Payment};

use super::ExactEvm;
use super::check::domain;
use super::proof::{Authorization, Proof};
use super::{fate, typed_data};
use crate::account;

/// Dialects of version 1 start validity ten minutes ago, as their clients do; newer ones at zero.
const V1_BACKDATE_S: u64 = 600;

#[async_trait]
impl Payer for ExactEvm {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        let offer = request.offer;
        let unpayable = |what: &str| SignError::Offer(what.to_owned());
        let domain = domain(offer).map_err(|reason| SignError::Offer(reason.to_string()))?;
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
