//! The facilitator's half: verify, sign, send, find out. What every transaction needs is that of `exact`.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use groat_core::books::{Attempt, Mined, Settlement};
use groat_core::ports::{Look, Mechanism, Place, Plan, Replacement, Settler, Standing};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault, Funds, Network, Offer, Payment, Reason, Refusal, Timestamp,
};
use serde_json::Value;

use super::check::{Checked, check};
use super::look::{Nonce, Seen, look, rehearse};
use super::outcome::{self, Rider};
use super::{Permit, PermitEvm, PermitKind, till};
use crate::account;
use crate::chain::Chain;
use crate::exact::{EMPTY, can_pay, plan_call, planned_call, sign};

#[async_trait]
impl Settler for PermitEvm {
    /// Not told to others: it is no scheme of x402, clients of version 1 cannot read a list with an unknown one, and its
    /// signers are those of `exact`.
    async fn ready(&self) -> Vec<(Network, Vec<String>)> {
        Vec::new()
    }

    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure> {
        let chain = self.exact.chain(&offer.network)?;
        let signers: Vec<Address> = chain.keys().iter().map(|key| key.address()).collect();
        let checked = check(payment, offer, chain.limits(), &signers, now).map_err(|reason| {
            let named = Permit::read(&payment.proof).map(|permit| account::text(permit.owner));
            Failure::Refused(Refusal { payer: named.ok(), ..reason.into() })
        })?;
        let payer = account::text(checked.permit.owner);
        let seen = look(chain, checked.till, &checked.permit).await?;
        super::judge::judge(&checked, &seen).map_err(|refusal| Failure::Refused(refusal).by(&payer))?;
        if let Err(text) = rehearse(chain, checked.till, &checked.permit).await? {
            let message = Some(groat_core::reason::printable(&text, 200));
            // It may have been paid between the two questions: the engine looks for it then.
            let reason = why(chain, checked.till, &checked.permit).await?.unwrap_or(Reason::SimulationFailed);
            let refusal = Refusal { message, ..reason.into() };
            return Err(Failure::Refused(refusal).by(&payer));
        }
        // Told before anybody does work for the payment, which could not be settled (threat row E32).
        if !signers.is_empty() && !can_pay(seen.facts.purse, seen.facts.base_fee) {
            return Err(Fault::unavailable("signer", EMPTY).into());
        }
        self.claim(&checked, &seen, payment, offer)
    }

    fn signers(&self, network: &Network) -> Vec<String> {
        self.exact.signers(network)
    }

    fn batch_max(&self, _network: &Network) -> usize {
        1
    }

    async fn chain_nonce(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.exact.chain_nonce(network, signer).await
    }

    async fn spent_nonces(&self, network: &Network, signer: &str) -> Result<u64, Fault> {
        self.exact.spent_nonces(network, signer).await
    }

    async fn plan(&self, network: &Network, signer: &str, batch: &[Settlement]) -> Result<Plan, Fault> {
        let (chain, key) = self.exact.key_of(network, signer)?;
        let rider = one(batch)?;
        let input = till::pay(&rider.permit);
        let mut plan = plan_call(chain, key.address(), rider.till, input, chain.limits().gas_max).await?;
        if let [Err(Failure::Refused(refusal))] = plan.verdicts.as_mut_slice() {
            refusal.reason = why(chain, rider.till, &rider.permit).await?.unwrap_or(refusal.reason.clone());
        }
        Ok(plan)
    }

    fn prepare(&self, place: Place<'_>, batch: &[Settlement], terms: &Value) -> Result<Attempt, Fault> {
        let (chain, key) = self.exact.key_of(place.network, place.signer)?;
        let rider = one(batch)?;
        let input = till::pay(&rider.permit);
        sign(key, planned_call(chain, place.nonce, rider.till, input, terms)?, place.now)
    }

    async fn replace(&self, place: Place<'_>, last: &Attempt, with: Replacement) -> Result<Attempt, Fault> {
        self.exact.replace(place, last, with).await
    }

    async fn broadcast(&self, network: &Network, attempt: &Attempt) -> Result<(), Fault> {
        self.exact.broadcast(network, attempt).await
    }

    async fn look(
        &self,
        network: &Network,
        batch: &[Settlement],
        attempts: &[Attempt],
    ) -> Result<Look, Fault> {
        outcome::look(self.exact.set_up(network)?, &one(batch)?, attempts).await
    }

    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault> {
        self.exact.standing(network, mined).await
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault> {
        Settler::depth(&self.exact, network, mined).await
    }

    fn head(&self, network: &Network) -> u64 {
        self.exact.head(network)
    }

    async fn wait_block(&self, network: &Network, after: u64, timeout: Duration) -> u64 {
        self.exact.wait_block(network, after, timeout).await
    }
}

/// Each permit has a transaction of its own.
fn one(batch: &[Settlement]) -> Result<Rider, Fault> {
    match batch {
        [settlement] => Rider::read(settlement),
        _ => Err(Fault::garbled("plan", "each permit has a transaction of its own")),
    }
}

/// Why a permit that was good a moment ago would fail now. Contracts fail with numbers; what they mean shows in what they know.
async fn why(chain: &Chain, till: Address, permit: &Permit) -> Result<Option<Reason>, Fault> {
    let seen = look(chain, till, permit).await?;
    let lacks = |has: Option<U256>| has.is_some_and(|has| has < permit.amount);
    let is_permit2 = permit.kind == PermitKind::Permit2;
    Ok(if seen.paid == Some(true) || (is_permit2 && seen.nonce == Nonce::Spent) {
        Some(Reason::NonceAlreadyUsed)
    } else if seen.facts.time > permit.deadline {
        Some(Reason::Expired)
    } else if lacks(seen.balance) {
        Some(Reason::InsufficientBalance)
    } else if is_permit2 && lacks(seen.allowance) {
        Some(Reason::AllowanceRequired)
    } else {
        None
    })
}

impl PermitEvm {
    fn claim(
        &self,
        checked: &Checked,
        seen: &Seen,
        payment: &Payment,
        offer: &Offer,
    ) -> Result<Claim, Failure> {
        let permit = &checked.permit;
        let (key, valid_until) = self.key(payment, offer)?;
        // What Permit2 may move is a purse of its own: several permits must not promise it twice.
        let purse = match permit.kind {
            PermitKind::Permit2 => seen.balance.min(seen.allowance),
            PermitKind::Eip2612 => seen.balance,
        };
        Ok(Claim {
            key,
            network: offer.network.clone(),
            asset: account::text(permit.token),
            payer: account::text(permit.owner),
            pay_to: account::text(permit.spender),
            amount: Amount::from_u256(permit.amount),
            valid_from: Timestamp(0),
            valid_until,
            alone: true,
            funds: purse.map(|purse| Funds { amount: Amount::from_u256(purse), block: seen.facts.number }),
        })
    }
}
