//! The second third of verification: one look at the chain.

use alloy_primitives::{Address, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use groat_core::Fault;

use super::abi::{self, ERC1271_MAGIC, Eip3009, Erc1271};
use super::check::Checked;
use super::proof::Signature;
use crate::chain::{Chain, Facts, Simulate, question};
use crate::rpc::{Call, Called, Price};

/// What was seen of a payment's surroundings. `None` is what the token did not answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Whether the token is a contract.
    pub(super) asset_has_code: bool,
    /// Whether the payer is a contract (also an account delegated by EIP-7702).
    pub(super) payer_has_code: bool,
    /// What ERC-1271 says, for contracts.
    pub(super) contract_accepts: Option<bool>,
    /// The payer's balance.
    pub(super) balance: Option<U256>,
    /// Whether the authorization is used or cancelled.
    pub(super) used: Option<bool>,
    /// The token's name.
    pub(super) name: Option<String>,
    /// The token's version.
    pub(super) version: Option<String>,
    /// The newest block.
    pub(super) block: u64,
    /// The chain's clock.
    pub(super) block_time: Option<U256>,
    /// What the account that will submit has for gas, in wei.
    pub(super) purse: Option<U256>,
    /// What one unit of gas costs at least.
    pub(super) base_fee: Option<U256>,
    /// How a simulated settlement ended, where there was one.
    pub(super) simulated: Option<Result<(), String>>,
}

/// Gas for a signature check by a contract: more is an attack (threat row E15).
const ERC1271_GAS: u64 = 400_000;

/// Looks at token, payer and authorization in one round trip, shared with others; contract wallets need a second.
pub(super) async fn look(
    chain: &Chain,
    checked: &Checked,
    submitter: Option<Address>,
) -> Result<Seen, Fault> {
    let payer = checked.proof.authorization.from;
    let misfit = matches!(checked.proof.signature, Signature::Ecdsa(_)) && !checked.ecdsa_fits;
    // Only a contract could still accept it; for anybody else the rest need not be asked (threat row E01).
    if misfit && !chain.wallet_has_code(payer).await? {
        return Ok(Seen::default());
    }
    let calls = vec![
        question(checked.domain.asset, &Eip3009::balanceOfCall { account: payer }),
        question(
            checked.domain.asset,
            &Eip3009::authorizationStateCall { authorizer: payer, nonce: checked.proof.authorization.nonce },
        ),
    ];
    let code = async {
        if checked.ecdsa_fits { chain.key_has_code(payer).await } else { chain.wallet_has_code(payer).await }
    };
    let (token, code, answer) = tokio::join!(chain.token(checked.domain.asset), code, chain.read(calls));
    let (token, answer) = (token?, answer?);
    let Facts { number, time, base_fee, purse } = answer.facts;
    let mut seen = Seen {
        asset_has_code: token.is_some(),
        payer_has_code: code?,
        contract_accepts: None,
        balance: answer.value(0),
        used: answer.value(1),
        name: token.as_ref().and_then(|token| token.name.clone()),
        version: token.and_then(|token| token.version),
        block: number,
        block_time: Some(time),
        purse: submitter.map(|_| purse),
        base_fee: Some(base_fee),
        simulated: None,
    };
    let everybody = chain.options().simulate == Simulate::Always;
    let unfamiliar =
        seen.payer_has_code || matches!(checked.proof.signature, Signature::Counterfactual { .. });
    if everybody || unfamiliar {
        // As the transaction will be: from our account, at the price of now.
        let price = match submitter {
            Some(_) => Some(chain.fees().await?.into()),
            None => None,
        };
        let stage = Stage { chain, checked, submitter, price };
        if seen.payer_has_code {
            seen.contract_accepts = Some(stage.ask_wallet().await?);
        }
        if seen.asset_has_code {
            seen.simulated = Some(stage.simulate(!seen.payer_has_code).await?);
        }
    }
    Ok(seen)
}

/// Where calls are tried before they are paid for.
struct Stage<'a> {
    chain: &'a Chain,
    checked: &'a Checked,
    submitter: Option<Address>,
    price: Option<Price>,
}

impl Stage<'_> {
    async fn ask_wallet(&self) -> Result<bool, Fault> {
        let proof = &self.checked.proof;
        let question =
            Erc1271::isValidSignatureCall { hash: self.checked.digest, signature: proof.signature.inner() };
        let answer = self.call(proof.authorization.from, question.abi_encode().into(), ERC1271_GAS).await?;
        // The token compares a whole word: half a yes is a no.
        let mut yes = [0; 32];
        yes[..4].copy_from_slice(&ERC1271_MAGIC);
        Ok(answer.is_ok_and(|answer| answer.starts_with(&yes)))
    }

    async fn simulate(&self, deploy: bool) -> Result<Result<(), String>, Fault> {
        let (to, input) = abi::settlement(self.checked.domain.asset, &self.checked.proof, deploy);
        let limits = self.chain.limits();
        let gas = if deploy { limits.gas_deploy_max } else { limits.gas_contract_max };
        Ok(self.call(to, input, gas).await?.map(|_| ()))
    }

    async fn call(&self, to: Address, input: Bytes, gas: u64) -> Result<Called, Fault> {
        let call = Call { from: self.submitter, to, input, gas: Some(U64::from(gas)), price: self.price };
        self.chain.rpc().call(&call).await
    }
}
