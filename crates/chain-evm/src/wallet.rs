//! What contract wallets say: anything, and within bounds.

use alloy_primitives::{Address, B256, Bytes, U64};
use alloy_sol_types::SolCall;
use groat_core::Fault;

use crate::Chain;
use crate::exact::abi::{ERC1271_MAGIC, Erc1271};
use crate::rpc::Call;

/// Gas for one question.
const GAS_MAX: u64 = 400_000;

/// Whether a contract says that a signature is its own (ERC-1271).
pub(crate) async fn accepts(
    chain: &Chain,
    wallet: Address,
    hash: B256,
    signature: Bytes,
) -> Result<bool, Fault> {
    let answer = ask(chain, wallet, &Erc1271::isValidSignatureCall { hash, signature }).await?;
    let mut yes = [0; 32];
    yes[..4].copy_from_slice(&ERC1271_MAGIC);
    Ok(answer.is_some_and(|data| data.as_ref() == yes))
}

/// What a contract answers; `None` when it reverts.
pub(crate) async fn ask(chain: &Chain, to: Address, call: &impl SolCall) -> Result<Option<Bytes>, Fault> {
    let call =
        Call { from: None, to, input: call.abi_encode().into(), gas: Some(U64::from(GAS_MAX)), price: None };
    Ok(chain.rpc().call(&call).await?.ok())
}
