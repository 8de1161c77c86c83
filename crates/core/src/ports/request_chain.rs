//! The contract through which requests are paid, as a facilitator asks it.

use async_trait::async_trait;
use serde_json::Value;

use super::{Observer, Standing};
use crate::books::{Mined, Paid};
use crate::{Amount, Fault, Network, Payment, Reason, Timestamp};

/// A token that the contract takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayCurrency {
    /// Its symbol in the contract.
    pub symbol: String,
    /// Its account.
    pub token: String,
    /// Decimals of its atomic unit.
    pub decimals: u8,
    /// How it can be paid with.
    pub methods: Vec<&'static str>,
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMark {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: String,
    /// Its time.
    pub at: Timestamp,
}

/// What the contract has said: a request is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPaid {
    /// The hash of the request's id.
    pub topic: String,
    /// Who was paid.
    pub seller: String,
    /// Atomic units.
    pub amount: Amount,
    /// The symbol of the token.
    pub currency: String,
    /// Where, when and by whom.
    pub paid: Paid,
}

/// What a buyer has signed, for somebody else to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOrder {
    /// The chain.
    pub network: Network,
    /// The token.
    pub asset: String,
    /// Atomic units.
    pub amount: Amount,
    /// Who is paid.
    pub seller: String,
    /// The id of the request.
    pub id: String,
    /// When the request expires.
    pub expires: Timestamp,
    /// Its hash.
    pub request_hash: [u8; 32],
    /// `{buyer, validAfter, validBefore, signature}`, as it came.
    pub authorization: Value,
}

/// What a facilitator of requests needs from the chains with such a contract.
#[async_trait]
pub trait RequestChain: Observer {
    /// The contract of each chain.
    fn contracts(&self) -> Vec<(Network, String)>;

    /// The scheme under which what a buyer has signed is sent for it.
    fn relay_scheme(&self) -> &'static str;

    /// A payment by what a buyer has signed, in that scheme. Nothing of it is verified.
    fn relayed(&self, order: &RelayOrder) -> Result<Payment, Reason>;

    /// What the contract takes of the tokens that are known here.
    async fn currencies(&self, network: &Network) -> Result<Vec<PayCurrency>, Fault>;

    /// A block by its number, or the newest.
    async fn block(&self, network: &Network, number: Option<u64>) -> Result<Option<BlockMark>, Fault>;

    /// What the contract has said in these blocks, of one request or of all.
    async fn paid(
        &self,
        network: &Network,
        from: u64,
        to: u64,
        topic: Option<&str>,
    ) -> Result<Vec<RequestPaid>, Fault>;

    /// What has become of a block.
    async fn standing(&self, network: &Network, mined: &Mined) -> Result<Standing, Fault>;
}
