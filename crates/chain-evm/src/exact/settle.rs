//! The facilitator's half: verify, sign, send, find out.

use std::time::Duration;

use alloy_primitives::{Address, Bytes, U64, U256};
use async_trait::async_trait;
use groat_core::books::{Attempt, Mined, Settlement};
use groat_core::ports::{Look, Mechanism, Place, Plan, Replacement, Settler, Standing};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault, Funds, Network, Offer, Payment, Reason, Refusal, Timestamp,
};
use serde_json::Value;

use super::check::{Checked, check};
use super::look::{Seen, look};
use super::proof::{Proof, Signature};
use super::rider::Rider;
use super::typed_data::seconds;
use super::{ExactEvm, judge, outcome, plan};
use crate::account;
use crate::chain::Chain;
use crate::gas_key::GasKey;
use crate::transaction;

/// No settlement costs less gas than this.
const GAS_MIN: u64 = 50_000;

pub(crate) const EMPTY: &str = "the account that pays for gas is empty";

/// Whether an account can pay for any settlement at all; what one really costs is asked when there is one to pay for.
pub(crate) fn can_pay(purse: U256, base_fee: U256) -> bool {
    !purse.is_zero() && purse >= base_fee.saturating_mul(U256::from(GAS_MIN))
}

#[async_trait]
impl Settler for ExactEvm {
    async fn ready(&self) -> Vec<(Network, Vec<String>)> {
        let mut ready = Vec::new();
        for chain in self.chains() {
            let Ok(head) = chain.rpc().head().await else { continue };
            let base_fee = head.base_fee_per_gas.unwrap_or_default();
            let mut signers = Vec::new();
            for key in chain.keys() {
                let purse = chain.rpc().ask::<_, U256>("eth_getBalance", (key.address(), "latest")).await;
                if purse.is_ok_and(|purse| can_pay(purse, base_fee)) {
                    signers.push(account::text(key.address()));
                }
            }
            if !signers.is_empty() {
                ready.push((chain.network().clone(), signers));
            }
        }
        ready
    }

    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure> {
        let chain = self.chain(&offer.network)?;
        let signers: Vec<Address> = chain.keys().iter().map(|key| key.address()).collect();
        let checked = check(payment, offer, chain.limits(), &signers, now).map_err(|reason| {
            let named = Proof::read(&payment.proof).map(|proof| account::text(proof.authorization.from));
            Failure::Refused(Refusal { payer: named.ok(), ..reason.into() })
        })?;
        let payer = account::text(checked.proof.authorization.from);
        refuse_unseen(&checked).map_err(|reason| Failure::from(reason).by(&payer))?;
        let seen = look(chain, &checked, signers.first().copied()).await?;
        judge::judge(&checked, &seen).map_err(|reason| {
            let told = seen.simulated.clone().and_then(Result::err);
            let message = told.map(|text| groat_core::reason::printable(&text, 200));
            Failure::Refused(Refusal { payer: Some(payer), message, ..reason.into() })
        })?;
        // Told before anybody does work for the payment, which could not be settled (threat row E32).
        if seen.purse.is_some_and(|purse| !can_pay(purse, seen.base_fee.unwrap_or_default())) {
            return Err(Fault::unavailable("signer", EMPTY).into());
        }
        self.claim(&checked, &seen, payment, offer)
    }

    fn signers(&self, network: &Network) -> Vec<String> {
        let keys = self.chain(network).map(Chain::keys).unwrap_or_default();
        keys.iter().map(|key| account::text(key.address())).collect()
    }

    fn batch_max(&self, network: &Network) -> usize {
        self.chain(network).map_or(1, |chain| chain.limits().batch_max)
    }

    async fn chain_nonce(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.count(network, signer, "pending").await
    }

    async fn spent_nonces(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.count(network, signer, "latest").await
    }

    async fn plan(&self, network: &Network, signer: &str, batch: &[Settlement]) -> Result<Plan, Fault> {
        let (chain, key) = self.key_of(network, signer)?;
        let riders = batch.iter().map(Rider::read).collect::<Result<Vec<_>, _>>()?;
        match riders.as_slice() {
            [rider] => plan::single(chain, key.address(), rider).await,
            riders => plan::several(chain, key.address(), riders).await,
        }
    }

    fn prepare(&self, place: Place<'_>, batch: &[Settlement], terms: &Value) -> Result<Attempt, Fault> {
        let (chain, key) = self.key_of(place.network, place.signer)?;
        let riders = batch.iter().map(Rider::read).collect::<Result<Vec<_>, _>>()?;
        let transaction = plan::transaction(chain, place.nonce, &riders, terms)?;
        sign(key, transaction, place.now)
    }

    async fn replace(&self, place: Place<'_>, last: &Attempt, with: Replacement) -> Result<Attempt, Fault> {
        let (chain, key) = self.key_of(place.network, place.signer)?;
        let fees = chain.fees().await?;
        let signed = last.raw.parse::<Bytes>().ok().and_then(|raw| transaction::read(&raw));
        let transaction = match (signed, with) {
            (Some(signed), Replacement::Bump) => transaction::bump(signed, fees),
            (Some(signed), Replacement::Void) => {
                transaction::void(transaction::bump(signed, fees), key.address())
            }
            (None, Replacement::Void) => {
                let nothing =
                    transaction::call(chain.chain_id(), place.nonce, 0, fees, Address::ZERO, Bytes::new());
                transaction::void(nothing, key.address())
            }
            (None, Replacement::Bump) => {
                return Err(Fault::garbled("store", "a signed transaction cannot be read"));
            }
        };
        sign(key, transaction, place.now)
    }

    async fn broadcast(&self, network: &Network, attempt: &Attempt) -> Result<(), Fault> {
        self.set_up(network)?.send(&attempt.raw).await
    }

    async fn look(
        &self,
        network: &Network,
        batch: &[Settlement],
        attempts: &[Attempt],
    ) -> Result<Look, Fault> {
        let riders = batch.iter().map(Rider::read).collect::<Result<Vec<_>, _>>()?;
        outcome::look(self.set_up(network)?, &riders, attempts).await
    }

    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault> {
        self.set_up(network)?.standing(mined).await
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault> {
        self.set_up(network)?.depth(mined).await
    }

    fn head(&self, network: &Network) -> u64 {
        self.chain(network).map_or(0, Chain::newest)
    }

    async fn wait_block(&self, network: &Network, after: u64, timeout: Duration) -> u64 {
        match self.chain(network) {
            Ok(chain) => chain.wait_block(after, timeout).await,
            Err(_) => {
                tokio::time::sleep(timeout).await;
                after
            }
        }
    }
}

impl ExactEvm {
    pub(crate) fn chain(&self, network: &Network) -> Result<&Chain, Reason> {
        self.chains().iter().find(|chain| chain.network() == network).ok_or(Reason::InvalidNetwork)
    }

    /// For what is in the book: there a missing network is a mistake in the set-up, not in the payment.
    pub(crate) fn set_up(&self, network: &Network) -> Result<&Chain, Fault> {
        self.chain(network)
            .map_err(|_| Fault::unavailable("chain", format!("{network} is not set up any more")))
    }

    pub(crate) fn key_of(&self, network: &Network, signer: &str) -> Result<(&Chain, &GasKey), Fault> {
        let chain = self.set_up(network)?;
        let key = key_of(chain, signer)?;
        Ok((chain, key))
    }

    async fn count(&self, network: &Network, signer: &str, block: &'static str) -> Result<u64, Fault> {
        let count: U64 = self.set_up(network)?.rpc().ask("eth_getTransactionCount", (signer, block)).await?;
        Ok(count.to::<u64>())
    }

    fn claim(
        &self,
        checked: &Checked,
        seen: &Seen,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Claim, Failure> {
        let authorization = &checked.proof.authorization;
        let (key, valid_until) = self.key(payment, offer)?;
        Ok(Claim {
            key,
            network: offer.network.clone(),
            asset: account::text(checked.domain.asset),
            payer: account::text(authorization.from),
            pay_to: account::text(authorization.to),
            amount: Amount::from_u256(authorization.value),
            valid_from: Timestamp(seconds(authorization.valid_after)),
            valid_until,
            // A contract that takes part could burn the gas of all others.
            alone: seen.payer_has_code || !matches!(checked.proof.signature, Signature::Ecdsa(_)),
            funds: seen
                .balance
                .map(|balance| Funds { amount: Amount::from_u256(balance), block: seen.block }),
        })
    }
}

/// The key of an account that pays for gas.
pub(crate) fn key_of<'c>(chain: &'c Chain, signer: &str) -> Result<&'c GasKey, Fault> {
    chain
        .key(signer)
        .ok_or_else(|| Fault::unavailable("signer", format!("the key of {signer} is not set up any more")))
}

pub(crate) fn sign(
    key: &GasKey,
    transaction: alloy_consensus::TxEip1559,
    at: Timestamp,
) -> Result<Attempt, Fault> {
    let signed = transaction::sign(key, transaction).map_err(|error| Fault::unavailable("signer", error))?;
    Ok(Attempt { transaction: signed.hash.to_string(), raw: signed.raw.to_string(), at })
}

/// Garbage costs no question to the node (threat rows E01, O03): wrong terms are refused at once. A plain signature
/// that does not fit as well is told first, as the official SDK does.
fn refuse_unseen(checked: &Checked) -> Result<(), Reason> {
    match (&checked.terms, &checked.proof.signature) {
        (Err(_), Signature::Ecdsa(_)) if !checked.ecdsa_fits => Err(Reason::InvalidSignature),
        (terms, _) => terms.clone(),
    }
}
