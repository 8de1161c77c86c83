//! The second third of verification: one look at the chain.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use groat_core::Fault;

use super::till::{PERMIT2, Permit2, PermitToken, Till, pay, word_and_bit};
use super::{Permit, PermitKind};
use crate::chain::{Chain, Facts, question};
use crate::exact::abi::{Eip3009, Multicall3};
use crate::rpc::Call;

/// What was seen of a permit's surroundings. `None` is what was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether the till has taken this permit.
    pub(super) paid: Option<bool>,
    /// Whether its nonce is spent: by the till, by somebody else's permit, or for nothing. Of a token it may also be that the
    /// permit was shown to it and the money still waits.
    pub(super) nonce: Nonce,
    /// What the payer has.
    pub(super) balance: Option<U256>,
    /// What may be taken of it: by Permit2, or by the till.
    pub(super) allowance: Option<U256>,
    /// Whom the till pays.
    pub(super) payee: Option<Address>,
    /// What the token says of its domain.
    pub(super) separator: Option<B256>,
    /// The newest block.
    pub(super) facts: Facts,
}

/// Where a nonce stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    /// Nobody knows such nonces.
    Unknown,
    /// Others of this token come first.
    TooEarly,
    /// Not used.
    Open,
    /// Used.
    Spent,
}

/// Asks for everything in one question, shared with others.
pub(super) async fn look(chain: &Chain, till: Address, permit: &Permit) -> Result<Seen, Fault> {
    let answer = chain.read(questions(till, permit)).await?;
    let nonce = match (permit.kind, answer.value::<U256>(1)) {
        (_, None) => Nonce::Unknown,
        (PermitKind::Permit2, Some(word)) if (word & word_and_bit(permit.nonce).1).is_zero() => Nonce::Open,
        (PermitKind::Permit2, Some(_)) => Nonce::Spent,
        (PermitKind::Eip2612, Some(next)) if permit.nonce > next => Nonce::TooEarly,
        (PermitKind::Eip2612, Some(next)) if permit.nonce == next => Nonce::Open,
        (PermitKind::Eip2612, Some(_)) => Nonce::Spent,
    };
    Ok(Seen {
        paid: answer.value(0),
        nonce,
        balance: answer.value(2),
        allowance: answer.value(3),
        payee: answer.value(4),
        separator: answer.value(5),
        facts: answer.facts,
    })
}

fn questions(till: Address, permit: &Permit) -> Vec<Multicall3::Call3> {
    let Permit { owner, nonce, token, .. } = *permit;
    let allowed = |spender| question(token, &PermitToken::allowanceCall { owner, spender });
    let mut questions = match permit.kind {
        PermitKind::Permit2 => {
            let (word, _) = word_and_bit(nonce);
            vec![
                question(till, &Till::paidByPermit2Call { owner, nonce }),
                question(PERMIT2, &Permit2::nonceBitmapCall { owner, word }),
                question(token, &Eip3009::balanceOfCall { account: owner }),
                allowed(PERMIT2),
            ]
        }
        PermitKind::Eip2612 => vec![
            question(till, &Till::paidByPermitCall { token, owner, nonce }),
            question(token, &PermitToken::noncesCall { owner }),
            question(token, &Eip3009::balanceOfCall { account: owner }),
            allowed(till),
        ],
    };
    questions.push(question(till, &Till::payeeCall {}));
    if permit.kind == PermitKind::Eip2612 {
        questions.push(question(token, &PermitToken::DOMAIN_SEPARATORCall {}));
    }
    questions
}

/// Tries the payment on the newest block, from the account that would send it: that says whatever else could be wrong.
pub(super) async fn rehearse(
    chain: &Chain,
    till: Address,
    permit: &Permit,
) -> Result<Result<(), String>, Fault> {
    let submitter = chain.keys().first().map(crate::GasKey::address);
    let price = match submitter {
        Some(_) => Some(chain.fees().await?.into()),
        None => None,
    };
    let input: Bytes = pay(permit);
    let gas = Some(U64::from(chain.limits().gas_max));
    Ok(chain.rpc().call(&Call { from: submitter, to: till, input, gas, price }).await?.map(|_| ()))
}
