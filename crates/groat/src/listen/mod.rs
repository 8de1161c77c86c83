//! Serving a router until the process is told to stop.

mod framing;
mod serve;

use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

pub(crate) use serve::{Serving, spawn};

/// Binds an address, with an error that says what to do.
pub(crate) async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{what} cannot listen on {address}: is something else there? choose another port")
    })
}

/// Tells where things listen: a table for people, or one JSON line for whoever started the process.
pub(crate) fn announce(json: bool, facts: &[(&str, String)]) {
    if json {
        let object: serde_json::Map<String, serde_json::Value> =
            facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        println!("{}", serde_json::Value::Object(object));
        return;
    }
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    for (name, value) in facts {
        println!("{name:width$}{value}");
    }
}

/// Returns when the process is asked to stop (Ctrl-C or SIGTERM).
pub(crate) async fn until_stopped() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
