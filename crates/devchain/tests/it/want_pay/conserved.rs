//! Whatever is done in whatever order: no money appears, disappears or stays in the contract.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use groat_devchain::{USDC, X402_PAY};

use super::*;

/// Numbers that look random and are the same in every run (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

const TOKENS: [Address; 6] = [USDC, D1363, D677, USDT, WIDE, CALLS];
const FEES: Address = Address::repeat_byte(0xfe);

#[test]
fn value_is_conserved_over_random_sequences() {
    for (seed, fee_bps) in [(1, 0), (2, 37), (3, 100)] {
        let mut dice = Dice(seed);
        let world = World::new();
        let sellers = [SELLER, Address::repeat_byte(0x51)];
        TOKENS.into_iter().for_each(|token| world.mint(token, world.other.address, 1_000_000));
        if fee_bps > 0 {
            let owner = Wallet::owner();
            let propose = Payments::proposeFeeCall { bps: U256::from(fee_bps), recipient: FEES };
            world.ok(&owner, X402_PAY, &propose);
            world.chain.increase_time(2 * 86_400);
            world.ok(&owner, X402_PAY, &Payments::acceptFeeCall {});
        }
        let now = world.chain.now();
        let mut paid: BTreeMap<(Address, Address), u64> = BTreeMap::new();
        let mut seen = std::collections::BTreeSet::new();
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..150 {
            let token = TOKENS[dice.below(6) as usize];
            let buyer = if dice.below(2) == 0 { &world.buyer } else { &world.other };
            let seller = sellers[dice.below(2) as usize];
            let amount = [1, 99, 100, 2_777, 400_000][dice.below(5) as usize];
            let mut asked = request(&format!("pay_{}", dice.below(6)), amount);
            asked.seller = seller;
            if dice.below(4) == 0 {
                asked.metadata = metadata(now - 1 + dice.below(2), B256::ZERO);
            }
            let value = if dice.below(8) == 0 { amount + 1 } else { amount };
            let way = dice.below(3);
            let outcome = match (way, token) {
                (0, D1363 | D677) => {
                    let data = encodings(&asked)[dice.below(2) as usize].clone();
                    world.bring(buyer, token, value, data)
                }
                (1, USDC) => {
                    // The buyer's signature, whoever sends it.
                    let authorization = world.authorize(USDC, &asked, B256::ZERO);
                    let request = asked.clone();
                    let call = Payments::payWithAuthorizationCall { token, request, authorization };
                    world.send(buyer, X402_PAY, &call)
                }
                _ => world.pay(buyer, token, &asked),
            };
            match outcome {
                Ok(settled) => {
                    accepted += 1;
                    let key = (token, seller, amount, asked.requestId.clone());
                    assert!(seen.insert(key), "settled twice: {asked:?}");
                    assert_eq!(settled.len(), 1);
                    assert_eq!((settled[0].seller, settled[0].amount), (seller, asked.amount));
                    let fee = amount * fee_bps / 10_000;
                    *paid.entry((token, seller)).or_default() += amount - fee;
                    *paid.entry((token, FEES)).or_default() += fee;
                }
                Err(_) => refused += 1,
            }
            world.holds_nothing();
            for token in TOKENS {
                let got = |who| paid.get(&(token, who)).copied().unwrap_or_default();
                let payees = [sellers[0], sellers[1], FEES];
                payees
                    .into_iter()
                    .for_each(|who| assert_eq!(world.balance(token, who), got(who), "{token} {who}"));
                let left =
                    world.balance(token, world.buyer.address) + world.balance(token, world.other.address);
                assert_eq!(left + payees.map(got).iter().sum::<u64>(), 2_000_000, "{token}");
            }
        }
        assert!(accepted > 20 && refused > 20, "{accepted} paid, {refused} refused");
    }
}
