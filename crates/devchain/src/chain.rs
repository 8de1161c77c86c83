//! The chain itself: blocks, what is in them, and how they come and go.

use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256};
use revm::context::BlockEnv;
use revm::context::result::{EVMError, ExecutionResult};

use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::transaction::Signed;
use crate::{ChainClock, Config, Mining, exec};

/// Gas for one block: room for a thousand payments.
pub(crate) const BLOCK_GAS: u64 = 400_000_000;
/// Gas for one transaction (EIP-7825).
pub(crate) const TRANSACTION_GAS: u64 = 1 << 24;
/// The base fee of the first block and the least ever, in wei.
const BASE_FEE_MIN: u64 = 1_000_000;
/// Blocks that can be taken back by a reorganisation.
const REORG_MAX: usize = 256;

/// A block and where the ledger stood before it.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) transactions: Vec<B256>,
    position: u64,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(crate) struct Mined {
    pub(crate) tx: Signed,
    pub(crate) block: u64,
    pub(crate) index: u64,
    pub(crate) success: bool,
    pub(crate) gas_used: u64,
    pub(crate) gas_used_so_far: u64,
    pub(crate) gas_price: u128,
    pub(crate) first_log: u64,
    pub(crate) logs: Vec<Log>,
}

/// The chain's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    clock: ChainClock,
    offset: i64,
    next: Option<u64>,
}

impl Time {
    pub(crate) fn now(&self) -> u64 {
        let base = match self.clock {
            ChainClock::Wall => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
            }
            ChainClock::Fixed(second) => second,
        };
        base.saturating_add_signed(self.offset)
    }

    pub(crate) fn increase(&mut self, seconds: u64) {
        self.offset = self.offset.saturating_add_unsigned(seconds);
    }

    pub(crate) fn set(&mut self, second: u64) {
        let moved = i128::from(second) - i128::from(self.now());
        self.offset = self.offset.saturating_add(moved.try_into().unwrap_or(i64::MAX));
    }

    /// The next block, and only it, gets this time.
    pub(crate) fn set_next(&mut self, second: u64) {
        self.next = Some(second);
    }
}

/// Everything behind the lock.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) pool: Pool,
    pub(crate) blocks: VecDeque<Block>,
    pub(crate) mined: HashMap<B256, Mined>,
    pub(crate) time: Time,
    pub(crate) mining: Mining,
    pub(crate) faults: Faults,
    pub(crate) filters: crate::rpc::Filters,
    /// What the next block asks at least, where somebody has said so.
    pub(crate) next_fee: Option<u64>,
    snapshots: Vec<(u64, u64, u64, Pool, Time)>,
    next_snapshot: u64,
    forks: u64,
}

impl Node {
    /// A chain with an empty first block.
    pub(crate) fn new(config: Config) -> Self {
        let time = Time { clock: config.clock, offset: 0, next: None };
        let header = Header {
            timestamp: time.now(),
            gas_limit: BLOCK_GAS,
            base_fee_per_gas: Some(BASE_FEE_MIN),
            ..Header::default()
        };
        let first =
            Block { number: 0, hash: header.hash_slow(), header, transactions: Vec::new(), position: 0 };
        Self {
            mining: config.mining,
            config,
            ledger: Ledger::new(),
            pool: Pool::default(),
            blocks: VecDeque::from([first]),
            mined: HashMap::new(),
            time,
            faults: Faults::default(),
            filters: Default::default(),
            next_fee: None,
            snapshots: Vec::new(),
            next_snapshot: 1,
            forks: 0,
        }
    }

    /// The newest block. There is always one.
    pub(crate) fn head(&self) -> &Block {
        self.blocks.back().unwrap_or_else(|| unreachable!("the first block is never removed"))
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Block> {
        let oldest = self.blocks.front()?.number;
        self.blocks.get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    /// The environment of the next block, for calls and for mining.
    pub(crate) fn next_env(&self) -> BlockEnv {
        let head = self.head();
        let timestamp = self.time.next.unwrap_or_else(|| self.time.now()).max(head.header.timestamp);
        exec::block_env(head.number + 1, timestamp, self.next_base_fee())
    }

    /// The environment of the newest block, for calls at `latest`.
    pub(crate) fn head_env(&self) -> BlockEnv {
        let head = self.head();
        let base_fee = head.header.base_fee_per_gas.unwrap_or(BASE_FEE_MIN);
        exec::block_env(head.number, head.header.timestamp.max(self.idle_time()), base_fee)
    }

    /// An instant chain makes no blocks while idle; what is called then should see the time that a block would have.
    fn idle_time(&self) -> u64 {
        if self.mining == Mining::Instant { self.time.now() } else { 0 }
    }

    /// EIP-1559, with a floor.
    pub(crate) fn next_base_fee(&self) -> u64 {
        if let Some(fee) = self.next_fee {
            return fee;
        }
        let params = alloy_eips::eip1559::BaseFeeParams::ethereum();
        self.head().header.next_block_base_fee(params).unwrap_or(BASE_FEE_MIN).max(BASE_FEE_MIN)
    }

    /// Takes a transaction; in an instant chain it and whatever it unblocks is in a block on return.
    pub(crate) fn send(&mut self, tx: Signed) -> Result<B256, &'static str> {
        let hash = tx.hash;
        if self.mined.contains_key(&hash) {
            return Err("already known");
        }
        self.admit(&tx)?;
        if self.faults.drops() {
            return Ok(hash);
        }
        self.pool.insert(tx)?;
        self.filters.pending(hash);
        if self.mining == Mining::Instant && !self.faults.hold {
            while !self.ready().is_empty() {
                self.mine_some(1);
            }
        }
        Ok(hash)
    }

    fn admit(&self, tx: &Signed) -> Result<(), &'static str> {
        use alloy_consensus::Transaction;
        let account = self.ledger.account(tx.sender);
        let envelope = &tx.envelope;
        if envelope.chain_id().is_some_and(|id| id != self.config.chain_id) {
            return Err("invalid chain id for signer");
        }
        if tx.nonce() < account.nonce {
            return Err("nonce too low");
        }
        if envelope.gas_limit() > TRANSACTION_GAS {
            return Err("transaction gas limit too high (cap: 16777216)");
        }
        if tx.tip() > tx.max_fee() {
            return Err("max priority fee per gas higher than max fee per gas");
        }
        let cost = U256::from(envelope.gas_limit()).saturating_mul(U256::from(tx.max_fee()));
        if account.balance < cost.saturating_add(envelope.value()) {
            return Err("insufficient funds for gas * price + value");
        }
        Ok(())
    }

    fn ready(&self) -> Vec<Signed> {
        self.pool.ready(|sender| self.ledger.account(sender).nonce, self.next_base_fee())
    }

    /// Makes a block of everything that can go.
    pub(crate) fn mine(&mut self) {
        self.mine_some(usize::MAX);
    }

    fn mine_some(&mut self, count_max: usize) {
        let position = self.ledger.position();
        let env = self.next_env();
        let number = self.head().number + 1;
        let (mut transactions, mut gas_used, mut logs) = (Vec::new(), 0, 0);
        let mut bloom = Bloom::default();
        'block: loop {
            let ready = self.pool.ready(|sender| self.ledger.account(sender).nonce, env.basefee);
            let mut any = false;
            for tx in ready {
                use alloy_consensus::Transaction;
                if transactions.len() >= count_max || gas_used + tx.envelope.gas_limit() > BLOCK_GAS {
                    break 'block;
                }
                let (sender, hash) = (tx.sender, tx.hash);
                match exec::transact(&self.ledger, self.config.chain_id, env.clone(), tx.env()) {
                    Ok(done) => {
                        let used = done.result.tx_gas_used();
                        gas_used += used;
                        let mined = Mined {
                            gas_price: tx.envelope.effective_gas_price(Some(env.basefee)),
                            tx,
                            block: number,
                            index: transactions.len() as u64,
                            success: done.result.is_success(),
                            gas_used: used,
                            gas_used_so_far: gas_used,
                            first_log: logs,
                            logs: kept_logs(&done.result),
                        };
                        logs += mined.logs.len() as u64;
                        mined.logs.iter().for_each(|log| bloom.accrue_log(log));
                        self.ledger.commit(done.state);
                        self.mined.insert(hash, mined);
                        transactions.push(hash);
                        let nonce = self.ledger.account(sender).nonce;
                        self.pool.prune(sender, nonce);
                        any = true;
                    }
                    // It became impossible while it waited, for lack of money or otherwise.
                    Err(EVMError::Transaction(problem)) => {
                        tracing::debug!(%hash, ?problem, "a transaction is dropped");
                        self.pool.remove(hash);
                    }
                    Err(error) => {
                        tracing::error!(%hash, ?error, "a transaction cannot be run");
                        self.pool.remove(hash);
                    }
                }
            }
            if !any {
                break;
            }
        }
        self.close(position, &env, transactions, gas_used, bloom);
    }

    fn close(&mut self, position: u64, env: &BlockEnv, transactions: Vec<B256>, gas_used: u64, bloom: Bloom) {
        let parent = self.head();
        let header = Header {
            parent_hash: parent.hash,
            number: parent.number + 1,
            timestamp: env.timestamp.saturating_to(),
            gas_limit: BLOCK_GAS,
            gas_used,
            base_fee_per_gas: Some(env.basefee),
            logs_bloom: bloom,
            // Blocks at one height on different forks must not look the same.
            extra_data: Bytes::copy_from_slice(&self.forks.to_be_bytes()),
            transactions_root: alloy_primitives::keccak256(transactions.concat_bytes()),
            ..Header::default()
        };
        (self.time.next, self.next_fee) = (None, None);
        let (number, hash) = (header.number, header.hash_slow());
        self.blocks.push_back(Block { number, hash, header, transactions, position });
        self.ledger.set_block_hash(number, hash);
        self.filters.block(hash);
        self.forget();
    }

    /// Keeps memory bounded: old blocks go, and with them what was in them.
    fn forget(&mut self) {
        while self.blocks.len() > self.config.history.max(REORG_MAX) {
            let Some(old) = self.blocks.pop_front() else { break };
            for hash in old.transactions {
                self.mined.remove(&hash);
            }
        }
        if self.snapshots.is_empty() && self.blocks.len() > REORG_MAX {
            let oldest = self.blocks[self.blocks.len() - REORG_MAX].position;
            self.ledger.forget(oldest);
        }
    }

    pub(crate) fn snapshot(&mut self) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot += 1;
        self.snapshots.push((id, self.head().number, self.ledger.position(), self.pool.clone(), self.time));
        id
    }

    pub(crate) fn revert(&mut self, id: u64) -> bool {
        let Some(index) = self.snapshots.iter().position(|snapshot| snapshot.0 == id) else { return false };
        let Some((_, number, position, pool, time)) = self.snapshots.drain(index..).next() else {
            return false;
        };
        while self.head().number > number {
            self.pop();
        }
        self.ledger.rewind(position);
        (self.pool, self.time) = (pool, time);
        true
    }

    /// Drops blocks, as a reorganisation does. What was in them waits again, unless `forget`.
    pub(crate) fn reorg(&mut self, depth: u64, forget: bool) {
        self.forks += 1;
        for _ in 0..depth.min(self.blocks.len() as u64 - 1) {
            let position = self.head().position;
            for mined in self.pop() {
                if !forget {
                    // Two of one nonce cannot both have been mined, so nothing is in its place.
                    let _ = self.pool.insert(mined.tx);
                }
            }
            self.ledger.rewind(position);
        }
    }

    /// Removes the newest block, but not its effects.
    fn pop(&mut self) -> Vec<Mined> {
        if self.blocks.len() == 1 {
            return Vec::new();
        }
        let block = self.blocks.pop_back();
        let hashes = block.map(|block| block.transactions).unwrap_or_default();
        hashes.iter().filter_map(|hash| self.mined.remove(hash)).collect()
    }

    /// Runs a call that changes nothing.
    pub(crate) fn call(&self, to: Address, data: Bytes) -> Result<Bytes, Option<Bytes>> {
        let tx = crate::transaction::call_env(Address::ZERO, Some(to), data, U256::ZERO, BLOCK_GAS, 0);
        match exec::call(&self.ledger, self.config.chain_id, self.head_env(), tx) {
            Ok(done) => exec::output(done.result),
            Err(_) => Err(None),
        }
    }
}

/// What a failed transaction said does not count.
fn kept_logs(result: &ExecutionResult) -> Vec<Log> {
    if result.is_success() { result.logs().to_vec() } else { Vec::new() }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for [B256] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|hash| hash.0).collect()
    }
}
