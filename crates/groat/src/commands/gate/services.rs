//! Services of AgentXPay behind a gate: what their registry says must be what the gate asks for, at the start and later.

use std::time::Duration;

use anyhow::{Context, bail};
use groat_chain_evm::{ByHashEvm, Chain, ServiceTrouble};
use groat_core::Terms;

use crate::sweep;

/// Between two looks into the registry.
const INTERVAL: Duration = Duration::from_secs(60);

/// Refuses to start with a service that buyers would not pay for, or pay for in vain.
pub(super) async fn check(nodes: &[Chain], services: &[Terms]) -> anyhow::Result<()> {
    for node in nodes {
        // One of another chain would say who has subscribed, and what a service costs.
        node.check_id().await.with_context(|| format!("the node of {}", node.network()))?;
    }
    let registry = ByHashEvm::on(nodes.to_vec());
    for terms in services {
        match registry.compare(terms).await {
            Ok(()) => {}
            Err(ServiceTrouble::Differs(what)) => bail!("{what}"),
            Err(ServiceTrouble::Unknown(fault)) => {
                bail!(
                    "what the registry says of a service cannot be asked: {fault}; is the node of --rpc or [[chain]] up?"
                )
            }
        }
    }
    Ok(())
}

/// Looks again every now and then. A service that was changed is an error for the operator; what was paid for the old price
/// is still compared with the route's.
pub(super) fn watch(nodes: Vec<Chain>, services: Vec<Terms>) {
    if services.is_empty() {
        return;
    }
    let registry = ByHashEvm::on(nodes);
    sweep::start("services in their registry", INTERVAL, move || {
        let (registry, services) = (registry.clone(), services.clone());
        async move {
            for terms in &services {
                match registry.compare(terms).await {
                    Ok(()) => {}
                    Err(ServiceTrouble::Differs(what)) => {
                        tracing::error!(%what, "a service is not sold as its route says")
                    }
                    Err(ServiceTrouble::Unknown(fault)) => return Err(fault),
                }
            }
            Ok(())
        }
    });
}
