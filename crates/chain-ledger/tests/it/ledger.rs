//! Double entry: whatever happens in whatever order, nothing is lost, made up or overdrawn.

use std::sync::Arc;

use futures_util::future::join_all;
use groat_chain_ledger::{Currency, Holder, Ledger, LedgerError};
use groat_core::books::{Book, Cause};
use groat_core::{Amount, Timestamp};
use groat_store::{MemoryStore, SqliteStore, Trouble};
use proptest::prelude::*;

use crate::kit::*;

#[tokio::test]
async fn a_payment_tops_up_once_and_a_grant_is_given_once() {
    let store = MemoryStore::default();
    let ledger = ledger_on(&store);
    let (me, now) = (holder(1), Timestamp(NOW));
    for later in 0..3 {
        let at = now.plus(later);
        ledger.top_up(&me, "USD", units(500), payment_id(1), at).await.unwrap();
        ledger.grant(&me, "USD", units(20), "welcome", at).await.unwrap();
    }
    let other = ledger.top_up(&holder(2), "USD", units(500), payment_id(1), now).await;
    assert_eq!(other, Err(LedgerError::Conflict));
    let more = ledger.top_up(&me, "USD", units(501), payment_id(1), now).await;
    assert_eq!(more, Err(LedgerError::Conflict));
    let account = ledger.account("USD", &me.to_string()).await.unwrap();
    assert_eq!((account.balance(), account.lines), (units(520), 2));
    assert_eq!(store.count(Book::Postings), 2);
    let cash = ledger.account("USD", "cash").await.unwrap();
    assert_eq!((cash.debits, cash.credits), (units(520), Amount::ZERO));
    for (currency, amount, id) in [("EUR", 1, "x"), ("USD", 0, "x"), ("USD", 1, "a/b"), ("USD", 1, "")] {
        let wrong = ledger.grant(&me, currency, units(amount), id, now).await;
        assert!(matches!(wrong, Err(LedgerError::Wrong(_))), "{currency} {amount} {id:?}");
    }
}

#[tokio::test]
async fn a_ledger_has_a_plain_name_and_plain_currencies() {
    let store: Arc<MemoryStore> = Arc::default();
    assert!(Ledger::new("a/b", vec![Currency::USD], store.clone()).is_err());
    assert!(Ledger::new("", vec![Currency::USD], store.clone()).is_err());
    assert!(Ledger::new("main", vec![], store.clone()).is_err());
    for symbol in ["US/D", "", "usd", "AAAAAAAAAAAAAAAAA"] {
        let odd = Currency { symbol, ..Currency::USD };
        assert!(Ledger::new("main", vec![odd], store.clone()).is_err(), "{symbol}");
    }
}

#[tokio::test]
async fn a_statement_tells_everything_once_page_by_page() {
    let store = MemoryStore::default();
    let ledger = ledger_on(&store);
    let neighbour = holder(2);
    for number in 0..25 {
        ledger.top_up(&holder(1), "USD", units(10), payment_id(number), Timestamp(NOW)).await.unwrap();
        ledger.top_up(&neighbour, "USD", units(1), payment_id(100 + number), Timestamp(NOW)).await.unwrap();
    }
    let account = ledger.account("USD", &holder(1).to_string()).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = ledger.lines_after(&account, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.number;
        seen.extend(page);
    }
    assert_eq!(seen.len(), 25);
    for (index, line) in seen.iter().enumerate() {
        assert_eq!((line.number, line.balance), (index as u64 + 1, units(10 * (index as u128 + 1))));
        assert_eq!(line.cause, Cause::TopUp { payment: payment_id(index as u64) });
    }
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    TopUp { holder: u8, amount: u8, payment: u8 },
    Grant { holder: u8, amount: u8, id: u8 },
    Debit { holder: u8, amount: u8, nonce: u8, payee: u8 },
    Refund { debit: (u8, u8), amount: Option<u8> },
    Trouble(bool),
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let who = 1..4u8;
    let step = prop_oneof![
        (who.clone(), 1..50u8, 0..6u8).prop_map(|(holder, amount, payment)| Step::TopUp {
            holder,
            amount,
            payment
        }),
        (who.clone(), 1..50u8, 0..4u8).prop_map(|(holder, amount, id)| Step::Grant { holder, amount, id }),
        (who.clone(), 1..60u8, 0..4u8, 1..5u8).prop_map(|(holder, amount, nonce, payee)| Step::Debit {
            holder,
            amount,
            nonce,
            payee
        }),
        ((who, 0..4u8), proptest::option::of(1..60u8))
            .prop_map(|(debit, amount)| Step::Refund { debit, amount }),
        any::<bool>().prop_map(Step::Trouble),
    ];
    // Each inner list happens at the same time.
    proptest::collection::vec(proptest::collection::vec(step, 1..6), 1..12)
}

/// A debit through the scheme: signature, offer and all.
async fn take(store: &MemoryStore, (seed, nonce): (u8, u8), amount: u8, payee: u8) -> bool {
    use groat_core::ports::Facilitator;
    let (scheme, engine) = till(store, &Hands::at(NOW));
    let mut offer = offer(&scheme, u128::from(amount));
    offer.pay_to = holder(payee).to_string();
    let payment = debit(&offer, seed, nonce, NOW).await;
    engine.settle(&payment, &offer).await.is_ok()
}

fn debit_id((seed, nonce): (u8, u8)) -> groat_core::PaymentId {
    use groat_core::key::KeyKind;
    let network = groat_core::Network::parse("ledger:main").unwrap();
    let account = holder(seed).to_string();
    groat_core::PaymentKey::new(KeyKind::Balance, &network, &[account.as_bytes(), &[nonce; 32]]).id()
}

async fn play(store: &MemoryStore, step: Step) {
    // Every step comes from another process.
    let ledger = ledger_on(store);
    let now = Timestamp(NOW);
    let sum = |amount: u8| units(u128::from(amount));
    match step {
        Step::TopUp { holder: who, amount, payment } => {
            let _ = ledger.top_up(&holder(who), "USD", sum(amount), payment_id(payment.into()), now).await;
        }
        Step::Grant { holder: who, amount, id } => {
            let _ = ledger.grant(&holder(who), "USD", sum(amount), &format!("g{id}"), now).await;
        }
        Step::Debit { holder, amount, nonce, payee } => {
            let _ = take(store, (holder, nonce), amount, payee).await;
        }
        Step::Refund { debit, amount } => {
            let _ = ledger.refund(debit_id(debit), amount.map(sum), now).await;
        }
        Step::Trouble(lost) => {
            store.trouble(if lost { Trouble::CommitAnswerLost } else { Trouble::CommitFails });
        }
    }
}

/// What must hold at any time, from the books alone.
async fn check(store: &MemoryStore) {
    let ledger = ledger_on(store);
    let sum = ledger.trial_balance("USD").await.unwrap();
    assert_eq!(sum.debits, sum.credits, "money was made or lost");
    assert_eq!(sum.overdrawn, 0);
    for seed in 1..5 {
        let account = ledger.account("USD", &holder(seed).to_string()).await.unwrap();
        let lines = ledger.lines_after(&account, 0, 1_000).await.unwrap();
        assert_eq!(lines.len() as u64, account.lines, "every posting has a line");
        assert_eq!(lines.last().map_or(Amount::ZERO, |line| line.balance), account.balance());
        let mut causes: Vec<_> = lines.iter().map(|line| line.cause.key()).collect();
        causes.sort();
        causes.dedup();
        assert_eq!(causes.len(), lines.len(), "one cause moved something twice");
    }
    for (seed, nonce) in (1..4).flat_map(|seed| (0..4).map(move |nonce| (seed, nonce))) {
        let Some(posting) = ledger.debit_of(debit_id((seed, nonce))).await.unwrap() else { continue };
        assert!(posting.refunded.is_none_or(|refunded| refunded <= posting.amount));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn i_no_history_makes_loses_or_overdraws_money(history in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::default();
            for together in history {
                join_all(together.into_iter().map(|step| play(&store, step))).await;
                store.calm();
                check(&store).await;
            }
        });
    }
}

#[tokio::test]
async fn a_refund_goes_back_once_and_is_at_most_what_was_taken() {
    let store = MemoryStore::default();
    let ledger = ledger_on(&store);
    let now = Timestamp(NOW);
    ledger.grant(&holder(1), "USD", units(100), "g", now).await.unwrap();
    assert!(take(&store, (1, 0), 60, 4).await);
    let id = debit_id((1, 0));
    let too_much = ledger.refund(id, Some(units(61)), now).await;
    assert!(matches!(too_much, Err(LedgerError::Wrong(_))), "{too_much:?}");
    let beside: Vec<_> = (0..20).map(|_| ledger_over(std::sync::Arc::new(Yielding(store.clone())))).collect();
    let all = join_all(beside.iter().map(|ledger| ledger.refund(id, Some(units(40)), now))).await;
    assert!(all.iter().all(|one| one.as_ref().is_ok_and(|posting| posting.amount == units(40))), "{all:?}");
    assert_eq!(ledger.refund(id, None, now).await, Err(LedgerError::Conflict));
    assert_eq!(ledger.refund(payment_id(1), None, now).await, Err(LedgerError::NothingToRefund));
    assert_eq!(ledger.account("USD", &holder(1).to_string()).await.unwrap().balance(), units(80));
    assert_eq!(ledger.account("USD", &holder(4).to_string()).await.unwrap().balance(), units(20));
    assert_eq!(ledger.debit_of(id).await.unwrap().unwrap().refunded, Some(units(40)));
}

#[tokio::test]
async fn a_refund_of_what_the_payee_has_spent_is_lent_by_the_operator() {
    let store = MemoryStore::default();
    let ledger = ledger_on(&store);
    ledger.grant(&holder(1), "USD", units(50), "g", Timestamp(NOW)).await.unwrap();
    assert!(take(&store, (1, 0), 50, 2).await);
    assert!(take(&store, (2, 0), 50, 3).await);
    let refund = ledger.refund(debit_id((1, 0)), None, Timestamp(NOW)).await.unwrap();
    assert_eq!((refund.debit.as_str(), refund.amount), ("refunds", units(50)));
    let lent = ledger.account("USD", "refunds").await.unwrap();
    assert_eq!((lent.debits, lent.balance()), (units(50), Amount::ZERO));
    check(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t21_processes_that_share_a_file_never_overdraw_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let stores: Vec<Arc<SqliteStore>> =
        (0..2).map(|_| Arc::new(SqliteStore::open_shared(&path).unwrap())).collect();
    let ledgers: Vec<Ledger> =
        stores.iter().map(|store| Ledger::new("main", vec![Currency::USD], store.clone()).unwrap()).collect();
    let payers: Vec<Holder> = (1..4).map(holder).collect();
    for payer in &payers {
        ledgers[0]
            .grant(payer, "USD", units(10), &format!("g-{payer}").replace(':', "-"), Timestamp(NOW))
            .await
            .unwrap();
    }
    let runs =
        (0..30u64).map(|run| {
            let (ledger, payer) = (ledgers[run as usize % 2].clone(), payers[run as usize % 3]);
            async move {
                ledger.top_up(&payer, "USD", units(1), payment_id(run / 2), Timestamp(NOW)).await.is_ok()
            }
        });
    join_all(runs).await;
    let sum = ledgers[1].trial_balance("USD").await.unwrap();
    assert_eq!((sum.debits, sum.credits, sum.overdrawn), (units(45), units(45), 0));
}
