//! `groat.toml`: one file for gate and facilitator. Every mistake is one sentence with file, line, what and how to mend.

mod balance;
mod permits;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, U256};
use anyhow::anyhow;
use groat_chain_evm::ServiceAsk;
use groat_core::reason::printable;
use groat_core::{Amount, Confirmations, Network, Price, Terms};
use groat_facilitator::http::Caller;
use groat_seller::{PassTerms, RouteRule, Settle, TokenFormat};
use serde::Deserialize;
use toml::Spanned;

pub(crate) use balance::BalanceConfig;
use permits::PermitConfig;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Chains to settle on.
    #[serde(default)]
    pub(crate) chain: Vec<ChainConfig>,
    /// The facilitator service.
    #[serde(default)]
    pub(crate) facilitator: FacilitatorConfig,
    /// The gate in front of an API.
    #[serde(default)]
    pub(crate) gate: GateConfig,
}

/// `[[chain]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainConfig {
    /// CAIP-2 or x402 v1 name.
    pub(crate) network: Spanned<String>,
    /// URL of a JSON-RPC node.
    pub(crate) rpc: Spanned<String>,
    /// Keystore files of the keys that pay for gas, relative to this file.
    #[serde(default)]
    pub(crate) keystores: Vec<PathBuf>,
    /// Token contracts to settle besides the known ones.
    #[serde(default)]
    pub(crate) assets: Vec<Spanned<String>>,
    /// Payees to settle for; empty means anybody.
    #[serde(default)]
    pub(crate) pay_to: Vec<Spanned<String>>,
    /// The least that is settled of a token.
    #[serde(default)]
    pub(crate) min_prices: Vec<MinPriceConfig>,
    /// Factories whose wallets may be deployed with their first payment (ERC-6492); empty means none.
    #[serde(default)]
    pub(crate) factories: Vec<Spanned<String>>,
    /// The contract through which requests are paid (x402-pay/1); without it `/v1` does not know this chain.
    pub(crate) pay_contract: Option<Spanned<String>>,
}

/// `min_prices = [{ asset = "0x…", units = "1000" }]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MinPriceConfig {
    /// The token.
    pub(crate) asset: Spanned<String>,
    /// Atomic units.
    pub(crate) units: Spanned<String>,
}

/// `[facilitator]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacilitatorConfig {
    /// Address and port.
    pub(crate) listen: Option<SocketAddr>,
    /// The book: an SQLite file, or the URL of a PostgreSQL database.
    pub(crate) store: Option<Spanned<String>>,
    /// Who may ask; empty means everybody on this machine.
    #[serde(default)]
    pub(crate) api_keys: Vec<ApiKeyConfig>,
    /// Whether webhooks may go to private addresses.
    #[serde(default)]
    pub(crate) webhooks_allow_private: bool,
}

/// `[[facilitator.api_keys]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyConfig {
    /// Whose key it is.
    pub(crate) name: Spanned<String>,
    /// The digest of the key, in hex; the key itself stands nowhere.
    pub(crate) sha256: Spanned<String>,
    /// Chains that it is good for; empty means all.
    #[serde(default)]
    pub(crate) networks: Vec<Spanned<String>>,
    /// Tokens; empty means all.
    #[serde(default)]
    pub(crate) assets: Vec<Spanned<String>>,
    /// Payees; empty means all.
    #[serde(default)]
    pub(crate) pay_to: Vec<Spanned<String>>,
    /// Gas that may be spent for it in a day; none means any.
    pub(crate) gas_per_day: Option<Spanned<u64>>,
}

/// `[gate]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateConfig {
    /// Address and port.
    pub(crate) listen: Option<SocketAddr>,
    /// The API behind the gate.
    pub(crate) upstream: Option<Spanned<String>>,
    /// Where buyers reach the gate.
    pub(crate) public_url: Option<String>,
    /// Who is paid.
    pub(crate) pay_to: Option<Spanned<String>>,
    /// Where to be paid.
    pub(crate) network: Option<Spanned<String>>,
    /// URL of a facilitator; without it the gate settles by itself on `[[chain]]`.
    pub(crate) facilitator: Option<Spanned<String>>,
    /// The environment variable with the API key for that facilitator.
    pub(crate) facilitator_key_env: Option<Spanned<String>>,
    /// The book: an SQLite file, or the URL of a PostgreSQL database.
    pub(crate) store: Option<Spanned<String>>,
    /// How deep a payment's block must lie before anything is handed out.
    pub(crate) confirmations: Option<Confirmations>,
    /// The file with the key that signs passes.
    pub(crate) pass_key: Option<Spanned<String>>,
    /// Where passes are sold by order.
    pub(crate) token_path: Option<String>,
    /// What routes with `want_pay` need.
    #[serde(default)]
    pub(crate) want_pay: WantPayConfig,
    /// Balances of payers.
    pub(crate) balance: Option<Spanned<BalanceConfig>>,
    /// What the tokens look like.
    pub(crate) token_format: Option<Spanned<TokenFormat>>,
    /// The file with the key that is shared with servers of `x402-mock`.
    pub(crate) token_key: Option<Spanned<String>>,
    /// What costs what.
    #[serde(default)]
    pub(crate) route: Vec<RouteConfig>,
}

/// `[gate.want_pay]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantPayConfig {
    /// The contract that requests are paid through on the gate's network, instead of that of `[[chain]]`.
    pub(crate) contract: Option<Spanned<String>>,
    /// The facilitator that requests name to buyers, instead of the one that settles.
    pub(crate) facilitator: Option<Spanned<String>>,
}

/// `[[gate.route]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteConfig {
    /// `GET /weather`, `/api/*`, `/u/:id`.
    #[serde(rename = "match")]
    pub(crate) pattern: Spanned<String>,
    /// `$0.01`.
    pub(crate) price: Spanned<String>,
    /// For people.
    #[serde(default)]
    pub(crate) description: String,
    /// The media type of the answer.
    #[serde(default)]
    pub(crate) mime_type: String,
    /// Where to be paid, instead of on the gate's network.
    #[serde(default)]
    pub(crate) networks: Vec<Spanned<String>>,
    /// Who is paid, instead of the gate's.
    pub(crate) pay_to: Option<Spanned<String>>,
    /// When the money is taken.
    #[serde(default)]
    pub(crate) settle: Settle,
    /// What one payer may owe at once when it is taken after the answer.
    pub(crate) unsettled_max: Option<Spanned<String>>,
    /// Instead of the gate's.
    pub(crate) confirmations: Option<Confirmations>,
    /// Seconds that a payment may take.
    pub(crate) timeout_s: Option<Spanned<u64>>,
    /// What whoever has paid may do without paying, for a while.
    pub(crate) pass: Option<Spanned<PassTerms>>,
    /// Whether tokens of whoever shares the key let requests in.
    pub(crate) foreign_tokens: Option<Spanned<bool>>,
    /// A service of AgentXPay, to be paid for by transaction as well.
    pub(crate) agentxpay: Option<Spanned<AgentXPayConfig>>,
    /// Whether it is sold for requests of x402-pay/1 as well.
    pub(crate) want_pay: Option<Spanned<bool>>,
    /// Whether debits of balances buy its passes.
    pub(crate) balance: Option<Spanned<bool>>,
    /// Tokens that are taken by permit as well.
    #[serde(default)]
    pub(crate) permits: Vec<PermitConfig>,
}

/// `agentxpay = { manager = "0x…", service = 1, provider = "0x…", price_wei = "…" }`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentXPayConfig {
    /// The payment manager that buyers pay through.
    pub(crate) manager: Spanned<String>,
    /// The number of the service in its registry.
    pub(crate) service: u64,
    /// Who earns.
    pub(crate) provider: Spanned<String>,
    /// What a call costs.
    pub(crate) price_wei: Spanned<String>,
    /// Whether whoever shows a payment proves to be its payer: `off`, `optional`, `required`.
    pub(crate) payer: Option<Spanned<String>>,
    /// The subscription manager, where subscribers are let in.
    pub(crate) subscriptions: Option<Spanned<String>>,
    /// What subscribers show: `off`, `signed`, `unsigned`.
    pub(crate) subscription: Option<Spanned<String>>,
}

impl AgentXPayConfig {
    /// The terms on the gate's network.
    pub(crate) fn terms(&self, network: &Network) -> Terms {
        let text = |value: &Option<Spanned<String>>| value.as_ref().map(|text| text.get_ref().clone());
        let ask = ServiceAsk {
            manager: self.manager.get_ref().clone(),
            service: self.service,
            provider: self.provider.get_ref().clone(),
            // Checked when the file was read; zero is refused where the offer is made.
            price_wei: self.price_wei.get_ref().parse().unwrap_or_default(),
            payer: text(&self.payer),
            subscriptions: text(&self.subscriptions),
            subscription: text(&self.subscription),
        };
        ask.terms(network.clone())
    }

    fn check(&self, source: &Source) -> anyhow::Result<()> {
        let accounts = [&self.manager, &self.provider].into_iter().chain(&self.subscriptions);
        accounts.into_iter().try_for_each(|account| source.account(account).map(drop))?;
        if self.price_wei.get_ref().parse().ok().is_none_or(Amount::is_zero) {
            let what = format!("`{}` is not a price in wei", self.price_wei.get_ref());
            let mend = "write it like \"10000000000000000\", a hundredth of a coin";
            return Err(source.wrong(Some(self.price_wei.span()), &what, mend));
        }
        let modes: [(&Option<Spanned<String>>, &[&str]); 2] = [
            (&self.payer, &["off", "optional", "required"]),
            (&self.subscription, &["off", "signed", "unsigned"]),
        ];
        for (mode, known) in modes {
            if let Some(mode) = mode.as_ref().filter(|mode| !known.contains(&mode.get_ref().as_str())) {
                let what = format!("`{}` is not known here", mode.get_ref());
                return Err(source.wrong(
                    Some(mode.span()),
                    &what,
                    &format!("write one of {}", known.join(", ")),
                ));
            }
        }
        match (&self.subscription, &self.subscriptions) {
            (Some(mode), None) if mode.get_ref() != "off" => {
                let mend = "name the subscription manager as `subscriptions`";
                Err(source.wrong(Some(mode.span()), "nobody can be asked who has subscribed", mend))
            }
            _ => Ok(()),
        }
    }
}

impl RouteConfig {
    /// As the gateway wants it, on the gate's network, for its payee.
    pub(crate) fn rule(&self, network: &Network, pay_to: &str) -> RouteRule {
        let pay_to = self.pay_to.as_ref().map_or(pay_to, |account| account.get_ref());
        let services = self.agentxpay.iter().map(|service| service.get_ref().terms(network));
        let permits = self.permits.iter().filter_map(|permit| permit.terms(network, pay_to));
        RouteRule {
            path: self.pattern.get_ref().clone(),
            price: self.price.get_ref().clone(),
            description: self.description.clone(),
            mime_type: self.mime_type.clone(),
            networks: self.networks.iter().map(|network| network.get_ref().clone()).collect(),
            pay_to: self.pay_to.as_ref().map(|account| account.get_ref().clone()),
            settle: self.settle,
            unsettled_max: self.unsettled_max.as_ref().map(|price| price.get_ref().clone()),
            confirmations: self.confirmations,
            timeout_s: self.timeout_s.as_ref().map(|seconds| *seconds.get_ref()),
            pass: self.pass.as_ref().map(|terms| terms.get_ref().clone()),
            foreign_tokens: self.foreign_tokens.as_ref().is_some_and(|says| *says.get_ref()),
            asks: services.chain(permits).collect(),
        }
    }
}

/// A file that was read, for messages that point into it.
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<(Self, Source)> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            anyhow!("{}: cannot be read ({error}); name another file with --config", path.display())
        })?;
        Self::parse(path.to_owned(), text)
    }

    /// Reads the text of a file; the path is for messages.
    pub(crate) fn parse(path: PathBuf, text: String) -> anyhow::Result<(Self, Source)> {
        let source = Source { path, text };
        let config: Self = toml::from_str(&source.text).map_err(|error| {
            source.wrong(
                error.span(),
                error.message(),
                "see docs/reference/config.md for what can stand here",
            )
        })?;
        config.check(&source)?;
        Ok((config, source))
    }

    fn check(&self, source: &Source) -> anyhow::Result<()> {
        for chain in &self.chain {
            source.network(&chain.network)?;
            source.url(&chain.rpc)?;
            chain
                .assets
                .iter()
                .chain(&chain.pay_to)
                .chain(&chain.factories)
                .chain(&chain.pay_contract)
                .try_for_each(|account| source.account(account).map(drop))?;
            source.min_prices(chain)?;
        }
        self.callers(source)?;
        let gate = &self.gate;
        gate.network.iter().try_for_each(|network| source.network(network).map(drop))?;
        let accounts = gate.pay_to.iter().chain(&gate.want_pay.contract);
        accounts.into_iter().try_for_each(|account| source.account(account).map(drop))?;
        let no_key = |span| {
            let mend = "name the file of the key with token_key under [gate]";
            source.wrong(Some(span), "tokens of x402-mock need the key that is shared", mend)
        };
        if let (Some(format), None) = (&gate.token_format, &gate.token_key)
            && *format.get_ref() == TokenFormat::X402Mock
        {
            return Err(no_key(format.span()));
        }
        let urls = gate.upstream.iter().chain(&gate.facilitator).chain(&gate.want_pay.facilitator);
        urls.into_iter().try_for_each(|url| source.url(url))?;
        for route in &gate.route {
            Price::parse(route.price.get_ref()).map_err(|error| {
                source.wrong(Some(route.price.span()), &error.to_string(), "write the price like $0.01")
            })?;
            route.networks.iter().try_for_each(|network| source.network(network).map(drop))?;
            route.pay_to.iter().try_for_each(|account| source.account(account).map(drop))?;
            if let Some(seconds) = route.timeout_s.as_ref().filter(|seconds| *seconds.get_ref() == 0) {
                let mend = "give buyers at least one second, or leave it out";
                return Err(source.wrong(Some(seconds.span()), "nobody can pay in no time", mend));
            }
            if let (Some(says), None) = (&route.foreign_tokens, &gate.token_key)
                && *says.get_ref()
            {
                return Err(no_key(says.span()));
            }
            route.agentxpay.iter().try_for_each(|service| service.get_ref().check(source))?;
            route.permits.iter().try_for_each(|permit| permit.check(source, route.pass.is_some()))?;
            if let Some(terms) = &route.pass
                && let Err(problem) = terms.get_ref().check()
            {
                let mend = "write it like { ttl_s = 300 }";
                return Err(source.wrong(Some(terms.span()), &problem, mend));
            }
        }
        balance::check(gate, source)
    }

    /// Who may ask the facilitator.
    pub(crate) fn callers(&self, source: &Source) -> anyhow::Result<Vec<Caller>> {
        let mut callers: Vec<Caller> = Vec::new();
        for key in &self.facilitator.api_keys {
            let caller = source.caller(key)?;
            if callers.iter().any(|known| known.name == caller.name || known.digest == caller.digest) {
                let mend = "give every caller a name and a key of its own";
                return Err(source.wrong(Some(key.name.span()), "two API keys are the same", mend));
            }
            callers.push(caller);
        }
        Ok(callers)
    }
}

impl Source {
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

    fn caller(&self, key: &ApiKeyConfig) -> anyhow::Result<Caller> {
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

    fn url(&self, text: &Spanned<String>) -> anyhow::Result<()> {
        let good = url::Url::parse(text.get_ref())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if good {
            return Ok(());
        }
        let what = format!("`{}` is not a URL", text.get_ref());
        Err(self.wrong(Some(text.span()), &what, "write http://host:port or https://host"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        let folder = std::env::temp_dir().join(format!(
            "groat-config-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("groat.toml");
        std::fs::write(&path, text).unwrap();
        let message = Config::read(&path).map(|_| ()).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        message.replace(&folder.display().to_string(), "")
    }

    #[test]
    fn m02_m03_m09_a_mistake_names_file_line_what_and_how_to_mend() {
        let digest = "ab".repeat(32);
        let min_price = |units: &str| {
            let least =
                format!("{{ asset = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\", units = \"{units}\" }}");
            format!("[[chain]]\nnetwork = \"base\"\nrpc = \"http://x\"\nmin_prices = [{least}]\n")
        };
        let service = |more: &str| {
            let account = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
            let known = format!("manager = \"{account}\", service = 1, provider = \"{account}\"");
            format!("[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nagentxpay = {{ {known}, {more} }}\n")
        };
        let permit = |more: &str| {
            let asset = "asset = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"";
            format!("[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\npermits = [{{ {asset}, {more} }}]\n")
        };
        let api_key = |sha256: &str, more: &str| {
            format!("[[facilitator.api_keys]]\nname = \"shop\"\nsha256 = \"{sha256}\"\n{more}")
        };
        for (text, start, part) in [
            ("[gate]\nupstraem = \"http://x\"\n", "/groat.toml:2: ", "unknown field `upstraem`"),
            ("[gate]\npay_to = \"0x12\"\n", "/groat.toml:2: ", "`0x12` is not an account; write 0x"),
            ("[gate]\nnetwork = \"bse\"\n", "/groat.toml:2: ", "`bse` is not a network; write a CAIP-2"),
            ("[gate]\nupstream = \"localhost:3000\"\n", "/groat.toml:2: ", "is not a URL; write http"),
            ("\n[[gate.route]]\nmatch = \"/a\"\nprice = \"0,01\"\n", "/groat.toml:4: ", "is not a price"),
            ("[[gate.route]]\nmatch = \"/a\"\nprice = 0.01\n", "/groat.toml:3: ", "expected a string"),
            ("[[gate.route]]\nmatch = \"/a\"\nprice = \"1e-7\"\n", "/groat.toml:3: ", "is not a price"),
            (
                "[gate]\ntoken_format = \"x402-mock\"\n",
                "/groat.toml:2: ",
                "need the key that is shared; name the file",
            ),
            ("[gate]\ntoken_format = \"paseto\"\n", "/groat.toml:2: ", "unknown variant `paseto`"),
            (
                "[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nforeign_tokens = true\n",
                "/groat.toml:4: ",
                "need the key that is shared",
            ),
            ("[gate]\nconfirmations = 0\n", "/groat.toml:2: ", "write 1 to 1000, \"safe\" or"),
            (&service("price_wei = \"0\""), "/groat.toml:4: ", "`0` is not a price in wei; write it like"),
            (
                &service("price_wei = \"1\", payer = \"on\""),
                "/groat.toml:4: ",
                "`on` is not known here; write one",
            ),
            (
                &service("price_wei = \"1\", subscription = \"signed\""),
                "/groat.toml:4: ",
                "nobody can be asked who has subscribed",
            ),
            (
                &permit("kind = \"Permit1\", amount = \"1\""),
                "/groat.toml:4: ",
                "write \"Permit2\" or \"EIP2612\"",
            ),
            (
                &permit("kind = \"Permit2\", amount = \"0\""),
                "/groat.toml:4: ",
                "`0` is not an amount in units",
            ),
            (&permit("kind = \"Permit2\", amount = \"1\""), "/groat.toml:4: ", "a permit buys a pass"),
            (
                "[[gate.route]]\nmatch = \"/a\"\nprice = \"$1\"\nconfirmations = \"final\"\n",
                "/groat.toml:4: ",
                "`final` is no number of confirmations",
            ),
            ("[gate\n", "/groat.toml:1: ", ""),
            (
                "[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\ntimeout_s = 0\n",
                "/groat.toml:4: ",
                "nobody can pay",
            ),
            ("[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\nsettle = \"now\"\n", "/groat.toml:4: ", "`now`"),
            (
                "[[gate.route]]\nmatch = \"/\"\nprice = \"$1\"\npay_to = \"0x1\"\n",
                "/groat.toml:4: ",
                "not an account",
            ),
            ("[gate]\nnetwork = \"\\u001b[2J\\nb\"\n", "/groat.toml:2: ", "` [2J b` is not a network"),
            ("[[chain]]\nrpc = \"http://x\"\n", "/groat.toml:1: ", "missing field `network`"),
            (
                "[[chain]]\nnetwork = \"base\"\nrpc = \"http://x\"\npay_contract = \"0x1\"\n",
                "/groat.toml:4: ",
                "`0x1` is not an account",
            ),
            (&min_price("1e3"), "/groat.toml:4: ", "`1e3` is not a number of atomic units; write it like"),
            (&min_price("$0.01"), "/groat.toml:4: ", "`$0.01` is not a number of atomic units"),
            (
                &api_key("groat_secret", ""),
                "/groat.toml:3: ",
                "not the SHA-256 of an API key; paste the block",
            ),
            (&api_key(&digest, "gas_per_day = 99999\n"), "/groat.toml:4: ", "write 100000 or more"),
            (&api_key(&digest, "pay_to = [\"0x12\"]\n"), "/groat.toml:4: ", "`0x12` is not an account"),
            (
                &api_key(&digest, &api_key(&"cd".repeat(32), "")),
                "/groat.toml:5: ",
                "two API keys are the same",
            ),
        ] {
            let message = mistake(text);
            assert!(message.starts_with(start) && message.contains(part), "{message}");
            assert!(!message.contains('\n') && !message.contains("secret"), "{message}");
        }
    }
}
