//! One signed debit is one payment.

use futures_util::future::join_all;
use groat_core::books::{Book, SettlementState};
use groat_core::ports::{Facilitator, Mechanism};
use groat_core::{Amount, Failure, Network, Offer, Payment, Reason, Timestamp};
use groat_store::{MemoryStore, Trouble};
use serde_json::json;

use crate::kit::*;

fn reason<T: std::fmt::Debug>(answer: Result<T, Failure>) -> Reason {
    match answer {
        Err(Failure::Refused(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    }
}

async fn funded(amount: u128) -> MemoryStore {
    let store = MemoryStore::default();
    ledger_on(&store).grant(&holder(1), "USD", units(amount), "start", Timestamp(NOW)).await.unwrap();
    store
}

async fn balance(store: &MemoryStore, account: &str) -> Amount {
    ledger_on(store).account("USD", account).await.unwrap().balance()
}

#[tokio::test]
async fn t21_the_same_signed_debit_fifty_times_at_once_is_one_debit() {
    let store = funded(1_000_000).await;
    let hands = Hands::at(NOW);
    // Every call has an engine and a ledger of its own, as in fifty processes.
    let tills: Vec<_> = (0..50).map(|_| till_beside(&store, &hands)).collect();
    let offer = offer(&tills[0].0, 10_000);
    let payment = debit(&offer, 1, 9, NOW).await;
    let all = join_all(tills.iter().map(|(_, engine)| engine.settle(&payment, &offer))).await;
    let first = all[0].clone().unwrap();
    assert!(first.is_settled());
    assert!(all.iter().all(|receipt| receipt.as_ref() == Ok(&first)), "{all:?}");
    assert_eq!(balance(&store, &holder(1).to_string()).await, units(990_000));
    assert_eq!(balance(&store, PAYEE).await, units(10_000));
    assert_eq!((store.count(Book::Postings), store.count(Book::Settlements)), (2, 1));
    // Later it is the same, also when its time is over.
    hands.set(NOW + 10_000);
    assert_eq!(tills[0].1.settle(&payment, &offer).await, Ok(first));
    assert_eq!(reason(tills[0].1.verify(&payment, &offer).await), Reason::NonceAlreadyUsed);
}

/// Whoever comes second sees an account that is empty because of the very same debit.
#[tokio::test]
async fn t21_a_debit_of_all_there_is_at_once_is_taken_and_never_told_as_too_much() {
    let store = funded(10_000).await;
    let hands = Hands::at(NOW);
    let tills: Vec<_> = (0..50).map(|_| till_beside(&store, &hands)).collect();
    let offer = offer(&tills[0].0, 10_000);
    let payment = debit(&offer, 1, 9, NOW).await;
    // Some begin while others are nearly done.
    let all = join_all(tills.iter().enumerate().map(|(late, (_, engine))| {
        let (payment, offer) = (&payment, &offer);
        async move {
            for _ in 0..late {
                tokio::task::yield_now().await;
            }
            engine.settle(payment, offer).await
        }
    }));
    let all = all.await;
    assert!(
        all.iter().all(|receipt| receipt.as_ref().is_ok_and(|receipt| Some(receipt) == all[0].as_ref().ok())),
        "{all:?}"
    );
    assert_eq!(balance(&store, PAYEE).await, units(10_000));
}

#[tokio::test]
async fn m07_a_payee_in_small_letters_is_paid_on_the_account_that_it_can_spend() {
    let store = funded(10_000).await;
    let (scheme, engine) = till(&store, &Hands::at(NOW));
    let offer = Offer { pay_to: PAYEE.to_lowercase(), ..offer(&scheme, 10_000) };
    let payment = debit(&offer, 1, 9, NOW).await;
    let receipt = engine.settle(&payment, &offer).await.unwrap();
    assert_eq!(balance(&store, PAYEE).await, units(10_000));
    assert_eq!(engine.settle(&payment, &offer).await, Ok(receipt));
}

#[tokio::test]
async fn t21_fifty_different_debits_at_once_take_what_is_there_and_no_more() {
    let store = funded(100_000).await;
    let hands = Hands::at(NOW);
    let tills: Vec<_> = (0..50).map(|_| till_beside(&store, &hands)).collect();
    let offer = offer(&tills[0].0, 30_000);
    let payments = join_all((0..50).map(|nonce| debit(&offer, 1, nonce, NOW))).await;
    // All of them look good beforehand: it is the taking that decides.
    for ((_, engine), payment) in tills.iter().zip(&payments) {
        engine.verify(payment, &offer).await.unwrap();
    }
    let asked = tills.iter().zip(&payments).map(|((_, engine), payment)| engine.settle(payment, &offer));
    let all = join_all(asked).await;
    assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 3);
    for answer in all.into_iter().filter(Result::is_err) {
        assert_eq!(reason(answer), Reason::InsufficientBalance);
    }
    assert_eq!(balance(&store, &holder(1).to_string()).await, units(10_000));
    assert_eq!(balance(&store, PAYEE).await, units(90_000));
}

#[tokio::test]
async fn a_debit_whose_answer_was_lost_is_found_where_it_was_taken() {
    for trouble in [Trouble::CommitFails, Trouble::CommitAnswerLost] {
        for commits_before in 0..2 {
            let store = funded(100_000).await;
            let (scheme, engine) = till(&store, &Hands::at(NOW));
            let offer = offer(&scheme, 30_000);
            let payment = debit(&offer, 1, 1, NOW).await;
            if commits_before == 1 {
                // The first commit is the ledger's; let it pass, as a crash after it would.
                let verified = groat_core::Verified::compare(
                    engine.verify(&payment, &offer).await.unwrap(),
                    &offer,
                    |one, other| one == other,
                );
                groat_core::ports::Cashier::take(&scheme, &verified.unwrap(), Timestamp(NOW)).await.unwrap();
            }
            store.trouble(trouble);
            let _ = engine.settle(&payment, &offer).await;
            assert!(engine.settle(&payment, &offer).await.unwrap().is_settled());
            assert_eq!(balance(&store, PAYEE).await, units(30_000), "{trouble:?} {commits_before}");
            let (key, _) = scheme.key(&payment, &offer).unwrap();
            let status = engine.status(&key.id()).await.unwrap().unwrap();
            assert!(matches!(status.state, SettlementState::Settled(_)) && status.depth.unwrap().finalized);
        }
    }
}

fn with(payment: &Payment, member: &str, value: serde_json::Value) -> Payment {
    let mut other = payment.clone();
    other.proof[member] = value;
    other
}

#[tokio::test]
async fn nothing_of_a_debit_can_be_changed_without_its_holder() {
    let store = funded(100_000).await;
    let (scheme, engine) = till(&store, &Hands::at(NOW));
    let offer = offer(&scheme, 30_000);
    let payment = debit(&offer, 1, 1, NOW).await;
    let mut cheaper = offer.clone();
    cheaper.amount = units(1);
    let signature = payment.proof["signature"].as_str().unwrap().to_owned();
    let flipped = signature.replace(&signature[4..6], if &signature[4..6] == "00" { "01" } else { "00" });
    for (changed, offer, expected) in [
        (with(&payment, "account", json!(holder(2).to_string())), &offer, Reason::InvalidSignature),
        (with(&payment, "nonce", json!(format!("0x{}", "02".repeat(32)))), &offer, Reason::InvalidSignature),
        (with(&payment, "deadline", json!(NOW + 61)), &offer, Reason::InvalidSignature),
        (with(&payment, "amount", json!("0.030")), &offer, Reason::InvalidSignature),
        (with(&payment, "amount", json!("3e-2")), &offer, Reason::AmountMismatch),
        (with(&payment, "amount", json!("0.0000001")), &offer, Reason::AmountMismatch),
        (with(&payment, "amount", json!(0.03)), &offer, Reason::InvalidPayload),
        (with(&payment, "audience", json!("https://other.example/token")), &offer, Reason::ResourceMismatch),
        (with(&payment, "currency", json!("EUR")), &offer, Reason::AssetNotAllowed),
        (with(&payment, "network", json!("ledger:other")), &offer, Reason::NetworkMismatch),
        (with(&payment, "signature", json!(flipped)), &offer, Reason::InvalidSignature),
        (with(&payment, "signature", json!("0x00")), &offer, Reason::InvalidPayload),
        (with(&payment, "permit_type", json!("ERC3009")), &offer, Reason::InvalidPayload),
        (with(&payment, "further", json!(1)), &offer, Reason::InvalidPayload),
        (payment.clone(), &cheaper, Reason::AmountMismatch),
    ] {
        assert_eq!(reason(engine.verify(&changed, offer).await), expected, "{:?}", changed.proof);
        assert_eq!(reason(engine.settle(&changed, offer).await), expected, "{:?}", changed.proof);
    }
    assert_eq!(store.count(Book::Postings), 1);
    // As it is, it is good; another spelling of its account and nonce is still the same debit.
    assert!(engine.settle(&payment, &offer).await.unwrap().is_settled());
    let spelled = with(&payment, "account", json!(holder(1).to_string().to_lowercase()));
    assert_eq!(scheme.key(&spelled, &offer), scheme.key(&payment, &offer));
    assert_eq!(balance(&store, PAYEE).await, units(30_000));
}

#[tokio::test]
async fn a_debit_ends_at_its_deadline_and_pays_nobody_twice_or_itself() {
    let store = funded(100_000).await;
    let hands = Hands::at(NOW + 60);
    let (scheme, engine) = till(&store, &hands);
    let offer = offer(&scheme, 30_000);
    let payment = debit(&offer, 1, 1, NOW).await;
    assert_eq!(reason(engine.settle(&payment, &offer).await), Reason::Expired);
    hands.set(NOW + 59);
    assert!(engine.settle(&payment, &offer).await.is_ok());
    // The nonce is spent: what it paid for cannot be said to be something else.
    let elsewhere = Offer { pay_to: holder(3).to_string(), ..offer.clone() };
    assert_eq!(reason(engine.settle(&payment, &elsewhere).await), Reason::AmountMismatch);
    let to_itself = Offer { pay_to: holder(1).to_string(), ..offer.clone() };
    let payment = debit(&to_itself, 1, 2, NOW + 59).await;
    assert_eq!(reason(engine.settle(&payment, &to_itself).await), Reason::PayToNotAllowed);
    let poor = debit(&offer, 2, 1, NOW + 59).await;
    assert_eq!(reason(engine.verify(&poor, &offer).await), Reason::InsufficientBalance);
}

#[tokio::test]
async fn only_accounts_that_somebody_holds_can_be_paid() {
    let store = MemoryStore::default();
    let (scheme, engine) = till(&store, &Hands::at(NOW));
    let terms = |pay_to: &str, price: &str| groat_core::Terms {
        scheme: "balance".into(),
        network: Network::parse("ledger:main").unwrap(),
        price: groat_core::offer::Ask::Price(groat_core::Price::parse(price).unwrap()),
        pay_to: pay_to.into(),
        timeout_s: 60,
    };
    for bad in ["cash", "refunds", "", "0x0", "0x0000000000000000000000000000000000000000"] {
        assert!(scheme.offer(&terms(bad, "$1")).is_err(), "{bad}");
    }
    assert!(scheme.offer(&terms(PAYEE, "1 EUR")).is_err());
    let offer = scheme.offer(&terms(PAYEE, "$0.01")).unwrap().unwrap();
    assert_eq!((offer.asset.as_str(), offer.amount), ("USD", units(10_000)));
    let kinds = engine.supported().await.unwrap().kinds;
    assert_eq!((kinds[0].scheme.as_str(), kinds[0].network.as_str()), ("balance", "ledger:main"));
}
