//! An embedded EVM chain for development and tests: revm behind JSON-RPC, with the contracts that payments need
//! already in place. It knows nothing of the rest of groat, and it is never for money: its keys are public.
//!
//! [`DevChain`] answers in process ([`DevChain::request`], [`DevChain::transport`]) and over HTTP
//! ([`DevChain::serve`]). Beside the usual `eth_*` methods it speaks `evm_*` and `anvil_*` for snapshots and time
//! travel, and `dev_*` for faults ([`Faults`]): lost transactions, lost replies, held blocks, reorganisations.

pub mod agentxpay;
mod chain;
mod exec;
mod faults;
mod genesis;
mod ledger;
mod pool;
mod rpc;
mod server;
mod transaction;
mod transport;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256, address};
use serde_json::Value;

pub use faults::Faults;
pub use rpc::RpcError;
pub use server::Server;
pub use transport::Transport;

use chain::Node;

/// Our dollar, at the address of Base Sepolia's USDC, so that unmodified clients know it on chain id 84532.
pub const USDC: Address = address!("0x036CbD53842c5426634e7929541eC2318f3dCF7e");
/// Multicall3, where it is on every chain.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");
/// `X402Pay`, which settles payments of the profile `x402-pay/1`; the first well-known account owns it.
pub const X402_PAY: Address = address!("0x7834303200000000000000000000000000000001");

/// When transactions are put into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mining {
    /// Each at once, in a block of its own.
    #[default]
    Instant,
    /// All that wait, at every tick.
    Interval(Duration),
    /// Only when told to (`evm_mine`).
    Manual,
}

/// What the chain takes for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChainClock {
    /// The machine's clock, plus whatever was added.
    #[default]
    Wall,
    /// This second, until it is moved.
    Fixed(u64),
}

/// How a chain is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// EIP-155 id.
    pub chain_id: u64,
    /// When blocks are made.
    pub mining: Mining,
    /// What time it is.
    pub clock: ChainClock,
    /// Blocks whose transactions are remembered; older ones are forgotten.
    pub history: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { chain_id: 84532, mining: Mining::Instant, clock: ChainClock::Wall, history: 10_000 }
    }
}

/// A chain. Clones are the same chain.
#[derive(Clone)]
pub struct DevChain {
    node: Arc<Mutex<Node>>,
}

impl DevChain {
    /// A new chain with everything deployed and the ten well-known accounts rich.
    pub fn new(config: Config) -> Self {
        let mining = config.mining;
        let node = Arc::new(Mutex::new(genesis::node(config)));
        if let Mining::Interval(interval) = mining {
            mine_regularly(Arc::downgrade(&node), interval);
        }
        Self { node }
    }

    fn lock(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one JSON-RPC call.
    pub fn request(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        rpc::dispatch(&mut self.lock(), method, &params)
    }

    /// A transport for alloy's RPC client that needs no socket.
    pub fn transport(&self) -> Transport {
        Transport::new(self.clone())
    }

    /// Sets an account's money for gas, in wei.
    pub fn set_balance(&self, account: Address, wei: U256) {
        self.lock().ledger.set_balance(account, wei);
    }

    /// Gives an account play dollars, in atomic units.
    pub fn mint_usdc(&self, account: Address, units: U256) {
        genesis::mint_usdc(&mut self.lock(), account, units);
    }

    /// Calls a contract as anybody, outside of any block and without its events, to set the stage. Returns whether it went
    /// through.
    pub fn stage(&self, from: Address, to: Address, data: Bytes) -> bool {
        genesis::stage(&mut self.lock(), from, to, data)
    }

    /// Play dollars of an account, in atomic units.
    pub fn usdc_balance(&self, account: Address) -> U256 {
        genesis::usdc_balance(&self.lock(), account)
    }

    /// Makes `count` blocks; the first takes what waits.
    pub fn mine(&self, count: u64) {
        let mut node = self.lock();
        for _ in 0..count {
            node.mine();
        }
    }

    /// Moves the clock on.
    pub fn increase_time(&self, seconds: u64) {
        self.lock().time.increase(seconds);
    }

    /// Sets the clock; with [`ChainClock::Wall`] it goes on from there.
    pub fn set_time(&self, second: u64) {
        self.lock().time.set(second);
    }

    /// What the next block would say the time is.
    pub fn now(&self) -> u64 {
        self.lock().time.now()
    }

    /// Remembers the state; [`DevChain::revert`] goes back to it.
    pub fn snapshot(&self) -> u64 {
        self.lock().snapshot()
    }

    /// Goes back to a snapshot; `false` when there is none of that number any more.
    pub fn revert(&self, snapshot: u64) -> bool {
        self.lock().revert(snapshot)
    }

    /// Height of the newest block.
    pub fn block_number(&self) -> u64 {
        self.lock().head().number
    }

    /// Changes what goes wrong.
    pub fn faults<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        change(&mut self.lock().faults)
    }

    /// Drops the newest `depth` blocks. Their transactions wait again, unless `forget`.
    pub fn reorg(&self, depth: u64, forget: bool) {
        self.lock().reorg(depth, forget);
    }
}

/// A thread that makes a block at every tick, for as long as somebody holds the chain.
fn mine_regularly(node: Weak<Mutex<Node>>, interval: Duration) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(interval);
            let Some(node) = node.upgrade() else { return };
            let mut node = node.lock().unwrap_or_else(PoisonError::into_inner);
            if !node.faults.hold {
                node.mine();
            }
        }
    });
}
