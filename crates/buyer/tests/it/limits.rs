//! What is never signed, counted at the signer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use groat_buyer::{Approver, AskView, BuyError, Buyer, Client};
use groat_chain_evm::ExactEvm;
use groat_core::offer::Ask;
use groat_core::policy::{Decision, Denial, Policy};
use groat_core::ports::Mechanism;
use groat_core::{Amount, Network, Offer, Price, Terms};
use groat_store::SqliteStore;
use groat_wire::Dialects;
use http::HeaderMap;
use serde_json::json;

use crate::kit::{Act, Counting, NOW, Owner, PAY_TO, Seller, denials, offer};

fn get(url: &str) -> reqwest::Request {
    reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap())
}

/// The proof of a payment as it was sent.
fn authorization(payment: &str) -> serde_json::Value {
    let mut headers = HeaderMap::new();
    headers.insert("payment-signature", payment.parse().unwrap());
    let payment = Dialects::standard().read_payment(&headers).unwrap().unwrap();
    payment.proof["authorization"].clone()
}

#[tokio::test]
async fn y15_a_payment_does_not_travel_in_the_clear_unless_the_owner_says_so() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    let address: SocketAddr = seller.url.split('/').nth(2).unwrap().parse().unwrap();
    let url = format!("http://shop.example:{}/thing", address.port());
    seller.challenge.lock().unwrap().resource.url.clone_from(&url);
    let mut owner = Owner { signer: signer.clone(), ..Owner::new() };
    let client = |owner: &Owner| {
        let http = reqwest::Client::builder().no_proxy().resolve("shop.example", address);
        Client::with_http(http, owner.buyer()).unwrap()
    };
    let host = format!("shop.example:{}", address.port());
    let plan = client(&owner).dry_run(get(&url)).await.unwrap();
    assert_eq!(plan.offers[0].decision, Some(Decision::Deny(Denial::PlainHttp(host.clone()))));
    assert!(plan.chosen().is_none());
    assert_eq!(denials(client(&owner).get(&url).await.unwrap_err()), [Denial::PlainHttp(host)]);
    assert_eq!((signer.count(), seller.payments().len()), (0, 0));
    owner.policy.plain_http = true;
    client(&owner).get(&url).await.unwrap();
    assert_eq!(signer.count(), 1);
}

#[tokio::test]
async fn y01_y07_nothing_is_signed_for_what_is_denied_and_nothing_stays_reserved() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    let client = Owner { signer: signer.clone(), ..Owner::new() }.client();
    let dear = offer("$0.11");
    let strange = Offer { asset: "0x1111111111111111111111111111111111111111".into(), ..offer("$0.01") };
    // More units than dollars can be counted in.
    let endless = Offer { amount: Amount::from_units(u128::MAX), ..offer("$0.01") };
    // A dollar that calls itself a millionth of one.
    let mut lie = offer("$1");
    lie.extra.insert("decimals".into(), json!(12));
    for offer in [dear, strange, endless, lie] {
        seller.challenge.lock().unwrap().offers = vec![offer.clone()];
        assert_eq!(denials(client.get(&seller.url).await.unwrap_err()).len(), 1, "{offer:?}");
    }
    assert_eq!((signer.count(), seller.payments().len()), (0, 0));
    assert_eq!(client.purchases().await.unwrap(), []);
}

#[tokio::test]
async fn y08_real_money_is_not_paid_while_only_play_money_is_allowed() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::eip155(8453),
        price: Ask::Price(Price::parse("$0.01").unwrap()),
        pay_to: PAY_TO.into(),
        timeout_s: 60,
    };
    let real = ExactEvm::offline().offer(&terms).unwrap().unwrap();
    seller.challenge.lock().unwrap().offers = vec![real.clone()];
    let denied = denials(owner.client().get(&seller.url).await.unwrap_err());
    assert_eq!(denied, [Denial::Mainnet(Network::eip155(8453))]);
    // Where there is a choice, the dearer one that is allowed.
    seller.challenge.lock().unwrap().offers = vec![real, offer("$0.02")];
    let bought = owner.client().get(&seller.url).await.unwrap();
    assert_eq!(bought.payment.unwrap().offer.network, Network::eip155(84532));
}

#[tokio::test]
async fn y10_y11_a_signature_is_good_for_minutes_whatever_the_seller_wants() {
    for (wanted, given) in [(0, 1), (60, 60), (300, 300), (301, 300), (u64::MAX, 300)] {
        let (seller, owner) = (Seller::start().await, Owner::new());
        let offer = Offer { timeout_s: wanted, ..offer("$0.01") };
        seller.challenge.lock().unwrap().offers = vec![offer];
        let result = owner.client().get(&seller.url).await;
        // What the dialect does not read is not paid at all.
        let Some(payment) = seller.payments().pop() else {
            assert!(matches!(result.unwrap_err(), BuyError::Fault(_) | BuyError::NoOffer(_)), "{wanted}");
            continue;
        };
        let until = authorization(&payment)["validBefore"].as_str().unwrap().parse::<u64>().unwrap();
        assert_eq!(until - NOW, given, "{wanted}");
    }
}

#[tokio::test]
async fn y20_no_two_payments_share_a_nonce() {
    let (seller, owner) = (Seller::start().await, Owner::new());
    for _ in 0..8 {
        owner.client().get(&seller.url).await.unwrap();
    }
    let nonces: std::collections::BTreeSet<String> =
        seller.payments().iter().map(|payment| authorization(payment)["nonce"].to_string()).collect();
    assert_eq!(nonces.len(), 8);
}

#[tokio::test]
async fn y12_after_a_refusal_the_budget_stays_reserved() {
    let (seller, signer) = (Seller::start().await, Counting::new());
    let policy = Policy { day_usd_micros_max: 10_000, ..Policy::default() };
    let client = Owner { policy, signer: signer.clone(), ..Owner::new() }.client();
    seller.acts([Act::Status(402)]);
    assert!(matches!(client.get(&seller.url).await.unwrap_err(), BuyError::Refused { status: 402, .. }));
    let denied = denials(client.get(&format!("{}?other", seller.url)).await.unwrap_err());
    assert!(matches!(denied[..], [Denial::Day { .. }]), "{denied:?}");
    assert_eq!((client.spent_today().await.unwrap().total_usd_micros, signer.count()), (10_000, 1));
    // The same wish may still be served for the same payment.
    assert!(client.get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((signer.count(), seller.signed()), (1, 1));
}

/// Keeps what it was shown.
struct Person(bool, Mutex<Vec<AskView>>);

#[async_trait]
impl Approver for Person {
    async fn approve(&self, ask: &AskView) -> bool {
        self.1.lock().unwrap().push(ask.clone());
        self.0
    }
}

#[tokio::test]
async fn y23_a_person_is_shown_what_is_signed_and_a_no_signs_nothing() {
    for says in [false, true] {
        let (seller, signer) = (Seller::start().await, Counting::new());
        let policy = Policy { ask_above_usd_micros: Some(9_999), ..Policy::default() };
        let person = Arc::new(Person(says, Mutex::default()));
        let owner = Owner { policy, signer: signer.clone(), ..Owner::new() };
        let client = Client::new(Buyer { approver: person.clone(), ..owner.buyer() }).unwrap();
        let result = client.get(&seller.url).await;
        let shown = person.1.lock().unwrap().clone();
        assert_eq!((shown.len(), shown[0].usd_micros), (1, 10_000));
        if says {
            assert_eq!(result.unwrap().payment.unwrap().offer, shown[0].offer);
            assert_eq!(authorization(&seller.payments()[0])["value"], shown[0].offer.amount.to_string());
        } else {
            assert!(matches!(result.unwrap_err(), BuyError::NotApproved(_)));
            assert_eq!(client.purchases().await.unwrap(), []);
        }
        assert_eq!((signer.count() == 1, seller.signed() == 1), (says, says));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn y21_two_processes_with_one_wish_send_one_payment() {
    let seller = Seller::start().await;
    // Nobody is served, so that a second purchase cannot follow a first.
    seller.acts(std::iter::repeat_n(Act::Status(500), 1000));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("purchases.db");
    let one = Owner::on(Arc::new(SqliteStore::open_shared(&file).unwrap()));
    let two = Owner { store: Arc::new(SqliteStore::open_shared(&file).unwrap()), ..one.clone() };
    let (one, two) = (one.client(), two.client());
    for round in 0..20 {
        let url = format!("{}?{round}", seller.url);
        let (first, second) = tokio::join!(one.get(&url), two.get(&url));
        first.unwrap_err();
        second.unwrap_err();
        // Whoever had to give way repeats, and finds what the other signed.
        one.get(&url).await.unwrap_err();
        assert_eq!(seller.signed(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn y21_two_processes_with_a_budget_for_one_sign_once() {
    for _ in 0..10 {
        let (seller, signer) = (Seller::start().await, Counting::new());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("purchases.db");
        let policy = Policy { day_usd_micros_max: 10_000, ..Policy::default() };
        let store = Arc::new(SqliteStore::open_shared(&file).unwrap());
        let one = Owner { policy, signer: signer.clone(), ..Owner::on(store) };
        let two = Owner { store: Arc::new(SqliteStore::open_shared(&file).unwrap()), ..one.clone() };
        let (one, two) = (one.client(), two.client());
        let (first, second) = (format!("{}?1", seller.url), format!("{}?2", seller.url));
        let _ = tokio::join!(one.get(&first), two.get(&second));
        assert!(signer.count() <= 1, "{} signed with a budget for one", signer.count());
        // Two that met may both have given way; one that comes alone does not.
        let _ = one.get(&first).await;
        let _ = two.get(&second).await;
        assert_eq!((signer.count(), seller.signed()), (1, 1));
    }
}
