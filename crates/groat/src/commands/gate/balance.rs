//! `[gate.balance]` at work: which routes take debits, and how a gateway keeps the accounts.

use std::sync::Arc;

use groat_core::ports::{Facilitator, Mechanism, Store};
use groat_core::{Network, Price};
use groat_seller::{Gateway, RouteRule};

use crate::accounts::Accounts;
use crate::config::{Config, Source};

/// Seconds that a debit may take, as told to buyers, unless the route says otherwise.
const TIMEOUT_S: u64 = 60;

/// Balances as the file wants them.
pub(super) struct Balance {
    accounts: Accounts,
    top_up_max: String,
    refund_key: Option<[u8; 32]>,
}

impl Balance {
    /// The balances of the file, where it wants any.
    pub(super) fn open(
        config: &Config,
        source: Option<&Source>,
        public_url: Option<&str>,
        token_path: &str,
        (network, store): (&Network, &Arc<dyn Store>),
    ) -> anyhow::Result<Option<Self>> {
        let Some((balance, source)) = config.gate.balance.as_ref().zip(source) else { return Ok(None) };
        let Some(url) = public_url else {
            let mend = "set public_url under [gate], or --public-url, to where buyers reach it";
            return Err(source.wrong(
                Some(balance.span()),
                "debits are made out to the URL of this gate, and it has none",
                mend,
            ));
        };
        let (balance, audience) = (balance.get_ref(), format!("{}{token_path}", url.trim_end_matches('/')));
        Ok(Some(Self {
            accounts: Accounts::open(store, network, audience)?,
            top_up_max: balance.top_up_max().to_owned(),
            refund_key: balance.refund_key(source)?,
        }))
    }

    /// Lets the routes that say so be paid by debits too. Those of the file are the last ones.
    pub(super) fn sell(
        &self,
        config: &Config,
        source: Option<&Source>,
        (network, pay_to): (&Network, &str),
        routes: &mut [RouteRule],
    ) -> anyhow::Result<()> {
        let of_file = config.gate.route.iter().rev().zip(routes.iter_mut().rev());
        for (route, rule) in of_file {
            let Some((takes, source)) = route.balance.as_ref().filter(|takes| *takes.get_ref()).zip(source)
            else {
                continue;
            };
            for name in &route.networks {
                if source.network(name)?.is_testnet() != network.is_testnet() {
                    let what = format!(
                        "balances are topped up on {network}, and `{}` has other money",
                        name.get_ref()
                    );
                    let mend = "do not mix play money and real money: leave one of them out";
                    return Err(source.wrong(Some(takes.span()), &what, mend));
                }
            }
            let payee = rule.pay_to.as_deref().unwrap_or(pay_to);
            let timeout_s = rule.timeout_s.unwrap_or(TIMEOUT_S);
            rule.asks.push(self.accounts.terms(Price::parse(&rule.price)?, payee, timeout_s));
        }
        Ok(())
    }

    /// The facilitator with whoever takes debits beside it.
    pub(super) fn beside(&self, other: Arc<dyn Facilitator>, store: &Arc<dyn Store>) -> Arc<dyn Facilitator> {
        self.accounts.beside(other, store)
    }

    pub(super) fn mechanism(&self) -> Arc<dyn Mechanism> {
        self.accounts.mechanism()
    }

    /// The URL that debits are made out to.
    pub(super) fn audience(&self) -> &str {
        self.accounts.audience()
    }

    /// Opens the accounts to payers.
    pub(super) fn serve(&self, gateway: Gateway) -> anyhow::Result<Gateway> {
        let add = |service| self.accounts.serve(service, &self.top_up_max, self.refund_key);
        Ok(gateway.with_service(add)?)
    }
}
