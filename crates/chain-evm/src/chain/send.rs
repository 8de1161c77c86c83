//! Sending what is signed. Where a block comes for each transaction, the node is asked to answer with its receipt
//! (`eth_sendRawTransactionSync`, EIP-7966), which saves looking for the block.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use groat_core::Fault;

use super::Chain;
use crate::rpc::{RpcRefusal, TxReceipt};

/// So long a quick chain is given: nothing else is sent by this signer meanwhile.
const SYNC_TIMEOUT: Duration = Duration::from_millis(200);
/// JSON-RPC: there is no such method.
const METHOD_NOT_FOUND: i64 = -32601;

#[derive(Debug, Default)]
pub(super) struct Sender {
    /// The node does not know the method.
    lacks_sync: AtomicBool,
}

impl Chain {
    /// Sends signed bytes; `Ok` also when the node had them already.
    pub(crate) async fn send(&self, raw: &str) -> Result<(), Fault> {
        if self.is_quick() && !self.0.sender.lacks_sync.load(Ordering::Relaxed) && self.send_sync(raw).await {
            return Ok(());
        }
        let sent = self.rpc().try_ask::<_, String>("eth_sendRawTransaction", (raw,)).await?;
        self.note_sent();
        taken(sent)
    }

    /// Whether it is in a block. If not, sending it again does no harm.
    async fn send_sync(&self, raw: &str) -> bool {
        self.note_sent();
        let asked = self.rpc().try_ask::<_, TxReceipt>("eth_sendRawTransactionSync", (raw,));
        match tokio::time::timeout(SYNC_TIMEOUT, asked).await {
            Ok(Ok(Ok(receipt))) => {
                self.note_block(receipt.block_number.to::<u64>());
                true
            }
            Ok(Ok(Err(refusal))) => {
                if refusal.code == METHOD_NOT_FOUND {
                    self.0.sender.lacks_sync.store(true, Ordering::Relaxed);
                }
                false
            }
            Ok(Err(_)) | Err(_) => {
                self.note_slow();
                false
            }
        }
    }
}

fn taken(sent: Result<String, RpcRefusal>) -> Result<(), Fault> {
    match sent {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.is_known_transaction() => Ok(()),
        Err(refusal) => Err(Fault::unavailable("chain", refusal.message)),
    }
}
