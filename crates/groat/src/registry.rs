//! The composition root: what this binary can do. A new dialect, scheme, chain family or store is one line here.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::Address;
use groat_chain_evm::pay_proof::{PayProofEvm, RelayEvm};
use groat_chain_evm::{ByHashEvm, Chain, ExactEvm, PermitEvm, Purse};
use groat_chain_ledger::BalancePayer;
use groat_core::ports::{Access, Clock, Mechanism, Observer, Payer, Random, RequestChain, Settler};
use groat_core::{Fault, Network, Timestamp};
use groat_wire::Dialects;

/// Every language of payment.
pub(crate) fn dialects() -> Dialects {
    Dialects::standard()
}

/// Contracts that payments of requests go through, one a chain.
pub(crate) type PayContracts = Vec<(Network, Address)>;

/// Every scheme, for sellers.
pub(crate) fn mechanisms(contracts: &PayContracts) -> Vec<Arc<dyn Mechanism>> {
    vec![
        Arc::new(ExactEvm::offline()),
        Arc::new(ByHashEvm::offline()),
        Arc::new(PermitEvm::offline()),
        Arc::new(PayProofEvm::knowing(contracts.clone())),
    ]
}

/// Every scheme, for buyers, who send transactions to these chains and look there for what became of payments.
pub(crate) fn payers(evm: Vec<Chain>, purse: Purse, contracts: PayContracts) -> Vec<Arc<dyn Payer>> {
    vec![
        Arc::new(ExactEvm::on(evm.clone())),
        Arc::new(ByHashEvm::buying(evm.clone(), purse)),
        Arc::new(PermitEvm::on(evm.clone())),
        Arc::new(PayProofEvm::knowing(contracts).on(evm)),
        balance_payer(),
    ]
}

/// The one payer that spends balances, kept at sellers.
pub(crate) fn balance_payer() -> Arc<dyn Payer> {
    Arc::new(BalancePayer::default())
}

/// Every scheme, for facilitators on these chains.
pub(crate) fn settlers(evm: Vec<Chain>, contracts: PayContracts) -> Vec<Arc<dyn Settler>> {
    let relay = RelayEvm::new(PayProofEvm::knowing(contracts).on(evm.clone()));
    vec![Arc::new(ExactEvm::on(evm.clone())), Arc::new(PermitEvm::on(evm)), Arc::new(relay)]
}

/// The contracts that requests are paid through, for facilitators on these chains.
pub(crate) fn request_chain(evm: Vec<Chain>, contracts: PayContracts) -> Arc<dyn RequestChain> {
    Arc::new(PayProofEvm::knowing(contracts).on(evm))
}

/// Every scheme whose payments are made without a facilitator, for facilitators on these chains.
pub(crate) fn observers(evm: Vec<Chain>, contracts: PayContracts) -> Vec<Arc<dyn Observer>> {
    vec![Arc::new(ByHashEvm::on(evm.clone())), Arc::new(PayProofEvm::knowing(contracts).on(evm))]
}

/// Whoever knows of access that was bought before, for sellers with nodes of these chains.
pub(crate) fn access(evm: Vec<Chain>) -> Vec<Arc<dyn Access>> {
    if evm.is_empty() { Vec::new() } else { vec![Arc::new(ByHashEvm::on(evm))] }
}

/// The machine's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(|| Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())))
}

/// The machine's randomness.
pub(crate) fn random() -> Arc<dyn Random> {
    Arc::new(|bytes: &mut [u8]| {
        getrandom::fill(bytes).map_err(|error| Fault::unavailable("randomness", error))
    })
}
