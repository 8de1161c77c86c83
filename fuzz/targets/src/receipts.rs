//! Receipts: a payment counts as made only when the token's own events say so, each of them once.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use arbitrary::{Arbitrary, Unstructured};
use groat_chain_evm::fuzzing::paid;
use groat_chain_evm::proof::Authorization;

/// One event of a receipt, with who and what drawn from a few, so that they meet.
#[derive(Debug, Arbitrary)]
enum Event {
    Used {
        token: u8,
        payer: u8,
        nonce: u8,
    },
    Canceled {
        token: u8,
        payer: u8,
        nonce: u8,
    },
    Moved {
        token: u8,
        from: u8,
        to: u8,
        value: u8,
    },
    /// As a well-behaved token does it: both at once.
    Settled {
        token: u8,
        from: u8,
        to: u8,
        value: u8,
        nonce: u8,
    },
    Bent {
        token: u8,
        topics: Vec<[u8; 32]>,
        data: Vec<u8>,
    },
    /// A transfer with something wrong about its shape.
    MovedOddly {
        from: u8,
        to: u8,
        value: u8,
        topics: u8,
        data: u8,
    },
}

/// An authorization that somebody waits for.
#[derive(Debug, Arbitrary)]
struct Wanted {
    payer: u8,
    payee: u8,
    value: u8,
    nonce: u8,
}

const TOKENS: [u8; 3] = [0xa0, 0xa1, 0xa2];

fn token(index: u8) -> Address {
    Address::repeat_byte(TOKENS[usize::from(index) % TOKENS.len()])
}

fn person(index: u8) -> Address {
    Address::repeat_byte(1 + index % 4)
}

fn units(index: u8) -> U256 {
    U256::from(index % 4) * U256::from(10_000)
}

fn nonce(index: u8) -> B256 {
    B256::repeat_byte(index % 6)
}

type Log = (Address, Vec<B256>, Bytes);

fn logs(event: &Event) -> Vec<Log> {
    let topic = |text: &str| keccak256(text);
    let used = |name: &str, payer: u8, number: u8| {
        vec![topic(&format!("{name}(address,bytes32)")), person(payer).into_word(), nonce(number)]
    };
    let moved = |from: u8, to: u8| {
        vec![topic("Transfer(address,address,uint256)"), person(from).into_word(), person(to).into_word()]
    };
    let data = |value: u8| Bytes::from(units(value).to_be_bytes::<32>());
    match event {
        Event::Used { token: of, payer, nonce } => {
            vec![(token(*of), used("AuthorizationUsed", *payer, *nonce), Bytes::new())]
        }
        Event::Canceled { token: of, payer, nonce } => {
            vec![(token(*of), used("AuthorizationCanceled", *payer, *nonce), Bytes::new())]
        }
        Event::Moved { token: of, from, to, value } => vec![(token(*of), moved(*from, *to), data(*value))],
        Event::Settled { token: of, from, to, value, nonce } => vec![
            (token(*of), used("AuthorizationUsed", *from, *nonce), Bytes::new()),
            (token(*of), moved(*from, *to), data(*value)),
        ],
        Event::Bent { token: of, topics, data } => {
            let topics = topics.iter().take(5).map(B256::from).collect();
            vec![(token(*of), topics, Bytes::copy_from_slice(data))]
        }
        Event::MovedOddly { from, to, value, topics, data: length } => {
            let mut all = moved(*from, *to);
            all.push(B256::ZERO);
            all.truncate(usize::from(*topics % 5));
            let mut bytes = data(*value).to_vec();
            bytes.resize(usize::from(*length % 65), 0);
            vec![(token(0), all, bytes.into())]
        }
    }
}

/// The bytes as the events of one transaction, and as authorizations that it may have carried.
pub fn target(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(succeeded) = bool::arbitrary(&mut bytes) else { return };
    let events = Vec::<Event>::arbitrary(&mut bytes).unwrap_or_default();
    let wanted = Vec::<Wanted>::arbitrary(&mut bytes).unwrap_or_default();
    let logs: Vec<Log> = events.iter().take(24).flat_map(logs).collect();
    // Beside those asked for, every authorization that an event speaks of.
    let spoken = events.iter().filter_map(|event| match event {
        Event::Settled { from, to, value, nonce, .. } => {
            Some(Wanted { payer: *from, payee: *to, value: *value, nonce: *nonce })
        }
        _ => None,
    });
    let mut authorizations: BTreeMap<(Address, B256), Authorization> = BTreeMap::new();
    for Wanted { payer, payee, value, nonce: number } in wanted.into_iter().take(24).chain(spoken) {
        // One payer signs one nonce once; a second payee for it is another case.
        let authorization = Authorization {
            from: person(payer),
            to: person(payee),
            value: units(value),
            valid_after: U256::ZERO,
            valid_before: U256::MAX,
            nonce: nonce(number),
        };
        authorizations.entry((authorization.from, authorization.nonce)).or_insert(authorization);
    }
    let authorizations: Vec<Authorization> = authorizations.into_values().collect();
    counts_once(succeeded, &logs, &authorizations);
    honest_is_paid(succeeded, &events, &logs);
}

/// As many authorizations of one sum between two accounts are paid as there are transfers of it, at most.
fn counts_once(succeeded: bool, logs: &[Log], authorizations: &[Authorization]) {
    let asset = token(0);
    let mut claims: BTreeMap<(Address, Address, U256), usize> = BTreeMap::new();
    for authorization in authorizations {
        if !paid(succeeded, logs, asset, authorization) {
            continue;
        }
        assert!(succeeded, "a failed transaction pays nothing");
        let used = vec![
            keccak256("AuthorizationUsed(address,bytes32)"),
            authorization.from.into_word(),
            authorization.nonce,
        ];
        assert!(logs.iter().any(|(who, topics, _)| *who == asset && *topics == used), "paid and never used");
        *claims.entry((authorization.from, authorization.to, authorization.value)).or_default() += 1;
    }
    for ((from, to, value), count) in claims {
        let topics = vec![keccak256("Transfer(address,address,uint256)"), from.into_word(), to.into_word()];
        let moved = logs.iter().filter(|(who, what, data)| {
            *who == asset && *what == topics && data[..] == value.to_be_bytes::<32>()
        });
        let moved = moved.count();
        assert!(
            count <= moved,
            "{count} paid by {moved} transfers of {value} from {from} to {to}: {logs:#?}"
        );
    }
}

/// A transaction of nothing but well-behaved settlements pays each of them.
fn honest_is_paid(succeeded: bool, events: &[Event], logs: &[Log]) {
    let mut seen = std::collections::BTreeSet::new();
    let honest = events.len() <= 24
        && events.iter().all(|event| match event {
            Event::Settled { token: of, from, nonce: number, .. } => {
                token(*of) != token(0) || seen.insert((person(*from), nonce(*number)))
            }
            _ => false,
        });
    for event in events {
        let Event::Settled { token: of, from, to, value, nonce: number } = event else { continue };
        if !honest || token(*of) != token(0) {
            continue;
        }
        let authorization = Authorization {
            from: person(*from),
            to: person(*to),
            value: units(*value),
            valid_after: U256::ZERO,
            valid_before: U256::MAX,
            nonce: nonce(*number),
        };
        assert_eq!(paid(succeeded, logs, token(0), &authorization), succeeded);
    }
}
