//! The chain as a transport of alloy's RPC client: no socket, the same answers.

use std::task::{Context, Poll};

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use tower::Service;

use crate::DevChain;

/// Hands requests to the chain in this process.
#[derive(Clone)]
pub struct Transport(DevChain);

impl Transport {
    pub(crate) fn new(chain: DevChain) -> Self {
        Self(chain)
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport(devchain)")
    }
}

impl Service<RequestPacket> for Transport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let chain = self.0.clone();
        Box::pin(async move {
            let body = serde_json::to_vec(&packet).map_err(TransportErrorKind::custom)?;
            let reply = chain.answer_bytes(&body);
            let delay = chain.delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let reply = reply.ok_or_else(|| TransportErrorKind::custom_str("the reply is lost"))?;
            serde_json::from_str(&reply.to_string()).map_err(TransportErrorKind::custom)
        })
    }
}
