//! The contracts of the AgentXPay dialect: where they are, and what they were made with. Their services, subscriptions
//! and escrows are empty at first.

use alloy_primitives::{Address, U256, address};
use alloy_sol_types::SolValue;

use crate::genesis::RICH;

/// Services, their prices and plans.
pub const SERVICE_REGISTRY: Address = address!("0xa9e4700000000000000000000000000000000001");
/// Payments per call; a challenge names this one.
pub const PAYMENT_MANAGER: Address = address!("0xa9E4700000000000000000000000000000000002");
/// Access for a time.
pub const SUBSCRIPTION_MANAGER: Address = address!("0xA9e4700000000000000000000000000000000003");
/// Payments that wait until the payer is content.
pub const ESCROW: Address = address!("0xA9E4700000000000000000000000000000000004");
/// Creates accounts from which agents spend.
pub const AGENT_WALLET_FACTORY: Address = address!("0xA9E4700000000000000000000000000000000005");

/// Owns all of them and collects the fees: the first of the ten well-known accounts.
pub const OWNER: Address = RICH[0];
/// The part of a payment that the platform keeps at first, in hundredths of a percent.
pub const PLATFORM_FEE_RATE: u64 = 100;

/// Address, artifact and encoded arguments of each, in the order in which they are made.
pub(crate) fn contracts() -> [(Address, &'static str, Vec<u8>); 5] {
    let payments = (SERVICE_REGISTRY, U256::from(PLATFORM_FEE_RATE), OWNER).abi_encode_params();
    let subscriptions = SERVICE_REGISTRY.abi_encode();
    [
        (SERVICE_REGISTRY, include_str!("../../../contracts/artifacts/ServiceRegistry.json"), Vec::new()),
        (PAYMENT_MANAGER, include_str!("../../../contracts/artifacts/PaymentManager.json"), payments),
        (
            SUBSCRIPTION_MANAGER,
            include_str!("../../../contracts/artifacts/SubscriptionManager.json"),
            subscriptions,
        ),
        (ESCROW, include_str!("../../../contracts/artifacts/Escrow.json"), Vec::new()),
        (
            AGENT_WALLET_FACTORY,
            include_str!("../../../contracts/artifacts/AgentWalletFactory.json"),
            Vec::new(),
        ),
    ]
}
