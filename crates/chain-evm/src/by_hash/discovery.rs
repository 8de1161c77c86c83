//! What is for sale by the registry on chain. Its texts were written by strangers: bounded and printable, never more.

use alloy_primitives::{Address, U256};
use groat_core::Fault;
use groat_core::reason::printable;
use tokio::task::JoinSet;

use super::registry::{self, Mute, ServiceRegistry};
use crate::Chain;

/// A service as its registry lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: U256,
    /// Who earns.
    pub provider: Address,
    /// What it is called.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// Where it is, as it says.
    pub endpoint: String,
    /// What kind it is.
    pub category: String,
    /// What a call costs, in wei.
    pub price: U256,
    /// Seconds since the epoch.
    pub created_at: U256,
}

/// Which services are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Of this category, by the letter.
    pub category: Option<String>,
    /// For at most so many wei a call.
    pub max_price: Option<U256>,
}

/// Services of a registry that are looked at; a larger one is asked by category.
const COUNT_MAX: u64 = 10_000;
/// Questions that are under way at a time.
const AT_ONCE: u64 = 16;
/// Characters of a text that are kept.
const CHARS_MAX: usize = 300;

/// All services on sale that are wanted, by their numbers.
pub async fn discover(chain: &Chain, registry: Address, wanted: &Wanted) -> Result<Vec<Listed>, Fault> {
    let all = match &wanted.category {
        Some(category) => {
            let call = ServiceRegistry::getServicesByCategoryCall { category: category.clone() };
            registry::ask(chain, registry, &call).await.map_err(|mute| fault(registry, mute))?
        }
        None => one_by_one(chain, registry).await?,
    };
    let fits = |service: &ServiceRegistry::Service| {
        service.isActive && wanted.max_price.is_none_or(|most| service.pricePerCall <= most)
    };
    let mut found: Vec<_> = all.into_iter().filter(fits).map(listed).collect();
    found.sort_by_key(|listed| listed.id);
    Ok(found)
}

async fn one_by_one(chain: &Chain, registry: Address) -> Result<Vec<ServiceRegistry::Service>, Fault> {
    let count = registry::ask(chain, registry, &ServiceRegistry::getServiceCountCall {}).await;
    let count = count.map_err(|mute| fault(registry, mute))?;
    if count > U256::from(COUNT_MAX) {
        let problem = format!("{registry} lists {count} services, too many to look through: name a category");
        return Err(Fault::garbled("registry", problem));
    }
    let count = count.saturating_to::<u64>();
    let mut found = Vec::new();
    for first in (1..=count).step_by(AT_ONCE as usize) {
        let mut asked = JoinSet::new();
        for id in first..=count.min(first + AT_ONCE - 1) {
            let chain = chain.clone();
            let call = ServiceRegistry::getServiceDetailsCall { serviceId: U256::from(id) };
            asked.spawn(async move { registry::ask(&chain, registry, &call).await });
        }
        while let Some(answer) = asked.join_next().await {
            match answer.map_err(|error| Fault::garbled("registry", error))? {
                Ok(service) => found.push(service),
                // A number without a service, as its own client sees it.
                Err(Mute::Contract(_)) => {}
                Err(Mute::Fault(fault)) => return Err(fault),
            }
        }
    }
    Ok(found)
}

fn listed(service: ServiceRegistry::Service) -> Listed {
    let text = |text: String| printable(&text, CHARS_MAX);
    Listed {
        id: service.id,
        provider: service.provider,
        name: text(service.name),
        description: text(service.description),
        endpoint: text(service.endpoint),
        category: text(service.category),
        price: service.pricePerCall,
        created_at: service.createdAt,
    }
}

fn fault(registry: Address, mute: Mute) -> Fault {
    match mute {
        Mute::Fault(fault) => fault,
        Mute::Contract(why) => Fault::garbled("registry", format!("{registry} {why}")),
    }
}
