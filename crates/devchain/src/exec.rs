//! Running code: transactions that count, and calls that do not.

use alloy_primitives::{Bytes, U256};
use revm::context::result::{EVMError, ExecutionResult, ResultAndState};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteEvm, MainBuilder, MainContext};
use std::convert::Infallible;

use crate::chain::{BLOCK_GAS, TRANSACTION_GAS};
use crate::ledger::Ledger;

/// The environment of the block being made.
pub(crate) fn block_env(number: u64, timestamp: u64, base_fee: u64) -> BlockEnv {
    BlockEnv {
        number: U256::from(number),
        timestamp: U256::from(timestamp),
        gas_limit: BLOCK_GAS,
        basefee: base_fee,
        ..BlockEnv::default()
    }
}

fn cfg(chain_id: u64) -> CfgEnv {
    let mut cfg = CfgEnv::new().with_chain_id(chain_id);
    // Named, because the library's default follows its releases.
    cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
    cfg
}

/// Runs a signed transaction; the changes are not made yet.
pub(crate) fn transact(
    ledger: &Ledger,
    chain_id: u64,
    block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, EVMError<Infallible>> {
    let mut cfg = cfg(chain_id);
    cfg.tx_gas_limit_cap = Some(TRANSACTION_GAS);
    let context = Context::mainnet().with_ref_db(&ledger.db).with_cfg(cfg).with_block(block);
    context.build_mainnet().transact(tx)
}

/// Runs a call as if it were in the block: no signature, no fee, no nonce, no cap on gas.
pub(crate) fn call(
    ledger: &Ledger,
    chain_id: u64,
    block: BlockEnv,
    tx: TxEnv,
) -> Result<ResultAndState, EVMError<Infallible>> {
    let mut cfg = cfg(chain_id);
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    cfg.disable_nonce_check = true;
    cfg.disable_balance_check = true;
    cfg.disable_block_gas_limit = true;
    cfg.disable_base_fee = true;
    cfg.disable_eip3607 = true;
    cfg.tx_chain_id_check = false;
    let context = Context::mainnet().with_ref_db(&ledger.db).with_cfg(cfg).with_block(block);
    context.build_mainnet().transact(tx)
}

/// What a call returned; the error is the data it reverted with, or `None` when it just stopped.
pub(crate) fn output(result: ExecutionResult) -> Result<Bytes, Option<Bytes>> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(Some(output)),
        ExecutionResult::Halt { .. } => Err(None),
    }
}
