//! Past payments of AgentXPay's contracts in a range of blocks, as their events tell them.
//!
//! A node is not believed more than it must be: what is not an event of these contracts in these blocks is left out, and
//! what contradicts the chain of blocks is a fault.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U64, U256, b256};
use alloy_sol_types::{SolEvent, sol};
use groat_core::Fault;
use serde::Deserialize;
use serde_json::{Value, json};

use super::event::{PAYMENT_MADE, PaymentMade};
use crate::Chain;
use crate::rpc::Block;

sol! {
    /// What a subscription manager says of each payment.
    event SubscriptionPaid(uint256 indexed serviceId, address indexed subscriber, address indexed provider, uint256 amount, uint256 platformFee);
}

/// The first topic of `SubscriptionPaid`.
pub const SUBSCRIPTION_PAID: B256 = b256!("1b67b6b6d1c3a4ab6cc6433b57e67d6c02482b3d4a3c44cf87235d676c6567c4");

/// Whose events are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// The payment manager.
    pub payments: Address,
    /// The subscription manager, if there is one.
    pub subscriptions: Option<Address>,
}

/// What was paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// One call.
    Payment,
    /// A subscription.
    Subscription,
}

/// A payment that an event tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidEvent {
    /// What for.
    pub kind: EventKind,
    /// The service.
    pub service_id: U256,
    /// Who paid.
    pub payer: Address,
    /// Who earned.
    pub provider: Address,
    /// How much, in wei.
    pub amount: U256,
    /// What the platform kept of it.
    pub platform_fee: U256,
    /// In which block.
    pub block: u64,
    /// When that was made, in seconds since the epoch.
    pub block_time: u64,
    /// In which transaction.
    pub transaction: B256,
    /// Which event of the block.
    pub log_index: u64,
}

/// An event and where it lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    transaction_hash: Option<B256>,
    log_index: Option<U64>,
    #[serde(default)]
    removed: bool,
}

/// The payments in blocks `from` to `to`, in their order. A node that lacks some of these blocks may answer as if nothing had
/// happened in them: near the newest block ask with [`history_of`].
pub async fn history(
    chain: &Chain,
    contracts: &Contracts,
    from: u64,
    to: u64,
) -> Result<Vec<PaidEvent>, Fault> {
    let range = json!({ "fromBlock": U64::from(from), "toBlock": U64::from(to) });
    let found = ask(chain, contracts, range, |block| (from..=to).contains(&block)).await?;
    let numbers: BTreeSet<u64> = found.keys().map(|(block, _)| *block).collect();
    let mut blocks = BTreeMap::new();
    for number in numbers {
        let block = chain.rpc().block(number).await?.filter(|block| block.number.to::<u64>() == number);
        blocks.insert(
            number,
            block.ok_or_else(|| Fault::garbled("chain", "a block with events is not there"))?,
        );
    }
    timed(found, &blocks)
}

/// The payments in one block, in their order. It is asked for by its hash, so a node that does not have it says so.
pub async fn history_of(chain: &Chain, contracts: &Contracts, block: Block) -> Result<Vec<PaidEvent>, Fault> {
    let number = block.number.to::<u64>();
    let found = ask(chain, contracts, json!({ "blockHash": block.hash }), |of| of == number).await?;
    timed(found, &BTreeMap::from([(number, block)]))
}

/// Events by their place, each with the hash of its block.
type Found = BTreeMap<(u64, u64), (PaidEvent, B256)>;

async fn ask(
    chain: &Chain,
    contracts: &Contracts,
    mut filter: Value,
    is_asked: impl Fn(u64) -> bool,
) -> Result<Found, Fault> {
    let addresses: Vec<Address> =
        [Some(contracts.payments), contracts.subscriptions].into_iter().flatten().collect();
    filter["address"] = json!(addresses);
    filter["topics"] = json!([[PAYMENT_MADE, SUBSCRIPTION_PAID]]);
    let logs: Vec<Placed> = chain.rpc().ask("eth_getLogs", (filter,)).await?;
    let mut found = Found::new();
    for log in logs {
        if let Some((event, hash)) = read(&log, contracts).filter(|(event, _)| is_asked(event.block)) {
            // One place has one event, however often it is told.
            found.entry((event.block, event.log_index)).or_insert((event, hash));
        }
    }
    Ok(found)
}

/// The events with the times of their blocks, which have to be these.
fn timed(found: Found, blocks: &BTreeMap<u64, Block>) -> Result<Vec<PaidEvent>, Fault> {
    let timed = |(event, hash): (PaidEvent, B256)| match blocks.get(&event.block) {
        Some(block) if block.hash == hash => Ok(PaidEvent { block_time: block.timestamp.to(), ..event }),
        // A reorganisation is under way, or the node lies: neither is written down.
        _ => Err(Fault::garbled("chain", "an event is of another block than the one with its number")),
    };
    found.into_values().map(timed).collect()
}

/// The payment that a log tells of, with the hash of its block; `None` when it is none of these contracts'.
fn read(log: &Placed, contracts: &Contracts) -> Option<(PaidEvent, B256)> {
    let topics = || log.topics.iter().copied();
    let (kind, service_id, payer, provider, amount, platform_fee) = match log.topics.first() {
        Some(topic) if *topic == PAYMENT_MADE && log.address == contracts.payments => {
            let made = PaymentMade::decode_raw_log(topics(), &log.data).ok()?;
            let PaymentMade { serviceId, payer, provider, amount, platformFee } = made;
            (EventKind::Payment, serviceId, payer, provider, amount, platformFee)
        }
        Some(topic) if *topic == SUBSCRIPTION_PAID && Some(log.address) == contracts.subscriptions => {
            let paid = SubscriptionPaid::decode_raw_log(topics(), &log.data).ok()?;
            let SubscriptionPaid { serviceId, subscriber, provider, amount, platformFee } = paid;
            (EventKind::Subscription, serviceId, subscriber, provider, amount, platformFee)
        }
        _ => return None,
    };
    let event = PaidEvent {
        kind,
        service_id,
        payer,
        provider,
        amount,
        platform_fee,
        block: log.block_number?.to(),
        block_time: 0,
        transaction: log.transaction_hash?,
        log_index: log.log_index?.to(),
    };
    (!log.removed).then_some((event, log.block_hash?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_is_that_of_the_event() {
        assert_eq!(SubscriptionPaid::SIGNATURE_HASH, SUBSCRIPTION_PAID);
    }
}
