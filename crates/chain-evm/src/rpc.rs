//! Questions to a node: typed JSON-RPC with a deadline, over HTTP or in process.

use std::time::Duration;

use alloy_json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy_rpc_client::RpcClient;
use alloy_transport::{IntoBoxTransport, TransportError};
use groat_core::Fault;
use groat_core::reason::printable;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON-RPC node.
#[derive(Debug, Clone)]
pub struct Rpc {
    client: RpcClient,
    timeout: Duration,
}

/// The parts of a transaction receipt that we judge by; unknown transaction types of a chain do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TxReceipt {
    /// 1 when it went through.
    pub status: U64,
    /// Which transaction (checked against the one asked for, threat row C03).
    pub transaction_hash: B256,
    /// In which block.
    pub block_hash: B256,
    /// Its number.
    pub block_number: U64,
    /// What happened.
    pub logs: Vec<Log>,
    /// Who signed it.
    #[serde(default)]
    pub from: Option<Address>,
    /// Whom it called.
    #[serde(default)]
    pub to: Option<Address>,
    /// What it took.
    #[serde(default)]
    pub gas_used: U64,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Who emitted it.
    pub address: Address,
    /// Its topics.
    pub topics: Vec<B256>,
    /// Its data.
    pub data: Bytes,
    /// The transaction.
    #[serde(default)]
    pub transaction_hash: Option<B256>,
}

/// A block header, as far as we need it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Height.
    pub number: U64,
    /// Identity.
    pub hash: B256,
    /// Identity of the one before.
    pub parent_hash: B256,
    /// Seconds since the epoch.
    pub timestamp: U64,
    /// EIP-1559.
    #[serde(default)]
    pub base_fee_per_gas: Option<U256>,
}

/// A call to be answered without a transaction.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// As whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Whom.
    pub to: Address,
    /// What.
    #[serde(rename = "data")]
    pub input: Bytes,
    /// At most so much gas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas: Option<U64>,
    /// At this price of gas; a node takes none for zero, which a contract can see (threat row E16).
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// The price of gas in a [`Call`], as in a transaction.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// At most, base fee included.
    pub max_fee_per_gas: U128,
    /// To the block producer.
    pub max_priority_fee_per_gas: U128,
}

/// What a call came to: the node answered, and either returned data or said that it reverts.
pub(crate) type Called = Result<Bytes, String>;

/// Most of a refusal's text that is kept.
const MESSAGE_CHARS_MAX: usize = 300;

impl Rpc {
    /// A node over HTTP. No redirects are followed (threat row G08). The error does not quote the URL: there may be a key in it.
    pub fn http(url: &str, timeout: Duration) -> Result<Self, String> {
        let parsed: url::Url = url
            .parse()
            .map_err(|_| "what is given for a node is not a URL: write http://host:port".to_owned())?;
        // Whoever came first has chosen the TLS provider; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .timeout(timeout)
            .build()
            .map_err(|error| error.to_string())?;
        let transport = alloy_transport_http::Http::with_client(http, parsed);
        Ok(Self { client: RpcClient::new(transport, true), timeout })
    }

    /// A node in this process.
    pub fn local(transport: impl IntoBoxTransport) -> Self {
        Self { client: RpcClient::new(transport, true), timeout: Duration::from_secs(30) }
    }

    /// One request. Whatever goes wrong is a fault: we do not know.
    pub async fn ask<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, Fault> {
        match self.try_ask(method, params).await? {
            Ok(answer) => Ok(answer),
            Err(refusal) => Err(Fault::unavailable("chain", format!("{method}: {}", refusal.message))),
        }
    }

    /// One request, telling a node's refusal from the lack of an answer.
    pub async fn try_ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<Result<R, RpcRefusal>, Fault> {
        let answer = tokio::time::timeout(self.timeout, self.client.request::<P, R>(method, params)).await;
        match answer {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(TransportError::ErrorResp(error))) => {
                // A node repeats what contracts of strangers say (threat row Y06).
                let message = printable(&error.message, MESSAGE_CHARS_MAX);
                Ok(Err(RpcRefusal { code: error.code, message }))
            }
            Ok(Err(error)) => Err(Fault::unavailable("chain", without_url(&error))),
            Err(_) => Err(Fault::unavailable("chain", format!("{method}: no answer in {:?}", self.timeout))),
        }
    }

    /// `eth_call`; a revert is an answer, a refusal for other causes a fault.
    pub async fn call(&self, call: &Call) -> Result<Called, Fault> {
        match self.try_ask::<_, Bytes>("eth_call", (call, "latest")).await? {
            Ok(data) => Ok(Ok(data)),
            Err(refusal) if refusal.is_execution() => Ok(Err(refusal.message)),
            Err(refusal) => Err(Fault::unavailable("chain", format!("eth_call: {}", refusal.message))),
        }
    }

    /// The newest block.
    pub async fn head(&self) -> Result<Block, Fault> {
        self.ask::<_, Option<Block>>("eth_getBlockByNumber", ("latest", false))
            .await?
            .ok_or_else(|| Fault::garbled("chain", "there is no latest block"))
    }

    /// The block with this number, if there is one.
    pub async fn block(&self, number: u64) -> Result<Option<Block>, Fault> {
        self.ask("eth_getBlockByNumber", (U64::from(number), false)).await
    }

    /// The code at an account.
    pub async fn code(&self, account: Address) -> Result<Bytes, Fault> {
        self.ask("eth_getCode", (account, "latest")).await
    }

    /// The receipt of a transaction, if it is in a block.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<TxReceipt>, Fault> {
        let receipt: Option<TxReceipt> = self.ask("eth_getTransactionReceipt", (transaction,)).await?;
        match receipt {
            Some(receipt) if receipt.transaction_hash != transaction => {
                Err(Fault::garbled("chain", "the receipt is of another transaction"))
            }
            receipt => Ok(receipt),
        }
    }

    /// Events of one contract in a range of blocks.
    pub async fn logs(&self, filter: Value) -> Result<Vec<Log>, Fault> {
        self.ask("eth_getLogs", (filter,)).await
    }
}

/// What a node said instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcRefusal {
    /// JSON-RPC error code.
    pub code: i64,
    /// Its text.
    pub message: String,
}

impl RpcRefusal {
    /// Whether the code ran and failed, as opposed to not having been run.
    pub fn is_execution(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        self.code == 3
            || ["revert", "out of gas", "invalid opcode", "stack "].iter().any(|sign| message.contains(sign))
    }

    /// Whether the node already has this transaction, or a block has taken its nonce (threat row C02).
    pub fn is_known_transaction(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["already known", "known transaction", "nonce too low", "already imported"]
            .iter()
            .any(|sign| message.contains(sign))
    }
}

/// The error without the node's URL, which often carries an API key (threat row H25).
fn without_url(error: &TransportError) -> String {
    let text = error.to_string();
    match text.find("http") {
        Some(at) => format!("{}<url>", &text[..at]),
        None => text,
    }
}
