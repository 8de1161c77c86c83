//! Balances of payers beside a facilitator: one ledger, its scheme, and the payment service that looks after it.

use std::sync::Arc;

use groat_chain_ledger::{BalanceLedger, Currency, Ledger, SCHEME};
use groat_core::offer::Ask;
use groat_core::ports::{Cashier, Facilitator, Mechanism, Store};
use groat_core::{Network, Price, Terms};
use groat_facilitator::{Beside, Engine, EngineOptions};
use groat_seller::{ConfigError, PaymentService};

use crate::registry;

/// The ledger of a store whose gate is paid with real money, and that of one which is not. What was bought with play money
/// must be worth nothing after its gate has moved to another network.
const LEDGERS: [&str; 2] = ["main", "test"];

/// The ledger of a store whose gate is paid on this network.
pub(crate) fn ledger(store: &Arc<dyn Store>, network: &Network) -> anyhow::Result<Ledger> {
    let [real, play] = LEDGERS;
    let name = if network.is_testnet() { play } else { real };
    Ok(Ledger::new(name, vec![Currency::USD], Arc::clone(store))?)
}

/// A ledger that lies in the same store as everything else of its gate.
pub(crate) struct Accounts {
    ledger: Ledger,
    scheme: Arc<BalanceLedger>,
    audience: String,
}

impl Accounts {
    /// Balances that are topped up on this network, at the payment service whose token endpoint is at this URL: debits are made
    /// out to it.
    pub(crate) fn open(store: &Arc<dyn Store>, network: &Network, audience: String) -> anyhow::Result<Self> {
        let ledger = ledger(store, network)?;
        let scheme = Arc::new(BalanceLedger::new(ledger.clone(), &audience));
        Ok(Self { ledger, scheme, audience })
    }

    /// The URL that debits are made out to.
    pub(crate) fn audience(&self) -> &str {
        &self.audience
    }

    /// The scheme, for a seller.
    pub(crate) fn mechanism(&self) -> Arc<dyn Mechanism> {
        Arc::clone(&self.scheme) as Arc<dyn Mechanism>
    }

    /// The scheme, for an engine.
    pub(crate) fn cashier(&self) -> Arc<dyn Cashier> {
        Arc::clone(&self.scheme) as Arc<dyn Cashier>
    }

    /// The facilitator with whoever takes debits beside it, whether it is in this process or elsewhere. A debit is one commit,
    /// so this engine has nothing to take up after a crash.
    pub(crate) fn beside(&self, other: Arc<dyn Facilitator>, store: &Arc<dyn Store>) -> Arc<dyn Facilitator> {
        let (cashiers, clock) = (vec![self.cashier()], registry::clock());
        let options = EngineOptions::default();
        let own = Engine::taking(Vec::new(), Vec::new(), cashiers, Arc::clone(store), clock, options);
        Arc::new(Beside::new(own, other))
    }

    /// What a debit has to say to buy a pass for so much.
    pub(crate) fn terms(&self, price: Price, pay_to: &str, timeout_s: u64) -> Terms {
        let network = self.ledger.network().clone();
        Terms {
            scheme: SCHEME.to_owned(),
            network,
            price: Ask::Price(price),
            pay_to: pay_to.to_owned(),
            timeout_s,
        }
    }

    /// Lets payers top up and look, and whoever has the key of this digest give back.
    pub(crate) fn serve(
        &self,
        service: PaymentService,
        top_up_max: &str,
        refund_key: Option<[u8; 32]>,
    ) -> Result<PaymentService, ConfigError> {
        let service = service.balances(Arc::new(self.ledger.clone()), top_up_max)?;
        Ok(match refund_key {
            Some(digest) => service.operator_digest(digest),
            None => service,
        })
    }
}
