//! `agentxpay = { … }`: a route that is a service of AgentXPay, paid for by transaction as well.

use groat_chain_evm::ServiceAsk;
use groat_core::{Amount, Network, Terms};
use serde::Deserialize;
use toml::Spanned;

use super::Source;

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

    pub(super) fn check(&self, source: &Source) -> anyhow::Result<()> {
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
