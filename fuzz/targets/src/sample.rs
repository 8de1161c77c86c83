//! What several targets start from: the second, keys and offers of the wire vectors.

use alloy_primitives::{Address, B256};
use groat_chain_evm::{ExactEvm, GasKey, account};
use groat_core::offer::Ask;
use groat_core::ports::Mechanism;
use groat_core::{Challenge, Network, Offer, Price, Resource, Terms};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::Map;

/// When it is, in every target: the clock of the wire vectors.
pub const NOW: u64 = 1_893_456_000;
/// Who is paid.
pub const PAY_TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The published development key that pays in the wire vectors.
const PAYER_KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Payers; the first is the one of the wire vectors.
pub fn payer_key(index: u8) -> SecretKey {
    if index == 0 {
        return PAYER_KEY.parse().unwrap();
    }
    SecretKey::from_byte_array([index; 32]).unwrap()
}

/// The account of [`payer_key`].
pub fn payer(index: u8) -> Address {
    GasKey::from_bytes(payer_key(index).secret_bytes()).unwrap().address()
}

/// A signature r ‖ s ‖ v.
pub fn sign(key: &SecretKey, digest: B256) -> [u8; 65] {
    let (recovery, bytes) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), key).serialize_compact();
    let mut signature = [0; 65];
    signature[..64].copy_from_slice(&bytes);
    signature[64] = 27 + u8::try_from(i32::from(recovery)).unwrap();
    signature
}

/// What a price costs on a network.
pub fn offer(price: &str, network: &str) -> Offer {
    let terms = Terms {
        scheme: "exact".into(),
        network: Network::parse(network).unwrap(),
        price: Ask::Price(Price::parse(price).unwrap()),
        pay_to: PAY_TO.into(),
        timeout_s: 60,
    };
    ExactEvm::offline().offer(&terms).unwrap().unwrap()
}

/// A seller's challenge with three offers.
pub fn challenge() -> Challenge {
    Challenge {
        resource: Resource { url: "https://api.example.com/weather".into(), ..Resource::default() },
        offers: vec![offer("$0.01", "base-sepolia"), offer("$0.02", "base-sepolia"), offer("$0.01", "base")],
        pass_at: None,
        moment: None,
        error: "Payment required".into(),
        extensions: Map::new(),
    }
}

/// An account from text, for values that the samples know to be good.
pub fn address(text: &str) -> Address {
    account::parse(text).unwrap()
}
