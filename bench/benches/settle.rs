//! Settlements a second, written before they act, on a chain that makes a block for every transaction.
//!
//! The limit is the same chain fed with transactions that were signed beforehand, without any book. Afterwards the
//! chain is asked whether every payment arrived once.
#![allow(clippy::unwrap_used, clippy::float_arithmetic, missing_docs)]

use std::sync::Arc;

use alloy_primitives::{Address, U256};
use groat_bench::{Purse, Row, World, heading, offer, run, settler};
use groat_core::books::{Attempt, Settlement, SettlementState};
use groat_core::ports::{Facilitator, Place, Settler, Store};
use groat_core::{Network, Payment, Timestamp};
use groat_store::{MemoryStore, SqliteStore};

const COUNT: usize = 1_000;
const CENT: u64 = 10_000;

#[tokio::main]
async fn main() {
    heading("settle: exact by EIP-3009, a block for every transaction, node in this process");
    let limit = chain_alone().await.print("limit: signed transactions, no book");
    let folder = tempfile::tempdir().unwrap();
    for callers in [1, 64, 256] {
        let memory = settled(Arc::new(MemoryStore::default()), callers).await;
        ratio(memory.print(&format!("groat, book in memory, {callers} callers")), limit);
        let file = folder.path().join(format!("{callers}.db"));
        let sqlite = settled(Arc::new(SqliteStore::open(&file).unwrap()), callers).await;
        ratio(sqlite.print(&format!("groat, book on SQLite, {callers} callers")), limit);
    }
}

fn ratio(row: Row, limit: Row) {
    println!("{:<44} {:>9.0}% of the limit", "", row.per_s * 100.0 / limit.per_s);
}

async fn settled(store: Arc<dyn Store>, callers: usize) -> Row {
    let world = World::new(store);
    let payments = Purse::new(&world.chain, 64).sign(COUNT).await;
    let offer = offer();
    let payee: Address = offer.pay_to.parse().unwrap();
    let before = world.chain.usdc_balance(payee);
    let settled = run(callers, payments, |payment| {
        let (engine, offer) = (&world.engine, &offer);
        async move {
            assert!(engine.settle(&payment, offer).await.unwrap().is_settled());
        }
    });
    let row = settled.await;
    assert_eq!(
        world.chain.usdc_balance(payee) - before,
        U256::from(CENT * COUNT as u64),
        "every payment once"
    );
    row
}

async fn chain_alone() -> Row {
    let world = World::new(Arc::new(MemoryStore::default()));
    let settler = settler(&world.chain);
    let payments = Purse::new(&world.chain, 64).sign(COUNT).await;
    let mut attempts = Vec::with_capacity(COUNT);
    for (nonce, payment) in payments.iter().enumerate() {
        attempts.push(signed(&settler, payment, nonce as u64).await);
    }
    run(1, attempts, |attempt| {
        let settler = &settler;
        async move { settler.broadcast(&Network::eip155(84532), &attempt).await.unwrap() }
    })
    .await
}

async fn signed(settler: &impl Settler, payment: &Payment, nonce: u64) -> Attempt {
    let (offer, network) = (offer(), Network::eip155(84532));
    let now =
        Timestamp(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    let claim = settler.verify(payment, &offer, now).await.unwrap();
    let settlement = Settlement {
        id: claim.key.id(),
        network: claim.network,
        asset: claim.asset,
        payer: claim.payer,
        pay_to: claim.pay_to,
        amount: claim.amount,
        valid_until: claim.valid_until,
        held_at: now,
        alone: true,
        gas: 0,
        told: false,
        reverted: false,
        payment: payment.clone(),
        offer,
        state: SettlementState::Released,
    };
    let signer = settler.signers(&network).remove(0);
    let batch = [settlement];
    let plan = settler.plan(&network, &signer, &batch).await.unwrap();
    settler.prepare(Place { network: &network, signer: &signer, nonce, now }, &batch, &plan.terms).unwrap()
}
