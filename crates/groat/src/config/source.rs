//! A file of configuration that was read: what stands in it, and where.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, U256};
use anyhow::anyhow;
use groat_core::reason::printable;
use groat_core::{Amount, Network};
use groat_facilitator::http::Caller;
use toml::Spanned;

use super::{ApiKeyConfig, ChainConfig, MinPriceConfig};

/// A file that was read, for messages that point into it.
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// `file:line: what; mend`.
    pub(crate) fn wrong(
        &self,
        span: Option<std::ops::Range<usize>>,
        what: &str,
        mend: &str,
    ) -> anyhow::Error {
        let line =
            span.map_or(1, |span| self.text[..span.start.min(self.text.len())].matches('\n').count() + 1);
        // The file may have come from somebody else, and a terminal would obey what stands in it.
        let what = printable(what, 400);
        anyhow!("{}:{line}: {what}; {mend}", self.path.display())
    }

    /// A file named in the configuration lies beside it unless its path is absolute.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The contracts through which requests are paid on these chains.
    pub(crate) fn pay_contracts(&self, chains: &[ChainConfig]) -> anyhow::Result<Vec<(Network, Address)>> {
        let named = chains.iter().filter_map(|entry| Some((entry, entry.pay_contract.as_ref()?)));
        named.map(|(entry, text)| Ok((self.network(&entry.network)?, self.account(text)?))).collect()
    }

    pub(crate) fn network(&self, text: &Spanned<String>) -> anyhow::Result<Network> {
        Network::parse(text.get_ref()).map_err(|_| {
            let what = format!("`{}` is not a network", text.get_ref());
            self.wrong(
                Some(text.span()),
                &what,
                "write a CAIP-2 name such as eip155:8453 or a v1 name such as base",
            )
        })
    }

    pub(crate) fn account(&self, text: &Spanned<String>) -> anyhow::Result<Address> {
        groat_chain_evm::account::parse(text.get_ref()).ok_or_else(|| {
            let what = format!("`{}` is not an account", text.get_ref());
            self.wrong(
                Some(text.span()),
                &what,
                "write 0x and 40 hex digits, with the right checksum when in mixed case",
            )
        })
    }

    /// The least that is settled of each token.
    pub(crate) fn min_prices(&self, chain: &ChainConfig) -> anyhow::Result<Vec<(Address, U256)>> {
        let entry = |least: &MinPriceConfig| {
            let units: Amount = least.units.get_ref().parse().map_err(|_| {
                let what = format!("`{}` is not a number of atomic units", least.units.get_ref());
                self.wrong(
                    Some(least.units.span()),
                    &what,
                    "write it like \"1000\", a tenth of a cent of USDC",
                )
            })?;
            Ok((self.account(&least.asset)?, units.as_u256()))
        };
        chain.min_prices.iter().map(entry).collect()
    }

    pub(super) fn caller(&self, key: &ApiKeyConfig) -> anyhow::Result<Caller> {
        let mut digest = B256::ZERO;
        // The text is not quoted: it may be the key itself, put into the wrong place.
        alloy_primitives::hex::decode_to_slice(key.sha256.get_ref(), digest.as_mut_slice()).map_err(
            |_| {
                let mend = "paste the block that `groat facilitator key new NAME` prints";
                self.wrong(Some(key.sha256.span()), "this is not the SHA-256 of an API key", mend)
            },
        )?;
        let accounts = |list: &[Spanned<String>]| {
            list.iter()
                .map(|text| Ok(groat_chain_evm::account::text(self.account(text)?)))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        if let Some(gas) = key.gas_per_day.as_ref().filter(|gas| *gas.get_ref() < Caller::GAS_PER_DAY_MIN) {
            let mend = format!("write {} or more, or leave it out", Caller::GAS_PER_DAY_MIN);
            return Err(self.wrong(Some(gas.span()), "with so little gas no payment is settled", &mend));
        }
        Ok(Caller {
            name: printable(key.name.get_ref(), 64),
            digest: digest.0,
            networks: key.networks.iter().map(|text| self.network(text)).collect::<anyhow::Result<_>>()?,
            assets: accounts(&key.assets)?,
            pay_to: accounts(&key.pay_to)?,
            gas_per_day: key.gas_per_day.as_ref().map(|gas| *gas.get_ref()),
        })
    }

    pub(super) fn url(&self, text: &Spanned<String>) -> anyhow::Result<()> {
        let good = url::Url::parse(text.get_ref())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if good {
            return Ok(());
        }
        let what = format!("`{}` is not a URL", text.get_ref());
        Err(self.wrong(Some(text.span()), &what, "write http://host:port or https://host"))
    }
}
