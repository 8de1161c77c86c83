//! The pieces of the dialect together: vectors, grammars, and noise.

mod field;
mod ids;
mod mixed;
mod negotiation;
mod proofs;
mod schema;

use groat_core::{Network, Timestamp};

use super::proof::{Claims, Place};

/// A second at which the samples are good.
const NOW: Timestamp = Timestamp(1_735_919_700);

const HERE: Place<'_> =
    Place { origin: "https://api.example.com", method: "GET", url: "https://api.example.com/weather" };

/// The claims of the vector of the profile.
fn claims() -> Claims {
    Claims {
        iss: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".into(),
        sub: "pay_01J8R4X2Z0000000000000000A".into(),
        amount: "0.01".into(),
        currency: "USDC".into(),
        chain: "base".into(),
        tx: format!("0x{}", "ab".repeat(32)),
        iat: 1_735_919_000,
        exp: 1_735_920_000,
        nonce: None,
        aud: None,
        htm: None,
        htu: None,
        jti: None,
    }
}

#[test]
fn chains_go_by_name_in_any_case_and_by_caip2() {
    for (name, id) in [("base", 8453), ("Base-Sepolia", 84532), ("BSC", 56), ("bnb", 56), ("eip155:56", 56)] {
        assert_eq!(super::chain(name), Some(Network::eip155(id)), "{name}");
    }
    for bad in ["", "atlantis", "EIP155:1", "eip155:", "base "] {
        assert_eq!(super::chain(bad), None, "{bad:?}");
    }
    for (id, name) in [(8453, "base"), (56, "bsc"), (42161, "eip155:42161")] {
        assert_eq!(super::chain_name(&Network::eip155(id)), name);
    }
}
