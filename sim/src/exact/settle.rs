//! The facilitator's half, in the order of questions of the real mechanism.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::books::{Attempt, Settled};
use groat_core::ports::{Outcome, PrepareContext, Prepared, Settler};
use groat_core::{
    Amount, Claim, Failure, Fault as Trouble, Network, Offer, Payment, Reason, Timestamp, Verified,
};
use serde_json::{Value, json};

use super::{Exact, NETWORK, Proof, key};
use crate::chain::{Account, Action, Authorization, Block, Chain, Receipt, Transaction, Used, hash_text};
use crate::fault::Fault;
use crate::life::Life;
use crate::stage::Stage;

/// A process's way to the chain.
pub(crate) struct Node {
    pub(crate) stage: Arc<Stage>,
    pub(crate) life: Arc<Life>,
    pub(crate) chain: Arc<Chain>,
}

/// An authorization must be good for so much longer when it is verified.
const MARGIN_S: u64 = 6;

fn unavailable(detail: &str) -> Trouble {
    Trouble::unavailable("chain", detail)
}

impl Node {
    /// The way there and back of one question. The node may be a few blocks behind; `lag` says how many.
    async fn ask(&self, lag: usize) -> Result<Block, Trouble> {
        self.life.step().await;
        self.stage.travel().await;
        if self.chain.is_down() || self.stage.strikes(Fault::RpcReplyLost) {
            self.stage.pause_ms(10, 3_000).await;
            self.life.step().await;
            return Err(unavailable("simulated"));
        }
        let seen = self.chain.view(lag);
        self.life.step().await;
        Ok(seen)
    }

    fn lag(&self) -> usize {
        if self.stage.strikes(Fault::StaleNode) { usize::from(self.stage.chance(500)) + 1 } else { 0 }
    }
}

impl Exact {
    fn node(&self) -> Result<&Node, Trouble> {
        self.node.as_ref().ok_or_else(|| unavailable("this side has no node"))
    }
}

/// What the chain would say to the transfer now.
fn acceptable(seen: &Block, authorization: &Authorization) -> Result<(), Reason> {
    if seen.time >= authorization.valid_before {
        return Err(Reason::Expired);
    }
    if seen.after.used.contains_key(&authorization.id()) {
        return Err(Reason::NonceAlreadyUsed);
    }
    if seen.after.balance(authorization.from) < authorization.value {
        return Err(Reason::InsufficientBalance);
    }
    Ok(())
}

/// What can be said without the chain.
fn check(proof: &Proof, offer: &Offer, now: Timestamp) -> Result<(), Reason> {
    let authorization = &proof.authorization;
    if proof.signed_value != authorization.value {
        return Err(Reason::InvalidSignature);
    }
    if offer.pay_to != authorization.to.to_string() {
        return Err(Reason::RecipientMismatch);
    }
    if now.0 + MARGIN_S >= authorization.valid_before {
        return Err(Reason::Expired);
    }
    if now.0 < authorization.valid_after {
        return Err(Reason::NotYetValid);
    }
    if offer.amount != Amount::from_units(u128::from(authorization.value)) {
        return Err(Reason::AmountMismatch);
    }
    Ok(())
}

#[async_trait]
impl Settler for Exact {
    async fn ready(&self) -> Vec<(Network, Vec<String>)> {
        Network::parse(NETWORK).map(|network| (network, vec![Account::GAS.to_string()])).into_iter().collect()
    }

    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure> {
        let proof = Proof::read(&payment.proof)?;
        let authorization = proof.authorization;
        let payer = authorization.from.to_string();
        check(&proof, offer, now).map_err(|reason| Failure::from(reason).by(&payer))?;
        let node = self.node()?;
        let seen = node.ask(node.lag()).await?;
        acceptable(&seen, &authorization).map_err(|reason| Failure::from(reason).by(&payer))?;
        Ok(Claim {
            key: key(&offer.network, &authorization),
            network: offer.network.clone(),
            asset: offer.asset.clone(),
            payer,
            pay_to: authorization.to.to_string(),
            amount: Amount::from_units(u128::from(authorization.value)),
            valid_from: Timestamp(authorization.valid_after),
            valid_until: Timestamp(authorization.valid_before),
        })
    }

    fn signer(&self, _network: &Network) -> Result<String, Trouble> {
        Ok(Account::GAS.to_string())
    }

    async fn chain_nonce(&self, _network: &Network, signer: &str) -> Result<u64, Trouble> {
        let node = self.node()?;
        node.ask(0).await?;
        let account = Account::parse(signer).ok_or_else(|| unavailable("no such signer"))?;
        Ok(node.chain.pending_nonce(account))
    }

    async fn spent_nonces(&self, _network: &Network, signer: &str) -> Result<u64, Trouble> {
        let node = self.node()?;
        let account = Account::parse(signer).ok_or_else(|| unavailable("no such signer"))?;
        Ok(node.ask(node.lag()).await?.after.nonce(account))
    }

    async fn plan(&self, payment: &Payment, _verified: &Verified) -> Result<Value, Failure> {
        let node = self.node()?;
        let seen = node.ask(node.lag()).await?;
        acceptable(&seen, &Proof::read(&payment.proof)?.authorization)?;
        Ok(json!({ "fee": node.stage.below(1 << 32) }))
    }

    fn prepare(
        &self,
        payment: &Payment,
        _offer: &Offer,
        signer: &str,
        plan: &Value,
        context: &PrepareContext,
    ) -> Result<Prepared, Failure> {
        let sender = Account::parse(signer).ok_or_else(|| unavailable("no such signer"))?;
        let fee = plan["fee"].as_u64().ok_or_else(|| Trouble::garbled("store", "a plan without a fee"))?;
        let action = Action::Transfer(Proof::read(&payment.proof)?.authorization);
        let transaction = Transaction { sender, nonce: context.nonce, fee, action };
        let raw = serde_json::to_string(&transaction).map_err(|error| Trouble::garbled("signer", error))?;
        Ok(Prepared {
            attempt: Attempt {
                transaction: hash_text(transaction.hash()),
                raw,
                signer: signer.to_owned(),
                nonce: context.nonce,
                at: context.now,
            },
        })
    }

    async fn broadcast(&self, _network: &Network, attempt: &Attempt) -> Result<(), Trouble> {
        let node = self.node()?;
        let transaction: Transaction =
            serde_json::from_str(&attempt.raw).map_err(|error| Trouble::garbled("store", error))?;
        node.ask(0).await?;
        if node.stage.strikes(Fault::BroadcastDropped) {
            return Ok(());
        }
        if node.stage.strikes(Fault::BroadcastDelayed) {
            let (stage, chain) = (Arc::clone(&node.stage), Arc::clone(&node.chain));
            tokio::spawn(async move {
                stage.pause_ms(500, 20_000).await;
                // Nobody is left to hear what the node says.
                let _ = chain.submit(transaction);
            });
            return Ok(());
        }
        let taken = node.chain.submit(transaction);
        node.life.step().await;
        if node.stage.strikes(Fault::BroadcastReplyLost) {
            return Err(unavailable("simulated"));
        }
        taken.map_err(unavailable)
    }

    async fn outcome(
        &self,
        payment: &Payment,
        _offer: &Offer,
        attempts: &[Attempt],
    ) -> Result<Outcome, Trouble> {
        let node = self.node()?;
        let unreadable = |_| Trouble::garbled("store", "a payment in the book cannot be read");
        let authorization = Proof::read(&payment.proof).map_err(unreadable)?.authorization;
        let lag = node.lag();
        let seen = node.ask(lag).await?;
        let mut reverted = None;
        for attempt in attempts {
            let hash = u64::from_str_radix(attempt.transaction.trim_start_matches("0x"), 16);
            let hash = hash.map_err(|_| Trouble::garbled("store", "an attempt has no transaction hash"))?;
            match seen.after.receipts.get(&hash) {
                None => {}
                Some(receipt) if receipt.ok => return Ok(landed(hash, receipt, false)),
                Some(_) => reverted = Some(attempt.transaction.clone()),
            }
        }
        // A block may come between the questions.
        let seen = node.ask(lag).await?;
        Ok(match (seen.after.used.get(&authorization.id()), reverted) {
            (Some(Used::Spent { hash }), _) => match seen.after.receipts.get(hash) {
                Some(receipt) => landed(*hash, receipt, true),
                None => Outcome::Unknown,
            },
            (Some(Used::Cancelled), transaction) => {
                Outcome::Failed { reason: Reason::NonceAlreadyUsed, transaction }
            }
            (None, transaction) if seen.time >= authorization.valid_before => {
                Outcome::Failed { reason: Reason::Expired, transaction }
            }
            (None, Some(transaction)) => Outcome::Reverted { transaction },
            (None, None) => Outcome::Unknown,
        })
    }

    async fn wait_block(&self, _network: &Network, timeout_ms: u64) {
        let Ok(node) = self.node() else { return };
        node.life.step().await;
        // Either is reason enough to look again.
        let _ = tokio::time::timeout(Duration::from_millis(timeout_ms), node.chain.news()).await;
        node.life.step().await;
    }
}

fn landed(hash: u64, receipt: &Receipt, by_other: bool) -> Outcome {
    Outcome::Landed(Settled {
        transaction: hash_text(hash),
        block: receipt.block,
        block_hash: format!("{:#x}", receipt.block_hash),
        by_other,
    })
}
