//! The payload as it is read from untrusted JSON: whatever comes, there is an answer and no panic.
#![allow(clippy::unwrap_used, missing_docs)]

use alloy_primitives::{Address, B256, U256};
use groat_chain_evm::proof::{Authorization, Proof, Signature};
use proptest::prelude::*;
use serde_json::json;

fn authorization(value: [u8; 32], from: [u8; 20], nonce: [u8; 32]) -> Authorization {
    Authorization {
        from: Address::from(from),
        to: Address::repeat_byte(2),
        value: U256::from_be_bytes(value),
        valid_after: U256::ZERO,
        valid_before: U256::MAX,
        nonce: B256::from(nonce),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        value: [u8; 32],
        from: [u8; 20],
        nonce: [u8; 32],
        signature in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let authorization = authorization(value, from, nonce);
        let proof = Proof::read(&Proof::write(&authorization, &signature)).unwrap();
        prop_assert_eq!(&proof.authorization, &authorization);
        match &proof.signature {
            Signature::Ecdsa(bytes) => prop_assert_eq!(&bytes.0[..], &signature[..]),
            Signature::Contract(bytes) => {
                prop_assert_eq!(&bytes[..], &signature[..]);
                prop_assert_ne!(bytes.len(), 65);
            }
            Signature::Counterfactual { .. } => prop_assert!(signature.ends_with(&[0x64, 0x92].repeat(16))),
        }
    }

    /// ERC-6492: a wrapper with any content is taken apart or refused, never misread as a plain signature.
    #[test]
    fn e17_any_bytes_before_the_magic_are_a_wrapper_or_nothing(
        content in proptest::collection::vec(any::<u8>(), 0..400),
        small_words in any::<bool>(),
    ) {
        let mut content = content;
        if small_words {
            // Offsets and lengths that could be right.
            content.chunks_mut(32).for_each(|word| {
                let last = word.len() - 1;
                word[..last].fill(0);
            });
        }
        content.extend([0x64, 0x92].repeat(16));
        let payload = Proof::write(&authorization([0; 32], [1; 20], [3; 32]), &content);
        if let Ok(proof) = Proof::read(&payload) {
            prop_assert!(matches!(proof.signature, Signature::Counterfactual { .. }), "{:?}", proof.signature);
        }
    }

    #[test]
    fn e04_a_number_is_its_one_decimal_spelling_or_no_number(text in "[ +-]?0?[0-9]{1,3}[eE.,_ x]?[0-9]{0,2}") {
        let mut payload = Proof::write(&authorization([0; 32], [1; 20], [3; 32]), &[]);
        payload["authorization"]["value"] = json!(text);
        let canonical = text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        prop_assert_eq!(Proof::read(&payload).is_ok(), canonical, "{}", text);
    }
}
