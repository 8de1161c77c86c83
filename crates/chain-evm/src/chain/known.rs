//! What is remembered of contracts and accounts, so that it is not asked for every payment.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::Address;
use groat_core::Fault;
use tokio::time::Instant;

use super::fold::question;
use super::{Chain, lock};
use crate::exact::abi::Eip3009;

/// Most entries of a memory; beyond it the memory starts over.
const ENTRIES_MAX: usize = 16_384;
/// A token may be upgraded to another name, once in years.
const TOKEN_FRESH: Duration = Duration::from_secs(600);
/// An account may delegate to code (EIP-7702) at any moment, as it may spend its balance at any moment. What is signed
/// is rehearsed on the newest block in any case.
const PLAIN_FRESH: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Known {
    tokens: Mutex<HashMap<Address, (Instant, TokenWords)>>,
    /// Accounts without code, when that was asked, and the newest block then.
    plain: Mutex<HashMap<Address, (Instant, u64)>>,
}

/// What a token says of itself. `None` is what it did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenWords {
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
}

impl Chain {
    /// The words of a token; `None` when there is no contract. Only a contract is remembered.
    pub(crate) async fn token(&self, asset: Address) -> Result<Option<TokenWords>, Fault> {
        if let Some((at, words)) = lock(&self.0.known.tokens).get(&asset)
            && at.elapsed() < TOKEN_FRESH
        {
            return Ok(Some(words.clone()));
        }
        let calls = vec![question(asset, &Eip3009::nameCall {}), question(asset, &Eip3009::versionCall {})];
        let (code, answer) = tokio::join!(self.rpc().code(asset), self.read(calls));
        if code?.is_empty() {
            return Ok(None);
        }
        let answer = answer?;
        let words = TokenWords { name: answer.value(0), version: answer.value(1) };
        put(&self.0.known.tokens, asset, (Instant::now(), words.clone()));
        Ok(Some(words))
    }

    /// Whether an account whose key has signed has code: almost none has, and few change that.
    pub(crate) async fn key_has_code(&self, account: Address) -> Result<bool, Fault> {
        let was_plain =
            lock(&self.0.known.plain).get(&account).is_some_and(|(at, _)| at.elapsed() < PLAIN_FRESH);
        if was_plain { Ok(false) } else { self.ask_code(account).await }
    }

    /// Whether an account has code that would be asked for a signature no key has made. It may have been deployed by
    /// the last block.
    pub(crate) async fn wallet_has_code(&self, account: Address) -> Result<bool, Fault> {
        let head = self.0.heads.newest();
        let was_plain =
            head > 0 && lock(&self.0.known.plain).get(&account).is_some_and(|(_, block)| *block >= head);
        if was_plain { Ok(false) } else { self.ask_code(account).await }
    }

    /// A failed question is a fault, never "no code" (threat row E20).
    async fn ask_code(&self, account: Address) -> Result<bool, Fault> {
        let asked = (Instant::now(), self.0.heads.newest());
        let plain = self.rpc().code(account).await?.is_empty();
        if plain {
            put(&self.0.known.plain, account, asked);
        }
        Ok(!plain)
    }
}

fn put<T>(memory: &Mutex<HashMap<Address, T>>, key: Address, value: T) {
    let mut memory = lock(memory);
    if memory.len() >= ENTRIES_MAX {
        memory.clear();
    }
    memory.insert(key, value);
}
