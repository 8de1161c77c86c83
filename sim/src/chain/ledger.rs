//! The state of the model chain and what transactions do to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::direct::{Direct, Way};

/// An account; the token lives at one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Account(pub(crate) u16);

impl Account {
    pub(crate) const SHOP: Self = Self(1);
    pub(crate) const GAS: Self = Self(2);
    pub(crate) const TOKEN: Self = Self(3);
    pub(crate) const STRANGER: Self = Self(4);
    pub(crate) const ELSEWHERE: Self = Self(5);
    /// Takes payments for services.
    pub(crate) const MANAGER: Self = Self(6);
    /// Takes payments of requests, and passes them on.
    pub(crate) const DESK: Self = Self(7);
    /// The first of the buyers.
    pub(crate) const BUYERS: u16 = 16;

    pub(crate) fn parse(text: &str) -> Option<Self> {
        u16::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(Self)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:040x}", self.0)
    }
}

/// What makes an authorization single-use: who pays, and its nonce.
pub(crate) type AuthorizationId = (Account, u64);

/// EIP-3009 `TransferWithAuthorization`; the signature is taken for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Authorization {
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) value: u64,
    pub(crate) valid_after: u64,
    pub(crate) valid_before: u64,
    pub(crate) nonce: u64,
}

impl Authorization {
    pub(crate) fn id(&self) -> AuthorizationId {
        (self.from, self.nonce)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Transfer(Authorization),
    /// Several transfers; one that fails leaves the others alone.
    Batch(Vec<Authorization>),
    Cancel(Account, u64),
    Move {
        to: Account,
        value: u64,
    },
    /// The sender pays somebody by itself.
    Pay(Way),
}

/// A signed transaction; `fee` makes two signings of the same thing differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) sender: Account,
    pub(crate) nonce: u64,
    pub(crate) fee: u64,
    pub(crate) action: Action,
}

impl Transaction {
    pub(crate) fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |word: u64| hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        mix(u64::from(self.sender.0));
        mix(self.nonce);
        mix(self.fee);
        let mut transfer = |a: &Authorization| {
            for word in [u64::from(a.from.0), a.nonce, a.value, a.valid_before] {
                mix(word);
            }
        };
        match &self.action {
            Action::Transfer(authorization) => transfer(authorization),
            Action::Batch(several) => several.iter().for_each(transfer),
            Action::Cancel(from, nonce) => [u64::from(from.0), *nonce, 0, 1].into_iter().for_each(mix),
            Action::Move { to, value } => [u64::from(to.0), *value, 0, 2].into_iter().for_each(mix),
            Action::Pay(way) => way.words().into_iter().for_each(mix),
        };
        hash
    }

    /// Its hash, when a payer pays by it directly.
    pub(crate) fn direct(&self) -> Option<u64> {
        matches!(self.action, Action::Pay(_)).then(|| self.hash())
    }

    /// The authorizations that it uses up.
    pub(crate) fn authorizations(&self) -> Vec<AuthorizationId> {
        match &self.action {
            Action::Transfer(authorization) => vec![authorization.id()],
            Action::Batch(several) => several.iter().map(Authorization::id).collect(),
            Action::Cancel(from, nonce) => vec![(*from, *nonce)],
            Action::Move { .. } | Action::Pay(_) => Vec::new(),
        }
    }
}

/// The hash of a transaction in text.
pub(crate) fn hash_text(hash: u64) -> String {
    format!("0x{hash:064x}")
}

/// A mined transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub(crate) ok: bool,
    pub(crate) block: u64,
    pub(crate) block_hash: u64,
}

/// How an authorization was used up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Used {
    Spent { hash: u64 },
    Cancelled,
}

/// A transfer by authorization that went through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) authorization: Authorization,
    pub(crate) hash: u64,
    pub(crate) sender: Account,
}

/// Everything that the chain knows after a block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) balances: BTreeMap<Account, u64>,
    pub(crate) used: BTreeMap<AuthorizationId, Used>,
    pub(crate) nonces: BTreeMap<Account, u64>,
    pub(crate) receipts: BTreeMap<u64, Receipt>,
    pub(crate) transfers: Vec<Transfer>,
    /// What payers paid by themselves, by the hash of the transaction.
    pub(crate) direct: BTreeMap<u64, Direct>,
}

impl Ledger {
    pub(crate) fn balance(&self, account: Account) -> u64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// The nonce of the account's next transaction.
    pub(crate) fn nonce(&self, account: Account) -> u64 {
        self.nonces.get(&account).copied().unwrap_or(0)
    }

    /// Executes a transaction whose nonce fits; a failed one only uses its nonce. `careless` is a token that does not
    /// look whether an authorization was used.
    pub(crate) fn execute(&mut self, transaction: &Transaction, time: u64, block: Receipt, careless: bool) {
        *self.nonces.entry(transaction.sender).or_default() += 1;
        let hash = transaction.hash();
        let ok = match &transaction.action {
            Action::Transfer(authorization) => {
                self.transfer(authorization, time, transaction.sender, hash, careless)
            }
            Action::Batch(several) => {
                for authorization in several {
                    self.transfer(authorization, time, transaction.sender, hash, careless);
                }
                true
            }
            Action::Cancel(from, nonce) => {
                let fresh = !self.used.contains_key(&(*from, *nonce));
                if fresh {
                    self.used.insert((*from, *nonce), Used::Cancelled);
                }
                fresh
            }
            Action::Move { to, value } => self.shift(transaction.sender, *to, *value),
            Action::Pay(way) => self.pay(transaction.sender, way, hash, time),
        };
        self.receipts.insert(hash, Receipt { ok, ..block });
    }

    fn transfer(
        &mut self,
        authorization: &Authorization,
        time: u64,
        sender: Account,
        hash: u64,
        careless: bool,
    ) -> bool {
        let fresh = careless || !self.used.contains_key(&authorization.id());
        let in_time = time > authorization.valid_after && time < authorization.valid_before;
        let ok = fresh && in_time && self.shift(authorization.from, authorization.to, authorization.value);
        if ok {
            self.used.insert(authorization.id(), Used::Spent { hash });
            self.transfers.push(Transfer { authorization: *authorization, hash, sender });
        }
        ok
    }

    /// All payments of a transaction, or none.
    fn pay(&mut self, payer: Account, way: &Way, hash: u64, time: u64) -> bool {
        // A request is settled once, whoever pays it.
        let repeated = matches!(way, Way::Request(_)) && self.direct.values().any(|other| other.way == *way);
        let ok = !repeated && self.shift(payer, way.payee(), way.value());
        if ok {
            self.direct.insert(hash, Direct { payer, time, way: way.clone() });
        }
        ok
    }

    fn shift(&mut self, from: Account, to: Account, value: u64) -> bool {
        let Some(rest) = self.balance(from).checked_sub(value) else { return false };
        self.balances.insert(from, rest);
        *self.balances.entry(to).or_default() += value;
        true
    }
}
