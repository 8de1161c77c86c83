//! Taking up, every now and then, what a fault left open: a store or a node that was away when it was needed.

use std::future::Future;
use std::time::Duration;

use groat_core::Fault;

const INTERVAL: Duration = Duration::from_secs(30);

/// Calls `recover` for as long as the process lives.
pub(crate) fn start<F, T>(what: &'static str, recover: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = Result<T, Fault>> + Send,
    T: Send,
{
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Err(fault) = recover().await {
                tracing::warn!(what, %fault, "what is open could not be taken up: again in a while");
            }
        }
    });
}
