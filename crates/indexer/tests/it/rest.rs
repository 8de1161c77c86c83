//! What the index says over HTTP.

use std::sync::Arc;

use alloy_primitives::U256;
use groat_devchain::agentxpay::PAYMENT_MANAGER;
use serde_json::json;

use crate::world::{Contract, NOW, PRICE, World, get};

#[tokio::test]
async fn f061_the_rows_are_those_of_the_chain() {
    let world = World::new();
    world.send(world.ada, PAYMENT_MANAGER, 5, &Contract::depositCall {});
    let paid = world.pay();
    let paid_block = world.chain.block_number();
    let subscribed = world.subscribe();
    let batch = Contract::batchPayCall { serviceIds: vec![U256::from(1); 2] };
    let both = world.send(world.ada, PAYMENT_MANAGER, 2 * PRICE, &batch);
    world.chain.mine(2);
    let indexer = Arc::new(world.indexer().await);
    assert_eq!(indexer.poll().await.unwrap().found, 4);
    let ada = format!("{:#x}", world.ada.address());
    let provider = format!("{:#x}", world.provider.address());
    let row = |kind: &str, hash: &str, block: u64, index: u64, fee: &str| {
        json!({
            "event_type": kind, "service_id": "1", "payer": ada, "provider": provider, "amount": "10000",
            "platform_fee": fee, "block_number": block.to_string(), "transaction_hash": hash,
            "log_index": index, "block_timestamp": NOW.to_string(),
        })
    };
    let (status, told) = get(&indexer, &format!("/api/events?address={}", world.ada.address())).await;
    let events = told["events"].as_array().unwrap();
    assert_eq!(
        (status, &told["total"], &told["limit"], &told["offset"]),
        (200, &json!(4), &json!(100), &json!(0))
    );
    let (first, fee) =
        (events[3]["log_index"].as_u64().unwrap(), events[2]["platform_fee"].as_str().unwrap());
    assert_eq!(events[3], row("payment", &paid, paid_block, first, "100"));
    let index = events[2]["log_index"].as_u64().unwrap();
    assert_eq!(events[2], row("subscription", &subscribed, paid_block + 1, index, fee));
    for event in &events[..2] {
        assert_eq!(event["transaction_hash"], both);
    }
    assert!(events[0]["log_index"].as_u64() > events[1]["log_index"].as_u64());

    let only = |query: &str| format!("/api/events?address={provider}{query}");
    assert_eq!(get(&indexer, &only("&type=subscription")).await.1["total"], 1);
    assert_eq!(get(&indexer, &only("&type=payment")).await.1["total"], 3);
    assert_eq!(get(&indexer, &only("&type=other")).await.1["total"], 4);
    let (_, page) = get(&indexer, &only("&limit=1&offset=3")).await;
    assert_eq!((&page["events"][0], &page["limit"]), (&events[3], &json!(1)));
    assert_eq!(get(&indexer, &only("&limit=1000&offset=-1")).await.1["limit"], 500);

    let (_, stats) = get(&indexer, &format!("/api/stats?address={ada}")).await;
    let fees: u64 =
        events.iter().map(|event| event["platform_fee"].as_str().unwrap().parse::<u64>().unwrap()).sum();
    let expected = json!({
        "total_payments_made": "4", "total_payments_received": "0", "total_spent": "40000",
        "total_earned": "0", "total_fees_paid": fees.to_string(),
    });
    assert_eq!(stats, expected);
    let (_, stats) = get(&indexer, &format!("/api/stats?address={provider}")).await;
    assert_eq!((&stats["total_payments_received"], &stats["total_earned"]), (&json!("4"), &json!("40000")));
}

#[tokio::test]
async fn without_an_address_nothing_is_told_and_health_and_place_are_told_always() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    for path in ["/api/events", "/api/stats", "/api/events?address=", "/api/stats?limit=1"] {
        let (status, told) = get(&indexer, path).await;
        assert_eq!((status, told), (400, json!({ "error": "address query parameter is required" })));
    }
    assert_eq!(get(&indexer, "/api/events?address=nobody").await.1["total"], 0);
    assert_eq!(get(&indexer, "/health").await, (200, json!({ "status": "ok", "database": "connected" })));
    let (_, status) = get(&indexer, "/api/indexer-status").await;
    assert_eq!(status, json!({ "last_indexed_block": "0", "updated_at": "2027-01-16T00:00:00.000Z" }));
    world.chain.mine(5);
    indexer.poll().await.unwrap();
    let (_, status) = get(&indexer, "/api/indexer-status").await;
    assert_eq!(status["last_indexed_block"], (world.chain.block_number() - 2).to_string());
}
