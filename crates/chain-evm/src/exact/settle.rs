//! The facilitator's half: verify, sign, send, find out.

use std::time::Duration;

use alloy_primitives::{Address, U64, U256};
use async_trait::async_trait;
use groat_core::books::Attempt;
use groat_core::ports::{Mechanism, Outcome, PrepareContext, Prepared, Settler};
use groat_core::{
    Amount, Claim, Failure, Fault, Network, Offer, Payment, Reason, Refusal, Timestamp, Verified,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::check::{Checked, check};
use super::look::look;
use super::proof::{Proof, Signature};
use super::typed_data::seconds;
use super::{ExactEvm, abi, judge, outcome};
use crate::account;
use crate::chain::Chain;
use crate::rpc::Call;
use crate::transaction::{self, Fees};

/// What the chain told before the nonce was taken.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    gas: u64,
    fees: Fees,
    deploy: bool,
}

/// The estimate is of the last block; the state may cost a little more in the next.
const GAS_SLACK_PERCENT: u64 = 20;

/// No settlement costs less gas than this.
const GAS_MIN: u64 = 50_000;

const EMPTY: &str = "the account that pays for gas is empty";

/// Whether an account can pay for any settlement at all; what one really costs is asked when there is one to pay for.
fn can_pay(purse: U256, base_fee: U256) -> bool {
    !purse.is_zero() && purse >= base_fee.saturating_mul(U256::from(GAS_MIN))
}

#[async_trait]
impl Settler for ExactEvm {
    async fn ready(&self) -> Vec<(Network, Vec<String>)> {
        let mut ready = Vec::new();
        for chain in self.chains() {
            let Some(first) = chain.keys().first() else { continue };
            let (head, purse) = tokio::join!(
                chain.rpc().head(),
                chain.rpc().ask::<_, U256>("eth_getBalance", (first.address(), "latest")),
            );
            let (Ok(head), Ok(purse)) = (head, purse) else { continue };
            if can_pay(purse, head.base_fee_per_gas.unwrap_or_default()) {
                let signers = chain.keys().iter().map(|key| account::text(key.address())).collect();
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
        self.claim(&checked, payment, offer)
    }

    fn signer(&self, network: &Network) -> Result<String, Fault> {
        let chain =
            self.chain(network).map_err(|_| Fault::unavailable("signer", "this network is not set up"))?;
        let key = chain.keys().first().ok_or_else(|| Fault::unavailable("signer", "no key is set up"))?;
        Ok(account::text(key.address()))
    }

    async fn chain_nonce(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.count(network, signer, "pending").await
    }

    async fn spent_nonces(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.count(network, signer, "latest").await
    }

    async fn plan(&self, payment: &Payment, verified: &Verified) -> Result<Value, Failure> {
        let offer = verified.offer();
        let chain = self.chain(&offer.network)?;
        let proof = Proof::read(&payment.proof)?;
        let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
        let signer = account::parse(&self.signer(&offer.network)?).ok_or(Reason::InvalidRequirements)?;
        let wallet = proof.authorization.from;
        let plain = matches!(proof.signature, Signature::Ecdsa(_));
        let deploy = !plain && chain.rpc().code(wallet).await?.is_empty();
        let (to, input) = abi::settlement(asset, &proof, deploy);
        let limits = chain.limits();
        let gas_max = match (deploy, plain) {
            (true, _) => limits.gas_deploy_max,
            (false, true) => limits.gas_max,
            (false, false) => limits.gas_contract_max,
        };
        let call = Call { from: Some(signer), to, input, gas: None, price: None };
        let (estimate, fees, balance) = tokio::join!(
            chain.rpc().try_ask::<_, U64>("eth_estimateGas", (call, "latest")),
            chain.fees(),
            chain.rpc().ask::<_, U256>("eth_getBalance", (signer, "latest")),
        );
        let gas = match estimate? {
            Ok(gas) => gas.to::<u64>(),
            Err(refusal) if refusal.is_execution() => return Err(revert_reason(&refusal.message).into()),
            Err(refusal) => return Err(Fault::unavailable("chain", refusal.message).into()),
        };
        if gas > gas_max {
            return Err(Reason::GasBudgetExceeded.into());
        }
        let gas = (gas + gas * GAS_SLACK_PERCENT / 100).min(gas_max);
        let fees = fees?;
        // Without money for gas nothing may be promised (threat row E32).
        if balance? < U256::from(gas).saturating_mul(U256::from(fees.max_fee)) {
            return Err(Fault::unavailable("signer", EMPTY).into());
        }
        Ok(json!(Plan { gas, fees, deploy }))
    }

    fn prepare(
        &self,
        payment: &Payment,
        offer: &Offer,
        signer: &str,
        plan: &Value,
        context: &PrepareContext,
    ) -> Result<Prepared, Failure> {
        let chain = self.chain(&offer.network)?;
        let key = chain
            .key(signer)
            .ok_or_else(|| Fault::unavailable("signer", "the key is not set up any more"))?;
        let plan = Plan::deserialize(plan).map_err(|error| Fault::garbled("store", error))?;
        let proof = Proof::read(&payment.proof)?;
        let asset = account::parse(&offer.asset).ok_or(Reason::InvalidRequirements)?;
        let (to, input) = abi::settlement(asset, &proof, plan.deploy);
        let fees = if context.replaces.is_some() { plan.fees.bumped() } else { plan.fees };
        let signed = transaction::sign(key, chain.chain_id(), context.nonce, plan.gas, fees, to, input)
            .map_err(|error| Fault::unavailable("signer", error))?;
        Ok(Prepared {
            attempt: Attempt {
                transaction: signed.hash.to_string(),
                raw: signed.raw.to_string(),
                signer: signer.to_owned(),
                nonce: context.nonce,
                at: context.now,
            },
        })
    }

    async fn broadcast(&self, network: &Network, attempt: &Attempt) -> Result<(), Fault> {
        let chain =
            self.chain(network).map_err(|_| Fault::unavailable("chain", "this network is not set up"))?;
        match chain.rpc().try_ask::<_, String>("eth_sendRawTransaction", (attempt.raw.as_str(),)).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_known_transaction() => Ok(()),
            Err(refusal) => Err(Fault::unavailable("chain", refusal.message)),
        }
    }

    async fn outcome(
        &self,
        payment: &Payment,
        offer: &Offer,
        attempts: &[Attempt],
    ) -> Result<Outcome, Fault> {
        let unreadable = |_| Fault::garbled("store", "a payment in the book cannot be read");
        let chain = self
            .chain(&offer.network)
            .map_err(|_| Fault::unavailable("chain", "this network is not set up"))?;
        let proof = Proof::read(&payment.proof).map_err(unreadable)?;
        let asset = account::parse(&offer.asset)
            .ok_or_else(|| Fault::garbled("store", "a payment in the book cannot be read"))?;
        outcome::outcome(chain, asset, &proof.authorization, attempts).await
    }

    async fn wait_block(&self, network: &Network, timeout_ms: u64) {
        match self.chain(network) {
            Ok(chain) => chain.wait_block(Duration::from_millis(timeout_ms)).await,
            Err(_) => tokio::time::sleep(Duration::from_millis(timeout_ms)).await,
        }
    }
}

impl ExactEvm {
    fn chain(&self, network: &Network) -> Result<&Chain, Reason> {
        self.chains().iter().find(|chain| chain.network() == network).ok_or(Reason::InvalidNetwork)
    }

    async fn count(&self, network: &Network, signer: &str, block: &'static str) -> Result<u64, Fault> {
        let chain =
            self.chain(network).map_err(|_| Fault::unavailable("signer", "this network is not set up"))?;
        let count: U64 = chain.rpc().ask("eth_getTransactionCount", (signer, block)).await?;
        Ok(count.to::<u64>())
    }

    fn claim(&self, checked: &Checked, payment: &Payment, offer: &Offer) -> Result<Claim, Failure> {
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
        })
    }
}

/// Garbage costs no question to the node (threat rows E01, O03): wrong terms are refused at once. A plain signature
/// that does not fit as well is told first, as the official SDK does.
fn refuse_unseen(checked: &Checked) -> Result<(), Reason> {
    match (&checked.terms, &checked.proof.signature) {
        (Err(_), Signature::Ecdsa(_)) if !checked.ecdsa_fits => Err(Reason::InvalidSignature),
        (terms, _) => terms.clone(),
    }
}

/// What a token says when it refuses (protocol page 01, section 1.6: mapping of revert texts).
fn revert_reason(message: &str) -> Reason {
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().all(|word| message.contains(word));
    if says(&["authorization", "used"]) || says(&["authorizationusedorcanceled"]) {
        Reason::NonceAlreadyUsed
    } else if says(&["authorization", "expired"]) {
        Reason::Expired
    } else if says(&["authorization", "not yet valid"]) {
        Reason::NotYetValid
    } else if says(&["exceeds balance"]) || says(&["insufficientbalance"]) {
        Reason::InsufficientBalance
    } else if says(&["invalid", "signature"]) {
        Reason::InvalidSignature
    } else {
        Reason::SimulationFailed
    }
}
