//! The till of a payee: where it is, how it comes there, what it is asked and what it says.
//!
//! It is made by the CREATE2 deployer that is on every chain, with a salt of zero. So its address is a hash of its code and
//! its payee: no other contract can be there, and anybody can put it there.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use serde::Deserialize;

use super::{Permit, PermitKind};

sol! {
    /// `contracts/src/permit/PermitTill.sol`.
    interface Till {
        struct TokenPermissions { address token; uint256 amount; }
        struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
        function payByPermit2(PermitTransferFrom permit, address owner, bytes signature) external;
        function payByPermit(address token, address owner, uint256 amount, uint256 nonce, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function paidByPermit2(address owner, uint256 nonce) external view returns (bool);
        function paidByPermit(address token, address owner, uint256 nonce) external view returns (bool);
        function payee() external view returns (address);
        event PaidByPermit2(address indexed owner, uint256 indexed nonce, address indexed token, uint256 amount);
        event PaidByPermit(address indexed owner, uint256 indexed nonce, address indexed token, uint256 amount);
    }

    /// Permit2, as far as it is asked.
    interface Permit2 {
        function nonceBitmap(address owner, uint256 word) external view returns (uint256);
    }

    /// A token, as far as it is asked.
    interface PermitToken {
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
    }
}

/// Permit2, at the same address on every chain.
pub const PERMIT2: Address = address!("0x000000000022D473030F116dDEE9F6B43aC78BA3");
/// The CREATE2 deployer, at the same address on every chain.
pub const DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

/// The code that makes a till; `contracts/README.md` says from what. Another code is another address for every payee.
static CREATION: LazyLock<Option<Bytes>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact = include_str!("../../../../contracts/artifacts/PermitTill.json");
    serde_json::from_str::<Artifact>(artifact).ok().map(|artifact| artifact.bytecode)
});

fn creation(payee: Address) -> Option<Vec<u8>> {
    Some([CREATION.as_ref()?.as_ref(), &payee.abi_encode()].concat())
}

/// Where the till of a payee is, on every chain. `None` only if its code were missing from this build.
pub fn address(payee: Address) -> Option<Address> {
    Some(DEPLOYER.create2(B256::ZERO, keccak256(creation(payee)?)))
}

/// What a transaction to [`DEPLOYER`] has to carry to put the till of a payee there. Anybody may send it.
pub fn deployment(payee: Address) -> Option<Bytes> {
    Some([B256::ZERO.as_slice(), &creation(payee)?].concat().into())
}

/// The call that brings a permit to its till.
pub(super) fn pay(permit: &Permit) -> Bytes {
    let signature = &permit.signature;
    let input = match permit.kind {
        PermitKind::Permit2 => Till::payByPermit2Call {
            permit: Till::PermitTransferFrom {
                permitted: Till::TokenPermissions { token: permit.token, amount: permit.amount },
                nonce: permit.nonce,
                deadline: permit.deadline,
            },
            owner: permit.owner,
            // Permit2 wants 27 or 28.
            signature: [&signature.0[..64], &[signature.v()]].concat().into(),
        }
        .abi_encode(),
        PermitKind::Eip2612 => Till::payByPermitCall {
            token: permit.token,
            owner: permit.owner,
            amount: permit.amount,
            nonce: permit.nonce,
            deadline: permit.deadline,
            v: signature.v(),
            r: signature.r(),
            s: signature.s(),
        }
        .abi_encode(),
    };
    input.into()
}

/// Where Permit2 notes a nonce: the word, and its bit in there (threat row R16).
pub(super) fn word_and_bit(nonce: U256) -> (U256, U256) {
    (nonce >> 8, U256::from(1) << usize::from(nonce.byte(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r16_a_nonce_is_a_bit_of_a_word() {
        assert_eq!(word_and_bit(U256::ZERO), (U256::ZERO, U256::from(1)));
        assert_eq!(word_and_bit(U256::from(0x1ff)), (U256::from(1), U256::from(1) << 255));
        let sample = U256::from(117_651_130_019_418_819_u64);
        assert_eq!(
            word_and_bit(sample),
            (sample / U256::from(256), U256::from(1) << (117_651_130_019_418_819_u64 % 256))
        );
    }

    #[test]
    fn every_payee_has_a_till_of_its_own_and_always_the_same() {
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        assert_ne!(address(one), address(two));
        assert_eq!(address(one), address(one));
        let deployment = deployment(one).unwrap();
        assert_eq!(address(one).unwrap(), DEPLOYER.create2(B256::ZERO, keccak256(&deployment[32..])));
    }
}
