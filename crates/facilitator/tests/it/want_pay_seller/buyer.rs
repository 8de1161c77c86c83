//! The wallet of a buyer: what it pays, and what it refuses to.

use alloy_primitives::B256;
use async_trait::async_trait;
use groat_chain_evm::pay_proof::PayProofEvm;
use groat_chain_evm::{Chain, ChainOptions, Rpc};
use groat_core::ports::{PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Network, Payment, Timestamp};
use groat_devchain::X402_PAY;
use groat_wire::Dialects;
use groat_wire::want_pay::ID;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::bazaar::*;
use crate::agentxpay::market::Account;

#[async_trait]
impl Signer for Account {
    fn account(&self) -> String {
        self.address.to_string()
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        Ok(Account::sign(self, B256::new(intent.digest)).to_vec())
    }
}

fn wallet(bazaar: &Bazaar) -> PayProofEvm {
    let evm = Chain::new(84532, Rpc::local(bazaar.chain.transport()), vec![], ChainOptions::default());
    PayProofEvm::knowing(vec![(Network::eip155(84532), X402_PAY)]).on(vec![evm])
}

async fn pays(bazaar: &Bazaar, wallet: &PayProofEvm, body: &Value) -> Result<Payment, String> {
    let body = body.to_string();
    let read = Dialects::standard().read_challenge(&HeaderMap::new(), body.as_bytes());
    let (dialect, challenge) = read.map_err(|error| error.to_string())?.ok_or("no challenge")?;
    assert_eq!(dialect, ID);
    let offer = challenge.offers.first().ok_or("no offer")?;
    let now = Timestamp(bazaar.chain.now());
    let request = PayRequest { dialect: &dialect, offer, now, window_s_max: 600, nonce: [9; 32] };
    wallet.pay(request, &bazaar.ada).await.map_err(|error| error.to_string())
}

/// Without the hash that the change would belie.
fn changed(request: &Value, key: &str, with: Value) -> Value {
    but(&but(request, "requestHash", Value::Null), key, with)
}

#[tokio::test(flavor = "multi_thread")]
async fn f106_what_the_wallet_pays_opens_at_the_gate() {
    let bazaar = Bazaar::new();
    let (shop, wallet) = (bazaar.shop(), wallet(&bazaar));
    let request = shop.asked("/forecast").await;
    let payment = pays(&bazaar, &wallet, &request).await.unwrap();
    let mut fields = HeaderMap::new();
    Dialects::standard().write_payment(&payment, &mut fields).unwrap();
    let field = fields["pay"].to_str().unwrap().to_owned();
    let show = async || shop.send(Method::GET, "/forecast", &[("Pay", &field)], "").await;
    let receipt = wallet.publish(&payment).await.unwrap().unwrap();
    assert_eq!(receipt.payer, Some(bazaar.ada.address.to_string()));
    show().await.is_served();
    // Whoever was killed after the journal sends the same transaction.
    let again = wallet.publish(&payment).await.unwrap().unwrap();
    assert_eq!(again.transaction, receipt.transaction);
    assert_eq!(bazaar.chain.usdc_balance(bazaar.seller()), alloy_primitives::U256::from(CENT));
    assert_eq!(show().await.body, "run 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_that_was_killed_before_it_sent_sends_what_it_wrote_down() {
    let bazaar = Bazaar::new();
    let shop = bazaar.shop();
    let request = shop.asked("/forecast").await;
    let payment = pays(&bazaar, &wallet(&bazaar), &request).await.unwrap();
    let written = serde_json::to_string(&payment).unwrap();
    // Another process with nothing but the journal.
    let read: Payment = serde_json::from_str(&written).unwrap();
    let receipt = wallet(&bazaar).publish(&read).await.unwrap().unwrap();
    assert_eq!(receipt.transaction.as_deref(), payment.proof["hash"].as_str());
    assert_eq!(bazaar.chain.usdc_balance(bazaar.seller()), alloy_primitives::U256::from(CENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_t22_a_wallet_refuses_what_is_not_its_own_or_cannot_be_proved() {
    let bazaar = Bazaar::new();
    let (shop, wallet) = (bazaar.shop(), wallet(&bazaar));
    let request = shop.asked("/forecast").await;
    let now = bazaar.chain.now();
    let thief = bazaar.eve.address.to_string();
    let cases = [
        ("contract", json!(thief), "contract"),
        ("chain", json!("base"), "8453"),
        ("chain", json!("eip155:1"), "contract"),
        ("expires", json!(now), "expired"),
        ("expires", json!(now - 1), "expired"),
        ("expires", json!(now + 3_601), "hour"),
        ("expires", json!(now + 1_000_000), "hour"),
        ("token", json!(thief), "cannot be paid"),
        ("currency", json!("USDT"), "USDT"),
        ("decimals", json!(18), "decimals"),
    ];
    for (key, value, word) in cases {
        let refused = pays(&bazaar, &wallet, &changed(&request, key, value.clone())).await;
        let message = refused.map(|payment| payment.proof).expect_err(&format!("{key} {value}"));
        assert!(message.contains(word), "{key} {value}: {message}");
    }
    // A hash that is not the request's, and members that it covers.
    for (key, value) in
        [("requestHash", json!(B256::ZERO)), ("seller", json!(thief)), ("amount", json!("0.02"))]
    {
        assert!(pays(&bazaar, &wallet, &but(&request, key, value)).await.is_err(), "{key}");
    }
    let nonce = bazaar.ask("eth_getTransactionCount", json!([bazaar.ada.address, "pending"]));
    assert_eq!(nonce, "0x0", "nothing was sent");
}

/// Anybody may bring what was signed to the contract. The money has moved then, whatever became of our transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_whose_authorization_a_stranger_was_faster_to_send_does_not_say_that_nothing_moved() {
    let bazaar = Bazaar::new();
    let (shop, wallet) = (bazaar.shop(), wallet(&bazaar));
    let request = shop.asked("/forecast").await;
    let payment = pays(&bazaar, &wallet, &request).await.unwrap();
    let input = input_of(&payment);
    bazaar.transact(&bazaar.eve, alloy_primitives::TxKind::Call(X402_PAY), 0, input);
    assert_eq!(bazaar.chain.usdc_balance(bazaar.seller()), alloy_primitives::U256::from(CENT));
    let outcome = wallet.publish(&payment).await;
    assert!(!matches!(outcome, Err(groat_core::Failure::Refused(_))), "{outcome:?}");
}

/// The call data of the transaction that lies in a payment.
fn input_of(payment: &Payment) -> Vec<u8> {
    use alloy_consensus::{Transaction, TxEnvelope};
    use alloy_eips::eip2718::Decodable2718;
    let raw = alloy_primitives::hex::decode(payment.proof["raw"].as_str().unwrap()).unwrap();
    TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap().input().to_vec()
}
