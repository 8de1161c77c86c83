//! Who signed a proof of payment (profile `x402-pay/1`, `docs/spec/x402-pay-1.md`). Pure: what only a contract can say is
//! given back as a question for the chain.
//!
//! The account in `iss` is the only key there is. A plain account needs no public key: it is recovered from the
//! signature. Signatures with a high `s` are taken, because libraries for JWT do not normalise; a signature is never a
//! replay key.

mod contract;
pub mod digest;
mod mechanism;
mod observe;
mod payer;
mod recover;
mod relay;

#[cfg(test)]
mod tests;

use alloy_primitives::{Address, B256, Bytes};

use crate::account;
use crate::exact::proof::Signature;
use digest::{Claims, Signing};

pub use mechanism::PayProofEvm;
pub use relay::RelayEvm;

/// A proof whose claims fit its request.
#[derive(Debug, Clone, Copy)]
pub struct PayProof<'p> {
    /// `alg` of the token.
    pub algorithm: &'p str,
    /// The first two parts of the token with the dot between them.
    pub signing_input: &'p str,
    /// What the third part stands for.
    pub signature: &'p [u8],
    /// The claims as they were written.
    pub claims: Claims<'p>,
    /// The chain of the request, never what a token says of itself.
    pub chain_id: u64,
}

/// Who signed, or whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// This account did: it is the one of `iss`.
    Account(Address),
    /// Nobody can say without the chain.
    AskChain(Question),
}

/// What a contract has to be asked: `isValidSignature(digest, signature)` (ERC-1271).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The contract of `iss`.
    pub account: Address,
    /// The SHA-256 of the signing input.
    pub digest: B256,
    /// What to show it.
    pub signature: Bytes,
    /// For a wallet that may not exist yet (ERC-6492): who deploys it, and by which call.
    pub deploy: Option<(Address, Bytes)>,
}

/// Why nobody signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayProofError {
    /// `iss` is no account.
    #[error("the claim `iss` is no account of this kind of chain")]
    Issuer,
    /// Not an algorithm of the profile.
    #[error(
        "the proof is signed by an algorithm that is not taken: use ES256K, ES256K-R, EIP191, EIP712 or ERC1271"
    )]
    Algorithm,
    /// Bytes that cannot be a signature of this algorithm.
    #[error("the signature is not of the form of its algorithm")]
    Shape,
    /// A good signature, of somebody else or of something else.
    #[error("the proof is not signed by the account in `iss`")]
    NotTheIssuer,
    /// The right account has signed the wrong digest.
    #[error(
        "digest_mismatch: the account in `iss` has signed this, but as {0}: name that algorithm, or sign its digest"
    )]
    DigestMismatch(&'static str),
}

/// Says who signed.
pub fn verify(proof: &PayProof<'_>) -> Result<Signer, PayProofError> {
    let issuer = issuer(proof.claims.iss).ok_or(PayProofError::Issuer)?;
    let signing = Signing::of(proof.algorithm).ok_or(PayProofError::Algorithm)?;
    let digest = signing.digest(proof.signing_input, &proof.claims, proof.chain_id);
    if signing == Signing::Contract {
        return ask(issuer, digest, proof.signature).map(Signer::AskChain);
    }
    let may_be_short = proof.algorithm == "ES256K";
    let candidates =
        recover::candidates(digest, proof.signature, may_be_short).ok_or(PayProofError::Shape)?;
    if candidates.contains(&issuer) {
        return Ok(Signer::Account(issuer));
    }
    Err(signed_otherwise(proof, issuer, signing).unwrap_or(PayProofError::NotTheIssuer))
}

/// The account of a plain address, of CAIP-10 or of `did:pkh`.
fn issuer(iss: &str) -> Option<Address> {
    account::parse(iss.rsplit(':').next()?).filter(|account| !account.is_zero())
}

/// No larger signature fits into the field that carries a proof.
const SIGNATURE_BYTES_MAX: usize = 4_096;

fn ask(account: Address, digest: B256, signature: &[u8]) -> Result<Question, PayProofError> {
    if signature.len() > SIGNATURE_BYTES_MAX {
        return Err(PayProofError::Shape);
    }
    let signature = Signature::classify(Bytes::copy_from_slice(signature)).ok_or(PayProofError::Shape)?;
    let inner = signature.inner();
    if inner.is_empty() {
        return Err(PayProofError::Shape);
    }
    let deploy = match signature {
        Signature::Counterfactual { factory, calldata, .. } => Some((factory, calldata)),
        Signature::Ecdsa(_) | Signature::Contract(_) => None,
    };
    Ok(Question { account, digest, signature: inner, deploy })
}

/// The usual mistake: the right key, and the digest of another world.
fn signed_otherwise(proof: &PayProof<'_>, issuer: Address, named: Signing) -> Option<PayProofError> {
    let others = Signing::RECOVERED.into_iter().filter(|other| *other != named);
    let named =
        others.map(|other| (other.name(), other.digest(proof.signing_input, &proof.claims, proof.chain_id)));
    let plain = ("keccak256 of the signing input", digest::keccak(proof.signing_input));
    let mut digests = std::iter::once(plain).chain(named);
    let is_it = |digest| {
        recover::candidates(digest, proof.signature, true)
            .is_some_and(|candidates| candidates.contains(&issuer))
    };
    digests.find(|(_, digest)| is_it(*digest)).map(|(name, _)| PayProofError::DigestMismatch(name))
}
