//! Accounts and storage, with a log of old values so that any number of blocks can be taken back.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, Bytes, U256};
use revm::DatabaseCommit;
use revm::database::{AccountState, CacheDB, DbAccount, EmptyDB};
use revm::state::{AccountInfo, Bytecode, EvmState};

/// The state of the chain.
pub(crate) struct Ledger {
    /// What revm reads.
    pub(crate) db: CacheDB<EmptyDB>,
    log: VecDeque<Before>,
    forgotten: u64,
}

/// What an account, and some of its slots, were before a change.
struct Before {
    address: Address,
    account: Option<(AccountInfo, AccountState)>,
    slots: Vec<(U256, Option<U256>)>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { db: CacheDB::new(EmptyDB::default()), log: VecDeque::new(), forgotten: 0 }
    }

    /// Where the log stands; [`Ledger::rewind`] goes back to it.
    pub(crate) fn position(&self) -> u64 {
        self.forgotten + self.log.len() as u64
    }

    /// Takes back every change since `position`.
    pub(crate) fn rewind(&mut self, position: u64) {
        while self.position() > position {
            let Some(before) = self.log.pop_back() else { return };
            self.restore(before);
        }
    }

    /// Gives up the ability to go back beyond `position`.
    pub(crate) fn forget(&mut self, position: u64) {
        while self.forgotten < position && self.log.pop_front().is_some() {
            self.forgotten += 1;
        }
    }

    fn restore(&mut self, before: Before) {
        let Some((info, state)) = before.account else {
            self.db.cache.accounts.remove(&before.address);
            return;
        };
        let account = self.db.cache.accounts.entry(before.address).or_default();
        account.info = info;
        account.account_state = state;
        for (slot, value) in before.slots {
            match value {
                Some(value) => account.storage.insert(slot, value),
                None => account.storage.remove(&slot),
            };
        }
    }

    fn remember(&mut self, address: Address, slots: impl Iterator<Item = U256>) {
        let account = self.db.cache.accounts.get(&address);
        let before = Before {
            address,
            account: account.map(|account| (account.info.clone(), account.account_state.clone())),
            slots: slots
                .map(|slot| (slot, account.and_then(|account| account.storage.get(&slot).copied())))
                .collect(),
        };
        self.log.push_back(before);
    }

    /// Makes the changes of a transaction.
    pub(crate) fn commit(&mut self, changes: EvmState) {
        for (address, account) in changes.iter().filter(|(_, account)| account.is_touched()) {
            let slots = account.storage.iter().filter(|(_, slot)| slot.is_changed()).map(|(slot, _)| *slot);
            self.remember(*address, slots.collect::<Vec<_>>().into_iter());
        }
        self.db.commit(changes);
    }

    /// What is known of an account.
    pub(crate) fn account(&self, address: Address) -> AccountInfo {
        self.db.cache.accounts.get(&address).and_then(DbAccount::info).unwrap_or_default()
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let hash = self.account(address).code_hash;
        self.db.cache.contracts.get(&hash).map(Bytecode::original_bytes).unwrap_or_default()
    }

    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        let account = self.db.cache.accounts.get(&address);
        account.and_then(|account| account.storage.get(&slot).copied()).unwrap_or_default()
    }

    fn change(&mut self, address: Address, change: impl FnOnce(&mut AccountInfo)) {
        self.remember(address, std::iter::empty());
        let mut info = self.account(address);
        change(&mut info);
        self.db.insert_account_info(address, info);
    }

    pub(crate) fn set_balance(&mut self, address: Address, wei: U256) {
        self.change(address, |info| info.balance = wei);
    }

    pub(crate) fn set_nonce(&mut self, address: Address, nonce: u64) {
        self.change(address, |info| info.nonce = nonce);
    }

    pub(crate) fn set_code(&mut self, address: Address, code: Bytes) {
        self.change(address, |info| {
            let code = Bytecode::new_raw(code);
            info.code_hash = code.hash_slow();
            info.code = Some(code);
        });
    }

    pub(crate) fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        self.remember(address, std::iter::once(slot));
        let account = self.db.cache.accounts.entry(address).or_default();
        if account.account_state == AccountState::NotExisting {
            account.account_state = AccountState::None;
        }
        account.storage.insert(slot, value);
    }

    /// Lets contracts see the hash of a block.
    pub(crate) fn set_block_hash(&mut self, number: u64, hash: B256) {
        let hashes = &mut self.db.cache.block_hashes;
        hashes.insert(U256::from(number), hash);
        // EIP-2935 aside, the opcode reaches back 256 blocks.
        if let Some(old) = number.checked_sub(256) {
            hashes.remove(&U256::from(old));
        }
    }
}
