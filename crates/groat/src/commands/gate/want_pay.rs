//! Routes that are sold for requests of x402-pay/1 (Want-Pay) as well: what such a gate has to know, checked at its start.

use std::sync::Arc;

use groat_core::offer::Ask;
use groat_core::{Network, Price, Terms};
use groat_wire::Dialects;
use groat_wire::want_pay::id::RequestKey;
use groat_wire::want_pay::request::LIFETIME_S;
use groat_wire::want_pay::{SCHEME, WantPay};

use crate::config::{ChainConfig, Config, RouteConfig, Source};
use crate::registry::{self, PayContracts};

/// Whether a route wants it.
pub(super) fn is_sold(config: &Config) -> bool {
    config.gate.route.iter().any(wants)
}

fn wants(route: &RouteConfig) -> bool {
    route.want_pay.as_ref().is_some_and(|wants| *wants.get_ref())
}

/// The contracts that requests are paid through: those of the chains, and the gate's own on its network. Without a route that
/// wants them there are none.
pub(super) fn contracts(
    config: &Config,
    source: Option<&Source>,
    network: &Network,
    chains: &[ChainConfig],
) -> anyhow::Result<PayContracts> {
    let Some(source) = source.filter(|_| is_sold(config)) else { return Ok(Vec::new()) };
    let mut contracts = source.pay_contracts(chains)?;
    if let Some(text) = &config.gate.want_pay.contract {
        contracts.retain(|(of, _)| of != network);
        contracts.push((network.clone(), source.account(text)?));
    }
    Ok(contracts)
}

/// One way to pay each network of a route whose contract is known; at least one.
pub(super) fn terms(
    route: &RouteConfig,
    source: &Source,
    network: &Network,
    pay_to: &str,
    contracts: &PayContracts,
) -> anyhow::Result<Vec<Terms>> {
    let Some(flag) = route.want_pay.as_ref().filter(|_| wants(route)) else { return Ok(Vec::new()) };
    let own = route.networks.iter().map(|text| source.network(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let networks = if own.is_empty() { vec![network.clone()] } else { own };
    let price = Price::parse(route.price.get_ref())?;
    let terms = |network: Network| Terms {
        scheme: SCHEME.to_owned(),
        network,
        price: Ask::Price(price.clone()),
        pay_to: route.pay_to.as_ref().map_or(pay_to, |account| account.get_ref()).to_owned(),
        // A request has a time of its own.
        timeout_s: LIFETIME_S,
    };
    let known = |network: &Network| contracts.iter().any(|(of, _)| of == network);
    let terms: Vec<Terms> = networks.into_iter().filter(known).map(terms).collect();
    if terms.is_empty() {
        let mend = "name it as `contract` under [gate.want_pay], or as `pay_contract` of the [[chain]]";
        let what = "no contract for payments of requests is known on the networks of this route";
        return Err(source.wrong(Some(flag.span()), what, mend));
    }
    Ok(terms)
}

/// Everything that is spoken; requests are marked with this key and name a facilitator whose `/v1` knows the contract.
pub(super) fn dialects(
    config: &Config,
    source: &Source,
    settles: Option<&str>,
    key: RequestKey,
) -> anyhow::Result<Dialects> {
    let named = &config.gate.want_pay.facilitator;
    let Some(url) = named.as_ref().map(|url| url.get_ref().as_str()).or(settles) else {
        let flag = config.gate.route.iter().find_map(|route| route.want_pay.as_ref());
        let mend = "name the URL of one that answers under /v1 as `facilitator` under [gate.want_pay]";
        let what = "a request names a facilitator to its buyer, and none is known here";
        return Err(source.wrong(flag.map(toml::Spanned::span), what, mend));
    };
    let want_pay = WantPay::selling(key, url.trim_end_matches('/')).map_err(|error| {
        let mend = "write https://host, or http:// on this machine, under [gate.want_pay]";
        source.wrong(named.as_ref().map(toml::Spanned::span), &error.to_string(), mend)
    })?;
    Ok(registry::dialects().with(Arc::new(want_pay)))
}
