//! What a facilitator knows of payments that were made before they were shown.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use groat_chain_evm::{ByHashEvm, Chain, ChainOptions, Rpc};
use groat_core::books::{EventKind, Settled, SettlementState};
use groat_core::payment::DialectId;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus};
use groat_core::{Amount, Network, Offer, Payment, PaymentId, Terms, Timestamp};
use groat_devchain::{MULTICALL3, Mining, USDC};
use groat_facilitator::{Engine, EngineOptions};
use serde_json::json;

use super::market::{Market, PRICE, PRICE_OF_REPORT};
use crate::outsider::Token;

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

/// The count of a payment begins anew for each payee and token.
#[tokio::test]
async fn r_one_transaction_that_pays_two_payees_buys_from_both_and_from_each_once() {
    let market = Market::new(Mining::Instant);
    market.chain.mint_usdc(MULTICALL3, U256::from(100 * PRICE));
    alloy_sol_types::sol! {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        function aggregate3(Call3[] calls) external payable;
    }
    let payees = [market.provider.address, market.eve.address];
    let move_to = |to| Token::transferCall { to, value: U256::from(PRICE) }.abi_encode().into();
    let calls = payees.map(|to| Call3 { target: USDC, allowFailure: false, callData: move_to(to) }).into();
    let hash = market.send(&market.ada, MULTICALL3, 0, aggregate3Call { calls });
    let engine = market.engine();
    let offers = payees.map(|payee| {
        let mut terms = market.direct(&USDC.to_string(), PRICE);
        terms.pay_to = payee.to_string();
        offer(&terms)
    });
    for offer in &offers {
        assert_eq!(engine.verify(&payment(hash), offer).await.unwrap().key.id(), id(hash, offer));
        engine.settle(&payment(hash), offer).await.unwrap();
        assert!(engine.verify(&payment(hash), offer).await.is_err(), "it is used");
    }
    assert_ne!(id(hash, &offers[0]), id(hash, &offers[1]));
    let lower = Offer {
        pay_to: offers[0].pay_to.to_lowercase(),
        asset: offers[0].asset.to_lowercase(),
        ..offers[0].clone()
    };
    assert_eq!(id(hash, &lower), id(hash, &offers[0]), "spelling is nothing");
    // Whatever service it is for, an event of a manager is one payment.
    let services =
        [("1", PRICE), ("2", PRICE_OF_REPORT)].map(|(id, price)| offer(&market.service(id, price)));
    assert_eq!(id(hash, &services[0]), id(hash, &services[1]));
}

#[tokio::test]
async fn a_payment_that_somebody_settled_for_a_trifle_still_settles_its_price() {
    let market = Market::new(Mining::Instant);
    let hash = market.pay(1, PRICE);
    let engine = market.engine();
    let [trifle, price, more] = [1, PRICE, PRICE + 1].map(|price| offer(&market.service("1", price)));
    engine.settle(&payment(hash), &trifle).await.unwrap();
    let receipt = engine.settle(&payment(hash), &price).await.unwrap();
    // Who asks how it stands is told of what it was good for.
    assert_eq!(status(&engine, hash, &price).await.amount, Amount::from_units(PRICE.into()));
    assert_eq!(engine.settle(&payment(hash), &trifle).await.unwrap(), receipt);
    assert_eq!(status(&engine, hash, &price).await.amount, Amount::from_units(PRICE.into()));
    assert!(engine.settle(&payment(hash), &more).await.is_err(), "so much has not moved");
    assert!(engine.verify(&payment(hash), &price).await.is_err(), "it is used");
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_is_in_no_block_any_more_is_told_as_reverted_and_as_settled_when_it_comes_back() {
    let market = Market::new(Mining::Manual);
    market.chain.mine(1);
    let (engine, hash, offer) = (market.engine(), market.pay(1, PRICE), offer(&market.service("1", PRICE)));
    market.chain.mine(1);
    engine.settle(&payment(hash), &offer).await.unwrap();
    market.chain.reorg(1, true);
    market.chain.mine(3);
    let heard = async |count: usize| {
        for _ in 0..200 {
            // Nobody asks for it: the facilitator looks after it by itself.
            engine.recover().await.unwrap();
            let events = engine.events(0, 9).await.unwrap();
            if events.len() == count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}", engine.events(0, 9).await);
    };
    let events = heard(1).await;
    assert_eq!(
        (events[0].kind, events[0].transaction.clone()),
        (EventKind::Reverted, Some(hash.to_string()))
    );
    let now = status(&engine, hash, &offer).await;
    assert!(now.reverted && now.state == SettlementState::Released, "{now:?}");
    // The same transaction again.
    assert_eq!(market.pay(1, PRICE), hash);
    market.chain.mine(1);
    let events = heard(2).await;
    assert_eq!((events[1].kind, events[1].transaction.clone()), (EventKind::Settled, Some(hash.to_string())));
    assert!(lies(&status(&engine, hash, &offer).await).is_some());
    engine.settle(&payment(hash), &offer).await.unwrap();
}

#[tokio::test]
async fn what_was_verified_a_moment_ago_is_not_searched_for_again() {
    let market = Market::new(Mining::Instant);
    let (engine, hash, offer) = (market.engine(), market.pay(1, PRICE), offer(&market.service("1", PRICE)));
    // Nobody needs the transaction itself to read its events.
    market.ask("dev_failNext", json!(["eth_getTransactionByHash", 9, -32603]));
    engine.verify(&payment(hash), &offer).await.unwrap();
    market.ask("dev_failNext", json!(["eth_getTransactionReceipt", 9, -32603]));
    engine.settle(&payment(hash), &offer).await.unwrap();
}
