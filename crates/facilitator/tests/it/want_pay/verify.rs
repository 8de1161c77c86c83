//! `POST /v1/verify`: every status and code, forged events, and one first use.

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::SolValue;
use groat_core::Timestamp;
use groat_devchain::Mining;
use groat_facilitator::http::{Caller, digest};
use serde_json::{Value, json};

use super::{Buyer, SELLER, Shop, UNITS, body, question, request, with};
use crate::outsider::Outsider;
use crate::world::NOW;

#[tokio::test]
async fn a_paid_request_is_told_with_all_there_is_to_know() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let block = shop.chain.block_number();
    shop.chain.mine(2);
    let answer = shop.post("/v1/verify", &question(&asked, &buyer.proof(&asked, tx))).await;
    let expected = json!({
        "valid": true,
        "status": "settled",
        "requestId": "pay_1",
        "buyer": buyer.address().to_checksum(None),
        "seller": SELLER,
        "amount": "0.01",
        "currency": "USDC",
        "chain": "base-sepolia",
        "tx": tx.to_string(),
        "blockNumber": block,
        "confirmations": 3,
        "settledAt": answer.body["settledAt"],
        "firstUse": true,
    });
    assert_eq!((answer.status, &answer.body), (200, &expected));
    assert!(answer.body["settledAt"].as_u64().unwrap().abs_diff(NOW) < 60);
    // Looking takes nothing.
    let again = shop.post("/v1/verify", &question(&asked, &buyer.proof(&asked, tx))).await;
    assert_eq!(again.body["firstUse"], true);
}

/// A question, and the status with the code that answers it.
struct Row(&'static str, Value, u16, &'static str);

#[tokio::test]
async fn t07_f106_every_wrong_question_has_its_status_and_code() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, other) = (shop.buyer(1), shop.buyer(2));
    let asked = request("pay_1");
    let tx = shop.paid(&buyer, &asked);
    let good = question(&asked, &buyer.proof(&asked, tx));
    let unpaid = request("pay_2");
    let reverted = {
        // The same again: settled already.
        let call = buyer.call(&asked);
        Outsider::new(&shop.chain, buyer.0).send(groat_devchain::X402_PAY, call)
    };
    let told = request("pay_told");
    assert_eq!(shop.post("/v1/requests", &body(&told)).await.status, 201);
    let mut retold = told.clone();
    retold.nonce = "f".repeat(32);

    // Another amount, seller or currency than what lies on the chain, claimed rightly.
    let dearer = super::PaymentRequest::from_value(&changed(&asked, "amount", json!("0.02"))).unwrap();
    let elsewhere = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let theirs = super::PaymentRequest::from_value(&changed(&asked, "seller", json!(elsewhere))).unwrap();
    let claim = |change: &dyn Fn(&mut super::Claims)| {
        let mut claims = buyer.claims(&asked, tx);
        change(&mut claims);
        with(good.clone(), "proof", json!(buyer.prove(&claims)))
    };
    let forged = {
        let token = other.prove(&buyer.claims(&asked, tx));
        with(good.clone(), "proof", json!(token))
    };
    let mut seller_of_theirs = question(&theirs, &buyer.proof(&theirs, tx));
    seller_of_theirs["seller"] = json!(elsewhere);
    let asked_for = |key: &str, value: Value| {
        let request = changed(&asked, key, value);
        with(good.clone(), "paymentRequest", request)
    };
    let without = |key: &str| {
        let mut question = good.clone();
        question.as_object_mut().unwrap().remove(key);
        question
    };
    let rows = vec![
        Row("good", good.clone(), 200, ""),
        Row(
            "a transaction that reverted",
            question(&asked, &buyer.proof(&asked, reverted)),
            200,
            "not_settled",
        ),
        Row("a payment of another request", question(&unpaid, &buyer.proof(&unpaid, tx)), 200, "not_settled"),
        Row("another price", question(&dearer, &buyer.proof(&dearer, tx)), 200, "amount_mismatch"),
        Row("another payee on chain", seller_of_theirs, 200, "wrong_seller"),
        Row("another seller asks", with(good.clone(), "seller", json!(elsewhere)), 200, "wrong_seller"),
        Row("somebody else's payment", question(&asked, &other.proof(&asked, tx)), 200, "not_settled"),
        Row("signed by somebody else", forged, 200, "bad_signature"),
        Row("no proof", with(good.clone(), "proof", json!("a.b.c")), 200, "invalid_proof"),
        Row("about another request", claim(&|claims| claims.sub = "pay_9".into()), 200, "unknown_request"),
        Row("claims another amount", claim(&|claims| claims.amount = "0.02".into()), 200, "claims_mismatch"),
        Row("claims another chain", claim(&|claims| claims.chain = "base".into()), 200, "claims_mismatch"),
        Row(
            "for another URL",
            claim(&|claims| claims.htu = Some("https://x.example/".into())),
            200,
            "claims_mismatch",
        ),
        Row(
            "for this URL",
            claim(&|claims| claims.htu = Some("https://shop.example/weather".into())),
            200,
            "",
        ),
        Row("too old", claim(&|claims| (claims.iat, claims.exp) = (NOW - 60, NOW - 1)), 200, "expired"),
        Row("not in a block", question(&asked, &buyer.proof(&asked, B256::repeat_byte(7))), 202, "pending"),
        Row("both", with(good.clone(), "requestId", json!("pay_1")), 400, "invalid_request"),
        Row("neither", without("paymentRequest"), 400, "invalid_request"),
        Row("no seller", without("seller"), 400, "invalid_request"),
        Row("a number as proof", with(good.clone(), "proof", json!(7)), 400, "invalid_request"),
        Row("consume is a text", with(good.clone(), "consume", json!("yes")), 400, "invalid_request"),
        Row("a request without amount", asked_for("amount", Value::Null), 400, "invalid_request"),
        Row("a list", json!([]), 400, "invalid_request"),
        Row(
            "never told of",
            with(without("paymentRequest"), "requestId", json!("pay_1")),
            404,
            "unknown_request",
        ),
        Row("told otherwise", question(&retold, &buyer.proof(&retold, tx)), 409, "request_conflict"),
        Row("another chain", asked_for("chain", json!("polygon")), 422, "unsupported_chain"),
        Row("another token", asked_for("currency", json!("USDT")), 422, "unsupported_currency"),
        Row("finer than the token", asked_for("amount", json!("0.0000001")), 422, "unsupported_amount"),
        // Whatever contract a request names, ours counts.
        Row("another contract", asked_for("contract", json!(elsewhere)), 200, ""),
    ];
    for Row(what, question, status, code) in rows {
        let answer = shop.post("/v1/verify", &question).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        match status {
            200 if code.is_empty() => assert_eq!(answer.body["valid"], true, "{what}: {answer:?}"),
            200 => {
                let told = (&answer.body["valid"], &answer.body["status"], &answer.body["error"]["code"]);
                assert_eq!(told, (&json!(false), &json!("invalid"), &json!(code)), "{what}: {answer:?}");
                assert!(answer.body["error"]["message"].as_str().unwrap().len() > 10, "{what}: {answer:?}");
            }
            202 => {
                assert_eq!((&answer.body["valid"], &answer.body["status"]), (&json!(false), &json!(code)));
                assert_eq!(answer.retry_after.unwrap(), answer.body["retryAfter"].to_string(), "{what}");
            }
            _ => {
                assert_eq!(answer.media, "application/problem+json", "{what}");
                assert_eq!(
                    (&answer.body["code"], &answer.body["status"]),
                    (&json!(code), &json!(status)),
                    "{what}"
                );
                assert!(answer.body["detail"].as_str().unwrap().len() > 10, "{what}: {answer:?}");
            }
        }
    }
    // None of it has used the payment.
    let taken = shop.post("/v1/verify", &with(good, "consume", json!(true))).await;
    assert_eq!(taken.body["firstUse"], true);
}

fn changed(request: &super::PaymentRequest, key: &str, value: Value) -> Value {
    let mut members = body(request);
    members.as_object_mut().unwrap().remove("requestHash");
    members[key] = value;
    members
}

#[tokio::test]
async fn trouble_of_ours_is_503_and_says_when_to_come_back() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let question = question(&asked, &buyer.proof(&asked, tx));
    shop.chain.faults(|faults| faults.fail_next.insert("eth_getTransactionReceipt".into(), (1, -32_000)));
    let answer = shop.post("/v1/verify", &with(question.clone(), "consume", json!(true))).await;
    assert_eq!((answer.status, answer.media.as_str()), (503, "application/problem+json"), "{answer:?}");
    assert!(answer.retry_after.is_some());
    let answer = shop.post("/v1/verify", &with(question, "consume", json!(true))).await;
    assert_eq!(answer.body["firstUse"], true, "{answer:?}");
}

#[tokio::test]
async fn a_payment_that_came_too_late_settles_nothing_whatever_the_proof_says() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    // Told as if it had expired before the block.
    let earlier = super::PaymentRequest::from_value(&changed(&asked, "expires", json!(NOW - 30))).unwrap();
    let mut claims = buyer.claims(&earlier, tx);
    (claims.iat, claims.exp) = (NOW - 60, NOW + 200);
    let answer = shop.post("/v1/verify", &question(&earlier, &buyer.prove(&claims))).await;
    assert_eq!(answer.body["error"]["code"], "not_settled", "{answer:?}");
    shop.chain.set_time(NOW + 601);
    let answer = shop.post("/v1/verify", &question(&asked, &buyer.proof(&asked, tx))).await;
    assert_eq!(answer.body["error"]["code"], "expired", "{answer:?}");
}

/// A contract that emits `PaymentSettled` as it is told: the topic, then the data.
fn forge(shop: &Shop, thief: &Buyer, id: &str, seller: &str, units: u64) -> B256 {
    let forger = Address::repeat_byte(0xf0);
    let topic = "77112a7c26a3b1ffc47ce6b516d2938c7c1f22b236f146d8d317fc67ec23f4ec";
    let code = format!("0x6020360360206000376000357f{topic}602036036000a200");
    shop.chain.request("anvil_setCode", json!([forger, code])).unwrap();
    let seller: Address = seller.parse().unwrap();
    let said = (thief.address(), seller, U256::from(units), "USDC".to_owned(), U256::from(NOW));
    let data = [keccak256(id).to_vec(), said.abi_encode_params()].concat();
    let hash = Outsider::new(&shop.chain, thief.0).send(forger, data);
    let receipt = shop.chain.request("eth_getTransactionReceipt", json!([hash])).unwrap();
    let log = &receipt["logs"][0];
    assert_eq!(log["topics"][0], format!("0x{topic}"), "the forgery is one: {receipt}");
    assert_eq!(log["topics"][1], format!("0x{}", hex::encode(keccak256(id))));
    hash
}

#[tokio::test]
async fn t08_an_event_of_another_contract_settles_nothing() {
    let shop = Shop::new(Mining::Instant);
    let (thief, asked) = (shop.buyer(9), request("pay_1"));
    assert_eq!(shop.post("/v1/requests", &body(&asked)).await.status, 201);
    let tx = forge(&shop, &thief, "pay_1", SELLER, UNITS);
    let mut named = body(&asked);
    named["contract"] = json!(format!("0x{}", "f0".repeat(20)));
    for question in [
        question(&asked, &thief.proof(&asked, tx)),
        with(question(&asked, &thief.proof(&asked, tx)), "paymentRequest", named),
    ] {
        let answer = shop.post("/v1/verify", &question).await;
        assert_eq!(answer.body["error"]["code"], "not_settled", "{answer:?}");
    }
    shop.requests.look().await.unwrap();
    assert_eq!(shop.state("pay_1").await, "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_take_the_same_payment_at_once_see_one_first_use_also_after_a_restart() {
    let shop = Shop::new(Mining::Instant);
    let (buyer, asked) = (shop.buyer(1), request("pay_1"));
    let tx = shop.paid(&buyer, &asked);
    let shop = std::sync::Arc::new(shop);
    let asking: Vec<_> = (0..50)
        .map(|turn| {
            // Each a proof of its own: another signature is no other payment.
            let mut claims = buyer.claims(&asked, tx);
            claims.jti = Some(turn.to_string());
            let question = with(question(&asked, &buyer.prove(&claims)), "consume", json!(true));
            let shop = std::sync::Arc::clone(&shop);
            tokio::spawn(async move { shop.post("/v1/verify", &question).await })
        })
        .collect();
    let mut first = 0;
    for answer in asking {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status, &answer.body["valid"]), (200, &json!(true)), "{answer:?}");
        first += usize::from(answer.body["firstUse"] == true);
    }
    assert_eq!(first, 1);
    for consume in [true, false] {
        let question = with(question(&asked, &buyer.proof(&asked, tx)), "consume", json!(consume));
        let answer = shop.restart().post("/v1/verify", &question).await;
        assert_eq!((&answer.body["valid"], &answer.body["firstUse"]), (&json!(true), &json!(false)));
    }
}

#[tokio::test]
async fn r15_a_request_is_the_caller_s_who_told_of_it_and_a_key_is_needed_where_keys_are_set() {
    let key = |name: &str, pay_to: &[&str]| Caller {
        name: name.into(),
        digest: digest(&format!("groat_{name}")),
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: pay_to.iter().map(|account| (*account).to_owned()).collect(),
        gas_per_day: None,
    };
    let elsewhere = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
    let callers = vec![key("a", &[]), key("b", &[]), key("c", &[elsewhere])];
    let shop = Shop::with(Mining::Instant, callers);
    let asked = request("pay_1");
    let as_who = |who: &str| format!("Bearer groat_{who}");
    let post = async |who: &str, body: &Value| {
        let key = as_who(who);
        shop.ask("POST", "/v1/requests", body.to_string(), &[("authorization", &key)]).await
    };
    for path in ["/v1/verify", "/v1/requests", "/v1/payments"] {
        let answer = shop.post(path, &json!({})).await;
        assert_eq!((answer.status, answer.media.as_str()), (401, "application/problem+json"), "{path}");
    }
    assert_eq!(shop.get("/v1/supported").await.status, 200, "buyers ask without a key");
    assert_eq!(post("a", &body(&asked)).await.status, 201);
    let mut other = asked.clone();
    other.expires = Timestamp(NOW + 200);
    assert_eq!(post("a", &body(&other)).await.status, 409);
    assert_eq!(post("b", &body(&other)).await.status, 201, "its own id");
    assert_eq!(post("c", &body(&asked)).await.status, 403);
    let key = as_who("c");
    let answer = shop.ask("GET", "/v1/requests/pay_1", "", &[("authorization", &key)]).await;
    assert_eq!(answer.status, 404);
}
