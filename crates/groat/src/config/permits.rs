//! `permits = [{ kind = "Permit2", asset = "0x…", amount = "10000" }]`: tokens that a route takes by permit as well.

use groat_chain_evm::{PermitAsk, PermitKind};
use groat_core::{Amount, Network, Terms};
use serde::Deserialize;
use toml::Spanned;

use super::Source;

/// One token and one kind of permit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermitConfig {
    /// `Permit2` or `EIP2612`.
    kind: Spanned<String>,
    /// The token's contract.
    asset: Spanned<String>,
    /// What a call costs, in units of the token.
    amount: Spanned<String>,
    /// What people call the token.
    symbol: Option<String>,
    /// Decimals of its unit.
    decimals: Option<u8>,
    /// Its EIP-712 name.
    name: Option<String>,
    /// Its EIP-712 version.
    version: Option<String>,
}

impl PermitConfig {
    /// The terms on the gate's network, for whoever is paid there.
    pub(super) fn terms(&self, network: &Network, pay_to: &str) -> Option<Terms> {
        // Checked when the file was read.
        let ask = PermitAsk {
            kind: PermitKind::parse(self.kind.get_ref())?,
            asset: self.asset.get_ref().clone(),
            amount: self.amount.get_ref().parse().ok()?,
            pay_to: pay_to.to_owned(),
            symbol: self.symbol.clone(),
            decimals: self.decimals,
            name: self.name.clone(),
            version: self.version.clone(),
        };
        Some(ask.terms(network.clone()))
    }

    /// Whether it can be sold for. `sells_passes`: a permit goes to the token endpoint, and buys a pass there.
    pub(super) fn check(&self, source: &Source, sells_passes: bool) -> anyhow::Result<()> {
        source.account(&self.asset)?;
        if PermitKind::parse(self.kind.get_ref()).is_none() {
            let what = format!("`{}` is not a kind of permit", self.kind.get_ref());
            return Err(source.wrong(Some(self.kind.span()), &what, "write \"Permit2\" or \"EIP2612\""));
        }
        if self.amount.get_ref().parse().ok().is_none_or(Amount::is_zero) {
            let what = format!("`{}` is not an amount in units of a token", self.amount.get_ref());
            let mend = "write it like \"10000\", a cent of a dollar with 6 decimals";
            return Err(source.wrong(Some(self.amount.span()), &what, mend));
        }
        if !sells_passes {
            let mend = "add `pass = { ttl_s = 300 }`";
            return Err(source.wrong(
                Some(self.kind.span()),
                "a permit buys a pass, and the route gives none",
                mend,
            ));
        }
        Ok(())
    }
}
