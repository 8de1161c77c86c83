//! What became of an authorization that was signed here, as the chain shows it.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolCall;
use groat_core::ports::Fate;
use groat_core::{Fault, Reason};

use super::abi::Eip3009;
use crate::Chain;
use crate::rpc::Call;

/// So long after its end, by the chain's own clock, an authorization that was not used is dead: the node that tells the time
/// may be some blocks ahead of the one that looks it up.
const GRACE_S: u64 = 60;

/// Used, which may also be a cancellation; dead, when its time is over and it was not used; or open.
pub(crate) async fn fate(
    chain: &Chain,
    token: Address,
    authorizer: Address,
    nonce: B256,
    valid_before: u64,
) -> Result<Fate, Fault> {
    let time = chain.rpc().head().await?.timestamp.to::<u64>();
    let input = Eip3009::authorizationStateCall { authorizer, nonce }.abi_encode().into();
    let call = Call { from: None, to: token, input, gas: None, price: None };
    // A token that does not answer says nothing.
    let used = chain.rpc().call(&call).await?.ok().and_then(|word| U256::try_from_be_slice(&word));
    Ok(match used {
        Some(U256::ZERO) if time > valid_before.saturating_add(GRACE_S) => Fate::Dead(Reason::Expired),
        Some(used) if !used.is_zero() => Fate::Paid(None),
        _ => Fate::Open { transaction: None },
    })
}
