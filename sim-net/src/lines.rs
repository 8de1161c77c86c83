//! What production code reaches others through, over the simulated network: the node, and a facilitator.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use async_trait::async_trait;
use bytes::Bytes;
use groat_core::Fault as Trouble;
use groat_facilitator::Carrier;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use tower::Service;

use crate::fault::{Fault, Planted};
use crate::stage::Stage;
use crate::wire::{Http, exchange};

/// How long a node may take to answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(6);

/// A request with a JSON body, or a GET without.
pub(crate) fn request(url: &str, json: Option<Vec<u8>>) -> Option<Request<Full<Bytes>>> {
    let method = if json.is_some() { Method::POST } else { Method::GET };
    Request::builder()
        .method(method)
        .uri(url)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(json.unwrap_or_default()))
        .ok()
}

/// The node, as alloy's RPC client wants it.
#[derive(Clone)]
pub(crate) struct Node(Http);

impl Node {
    pub(crate) fn new(http: Http) -> Self {
        Self(http)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

impl Service<RequestPacket> for Node {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let http = self.0.clone();
        Box::pin(async move {
            let json = serde_json::to_vec(&packet).map_err(TransportErrorKind::custom)?;
            let request = request("http://node/", Some(json))
                .ok_or_else(|| TransportErrorKind::custom_str("no request"))?;
            let answer = exchange(&http, request, NODE_TIMEOUT).await;
            let answer = answer.ok_or_else(|| TransportErrorKind::custom_str("no answer"))?;
            if !answer.status().is_success() {
                return Err(TransportErrorKind::custom_str("the node is away"));
            }
            serde_json::from_slice(answer.body()).map_err(TransportErrorKind::custom)
        })
    }
}

/// A gate's way to its facilitators, who stand behind one name: each call goes to any of them.
pub(crate) struct Post {
    pub(crate) stage: Arc<Stage>,
    pub(crate) http: Http,
    pub(crate) hosts: Vec<String>,
    /// Whether they are somebody else's, whom nobody can ask for the state of a payment.
    pub(crate) is_foreign: bool,
}

/// The name behind which they stand.
pub(crate) const FACILITATORS: &str = "http://facilitators";

/// How long a gate waits for a call that is under way to arrive much later.
const GIVING_UP: Duration = Duration::from_secs(3);

impl Post {
    /// What is on its way arrives, whatever becomes of who sent it.
    fn send_again(&self, url: &str, json: Option<String>, low_ms: u64, high_ms: u64) {
        let pause = Duration::from_millis(self.stage.between(low_ms, high_ms));
        let (http, url) = (self.http.clone(), url.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Some(request) = request(&url, json.map(String::into_bytes)) {
                exchange(&http, request, Duration::from_secs(60)).await;
            }
        });
    }
}

#[async_trait]
impl Carrier for Post {
    async fn carry(&self, url: &str, json: Option<String>, timeout: Duration) -> Result<Vec<u8>, Trouble> {
        let away = || Trouble::unavailable("facilitator", "no answer");
        let at = usize::try_from(self.stage.below(self.hosts.len() as u64)).unwrap_or_default();
        let url = url.replace(FACILITATORS, &format!("http://{}", self.hosts[at]));
        let is_settle = url.ends_with("/settle");
        if self.is_foreign && json.is_none() && url.contains("/payments/") {
            return Ok(br#"{"error":"not_found"}"#.to_vec());
        }
        if self.stage.strikes(Fault::CallDoubled) {
            self.send_again(&url, json.clone(), 0, 5_000);
        }
        if self.stage.strikes(Fault::CallDelayed) {
            self.send_again(&url, json, 5_000, 30_000);
            tokio::time::sleep(timeout.min(GIVING_UP)).await;
            return Err(away());
        }
        let request = request(&url, json.map(String::into_bytes)).ok_or_else(away)?;
        match exchange(&self.http, request, timeout).await {
            Some(answer) => Ok(answer.into_body().to_vec()),
            None if is_settle && self.stage.planted(Planted::TimeoutIsRefusal) => {
                let refused = r#"{"success":false,"errorReason":"unexpected_settle_error","transaction":"","network":"eip155:84532"}"#;
                Ok(refused.as_bytes().to_vec())
            }
            None => Err(away()),
        }
    }
}
