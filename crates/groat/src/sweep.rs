//! Taking up, every now and then, what a fault left open: a store or a node that was away when it was needed.

use std::future::Future;
use std::time::Duration;

use groat_core::Fault;

/// Between two looks at what is open.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);

/// Calls `recover` for as long as the process lives.
pub(crate) fn start<F, T>(what: &'static str, interval: Duration, recover: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = Result<T, Fault>> + Send,
    T: Send,
{
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            if let Err(fault) = recover().await {
                tracing::warn!(what, %fault, "could not be looked after: again in a while");
            }
        }
    });
}
