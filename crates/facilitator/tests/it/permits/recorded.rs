//! Permits that another library has signed, checked by us.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use super::*;

/// Who has signed a permit of a token of this chain.
pub(crate) fn signer(permit: &Permit) -> Address {
    let recovery = RecoveryId::try_from(i32::from(permit.signature.v()) - 27).unwrap();
    let signature = RecoverableSignature::from_compact(&permit.signature.0[..64], recovery).unwrap();
    let digest = permit_digest(permit, &domain(permit.token));
    let key = SECP256K1.recover_ecdsa(Message::from_digest(digest.0), &signature).unwrap();
    Address::from_slice(&alloy_primitives::keccak256(&key.serialize_uncompressed()[1..])[12..])
}

/// Signed by `eth_account` 0.14 with the key 0x11…11.
#[test]
fn what_another_library_has_signed_is_the_owners() {
    let owner = address!("0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
    let spender = address!("0x00000000000000000000000000000000000071ff");
    for (kind, nonce, digest, signature) in [
        (
            PermitKind::Permit2,
            117_651_130_019_418_819_u64,
            "0x2c121cde30c55c63a72156d91afdef0eb32c743e3e25fa460cd71286329c9755",
            "9f3b9ab5cdd0a9d75bf421c56182411e353da328e17abfc1b7467b1adbeace381506dad22f56ef0b1b0d85b942b743c150d972e097d0ce7567aaf08dec19d7571c",
        ),
        (
            PermitKind::Eip2612,
            7,
            "0x8b32a1bd4785d8967dc39394ff1f0ec0cf9a714a2c39735c917f5a1ed115a855",
            "fde5007020ae43efab2ebf5a016af166168dee1ed9841f5d0a454284c5e71963579988ce66229f8fa28d84de523e651f794f72d0566a79f359013815e4e2b3f51c",
        ),
    ] {
        let bytes = alloy_primitives::hex::decode(signature).unwrap().try_into().unwrap();
        let permit = Permit {
            kind,
            owner,
            spender,
            token: groat_devchain::USDC,
            amount: U256::from(UNITS),
            nonce: U256::from(nonce),
            deadline: U256::from(1_893_456_060_u64),
            signature: EcdsaBytes(bytes),
        };
        assert_eq!(permit_digest(&permit, &domain(permit.token)).to_string(), digest);
        assert_eq!(signer(&permit), owner);
    }
}
