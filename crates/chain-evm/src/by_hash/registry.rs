//! What the contracts of AgentXPay say of a service, and whether a seller's route agrees with it.

use alloy_primitives::{Address, Bytes, U64, U256};
use alloy_sol_types::{SolCall, sol};
use groat_core::ports::Mechanism;
use groat_core::{Fault, Offer, Reason, Terms};

use super::access::Subscriptions;
use super::{ByHashEvm, Service};
use crate::rpc::Call;
use crate::{Chain, account};

sol! {
    interface PaymentManager {
        function payPerUse(uint256 serviceId) external payable;
        function serviceRegistry() external view returns (address);
    }

    interface ServiceRegistry {
        struct Service {
            uint256 id;
            address provider;
            string name;
            string description;
            string endpoint;
            string category;
            uint256 pricePerCall;
            bool isActive;
            uint256 createdAt;
        }
        function getServiceDetails(uint256 serviceId) external view returns (Service);
        function getServiceCount() external view returns (uint256);
        function getServicesByCategory(string category) external view returns (Service[]);
    }

    interface SubscriptionManager {
        function checkAccess(address user, uint256 serviceId) external view returns (bool);
    }
}

/// Why a question to a contract has no answer.
#[derive(Debug)]
pub(super) enum Mute {
    /// The node cannot be asked.
    Fault(Fault),
    /// The contract refuses, or is not what it is taken for. A sentence without a subject.
    Contract(String),
}

/// Gas for a question; enough for any answer that fits into memory.
const GAS_MAX: u64 = 30_000_000;

/// Asks a contract.
pub(super) async fn ask<C: SolCall>(chain: &Chain, to: Address, call: &C) -> Result<C::Return, Mute> {
    let input: Bytes = call.abi_encode().into();
    let call = Call { from: None, to, input, gas: Some(U64::from(GAS_MAX)), price: None };
    let answer = chain.rpc().call(&call).await.map_err(Mute::Fault)?;
    let answer = answer.map_err(|reverted| Mute::Contract(format!("refuses the question ({reverted})")))?;
    C::abi_decode_returns(&answer)
        .map_err(|_| Mute::Contract("does not answer as such a contract".to_owned()))
}

/// The registry of a payment manager and what it says of a service.
pub(super) async fn details(
    chain: &Chain,
    manager: Address,
    service: U256,
) -> Result<ServiceRegistry::Service, Mute> {
    let name = |what: &str| {
        let what = format!("{what} {manager}");
        move |mute| match mute {
            Mute::Contract(why) => Mute::Contract(format!("{what} {why}")),
            fault => fault,
        }
    };
    let registry = ask(chain, manager, &PaymentManager::serviceRegistryCall {}).await;
    let registry = registry.map_err(name("the payment manager"))?;
    let call = ServiceRegistry::getServiceDetailsCall { serviceId: service };
    ask(chain, registry, &call).await.map_err(name("the registry of the payment manager"))
}

/// Why a route does not sell what the chain says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceTrouble {
    /// Buyers would refuse to pay, or pay for nothing. A sentence that says what to change.
    #[error("{0}")]
    Differs(String),
    /// The chain cannot be asked now.
    #[error(transparent)]
    Unknown(#[from] Fault),
}

impl ByHashEvm {
    /// Whether the registry knows the service of these terms as the terms have it: price, provider, on sale. Terms without a
    /// service are none of its business.
    pub async fn compare(&self, terms: &Terms) -> Result<(), ServiceTrouble> {
        let offer = self.offer(terms).map_err(ServiceTrouble::Differs)?;
        match offer {
            Some(offer) => self.compare_offer(&offer).await,
            None => Ok(()),
        }
    }

    async fn compare_offer(&self, offer: &Offer) -> Result<(), ServiceTrouble> {
        let odd = |_| ServiceTrouble::Differs("the terms of the service cannot be read".to_owned());
        let Some(service) = Service::of(offer).map_err(odd)? else { return Ok(()) };
        let chain = self.chain(&offer.network);
        let chain =
            chain.map_err(|_| Fault::unavailable("chain", format!("no node of {} is set", offer.network)))?;
        let manager = account::parse(&offer.pay_to).ok_or(Reason::InvalidRequirements).map_err(odd)?;
        let known = details(chain, manager, service.id).await.map_err(trouble)?;
        let id = service.id;
        let differs = |what: String| Err(ServiceTrouble::Differs(what));
        if !known.isActive {
            return differs(format!("service {id} is off sale in its registry: activate it there"));
        }
        if known.pricePerCall != offer.amount.as_u256() {
            return differs(format!(
                "service {id} costs {} wei in its registry and {} here: make them the same",
                known.pricePerCall, offer.amount
            ));
        }
        if known.provider != service.provider {
            return differs(format!(
                "service {id} belongs to {} in its registry and to {} here: name the right service or provider",
                known.provider, service.provider
            ));
        }
        if let Some(subscriptions) = Subscriptions::of(offer).map_err(odd)? {
            let call = SubscriptionManager::checkAccessCall { user: Address::ZERO, serviceId: id };
            let answer = ask(chain, subscriptions.manager, &call).await;
            answer.map_err(|mute| match mute {
                Mute::Contract(why) => ServiceTrouble::Differs(format!(
                    "the subscription manager {} {why}",
                    subscriptions.manager
                )),
                Mute::Fault(fault) => fault.into(),
            })?;
        }
        Ok(())
    }
}

fn trouble(mute: Mute) -> ServiceTrouble {
    match mute {
        Mute::Contract(why) => ServiceTrouble::Differs(why),
        Mute::Fault(fault) => fault.into(),
    }
}
