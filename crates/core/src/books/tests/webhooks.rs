//! Every short history of endpoints and deliveries.

use super::*;

fn endpoint() -> WebhookEndpoint {
    WebhookEndpoint {
        id: format!("we_{}", "0".repeat(32)),
        owner: "shop".into(),
        url: "https://shop.example/hook".into(),
        types: vec![EventKind::Settled],
        stripe: false,
        secrets: vec![WebhookSecret { text: "whsec_first".into(), ends_at: None }],
        made_at: Timestamp(1),
        cursor: 0,
        state: EndpointState::Enabled,
    }
}

fn tried() -> Tried {
    Tried { at: Timestamp(5), status: Some(500), problem: Some("500".into()) }
}

#[test]
fn t20_no_history_moves_a_cursor_back_or_over_what_was_not_told() {
    use WebhookEndpointEvent as E;
    let change = || E::Change { url: "https://b.example/".into(), types: vec![], stripe: true };
    let rotate = |text: &str| E::Rotate { text: text.into(), old_ends_at: Timestamp(9) };
    let events = [
        change(),
        rotate("whsec_second"),
        rotate("whsec_third"),
        E::Disable("410".into()),
        E::Enable,
        E::Advance(1),
        E::Advance(2),
        E::Remove,
    ];
    let mut seen = [0; 3];
    walk(&endpoint(), &events, 5, &mut |at: &WebhookEndpoint, path| {
        let mut before = endpoint();
        for &index in path {
            let after = before.clone().apply(events[index].clone(), Timestamp(5)).unwrap();
            assert!(after.cursor >= before.cursor, "{path:?}");
            if after.cursor > before.cursor {
                assert_eq!((&before.state, index > 4), (&EndpointState::Enabled, true), "{path:?}");
            }
            before = after;
        }
        if at.state == EndpointState::Removed {
            seen[0] += 1;
            assert!(at.secrets.is_empty() && at.url.is_empty() && at.is_final());
            assert!(events.iter().all(|event| at.clone().apply(event.clone(), Timestamp(5)).is_none()));
            return;
        }
        // The newest has no end, and one more at most is still good.
        let (newest, older) = at.secrets.split_last().unwrap();
        assert!(newest.ends_at.is_none() && older.len() <= 1, "{path:?}");
        assert!(older.iter().all(|old| old.ends_at == Some(Timestamp(9))));
        assert_eq!(at.secrets_at(Timestamp(8)).count(), at.secrets.len());
        assert_eq!(at.secrets_at(Timestamp(9)).collect::<Vec<_>>(), [newest.text.as_str()]);
        seen[1] += usize::from(older.len() == 1);
        seen[2] += usize::from(matches!(at.state, EndpointState::Disabled { .. }));
    });
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
}

#[test]
fn t20_no_history_ends_a_delivery_that_nobody_has_and_nobody_gave_up() {
    use DeliveryEvent as E;
    let events = [
        E::Take { until: Timestamp(40) },
        E::Deliver(tried()),
        E::Fail { tried: tried(), next_at: Some(Timestamp(5)) },
        E::Fail { tried: tried(), next_at: None },
        E::Redeliver,
        E::Cancel,
    ];
    let subject = Subject::Event { number: 7, kind: EventKind::Settled };
    let first = Delivery::new(&endpoint().id, subject, Timestamp(5));
    let mut ends = [0; 3];
    walk(&first, &events, 6, &mut |at: &Delivery, path| {
        let of_run = path.rsplit(|&index| index == 4).next().unwrap();
        let tries = of_run.iter().filter(|&&index| (1..=3).contains(&index)).count();
        assert_eq!(at.attempts as usize, tries, "{path:?}");
        assert_eq!((at.key(), at.id()), (first.key(), first.id()), "the same however often it is sent");
        match (at.state, of_run.last()) {
            (DeliveryState::Due { .. }, last) => assert!(!matches!(last, Some(1 | 3 | 5)), "{path:?}"),
            (DeliveryState::Delivered, last) => assert_eq!(last, Some(&1), "{path:?}"),
            (DeliveryState::Dead, last) => assert_eq!(last, Some(&3), "{path:?}"),
            (DeliveryState::Cancelled, last) => assert_eq!(last, Some(&5), "{path:?}"),
        }
        // Who has taken it is alone with it until then.
        if let Some(next_at) = at.next_at() {
            let take = E::Take { until: Timestamp(99) };
            assert_eq!(at.clone().apply(take, Timestamp(6)).is_some(), next_at <= Timestamp(6), "{path:?}");
        }
        assert_eq!(at.is_final(), at.next_at().is_none());
        if at.state == DeliveryState::Cancelled {
            assert!(events.iter().all(|event| at.clone().apply(event.clone(), Timestamp(5)).is_none()));
        }
        let index = match at.state {
            DeliveryState::Delivered => 0,
            DeliveryState::Dead => 1,
            DeliveryState::Cancelled => 2,
            DeliveryState::Due { .. } => return,
        };
        ends[index] += 1;
    });
    assert!(ends.iter().all(|&count| count > 50), "{ends:?}");
}

#[test]
fn t17_an_id_says_which_delivery_it_is_and_of_whom() {
    let id = endpoint().id;
    let event = Subject::Event { number: 42, kind: EventKind::Reverted };
    for subject in [event, Subject::Test("9".into()), Subject::Test("0a".into())] {
        let delivery = Delivery::new(&id, subject, Timestamp(5));
        assert_eq!(Delivery::key_of_id(&id, &delivery.id()), Some(delivery.key()));
        assert!(!delivery.id().contains('.'), "a dot ends the id in what is signed");
        assert_eq!(Delivery::key_of_id("we_1", &delivery.id()), None);
        for wrong in ["\0", "/x", "", " ", &"1".repeat(65)] {
            let wrong = format!("msg_{}_{wrong}", "0".repeat(32));
            assert_eq!(Delivery::key_of_id(&id, &wrong), None, "{wrong:?}");
        }
        assert!(delivery.key() > Delivery::all_of(&id));
        let is_test = matches!(delivery.subject, Subject::Test(_));
        assert_eq!(delivery.key() > Delivery::tests_of(&id), is_test);
        let text = serde_json::to_string(&delivery).unwrap();
        assert_eq!(serde_json::from_str::<Delivery>(&text).unwrap(), delivery);
    }
    assert!(WebhookEndpoint::is_id(&id));
    for wrong in ["", "we_", "we_1", &id.to_uppercase(), &format!("{id}0"), &format!("{}\0", &id[..34])] {
        assert!(!WebhookEndpoint::is_id(wrong), "{wrong:?}");
    }
    let text = serde_json::to_string(&endpoint()).unwrap();
    assert_eq!(serde_json::from_str::<WebhookEndpoint>(&text).unwrap(), endpoint());
    assert!(!format!("{:?}", endpoint()).contains("whsec"), "{:?}", endpoint());
}
