//! A scheme on a chain family, seen from outside: pure half, paying half, settling half.

use std::time::Duration;

use async_trait::async_trait;
use ruint::aliases::U256;
use serde_json::Value;

use crate::books::{Attempt, Mined, Settled, Settlement};
use crate::offer::Offer;
use crate::verified::Claim;
use crate::{Amount, Depth, Failure, Fault, Network, Payment, PaymentKey, Reason, Receipt, Terms, Timestamp};

/// One scheme on one chain family, without any input or output.
pub trait Mechanism: Send + Sync {
    /// The scheme, such as `exact`.
    fn scheme(&self) -> &'static str;

    /// Whether it works on this network.
    fn speaks(&self, network: &Network) -> bool;

    /// The offer for the terms; `None` when the terms are not for this mechanism. The error is a sentence.
    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String>;

    /// The replay key and the end of validity, read from the proof without trusting it.
    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason>;

    /// The key of a payment of which only token, payer and nonce are known: the one that [`key`](Self::key) reads from the
    /// whole of it. `None` where these do not name a payment. The error is a sentence.
    fn key_of(
        &self,
        _network: &Network,
        _asset: &str,
        _payer: &str,
        _nonce: &str,
    ) -> Result<Option<PaymentKey>, String> {
        Ok(None)
    }

    /// Whether two spellings name one account.
    fn same_account(&self, one: &str, other: &str) -> bool;

    /// Whether the account itself has signed a text, as its wallet signs messages. Nothing is asked of a chain, so for a
    /// wallet that is a contract nobody ever has.
    fn has_signed(&self, _account: &str, _text: &str, _signature: &str) -> bool {
        false
    }

    /// Whether its payments have moved the money before they are shown.
    fn is_paid_before(&self) -> bool {
        false
    }

    /// Whether a claim of access may let a request to this offer in without a payment ([`Access`](super::Access)).
    fn gives_access(&self, _offer: &Offer) -> bool {
        false
    }

    /// The next payment that the same proof may stand for: a transaction can carry several. `None` after the last that is
    /// looked at.
    fn next(&self, _payment: &Payment) -> Option<Payment> {
        None
    }

    /// What is known of a token; `None` for a stranger, whatever it says of itself (threat row Y07).
    fn token(&self, network: &Network, asset: &str) -> Option<Token>;
}

/// A token from our own table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its symbol, for people only (threat row M06).
    pub symbol: &'static str,
    /// Decimals of its atomic unit.
    pub decimals: u8,
    /// What one whole unit counts for in prices and budgets, in millionths of a dollar; `None` when nobody has said.
    pub unit_usd_micros: Option<u64>,
}

impl Token {
    /// The value of one dollar, in millionths of one.
    pub const DOLLAR: u64 = 1_000_000;

    /// The value of `amount` in millionths of a dollar, rounded up; `None` when the value of the token is unknown.
    pub fn usd_micros(&self, amount: Amount) -> Option<u64> {
        let unit = U256::from(10).checked_pow(U256::from(self.decimals))?;
        let micros = amount.as_u256().checked_mul(U256::from(self.unit_usd_micros?))?.div_ceil(unit);
        micros.try_into().ok()
    }
}

/// The buyer's half.
#[async_trait]
pub trait Payer: Mechanism {
    /// A signed payment for the offer, with its key; `timeout_s` bounds how long it stays good.
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError>;

    /// The payment with a signature of its payer over these lines, which say what request it is for. Unchanged where the
    /// mechanism knows no such thing.
    async fn prove(
        &self,
        payment: Payment,
        _lines: &str,
        _signer: &dyn Signer,
    ) -> Result<Payment, SignError> {
        Ok(payment)
    }

    /// Makes a payment happen that a seller only looks at, after it has been written down. Safe to repeat. A refusal says
    /// that it certainly came to nothing; a fault, that nobody knows. The receipt is what the payer itself has seen.
    async fn publish(&self, _payment: &Payment) -> Result<Option<Receipt>, Failure> {
        Ok(None)
    }

    /// What became of a payment of the past. Asked before it is given up, or another is signed in its place.
    async fn fate(&self, _payment: &Payment, _offer: &Offer) -> Result<Fate, Fault> {
        Ok(Fate::Open { transaction: None })
    }

    /// A payment that was made will never leave: what it took, such as the next nonce of its account, is free again.
    fn discard(&self, _payment: &Payment) {}
}

/// What became of a payment, as far as its payer can see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It may still be taken; or nobody here can say.
    Open {
        /// The transaction that may carry it.
        transaction: Option<String>,
    },
    /// It has moved the money. The receipt is what the payer itself has seen.
    Paid(Option<Receipt>),
    /// It has moved nothing, and never will.
    Dead(Reason),
}

pub use self::payer::PayRequest;
mod payer {
    use crate::payment::DialectId;
    use crate::{Offer, Timestamp};

    /// What is to be paid.
    #[derive(Debug, Clone, Copy)]
    pub struct PayRequest<'a> {
        /// In this dialect.
        pub dialect: &'a DialectId,
        /// This offer.
        pub offer: &'a Offer,
        /// As of now.
        pub now: Timestamp,
        /// At most so long valid, whatever the offer says.
        pub window_s_max: u64,
        /// Thirty-two bytes that were never used before.
        pub nonce: [u8; 32],
    }
}

/// What a signer is asked to sign: something a person could read, never a bare hash (threat row Y19).
#[derive(Debug, Clone, PartialEq)]
pub struct TypedIntent {
    /// A sentence such as `pay 0.01 USDC on Base to 0x…`.
    pub sentence: String,
    /// The EIP-712 typed data.
    pub typed_data: Value,
    /// Its digest, for signers that have shown the rest.
    pub digest: [u8; 32],
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The signer said no.
    #[error("the signer refused: {0}")]
    Refused(String),
    /// The signer cannot be reached or cannot do this.
    #[error("the signer is not available: {0}")]
    Unavailable(String),
    /// The offer cannot be paid by this mechanism.
    #[error("the offer cannot be paid: {0}")]
    Offer(String),
}

/// Somebody who can sign, and keeps the key to itself.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The account it signs for.
    fn account(&self) -> String;

    /// The signature, 65 bytes r ‖ s ‖ v on secp256k1.
    async fn sign(&self, intent: &TypedIntent) -> Result<Vec<u8>, SignError>;
}

/// Where a transaction of a signer goes; decided by the engine, in the commit that stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The chain.
    pub network: &'a Network,
    /// Who signs.
    pub signer: &'a str,
    /// The account nonce.
    pub nonce: u64,
    /// Now.
    pub now: Timestamp,
}

/// What was found out about a batch before a nonce is taken for it.
#[derive(Debug)]
pub struct Plan {
    /// For each payment, from the front, whether the chain would take it now. What is missing at the end did not fit.
    pub verdicts: Vec<Result<(), Failure>>,
    /// Gas and fees, for the mechanism that found them.
    pub terms: Value,
}

/// Why a nonce is signed for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacement {
    /// The same for more gas.
    Bump,
    /// Nothing: what it carried is dead, and only the nonce must be spent.
    Void,
}

/// What the chain says of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not there and could still come.
    Unknown,
    /// There: the money moved as agreed.
    Landed(Settled),
    /// Every attempt that was mined moved nothing, and the authorization is unused and still good.
    Reverted {
        /// The last that was mined.
        transaction: String,
    },
    /// Proved dead: the authorization is cancelled, or it expired unused.
    Failed {
        /// Why.
        reason: Reason,
        /// The transaction that was mined and failed.
        transaction: Option<String>,
    },
}

/// What the chain says of a transaction and its payments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The attempt that is in a block.
    pub mined: Option<Mined>,
    /// Of each payment.
    pub outcomes: Vec<Outcome>,
    /// Gas that the transaction in the block took; 0 without one.
    pub gas: u64,
    /// The newest block at the time.
    pub head: u64,
}

/// What has become of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is part of the chain, and may yet be replaced.
    Standing,
    /// It will not be replaced.
    Final,
    /// Another block has its number.
    Replaced,
}

/// The facilitator's half. Several payments may share a transaction; each still has an outcome of its own.
#[async_trait]
pub trait Settler: Mechanism {
    /// The networks that can be settled on right now, with the accounts that submit (threat row E32).
    async fn ready(&self) -> Vec<(Network, Vec<String>)>;

    /// Checks that the payer really signed this, that it is good now and that the chain would accept it.
    async fn verify(&self, payment: &Payment, offer: &Offer, now: Timestamp) -> Result<Claim, Failure>;

    /// The accounts that submit on this network.
    fn signers(&self, network: &Network) -> Vec<String>;

    /// The most payments in one transaction.
    fn batch_max(&self, network: &Network) -> usize;

    /// The account nonce of a signer on chain, with what waits, to start a lane with.
    async fn chain_nonce(&self, network: &Network, signer: &str) -> Result<u64, Fault>;

    /// How many transactions of a signer are in blocks: every nonce below is spent.
    async fn spent_nonces(&self, network: &Network, signer: &str) -> Result<u64, Fault>;

    /// Everything that one transaction for these payments needs from the chain, asked before the nonce is taken.
    async fn plan(&self, network: &Network, signer: &str, batch: &[Settlement]) -> Result<Plan, Fault>;

    /// Signs one transaction for all of them; nothing is sent.
    fn prepare(&self, place: Place<'_>, batch: &[Settlement], terms: &Value) -> Result<Attempt, Fault>;

    /// Signs for the same nonce again; nothing is sent. For nothing also when the bytes of the last are forgotten.
    async fn replace(&self, place: Place<'_>, last: &Attempt, with: Replacement) -> Result<Attempt, Fault>;

    /// Sends signed bytes. Safe to repeat; `Ok` also when the node already knew them.
    async fn broadcast(&self, network: &Network, attempt: &Attempt) -> Result<(), Fault>;

    /// What became of them: receipts of all attempts, then the authorization states, then the logs.
    async fn look(
        &self,
        network: &Network,
        batch: &[Settlement],
        attempts: &[Attempt],
    ) -> Result<Look, Fault>;

    /// What has become of a block that a transaction was seen in.
    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault>;

    /// How deep a block lies that a transaction was seen in.
    async fn depth(&self, network: &Network, mined: &Mined) -> Result<Depth, Fault>;

    /// The newest block of this network that anybody here has seen; 0 before the first.
    fn head(&self, network: &Network) -> u64;

    /// Waits until the newest block is another than `after`, or for `timeout`. Returns the newest that was seen.
    async fn wait_block(&self, network: &Network, after: u64, timeout: Duration) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn y07_m05_the_value_of_a_token_follows_our_decimals_and_rounds_up() {
        let value = |decimals, units| {
            Token { symbol: "T", decimals, unit_usd_micros: Some(Token::DOLLAR) }
                .usd_micros(Amount::from_units(units))
        };
        assert_eq!(value(6, 10_000), Some(10_000));
        assert_eq!(value(18, 10_000_000_000_000_001), Some(10_001));
        assert_eq!(value(2, 1), Some(10_000));
        assert_eq!(value(6, u128::MAX), None);
        let of_coin = |rate| Token { symbol: "T", decimals: 18, unit_usd_micros: rate };
        assert_eq!(of_coin(None).usd_micros(Amount::from_units(1)), None);
        // A coin at $2,500.
        let coin = of_coin(Some(2_500 * Token::DOLLAR));
        assert_eq!(coin.usd_micros(Amount::from_units(4_000_000_000_000)), Some(10_000));
        assert_eq!(coin.usd_micros(Amount::from_units(4_000_000_000_001)), Some(10_001));
    }
}
