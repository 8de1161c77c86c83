//! The till itself: it takes what was signed, once, for its payee, and nothing else.

use alloy_primitives::{B256, U256, address};
use groat_chain_evm::PermitKind;
use groat_chain_evm::permit::{Permit, till as at};
use groat_devchain::Mining;
use serde_json::json;

use super::*;
use crate::outsider::succeeded;

fn goes_through(world: &World, permit: &Permit) -> bool {
    let hash: B256 = bring(world, permit);
    succeeded(&world.chain, &hash.to_string())
}

#[test]
fn the_till_is_where_it_is_computed_to_be_and_cannot_be_put_there_twice() {
    let world = world(Mining::Instant);
    let till = at::address(payee()).unwrap();
    let code = world.chain.request("eth_getCode", json!([till, "latest"])).unwrap();
    let payee_in_code = account::text(payee())[2..].to_lowercase();
    assert!(code.as_str().unwrap().contains(&payee_in_code));
    let again = Outsider::stranger(&world.chain).send(at::DEPLOYER, at::deployment(payee()).unwrap());
    assert!(!succeeded(&world.chain, &again.to_string()));
}

#[test]
fn r16_each_permit_pays_once() {
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        let permit = signed(&payer, permit(&payer, kind, 0));
        // Whatever the payer allows beside it.
        approve(&world, &payer, permit.spender, U256::MAX);
        assert!(goes_through(&world, &permit));
        assert!(!goes_through(&world, &permit));
        assert_eq!(received(&world), U256::from(UNITS));
    }
}

#[test]
fn what_was_not_signed_is_not_taken_even_where_it_is_allowed() {
    for kind in KINDS {
        let world = world(Mining::Instant);
        let payer = payer(&world, 1);
        let good = signed(&payer, permit(&payer, kind, 0));
        approve(&world, &payer, good.spender, U256::MAX);
        let somebody = address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
        for bad in [
            Permit { amount: U256::from(UNITS + 1), ..good.clone() },
            Permit { amount: U256::from(UNITS - 1), ..good.clone() },
            Permit { nonce: U256::from(1), ..good.clone() },
            Permit { deadline: U256::from(NOW + 61), ..good.clone() },
            Permit { owner: somebody, ..good.clone() },
            Permit { token: groat_devchain::USDC, ..good.clone() },
            signed(&payer, Permit { spender: somebody, ..good.clone() }),
            signed(&payer, Permit { amount: U256::ZERO, ..good.clone() }),
            signed(&payer, Permit { deadline: U256::from(NOW - 1), ..good.clone() }),
        ] {
            // At the till, whoever the permit is for.
            let bad = Permit { spender: good.spender, ..bad };
            assert!(!goes_through(&world, &bad), "{bad:?}");
        }
        assert_eq!(received(&world), U256::ZERO);
        assert!(goes_through(&world, &good));
    }
}

/// A permit that was shown to the token leaves an allowance behind. It is good for what was signed, until the deadline that was
/// signed, and for nobody else's signature.
#[test]
fn e28_an_allowance_alone_takes_nothing() {
    let kind = PermitKind::Eip2612;
    let world = world(Mining::Instant);
    let (payer, other) = (payer(&world, 1), payer(&world, 2));
    let shown = signed(&payer, permit(&payer, kind, 0));
    show_to_token(&world, &shown);
    let forged = Permit {
        owner: payer.address(),
        ..signed(&other, Permit { owner: payer.address(), ..shown.clone() })
    };
    assert!(!goes_through(&world, &forged));
    let nobody = Permit { owner: alloy_primitives::Address::ZERO, ..shown.clone() };
    assert!(!goes_through(&world, &nobody));
    world.chain.set_time(NOW + 61);
    assert!(!goes_through(&world, &shown));
    assert_eq!(received(&world), U256::ZERO);
}
