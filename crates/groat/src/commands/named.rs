//! Flags of the form NETWORK=VALUE.

use alloy_primitives::Address;
use anyhow::Context;
use groat_core::Network;

/// Accounts of networks.
pub(crate) fn accounts(flags: &[String], name: &str) -> anyhow::Result<Vec<(Network, Address)>> {
    let account = |(network, text): (Network, &str)| {
        let account = text.parse().with_context(|| format!("{name}: `{text}` is not an account"))?;
        Ok((network, account))
    };
    pairs(flags, name)?.into_iter().map(account).collect()
}

/// Texts of networks.
pub(crate) fn pairs<'f>(flags: &'f [String], name: &str) -> anyhow::Result<Vec<(Network, &'f str)>> {
    let pair = |text: &'f String| {
        let (network, value) = text
            .split_once('=')
            .with_context(|| format!("{name} {text}: write NETWORK=…, as eip155:84532=…"))?;
        Ok((Network::parse(network).with_context(|| format!("{name} {text}"))?, value))
    };
    flags.iter().map(pair).collect()
}
