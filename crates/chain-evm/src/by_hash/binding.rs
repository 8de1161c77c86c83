//! Who may show a payment: everybody sees a hash, so a payer can prove that it is theirs (threat row B15).
//!
//! The proof is an EIP-191 signature over the lines `x402-axp/1`, method, absolute URL, chain id, hash, and the SHA-256 of
//! the body. The gate puts these lines into the payment itself, whatever the payer says.

use alloy_primitives::{Address, B256, Bytes, eip191_hash_message};
use alloy_sol_types::{SolCall, sol};
use groat_core::{Failure, Offer, Payment, Reason};
use serde_json::Value;

use crate::exact::proof::EcdsaBytes;
use crate::exact::recover;
use crate::wallet::{accepts, ask};
use crate::{Chain, account};

sol! {
    /// A wallet that a person shares with programs.
    interface AgentWallet {
        function getOwner() external view returns (address);
        function isAuthorizedAgent(address agent) external view returns (bool);
    }
}

/// What an offer wants of whoever shows a payment (`extra.payer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    Off,
    Optional,
    Required,
}

impl Binding {
    /// What is not one of the three words must not turn the binding off.
    pub(super) fn of(offer: &Offer) -> Result<Self, Reason> {
        let Some(said) = offer.extra.get("payer") else { return Ok(Self::Off) };
        match said.as_str() {
            Some("off") => Ok(Self::Off),
            Some("optional") => Ok(Self::Optional),
            Some("required") => Ok(Self::Required),
            _ => Err(Reason::InvalidRequirements),
        }
    }
}

/// Whether a payment by `payer` may be shown by whoever shows it.
pub(super) async fn check(
    chain: &Chain,
    payment: &Payment,
    offer: &Offer,
    payer: Address,
) -> Result<(), Failure> {
    let text = |key: &str| payment.proof.get(key).and_then(Value::as_str);
    let (binding, signature) = (Binding::of(offer)?, text("signature"));
    let signature = match (binding, signature) {
        (Binding::Off, _) | (Binding::Optional, None) => return Ok(()),
        (Binding::Required, None) => return Err(Reason::InvalidSignature.into()),
        (_, Some(signature)) => signature,
    };
    let lines = text("lines").ok_or(Reason::InvalidSignature)?;
    let signed = Signed::read(lines, signature).ok_or(Reason::InvalidSignature)?;
    // Whoever is named is the account that paid, or who signs for it.
    if let Some(said) = text("payer") {
        let said = account::parse(said).ok_or(Reason::InvalidSignature)?;
        if said != payer && Some(said) != signed.signer {
            return Err(Reason::InvalidSignature.into());
        }
    }
    if signed.speaks_for(chain, payer).await? { Ok(()) } else { Err(Reason::InvalidSignature.into()) }
}

/// Lines that somebody has signed by EIP-191.
#[derive(Debug)]
pub(super) struct Signed {
    digest: B256,
    signature: Bytes,
    /// The account, when the signature is one of a key.
    signer: Option<Address>,
}

impl Signed {
    /// A signature in hex over lines of text; `None` when it is no hex.
    pub(super) fn read(lines: &str, signature: &str) -> Option<Self> {
        let digest = eip191_hash_message(lines);
        let signature: Bytes = signature.parse().ok()?;
        let bytes = <[u8; 65]>::try_from(signature.as_ref());
        let signer = bytes.ok().and_then(|bytes| recover(digest, &EcdsaBytes(bytes)));
        Some(Self { digest, signature, signer })
    }

    /// Whether it speaks for `account`: by its key, by a key that shares the wallet, or by the contract's own word.
    pub(super) async fn speaks_for(self, chain: &Chain, account: Address) -> Result<bool, Failure> {
        if let Some(signer) = self.signer
            && (signer == account || owns(chain, account, signer).await?)
        {
            return Ok(true);
        }
        Ok(accepts(chain, account, self.digest, self.signature).await?)
    }
}

async fn owns(chain: &Chain, wallet: Address, signer: Address) -> Result<bool, Failure> {
    let owner = ask(chain, wallet, &AgentWallet::getOwnerCall {}).await?;
    let is_owner =
        owner.and_then(|data| AgentWallet::getOwnerCall::abi_decode_returns(&data).ok()) == Some(signer);
    let agent = ask(chain, wallet, &AgentWallet::isAuthorizedAgentCall { agent: signer }).await?;
    let is_agent = agent.and_then(|data| AgentWallet::isAuthorizedAgentCall::abi_decode_returns(&data).ok());
    Ok(is_owner || is_agent == Some(true))
}
