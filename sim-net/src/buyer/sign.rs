//! Signing a payment, once.

use alloy_primitives::B256;
use async_trait::async_trait;
use groat_chain_evm::proof::Proof;
use groat_chain_evm::{ExactEvm, account};
use groat_core::ports::{Mechanism, PayRequest, Payer, SignError, Signer, TypedIntent};
use groat_core::{Challenge, Offer, Payment, PaymentId, Timestamp};
use groat_wire::{Dialect, x402_v2};
use http::HeaderMap;
use secp256k1::SecretKey;

use super::Buyer;
use crate::chain::PURSE;
use crate::chain::outsider::{address_of, sign as sign_digest};
use crate::fault::Fault;
use crate::host::gate::{Route, TIMEOUT_S};
use crate::notebook::Deal;

/// A payment, ready to be sent as often as needed.
pub(crate) struct Signed {
    /// Its number in the notebook.
    pub(crate) number: usize,
    pub(crate) id: PaymentId,
    pub(crate) wish: u64,
    pub(crate) seller: usize,
    pub(crate) route: Route,
    pub(crate) key: SecretKey,
    pub(crate) nonce: B256,
    /// Until when it is good.
    pub(crate) window_s: u64,
    pub(crate) payment: Payment,
    pub(crate) headers: HeaderMap,
}

/// A wallet that signs whatever it is asked to.
pub(crate) struct Wallet(pub(crate) SecretKey);

#[async_trait]
impl Signer for Wallet {
    fn account(&self) -> String {
        address_of(&self.0).map(account::text).unwrap_or_default()
    }

    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError> {
        Ok(sign_digest(&self.0, B256::from(intent.digest)).to_vec())
    }
}

/// The key of a buyer; the second one has no money.
fn wallet(at: usize, is_poor: bool) -> Option<SecretKey> {
    let byte = u8::try_from(at).ok()? + if is_poor { 0xc0 } else { 0x10 };
    SecretKey::from_byte_array([byte; 32]).ok()
}

/// The account of a buyer.
pub(crate) fn purse(at: usize) -> Option<alloy_primitives::Address> {
    address_of(&wallet(at, false)?)
}

pub(crate) fn headers(payment: &Payment) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    x402_v2::V2.write_payment(payment, &mut headers).ok()?;
    Some(headers)
}

/// Signs for an offer, with this nonce.
pub(crate) async fn pay(
    buyer: &Buyer,
    challenge: &Challenge,
    offer: &Offer,
    key: SecretKey,
    nonce: B256,
    window_s: u64,
) -> Option<Payment> {
    let request = PayRequest {
        dialect: &x402_v2::ID,
        offer,
        now: Timestamp(buyer.world.stage.now_s()),
        window_s_max: window_s,
        nonce: nonce.0,
    };
    let payment = ExactEvm::offline().pay(request, &Wallet(key)).await.ok()?;
    Some(x402_v2::V2.accept(payment, challenge, offer))
}

/// Signs for a wish. Some payers have no money, some clocks are wrong.
pub(crate) async fn sign(
    buyer: &Buyer,
    wish: u64,
    seller: usize,
    route: Route,
    challenge: &Challenge,
) -> Option<Signed> {
    let stage = &buyer.world.stage;
    let offer = challenge.offers.first()?;
    let window_s = if stage.strikes(Fault::Expired) { stage.between(1, 8) } else { TIMEOUT_S };
    let key = wallet(buyer.at, stage.strikes(Fault::Poor))?;
    let words: Vec<u8> = (0..4).flat_map(|_| stage.below(u64::MAX).to_be_bytes()).collect();
    let nonce = B256::try_from(words.as_slice()).ok()?;
    let payment = pay(buyer, challenge, offer, key, nonce, window_s).await?;
    let headers = headers(&payment)?;
    let id = ExactEvm::offline().key(&payment, offer).ok()?.0.id();
    let deal = Deal {
        id,
        payer: Proof::read(&payment.proof).ok()?.authorization.from,
        nonce,
        wish,
        misused: false,
        varied: false,
        meddled: false,
        end: None,
        answers: Vec::new(),
    };
    let number = buyer.world.notebook.sign(deal);
    stage.note("buyer signs", wish, || format!("{} {id} seller {seller} {window_s} s", route.path()));
    stage.count("payments signed");
    Some(Signed { number, id, wish, seller, route, key, nonce, window_s, payment, headers })
}

/// Fills the purses.
pub(crate) fn fill(chain: &crate::chain::Chain, buyers: usize) {
    for at in (0..buyers).filter_map(purse) {
        chain.dev.mint_usdc(at, alloy_primitives::U256::from(PURSE));
    }
}
