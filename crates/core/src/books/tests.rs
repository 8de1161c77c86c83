//! Every short history of every book is walked: final states accept nothing, money never moves twice.

mod webhooks;

use serde_json::json;

use super::*;
use crate::key::KeyKind;
use crate::payment::{DialectId, Fingerprint, ReceiptOutcome};
use crate::{Amount, Network, Offer, Payment, PaymentKey, Reason, Receipt};

fn network() -> Network {
    Network::eip155(84532)
}

fn payment() -> Payment {
    Payment {
        dialect: DialectId::new("x402-v2"),
        scheme: "exact".into(),
        network: network(),
        proof: json!({}),
        accepted: None,
        resource: None,
        extensions: serde_json::Map::new(),
    }
}

fn offer() -> Offer {
    Offer {
        scheme: "exact".into(),
        network: network(),
        asset: "0x1".into(),
        amount: Amount::from_units(1),
        pay_to: "0x2".into(),
        timeout_s: 60,
        extra: serde_json::Map::new(),
        price: None,
        dialect: None,
        currency: None,
        verbatim: None,
    }
}

fn id() -> crate::PaymentId {
    PaymentKey::new(KeyKind::Eip3009, &network(), &[b"x"]).id()
}

fn settlement() -> Settlement {
    Settlement {
        id: id(),
        network: network(),
        asset: "0x1".into(),
        payer: "0x3".into(),
        pay_to: "0x2".into(),
        amount: Amount::from_units(1),
        valid_until: Timestamp(100),
        held_at: Timestamp(1),
        payment: payment(),
        offer: offer(),
        alone: false,
        gas: 0,
        told: false,
        reverted: false,
        state: SettlementState::Released,
    }
}

fn deal() -> Box<Deal> {
    let sale = sale();
    let Sale { route, pay_to, amount, confirmations, pass, .. } = sale;
    Box::new(Deal { route, pay_to, amount, confirmations, pass })
}

fn sale() -> Sale {
    Sale {
        id: id(),
        payment: Fingerprint("p".into()),
        request: Fingerprint("r".into()),
        route: "GET /".into(),
        held_at: Timestamp(1),
        holder: None,
        pay_to: "0xp".into(),
        amount: Amount::from_units(1),
        confirmations: crate::Confirmations::default(),
        valid_until: Timestamp(50),
        keep_until: Timestamp(100),
        paid_at: None,
        owed: None,
        pass: None,
        state: SaleState::Held { started: false },
    }
}

fn purchase() -> Purchase {
    Purchase {
        request: "r".into(),
        has_fields: false,
        title: "GET http://x/".into(),
        host: "x".into(),
        network: network(),
        asset: "0x1".into(),
        pay_to: "0x2".into(),
        amount: Amount::from_units(1),
        usd_micros: Some(1),
        allowed_by: "test".into(),
        planned_at: Timestamp(1),
        state: PurchaseState::Planned,
    }
}

/// Visits every history of up to `depth` events and calls `see` with each state and the events so far.
fn walk<A: Aggregate>(start: &A, events: &[A::Event], depth: usize, see: &mut impl FnMut(&A, &[usize]))
where
    A::Event: Clone,
{
    fn go<A: Aggregate>(
        at: &A,
        events: &[A::Event],
        depth: usize,
        path: &mut Vec<usize>,
        see: &mut impl FnMut(&A, &[usize]),
    ) where
        A::Event: Clone,
    {
        see(at, path);
        if depth == 0 {
            return;
        }
        for (index, event) in events.iter().enumerate() {
            if let Some(next) = at.clone().apply(event.clone(), Timestamp(5)) {
                path.push(index);
                go(&next, events, depth - 1, path, see);
                path.pop();
            }
        }
    }
    go(start, events, depth, &mut Vec::new(), see);
}

fn attempt(transaction: &str) -> Attempt {
    Attempt { transaction: transaction.into(), raw: "0x".into(), at: Timestamp(2) }
}

fn submit(nonce: u64) -> SettlementEvent {
    SettlementEvent::Submit { slot: format!("eip155:84532/0x9/{nonce}"), transaction: "0xa".into() }
}

fn mined() -> Mined {
    Mined { transaction: "0xa".into(), block: 1, block_hash: "0xb".into() }
}

fn slot() -> Slot {
    Slot {
        network: network(),
        signer: "0x9".into(),
        nonce: 1,
        scheme: "exact".into(),
        payments: vec![id()],
        attempts: vec![attempt("0xa")],
        state: SlotState::Open,
    }
}

fn settled() -> Settled {
    Settled { transaction: "0xa".into(), block: 1, block_hash: "0xb".into(), by_other: false }
}

/// By somebody else.
fn elsewhere(transaction: &str) -> Settled {
    Settled { transaction: transaction.into(), by_other: true, ..settled() }
}

fn moved(transaction: &str) -> SettlementEvent {
    let payment = Payment { proof: json!({ "tx": transaction }), ..payment() };
    SettlementEvent::Move(Box::new(Found {
        settled: elsewhere(transaction),
        payer: "0x5".into(),
        payment,
        offer: offer(),
    }))
}

fn receipt() -> Receipt {
    Receipt {
        outcome: ReceiptOutcome::Settled,
        network: network(),
        transaction: None,
        payer: None,
        amount: None,
        settled_at: None,
    }
}

#[test]
fn i1_i7_no_history_gives_one_settlement_two_live_nonces_or_takes_money_back_without_a_reorganisation() {
    use SettlementEvent as E;
    let events = [
        submit(1),
        submit(2),
        E::Confirm(settled()),
        E::Fail { reason: Reason::Expired, transaction: None },
        E::Abandon,
        E::Reorganise { slot: "eip155:84532/0x9/1".into(), transaction: "0xa".into() },
        E::Confirm(elsewhere("0xc")),
        moved("0xd"),
        E::Vanish,
    ];
    let mut seen = 0;
    walk(&settlement(), &events, 6, &mut |at: &Settlement, path| {
        seen += 1;
        for (index, event) in events.iter().enumerate() {
            let Some(next) = at.clone().apply(event.clone(), Timestamp(9)) else { continue };
            match (&at.state, &next.state) {
                // What somebody else has sent may come in another transaction; what we have sent, only in that one.
                (SettlementState::Settled(before), SettlementState::Settled(_)) => {
                    assert!(matches!(event, E::Move(_)) && before.by_other, "{path:?} {index}")
                }
                (SettlementState::Settled(before), SettlementState::Released) => {
                    assert!(matches!(event, E::Vanish) && before.by_other, "{path:?} {index}")
                }
                (SettlementState::Failed { .. } | SettlementState::Settled(_), _) => {
                    assert!(matches!(event, E::Reorganise { .. }))
                }
                (SettlementState::Submitted { .. }, SettlementState::Submitted { .. }) => {
                    panic!("a second nonce: {path:?} {index}")
                }
                _ => {}
            }
        }
    });
    assert!(seen > 100);
}

#[test]
fn i7_a_payment_that_lies_elsewhere_now_is_shown_by_what_names_it_there() {
    let seen = settlement().apply(SettlementEvent::Confirm(elsewhere("0xc")), Timestamp(5)).unwrap();
    let SettlementEvent::Move(found) = moved("0xd") else { unreachable!() };
    let now = seen.clone().apply(moved("0xd"), Timestamp(6)).unwrap();
    assert_eq!(now.state, SettlementState::Settled(found.settled));
    assert_eq!((&now.payment, &now.payer), (&found.payment, &found.payer));
    // As old as it was, and of the same worth.
    assert_eq!((now.held_at, now.amount, now.told), (seen.held_at, seen.amount, true));
    // For a higher price it is worth more, for a lower one not less.
    let SettlementEvent::Move(found) = moved("0xc") else { unreachable!() };
    let asked = |units| {
        let offer = Offer { amount: Amount::from_units(units), ..offer() };
        SettlementEvent::Move(Box::new(Found { offer, ..(*found).clone() }))
    };
    let dear = seen.clone().apply(asked(7), Timestamp(6)).unwrap();
    assert_eq!((dear.amount, dear.offer.amount), (Amount::from_units(7), Amount::from_units(7)));
    assert_eq!(dear.apply(asked(3), Timestamp(7)).unwrap().amount, Amount::from_units(7));
    let ours = settlement().apply(SettlementEvent::Confirm(settled()), Timestamp(5)).unwrap();
    assert_eq!(ours.apply(moved("0xd"), Timestamp(6)), None);
}

#[test]
fn i7_whoever_was_told_that_it_is_settled_hears_every_change_of_that() {
    use SettlementEvent as E;
    let events = [
        submit(1),
        E::Confirm(settled()),
        E::Fail { reason: Reason::Expired, transaction: None },
        E::Abandon,
        E::Reorganise { slot: "eip155:84532/0x9/1".into(), transaction: "0xa".into() },
        E::Confirm(elsewhere("0xc")),
        moved("0xd"),
        E::Vanish,
    ];
    let mut reverted = 0;
    walk(&settlement(), &events, 7, &mut |at: &Settlement, path| {
        let mut before = settlement();
        let (mut heard, mut every) = (Vec::new(), Vec::new());
        for &index in path {
            let after = before.clone().apply(events[index].clone(), Timestamp(5)).unwrap();
            every.extend(PaymentEvent::of_every(&before, &after, Timestamp(5)).map(|event| event.kind));
            if matches!(after.state, SettlementState::Settled(_)) && !before.told {
                heard.push(EventKind::Settled);
            }
            heard.extend(PaymentEvent::of(&before, &after, Timestamp(5)).map(|event| event.kind));
            before = after;
        }
        // Whoever has no answer hears the same from the events alone.
        assert_eq!(every, heard, "{path:?}");
        // Its answer and the events together never say the same twice, and the last of them is true.
        assert!(heard.windows(2).all(|pair| pair[0] != pair[1]), "{path:?} {heard:?}");
        let expected = match &at.state {
            SettlementState::Settled(_) => Some(&EventKind::Settled),
            SettlementState::Failed { .. } | SettlementState::Released if at.told => {
                Some(&EventKind::Reverted)
            }
            // Under way again: nobody knows yet.
            _ => heard.last(),
        };
        assert_eq!(heard.last(), expected, "{path:?}");
        assert_eq!(at.reverted, heard.last() == Some(&EventKind::Reverted), "{path:?}");
        reverted += usize::from(at.reverted);
    });
    assert!(reverted > 20);
}

#[test]
fn i8_what_was_signed_for_a_nonce_is_known_until_its_block_is_final() {
    use SlotEvent as E;
    let events = [E::Replace(attempt("0xb")), E::Mine(mined()), E::Reorganise, E::Finish, E::Lose];
    walk(&slot(), &events, 6, &mut |at: &Slot, path| {
        let kept = 1 + path.iter().filter(|&&index| index == 0).count();
        match at.state {
            SlotState::Final(_) => assert!(at.attempts.is_empty()),
            SlotState::Mined(_) => assert_eq!(at.attempts.len(), kept, "{path:?}"),
            SlotState::Open | SlotState::Lost => {
                assert_eq!(at.attempts.len(), kept, "{path:?}");
                assert!(path.contains(&1) || at.attempts.iter().all(|attempt| !attempt.raw.is_empty()));
            }
        }
        let goes_on = events.iter().any(|event| at.clone().apply(event.clone(), Timestamp(9)).is_some());
        assert_eq!(goes_on, !at.is_final(), "{path:?}");
    });
}

#[test]
fn i2_no_history_enters_the_handler_twice_for_one_hold() {
    use SaleEvent as E;
    let answer = Answer { status: 200, headers: vec![], body: Some(String::new()) };
    let events = [
        E::Start,
        E::Serve(answer),
        E::Pay(receipt()),
        E::Refuse(Reason::Expired),
        E::Release,
        E::Return,
        E::Hold {
            payment: Fingerprint("q".into()),
            request: Fingerprint("r".into()),
            holder: None,
            deal: deal(),
        },
    ];
    walk(&sale(), &events, 7, &mut |at: &Sale, path| {
        let mut started = false;
        for &index in path {
            match events[index] {
                E::Start => {
                    assert!(!std::mem::replace(&mut started, true), "started twice: {path:?}");
                }
                // What has been paid for and came to nothing is still paid for.
                E::Hold { .. } | E::Return => started = false,
                _ => {}
            }
        }
        let paid = path.iter().any(|&index| matches!(events[index], E::Pay(_)));
        assert!(!paid || matches!(at.state, SaleState::Paid { .. } | SaleState::Done { .. }), "{path:?}");
        if matches!(at.state, SaleState::Done { .. } | SaleState::Withheld { .. }) {
            assert!(events.iter().all(|event| at.clone().apply(event.clone(), Timestamp(9)).is_none()));
        }
    });
}

#[test]
fn i12_a_purchase_signs_once_and_counts_until_it_is_proved_dead() {
    use PurchaseEvent as E;
    let signed = Box::new(SignedPayment {
        id: id(),
        payment: payment(),
        offer: offer(),
        order_at: None,
        valid_until: Timestamp(9),
    });
    let events = [E::Sign(signed), E::Send, E::Buy(Some(receipt())), E::Refuse(Reason::Expired), E::Lapse];
    walk(&purchase(), &events, 6, &mut |at: &Purchase, path| {
        let signatures = path.iter().filter(|&&index| matches!(events[index], E::Sign(_))).count();
        assert!(signatures <= 1, "{path:?}");
        let refused = path.iter().any(|&index| matches!(events[index], E::Refuse(_)));
        assert_eq!(at.counts_as_spent(), !refused);
    });
}

#[test]
fn every_book_reads_back_what_it_wrote() {
    let submitted = settlement().apply(submit(1), Timestamp(2)).unwrap();
    assert_eq!(serde_json::from_str::<Slot>(&serde_json::to_string(&slot()).unwrap()).unwrap(), slot());
    let text = serde_json::to_string(&submitted).unwrap();
    assert_eq!(serde_json::from_str::<Settlement>(&text).unwrap(), submitted);
    assert_eq!(serde_json::from_str::<Sale>(&serde_json::to_string(&sale()).unwrap()).unwrap(), sale());
    assert_eq!(
        serde_json::from_str::<Purchase>(&serde_json::to_string(&purchase()).unwrap()).unwrap(),
        purchase()
    );
}

#[test]
fn i2_what_ran_and_was_not_paid_for_never_runs_again() {
    use SaleEvent as E;
    let answer = Answer { status: 200, headers: vec![], body: Some(String::new()) };
    let events = [
        E::Start,
        E::Serve(answer),
        E::Pay(receipt()),
        E::Refuse(Reason::Expired),
        E::Release,
        E::Hold {
            payment: Fingerprint("q".into()),
            request: Fingerprint("r".into()),
            holder: None,
            deal: deal(),
        },
    ];
    let mut withheld = 0;
    walk(&sale(), &events, 7, &mut |at: &Sale, path| {
        let of_hold = path.rsplit(|&index| matches!(events[index], E::Hold { .. })).next().unwrap();
        let started = of_hold.iter().any(|&index| matches!(events[index], E::Start));
        if of_hold.last().is_some_and(|&index| matches!(events[index], E::Refuse(_))) {
            assert_eq!(matches!(at.state, SaleState::Withheld { .. }), started, "{path:?}");
            withheld += u32::from(started);
        }
        // An answer that lies ready still waits for its money.
        let is_over =
            matches!(at.state, SaleState::Done { .. } | SaleState::Withheld { .. } | SaleState::Released);
        assert_eq!(at.is_final(), is_over, "{path:?}");
    });
    assert!(withheld > 1);
}

#[test]
fn kp_a_payment_is_bought_only_after_it_was_noted_as_sent() {
    use PurchaseEvent as E;
    let signed = Box::new(SignedPayment {
        id: id(),
        payment: payment(),
        offer: offer(),
        order_at: None,
        valid_until: Timestamp(9),
    });
    let events = [E::Sign(signed), E::Send, E::Buy(Some(receipt())), E::Refuse(Reason::Expired), E::Lapse];
    let mut bought = 0;
    walk(&purchase(), &events, 6, &mut |at: &Purchase, path| {
        let sent = path.iter().any(|&index| matches!(events[index], E::Send));
        if matches!(at.state, PurchaseState::Bought { .. }) {
            assert!(sent, "{path:?}");
            bought += 1;
        }
        if matches!(at.state, PurchaseState::Lapsed { .. }) {
            assert!(sent && at.counts_as_spent(), "{path:?}");
        }
        use PurchaseState as S;
        let is_over = matches!(at.state, S::Bought { .. } | S::Refused { .. } | S::Lapsed { .. });
        assert_eq!(
            (at.is_final(), at.outstanding().is_none()),
            (is_over, is_over || path.is_empty()),
            "{path:?}"
        );
    });
    assert!(bought > 0);
}

fn paid(block: u64) -> Paid {
    Paid {
        transaction: "0xa".into(),
        block,
        block_hash: "0xb".into(),
        index: 0,
        buyer: "0x3".into(),
        at: Timestamp(5),
    }
}

#[test]
fn a_request_is_paid_once_until_its_block_is_gone_and_then_searched_for_again() {
    let asked = Asked {
        topic: "0x1".into(),
        caller: String::new(),
        id: "pay_1".into(),
        network: network(),
        asset: "0x1".into(),
        currency: "USDC".into(),
        seller: "0x2".into(),
        amount: Amount::from_units(1),
        expires: Timestamp(9),
        request: json!({}),
        asked_at: Timestamp(1),
        searched: false,
        state: AskedState::Open,
    };
    let apply = |asked: &Asked, event: AskedEvent| asked.clone().apply(event, Timestamp(1));
    let searched = apply(&asked, AskedEvent::Search).unwrap();
    assert!(searched.searched && apply(&searched, AskedEvent::Search).is_none());
    let settled = apply(&searched, AskedEvent::Settle(paid(1))).unwrap();
    assert_eq!((settled.paid(), settled.is_final()), (Some(&paid(1)), false));
    for never in [AskedEvent::Settle(paid(2)), AskedEvent::Expire, AskedEvent::Search] {
        assert!(apply(&settled, never).is_none());
    }
    let open = apply(&settled, AskedEvent::Reorganise).unwrap();
    assert_eq!((open.paid(), open.searched, open.is_final()), (None, false, false));
    let done = apply(&settled, AskedEvent::Finish).unwrap();
    assert!(done.is_final() && done.paid().is_some());
    for never in [AskedEvent::Reorganise, AskedEvent::Settle(paid(2)), AskedEvent::Expire] {
        assert!(apply(&done, never).is_none());
    }
    let expired = apply(&searched, AskedEvent::Expire).unwrap();
    assert!(expired.is_final() && apply(&expired, AskedEvent::Settle(paid(1))).is_some());
}

#[test]
fn t23_an_answer_is_kept_for_a_day_and_whoever_died_over_it_stands_in_nobody_s_way() {
    let running = KeptAnswer {
        scope: "s".into(),
        fingerprint: "f".into(),
        state: KeptState::Running { since: Timestamp(100) },
    };
    let begin = || KeptEvent::Begin { fingerprint: "g".into() };
    assert!(running.clone().apply(begin(), Timestamp(220)).is_none());
    assert_eq!(running.clone().apply(begin(), Timestamp(221)).unwrap().fingerprint, "g");
    let keep = KeptEvent::Keep { status: 200, body: json!({}) };
    let kept = running.clone().apply(keep.clone(), Timestamp(100)).unwrap();
    assert!(kept.clone().apply(keep, Timestamp(100)).is_none());
    assert!(kept.clone().apply(KeptEvent::Release, Timestamp(100)).is_none());
    assert!(kept.clone().apply(begin(), Timestamp(100 + 86_400)).is_none());
    assert!(kept.apply(begin(), Timestamp(101 + 86_400)).is_some());
    let free = running.apply(KeptEvent::Release, Timestamp(100)).unwrap();
    assert!(free.apply(begin(), Timestamp(100)).is_some());
}

#[test]
fn t21_no_history_of_an_account_ends_below_nothing_and_the_systems_own_may() {
    use AccountEvent as E;
    let units = Amount::from_units;
    let events = [E::Credit(units(2)), E::Debit(units(1)), E::Debit(units(3)), E::Debit(units(0))];
    let mut seen = 0;
    walk(&Account::new(network(), "USD", "0x1"), &events, 6, &mut |at: &Account, path| {
        seen += 1;
        assert!(at.debits <= at.credits && at.lines == path.len() as u64, "{path:?}");
    });
    assert!(seen > 50);
    let cash = Account::new(network(), "USD", "cash").apply(E::Debit(units(3)), Timestamp(1)).unwrap();
    assert_eq!((cash.debits, cash.balance()), (units(3), Amount::ZERO));
}

#[test]
fn a_debit_is_given_back_once_and_nothing_else_is() {
    let units = Amount::from_units;
    let debit = Posting {
        cause: Cause::Debit { payment: id() },
        network: network(),
        currency: "USD".into(),
        debit: "0x1".into(),
        credit: "0x2".into(),
        amount: units(5),
        at: Timestamp(1),
        refunded: None,
    };
    let refund =
        |posting: &Posting, amount| posting.clone().apply(PostingEvent::Refund(units(amount)), Timestamp(2));
    assert_eq!((refund(&debit, 0), refund(&debit, 6)), (None, None));
    let given = refund(&debit, 5).unwrap();
    assert!(given.is_same(&debit) && refund(&given, 1).is_none());
    let top_up = Posting { cause: Cause::TopUp { payment: id() }, ..debit };
    assert_eq!(refund(&top_up, 1), None);
}

#[test]
fn an_order_is_paid_once_and_ends_only_after_its_time() {
    use CheckoutEvent as E;
    let order = Checkout {
        id: "ord_1".into(),
        network: network(),
        foreign_id: None,
        payment_link: None,
        currency: "USD".into(),
        amount: Amount::from_units(1),
        pay_to: "0x2".into(),
        at: Timestamp(1),
        expires_at: Timestamp(5),
        state: CheckoutState::New,
    };
    let events = [
        E::Create { foreign_id: "f".into(), payment_link: "l".into() },
        E::Capture,
        E::Webhook,
        E::Pay,
        E::Fail,
        E::Refund,
        E::Cancel,
    ];
    let mut paid = 0;
    walk(&order, &events, 6, &mut |at: &Checkout, path| {
        let pays = path.iter().filter(|&&index| matches!(events[index], E::Pay)).count();
        assert!(pays <= 1, "{path:?}");
        let is_paid = matches!(at.state, CheckoutState::Paid | CheckoutState::Refunded);
        assert_eq!(is_paid, pays == 1, "{path:?}");
        // Nobody can pay what whoever takes the money has never heard of.
        assert!(!is_paid || at.foreign_id.is_some());
        paid += usize::from(is_paid);
    });
    assert!(paid > 5);
    assert_eq!(order.apply(E::Cancel, Timestamp(4)), None);
}
