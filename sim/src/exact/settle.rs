//! The facilitator's half, in the order of questions of the real mechanism.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::books::{Attempt, Mined, Settled, Settlement};
use groat_core::ports::{Look, Outcome, Place, Plan, Replacement, Settler, Standing};
use groat_core::{
    Amount, Claim, Depth, Failure, Fault as Trouble, Funds, Network, Offer, Payment, Reason, Timestamp,
};
use serde_json::{Value, json};

use super::{Exact, NETWORK, Proof, key};
use crate::chain::{Account, Action, Authorization, Block, Receipt, Transaction, Used, hash_text};
use crate::fault::Fault;
use crate::node::{Node, unavailable};

/// An authorization must be good for so much longer when it is verified.
const MARGIN_S: u64 = 6;

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
            alone: authorization.nonce.is_multiple_of(7),
            funds: Some(Funds {
                amount: Amount::from_units(u128::from(seen.after.balance(authorization.from))),
                block: seen.number,
            }),
        })
    }

    fn signers(&self, _network: &Network) -> Vec<String> {
        vec![Account::GAS.to_string()]
    }

    fn batch_max(&self, _network: &Network) -> usize {
        3
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

    async fn plan(&self, _network: &Network, _signer: &str, batch: &[Settlement]) -> Result<Plan, Trouble> {
        let node = self.node()?;
        let seen = node.ask(node.lag()).await?;
        let mut verdicts = Vec::new();
        for settlement in batch {
            verdicts.push(acceptable(&seen, &read(settlement)?).map_err(Failure::from));
        }
        // Sometimes not all fit.
        if verdicts.len() > 1 && node.stage.chance(100) {
            verdicts.pop();
        }
        Ok(Plan { verdicts, terms: json!({ "fee": node.stage.below(1 << 32) }) })
    }

    fn prepare(&self, place: Place<'_>, batch: &[Settlement], terms: &Value) -> Result<Attempt, Trouble> {
        let fee = terms["fee"].as_u64().ok_or_else(|| Trouble::garbled("store", "a plan without a fee"))?;
        let several = batch.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let action = match several.as_slice() {
            [authorization] => Action::Transfer(*authorization),
            _ => Action::Batch(several),
        };
        sign(place, fee, action)
    }

    async fn replace(&self, place: Place<'_>, last: &Attempt, with: Replacement) -> Result<Attempt, Trouble> {
        let node = self.node()?;
        node.ask(node.lag()).await?;
        let sender = Account::parse(place.signer).ok_or_else(|| unavailable("no such signer"))?;
        let nothing = Action::Move { to: sender, value: 0 };
        match (serde_json::from_str::<Transaction>(&last.raw), with) {
            (Ok(last), Replacement::Bump) => sign(place, last.fee + last.fee / 8 + 1, last.action),
            (Ok(last), Replacement::Void) => sign(place, last.fee + last.fee / 8 + 1, nothing),
            (Err(_), Replacement::Void) => sign(place, node.stage.below(1 << 32), nothing),
            (Err(error), Replacement::Bump) => Err(Trouble::garbled("store", error)),
        }
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

    async fn look(
        &self,
        _network: &Network,
        batch: &[Settlement],
        attempts: &[Attempt],
    ) -> Result<Look, Trouble> {
        let node = self.node()?;
        let lag = node.lag();
        let seen = node.ask(lag).await?;
        let mut mined = None;
        for attempt in attempts {
            let hash = u64::from_str_radix(attempt.transaction.trim_start_matches("0x"), 16);
            let hash = hash.map_err(|_| Trouble::garbled("store", "an attempt has no transaction hash"))?;
            mined = mined.or(seen.after.receipts.get(&hash).map(|receipt| (hash, *receipt)));
        }
        // A block may come between the questions.
        let later = node.ask(lag).await?;
        let mut outcomes = Vec::new();
        for settlement in batch {
            outcomes.push(outcome(&seen, &later, mined, &read(settlement)?));
        }
        let mined = mined.map(|(hash, receipt)| Mined {
            transaction: hash_text(hash),
            block: receipt.block,
            block_hash: format!("{:#x}", receipt.block_hash),
        });
        Ok(Look { mined, outcomes, gas: 0, head: later.number })
    }

    async fn standing(&self, _network: &Network, mined: &Mined) -> Result<Standing, Trouble> {
        let node = self.node()?;
        let seen = node.ask(node.lag()).await?;
        let hash = u64::from_str_radix(mined.transaction.trim_start_matches("0x"), 16);
        let hash = hash.map_err(|_| Trouble::garbled("store", "no transaction hash"))?;
        // A node that is behind has not seen the block at all, and says nothing of it.
        if seen.number < mined.block {
            return Ok(Standing::Standing);
        }
        let there = seen.after.receipts.get(&hash).map(|receipt| format!("{:#x}", receipt.block_hash));
        Ok(if there.as_ref() != Some(&mined.block_hash) {
            Standing::Replaced
        } else if seen.number >= mined.block + DEPTH_FINAL {
            Standing::Final
        } else {
            Standing::Standing
        })
    }

    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Trouble> {
        let standing = self.standing(network, mined).await?;
        let head = self.node()?.chain.head().number;
        Ok(Depth {
            confirmations: match standing {
                Standing::Replaced => 0,
                Standing::Standing | Standing::Final => head.max(mined.block) - mined.block + 1,
            },
            safe: standing == Standing::Final,
            finalized: standing == Standing::Final,
        })
    }

    fn head(&self, _network: &Network) -> u64 {
        self.node.as_ref().map_or(0, |node| node.chain.head().number)
    }

    async fn wait_block(&self, _network: &Network, after: u64, timeout: Duration) -> u64 {
        let Ok(node) = self.node() else { return after };
        node.life.step().await;
        if node.chain.head().number == after {
            // Either is reason enough to look again.
            let _ = tokio::time::timeout(timeout, node.chain.news()).await;
        }
        node.life.step().await;
        node.chain.head().number
    }
}

/// No reorganisation goes deeper.
const DEPTH_FINAL: u64 = 6;

fn read(settlement: &Settlement) -> Result<Authorization, Trouble> {
    let unreadable = |_| Trouble::garbled("store", "a payment in the book cannot be read");
    Ok(Proof::read(&settlement.payment.proof).map_err(unreadable)?.authorization)
}

fn sign(place: Place<'_>, fee: u64, action: Action) -> Result<Attempt, Trouble> {
    let sender = Account::parse(place.signer).ok_or_else(|| unavailable("no such signer"))?;
    let transaction = Transaction { sender, nonce: place.nonce, fee, action };
    let raw = serde_json::to_string(&transaction).map_err(|error| Trouble::garbled("signer", error))?;
    Ok(Attempt { transaction: hash_text(transaction.hash()), raw, at: place.now })
}

fn outcome(
    seen: &Block,
    later: &Block,
    mined: Option<(u64, Receipt)>,
    authorization: &Authorization,
) -> Outcome {
    let mut reverted = None;
    if let Some((hash, receipt)) = mined {
        match seen.after.used.get(&authorization.id()) {
            Some(Used::Spent { hash: by }) if *by == hash => return landed(hash, &receipt, false),
            _ => reverted = Some(hash_text(hash)),
        }
    }
    match (later.after.used.get(&authorization.id()), reverted) {
        (Some(Used::Spent { hash }), _) => match later.after.receipts.get(hash) {
            Some(receipt) => landed(*hash, receipt, true),
            None => Outcome::Unknown,
        },
        (Some(Used::Cancelled), transaction) => {
            Outcome::Failed { reason: Reason::NonceAlreadyUsed, transaction }
        }
        (None, transaction) if later.time >= authorization.valid_before => {
            Outcome::Failed { reason: Reason::Expired, transaction }
        }
        (None, Some(transaction)) => Outcome::Reverted { transaction },
        (None, None) => Outcome::Unknown,
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
