use std::sync::Arc;

use groat_core::books::PurchaseEvent;
use groat_core::{Amount, PaymentId, Reason};
use groat_store::MemoryStore;

use super::*;

fn purchase(planned_at: Timestamp, n: u64) -> Purchase {
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&n.to_be_bytes());
    Purchase {
        request: key(planned_at, "wish", "asked", &nonce),
        title: String::new(),
        host: format!("shop{}.example:{}", n % 3, 4000 + n % 2),
        network: Network::eip155(84532),
        asset: String::new(),
        pay_to: format!("payee{}", n % 5),
        amount: Amount::from_units(1),
        usd_micros: Some(1 + n % 7),
        has_fields: false,
        allowed_by: String::new(),
        planned_at,
        state: PurchaseState::Planned,
    }
}

/// Numbers without pattern, the same in every run.
fn draw(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_key_tells_what_it_was_made_of() {
    let key = key(Timestamp(7), "wish", "asked", &[0xab; 32]);
    assert_eq!(key, "000000000007-wish-abababababababab-asked");
    assert_eq!((logical(&key), asked(&key)), ("wish", "asked"));
    assert_eq!(asked("000000000007-wish-abababababababab"), "wish");
    for (host, name) in
        [("a.example:1", "a.example"), ("a.example", "a.example"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
    {
        assert_eq!(host_name(host), name);
    }
}

/// What is kept and what is read afresh must be the same as everything read afresh, in whatever order purchases are
/// written, given back, and looked at, also by several processes and over midnight.
#[tokio::test]
async fn y21_a_long_memory_agrees_with_a_reading_from_scratch() {
    let id = PaymentId::parse(&format!("pay_{}", "a".repeat(52))).unwrap();
    for run in 1..=6_u64 {
        let mut seed = run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let journal = Journal::new(Arc::new(MemoryStore::default()));
        let mut now = Timestamp(1_800_000_000 - 1_800_000_000 % 86_400 + 80_000);
        let mut old = Past::default();
        for n in 0..500 {
            now = now.plus(match draw(&mut seed) % 40 {
                0 => 700,
                1 => 61,
                _ => draw(&mut seed) % 4,
            });
            let mut put_back_s = 0;
            if draw(&mut seed).is_multiple_of(100) {
                put_back_s = draw(&mut seed) % 100;
                now = Timestamp(now.0 - put_back_s);
            }
            // As late as another process may write what it planned.
            let planned_at = Timestamp(now.0 - draw(&mut seed) % LATE_S);
            let mut purchase = purchase(planned_at, n);
            if !draw(&mut seed).is_multiple_of(4) {
                purchase.state = PurchaseState::Bought { id, receipt: None };
            }
            let entry = journal.create(purchase).await.unwrap().unwrap();
            if draw(&mut seed).is_multiple_of(9) {
                let refuse = PurchaseEvent::Refuse(Reason::Released);
                journal.apply(entry, refuse, now).await.unwrap();
            }
            // Somebody sweeps what was abandoned, sooner or later.
            if draw(&mut seed).is_multiple_of(150) {
                for entry in open(&journal).await.unwrap() {
                    if is_abandoned(&entry.record, now) {
                        let refuse = PurchaseEvent::Refuse(Reason::Released);
                        journal.apply(entry, refuse, now).await.unwrap();
                    }
                }
            }
            // A clock that is put back far is seen as such only by whoever looks before it has caught up.
            if put_back_s > LATE_S || draw(&mut seed).is_multiple_of(10) {
                let kept = old.look(&journal, now, None).await.unwrap();
                let fresh = Past::default().look(&journal, now, None).await.unwrap();
                let sums = |view: &View| {
                    (view.spent("shop1.example", false), view.today(false).map(|(_, n)| n).sum::<u64>())
                };
                assert_eq!(sums(&kept), sums(&fresh), "run {run}, purchase {n}");
                assert_eq!(kept.open, fresh.open);
            }
        }
    }
}

#[tokio::test]
async fn y02_what_leaves_balances_counts_apart_from_what_leaves_the_wallet() {
    let journal = Journal::new(Arc::new(MemoryStore::default()));
    let now = Timestamp(1_800_000_000);
    for (n, network) in [(0, "eip155:84532"), (3, "ledger:main"), (6, "ledger:other")] {
        let purchase = Purchase { network: Network::parse(network).unwrap(), ..purchase(now, n) };
        journal.create(purchase).await.unwrap().unwrap();
    }
    let view = Past::default().look(&journal, now, None).await.unwrap();
    let spent = |prepaid| view.spent("shop0.example:4000", prepaid).host_day_usd_micros;
    assert_eq!((spent(false), spent(true)), (1, 4 + 7));
    assert_eq!(view.spent("elsewhere.example", true).day_usd_micros, 4 + 7);
}
