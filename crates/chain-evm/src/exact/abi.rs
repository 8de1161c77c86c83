//! The contract calls and events that settlement by EIP-3009 needs.

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::{SolCall, sol};

use super::proof::{Proof, Signature};

sol! {
    /// EIP-3009 and what surrounds it in a FiatToken.
    interface Eip3009 {
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function balanceOf(address account) external view returns (uint256);
        function name() external view returns (string);
        function version() external view returns (string);
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    }

    /// ERC-1271.
    interface Erc1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }

    /// Multicall3, at the same address on every chain.
    #[derive(Debug)]
    interface Multicall3 {
        struct Call3 { address target; bool allowFailure; bytes callData; }
        struct Result { bool success; bytes returnData; }
        function aggregate3(Call3[] calls) external payable returns (Result[]);
        function getCurrentBlockTimestamp() external view returns (uint256);
        function getEthBalance(address account) external view returns (uint256);
        function getBlockNumber() external view returns (uint256);
        function getBasefee() external view returns (uint256);
    }
}

/// Where Multicall3 lives.
pub const MULTICALL3: Address = alloy_primitives::address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// ERC-1271's yes.
pub const ERC1271_MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// The call that moves the money: `v, r, s` for 65-byte signatures, `bytes` for all others.
pub fn transfer(proof: &Proof) -> Bytes {
    let authorization = &proof.authorization;
    match &proof.signature {
        Signature::Ecdsa(bytes) => Eip3009::transferWithAuthorization_0Call {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
            v: bytes.v(),
            r: bytes.r(),
            s: bytes.s(),
        }
        .abi_encode()
        .into(),
        Signature::Contract(inner) | Signature::Counterfactual { inner, .. } => {
            Eip3009::transferWithAuthorization_1Call {
                from: authorization.from,
                to: authorization.to,
                value: authorization.value,
                validAfter: authorization.valid_after,
                validBefore: authorization.valid_before,
                nonce: authorization.nonce,
                signature: inner.clone(),
            }
            .abi_encode()
            .into()
        }
    }
}

/// The call and its target: the token itself, or, for a wallet to be deployed first, both steps through Multicall3,
/// which has no rights anywhere, so that a factory never acts as us (threat row E17).
pub fn settlement(asset: Address, proof: &Proof, deploy: bool) -> (Address, Bytes) {
    match &proof.signature {
        Signature::Counterfactual { factory, calldata, .. } if deploy => {
            let step = |target, data: Bytes, may_fail| Multicall3::Call3 {
                target,
                allowFailure: may_fail,
                callData: data,
            };
            let calls = vec![step(*factory, calldata.clone(), true), step(asset, transfer(proof), false)];
            (MULTICALL3, Multicall3::aggregate3Call { calls }.abi_encode().into())
        }
        _ => (asset, transfer(proof)),
    }
}

/// Several transfers in one transaction. One that fails leaves the others alone.
pub fn settlements(transfers: impl IntoIterator<Item = (Address, Bytes)>) -> (Address, Bytes) {
    let calls = transfers
        .into_iter()
        .map(|(target, data)| Multicall3::Call3 { target, allowFailure: true, callData: data })
        .collect();
    (MULTICALL3, Multicall3::aggregate3Call { calls }.abi_encode().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::SolEvent;

    #[test]
    fn e34_selectors_and_topics_are_those_of_the_standard() {
        assert_eq!(Eip3009::transferWithAuthorization_0Call::SELECTOR, [0xe3, 0xee, 0x16, 0x0e]);
        assert_eq!(Eip3009::transferWithAuthorization_1Call::SELECTOR, [0xcf, 0x09, 0x29, 0x95]);
        assert_eq!(Erc1271::isValidSignatureCall::SELECTOR, ERC1271_MAGIC);
        assert_eq!(Multicall3::aggregate3Call::SELECTOR, [0x82, 0xad, 0x56, 0xcb]);
        assert_eq!(Eip3009::Transfer::SIGNATURE_HASH.0[..4], [0xdd, 0xf2, 0x52, 0xad]);
    }
}
