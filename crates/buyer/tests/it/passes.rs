//! Passes that sellers give: shown where they are good, and nowhere else.

use groat_core::key::{KeyKind, PaymentKey};
use groat_core::{Amount, Network, Pass, Timestamp};
use groat_wire::pass::PassKey;

use crate::kit::{NOW, Owner, Seller};

fn token(expires_at: u64) -> String {
    let network = Network::eip155(84532);
    let pass = Pass {
        payment: PaymentKey::new(KeyKind::Eip3009, &network, &[&[1; 20]]).id(),
        payer: None,
        network,
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        amount: Amount::from_units(10_000),
        scope: "GET /thing".into(),
        issued_at: Timestamp(NOW),
        expires_at: Timestamp(expires_at),
        uses: None,
    };
    PassKey::from_seed(&[1; 32]).unwrap().write(&pass, "groat")
}

async fn seller(token: &str) -> Seller {
    let seller = Seller::start().await;
    *seller.pass.lock().unwrap() = Some((token.to_owned(), true));
    seller
}

#[tokio::test]
async fn r0_35_who_has_a_pass_does_not_pay_again_not_even_after_a_restart() {
    let (owner, seller) = (Owner::new(), seller(&token(NOW + 300)).await);
    let client = owner.client();
    assert!(client.get(&seller.url).await.unwrap().payment.is_some());
    for client in [client, owner.client()] {
        let again = client.get(&format!("{}?page=2", seller.url)).await.unwrap();
        assert_eq!((again.response.status().as_u16(), again.payment.is_none()), (200, true));
    }
    assert_eq!((seller.signed(), seller.shown.lock().unwrap().len()), (1, 2));
    // Its time is over: nothing is shown, and the thing is paid for.
    owner.later(296);
    assert!(owner.client().get(&seller.url).await.unwrap().payment.is_some());
    assert_eq!((seller.signed(), seller.shown.lock().unwrap().len()), (2, 2));
}

#[tokio::test]
async fn a_pass_that_is_refused_is_forgotten_and_the_thing_is_paid_for() {
    let (owner, seller) = (Owner::new(), seller(&token(NOW + 300)).await);
    owner.client().get(&seller.url).await.unwrap();
    let first = seller.pass.lock().unwrap().take().unwrap().0;
    assert!(owner.client().get(&seller.url).await.unwrap().payment.is_some());
    assert_eq!(*seller.shown.lock().unwrap(), [first]);
    assert!(owner.client().get(&seller.url).await.unwrap().payment.is_some());
    assert_eq!((seller.signed(), seller.shown.lock().unwrap().len()), (3, 1));
}

#[tokio::test]
async fn y04_a_pass_is_shown_to_its_seller_for_its_path_and_method_only() {
    let (owner, one, other) = (Owner::new(), seller(&token(NOW + 300)).await, Seller::start().await);
    let client = owner.client();
    client.get(&one.url).await.unwrap();
    client.get(&format!("{}/else", one.url)).await.unwrap();
    client.post(&one.url, "x").await.unwrap();
    client.get(&other.url).await.unwrap();
    assert!(one.shown.lock().unwrap().is_empty() && other.shown.lock().unwrap().is_empty());
    assert_eq!((one.signed(), other.signed()), (3, 1));
}

#[tokio::test]
async fn what_is_no_token_is_not_kept() {
    for nonsense in ["", "x", "a.b.c", "a.e30.c", &"a".repeat(5_000)] {
        let (owner, seller) = (Owner::new(), seller(nonsense).await);
        owner.client().get(&seller.url).await.unwrap();
        owner.client().get(&seller.url).await.unwrap();
        assert_eq!((seller.signed(), seller.shown.lock().unwrap().len()), (2, 0), "{nonsense:.10}");
    }
}
