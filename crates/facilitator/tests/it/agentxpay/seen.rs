//! What a facilitator knows of payments that were made before they were shown.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, Rpc};
use groat_core::books::{Settled, SettlementState};
use groat_core::payment::DialectId;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus};
use groat_core::{Network, Offer, Payment, PaymentId, Terms, Timestamp};
use groat_devchain::Mining;
use groat_facilitator::{Engine, EngineOptions};
use serde_json::json;

use super::market::{Market, PRICE};

impl Market {
    /// A facilitator on our store.
    pub(crate) fn engine(&self) -> Engine {
        let evm = Chain::new(84532, Rpc::local(self.chain.transport()), vec![], ChainOptions::default());
        let clock = self.chain.clone();
        Engine::observing(
            vec![],
            vec![Arc::new(ByHashEvm::on(vec![evm]))],
            Arc::new(self.store.clone()),
            Arc::new(move || Timestamp(clock.now())),
            EngineOptions { look_interval: Duration::from_millis(50), ..EngineOptions::default() },
        )
    }
}

pub(crate) fn offer(terms: &Terms) -> Offer {
    ByHashEvm::offline().offer(terms).unwrap().unwrap()
}

pub(crate) fn payment(hash: B256) -> Payment {
    Payment {
        dialect: DialectId::new("agentxpay"),
        scheme: "transaction".into(),
        network: Network::eip155(84532),
        proof: json!({ "hash": format!("{hash:#x}"), "count": 0 }),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    }
}

fn id(hash: B256, offer: &Offer) -> PaymentId {
    ByHashEvm::offline().key(&payment(hash), offer).unwrap().0.id()
}

async fn status(engine: &Engine, hash: B256, offer: &Offer) -> PaymentStatus {
    engine.status(&id(hash, offer)).await.unwrap().unwrap()
}

fn lies(status: &PaymentStatus) -> Option<&Settled> {
    match &status.state {
        SettlementState::Settled(settled) => Some(settled),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_whoever_only_asks_for_the_state_of_a_payment_hears_that_it_has_moved() {
    let market = Market::new(Mining::Manual);
    let (engine, hash, offer) = (market.engine(), market.pay(1, PRICE), offer(&market.service("1", PRICE)));
    market.chain.mine(1);
    engine.settle(&payment(hash), &offer).await.unwrap();
    let before = lies(&status(&engine, hash, &offer).await).cloned().unwrap();
    market.chain.reorg(1, false);
    market.chain.mine(3);
    for _ in 0..200 {
        let now = status(&engine, hash, &offer).await;
        if lies(&now).is_some_and(|now| now.block_hash != before.block_hash) {
            assert!(now.depth.is_some_and(|depth| depth.confirmations > 0), "{now:?}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is believed to be where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_is_settled_again_at_once_is_looked_for_where_it_is_now() {
    let market = Market::new(Mining::Manual);
    let (engine, hash, offer) = (market.engine(), market.pay(1, PRICE), offer(&market.service("1", PRICE)));
    market.chain.mine(1);
    engine.settle(&payment(hash), &offer).await.unwrap();
    // So that the links of the chain were looked at a moment ago.
    let before = lies(&status(&engine, hash, &offer).await).cloned().unwrap();
    market.chain.reorg(1, false);
    market.chain.mine(1);
    engine.settle(&payment(hash), &offer).await.unwrap();
    let now = lies(&status(&engine, hash, &offer).await).cloned().unwrap();
    assert_ne!(now.block_hash, before.block_hash);
}
