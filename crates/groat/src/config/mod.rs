//! `groat.toml`: one file for gate and facilitator. Every mistake is one sentence with file, line, what and how to mend.

mod agentxpay;
mod balance;
mod permits;
mod source;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use groat_core::{Confirmations, Network, Price};
use groat_facilitator::http::Caller;
use groat_seller::{PassTerms, RouteRule, Settle, TokenFormat};
use serde::Deserialize;
use toml::Spanned;

use agentxpay::AgentXPayConfig;
pub(crate) use balance::BalanceConfig;
use permits::PermitConfig;
pub(crate) use source::Source;

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
        let source = Source::new(path, text);
        let config: Self = toml::from_str(source.text()).map_err(|error| {
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
