//! Endpoints and the worker in virtual time: the clock is set, and receivers say what they are told to say.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use groat_core::books::{Book, DeliveryState, EndpointState, EventKind};
use groat_core::key::KeyKind;
use groat_core::{Amount, Network, PaymentKey};
use groat_store::{MemoryStore, Trouble};

use super::sign::{Receiver, Scheme};
use super::*;

const START: u64 = 1_800_000_000;

/// Receivers.
#[derive(Default)]
struct Town {
    heard: Mutex<Vec<(u64, Letter)>>,
    /// What is said next, by a part of the URL; else 200.
    says: Mutex<VecDeque<(&'static str, Reply)>>,
    now: Arc<AtomicU64>,
}

#[async_trait]
impl Post for Town {
    async fn post(&self, letter: Letter) -> Reply {
        let url = letter.url.clone();
        self.heard.lock().unwrap().push((self.now.load(Ordering::SeqCst), letter));
        if url.contains("slow") {
            std::future::pending::<()>().await;
        }
        let mut says = self.says.lock().unwrap();
        let at = says.iter().position(|(part, _)| url.contains(part));
        at.and_then(|at| says.remove(at)).map_or_else(|| status(200), |(_, reply)| reply)
    }
}

fn status(status: u16) -> Reply {
    Reply::Answered { status, retry_after: None }
}

struct Kit {
    store: MemoryStore,
    town: Arc<Town>,
    bell: Arc<Bell>,
    webhooks: Webhooks,
}

impl Kit {
    fn new() -> Self {
        Self::with(Vec::new())
    }

    fn with(callers: Vec<Caller>) -> Self {
        let town = Town { now: Arc::new(AtomicU64::new(START)), ..Town::default() };
        Self::on(MemoryStore::default(), Arc::new(town), callers)
    }

    /// Another process on the same book.
    fn instance(&self) -> Self {
        Self::on(self.store.clone(), Arc::clone(&self.town), Vec::new())
    }

    fn instance_for(&self, callers: Vec<Caller>) -> Self {
        Self::on(self.store.clone(), Arc::clone(&self.town), callers)
    }

    fn on(store: MemoryStore, town: Arc<Town>, callers: Vec<Caller>) -> Self {
        let (bell, now, count) = (Arc::<Bell>::default(), Arc::clone(&town.now), AtomicU64::new(0));
        let webhooks = Webhooks::new(Parts {
            store: Arc::new(store.clone()),
            bell: Arc::clone(&bell),
            callers,
            mechanisms: Vec::new(),
            post: Arc::clone(&town) as Arc<dyn Post>,
            guard: Guard::default(),
            clock: Arc::new(move || Timestamp(now.load(Ordering::SeqCst))),
            // Eight bytes at a time are the jitter: none here.
            random: Arc::new(move |bytes: &mut [u8]| {
                bytes.fill(0);
                if bytes.len() > 8 {
                    bytes[..8].copy_from_slice(&count.fetch_add(1, Ordering::SeqCst).to_le_bytes());
                }
                Ok(())
            }),
        });
        Self { store, town, bell, webhooks }
    }

    fn now(&self) -> u64 {
        self.town.now.load(Ordering::SeqCst)
    }

    fn pass(&self, seconds: u64) {
        self.town.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn says(&self, part: &'static str, reply: Reply) {
        self.town.says.lock().unwrap().push_back((part, reply));
    }

    fn heard(&self) -> Vec<(u64, Letter)> {
        self.town.heard.lock().unwrap().clone()
    }

    async fn endpoint(&self, path: &str) -> (String, String) {
        self.endpoint_of("", path, Vec::new()).await
    }

    async fn endpoint_of(&self, owner: &str, path: &str, types: Vec<EventKind>) -> (String, String) {
        let url = format!("https://shop.example/{path}");
        let wish = Wish { url, types, stripe: false, scheme: Scheme::V1 };
        let (endpoint, secret) = self.webhooks.create(owner, wish).await.unwrap();
        (endpoint.id, secret)
    }

    /// Writes the next event, as the engine of another process does; somebody looks two seconds later.
    async fn event(&self, kind: EventKind, pay_to: &str) {
        let mut newest = self.webhooks.newest().await;
        while newest.is_err() {
            newest = self.webhooks.newest().await;
        }
        let (network, number) = (Network::eip155(84532), newest.unwrap() + 1);
        let event = PaymentEvent {
            number,
            kind,
            at: Timestamp(self.now()),
            payment: PaymentKey::new(KeyKind::Eip3009, &network, &[&number.to_be_bytes()]).id(),
            network,
            asset: "0x1".into(),
            payer: "0x2".into(),
            pay_to: pay_to.into(),
            amount: Amount::from_units(1),
            transaction: Some("0x3".into()),
            block: Some(7),
            reason: None,
            request: None,
        };
        // However often the book fails; written is written.
        while self.webhooks.0.outbox.create(event.clone()).await.is_err() {}
        self.pass(2);
    }

    async fn delivery(&self, id: &str, index: usize) -> Delivery {
        self.webhooks.deliveries("", id, None, 100).await.unwrap().deliveries[index].clone()
    }

    fn worker(&self) -> Worker {
        Worker::new(self.webhooks.clone())
    }
}

/// As the worker of a process does in a moment.
async fn work(worker: &mut Worker) {
    for _ in 0..4 {
        worker.turn().await;
        worker.settle().await;
    }
}

/// The event numbers that were posted to a path, in order.
fn numbers(heard: &[(u64, Letter)], path: &str) -> Vec<u64> {
    let to = heard.iter().filter(|(_, letter)| letter.url.ends_with(path));
    let number = |(_, letter): &(u64, Letter)| {
        let body: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
        body["data"]["sequence"].as_str().unwrap().parse().unwrap()
    };
    to.map(number).collect()
}

#[tokio::test]
async fn t19_what_nobody_takes_is_tried_ten_times_and_then_lies_dead_until_it_is_asked_for() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("a").await;
    kit.event(EventKind::Settled, "0x9").await;
    let mut worker = kit.worker();
    (0..10).for_each(|_| kit.says("/a", status(500)));
    for _ in 0..3 * 86_400 / 60 + 2_000 {
        work(&mut worker).await;
        if kit.delivery(&id, 0).await.state == DeliveryState::Dead {
            break;
        }
        let next = kit.delivery(&id, 0).await.next_at().unwrap().0;
        // A second before it is not yet time.
        kit.pass(next - 1 - kit.now());
        let before = kit.heard().len();
        work(&mut worker).await;
        assert_eq!(kit.heard().len(), before);
        kit.pass(1);
    }
    let heard = kit.heard();
    let times: Vec<_> = heard.iter().map(|(at, _)| at - START).collect();
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(times[0], 2);
    assert_eq!(steps, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
    assert!(heard.iter().all(|(_, letter)| letter.body == heard[0].1.body));
    assert!(heard.iter().all(|(_, letter)| letter.headers[sign::ID] == heard[0].1.headers[sign::ID]));
    let dead = kit.delivery(&id, 0).await;
    assert_eq!((dead.attempts, dead.last.clone().unwrap().status), (TRIES_MAX, Some(500)));
    // Nothing more comes by itself.
    kit.pass(10 * 86_400);
    work(&mut worker).await;
    assert_eq!(kit.heard().len(), 10);
    let again = kit.webhooks.redeliver("", &id, &dead.id()).await.unwrap();
    assert_eq!((again.attempts, again.id()), (0, dead.id()));
    work(&mut worker).await;
    assert_eq!(kit.delivery(&id, 0).await.state, DeliveryState::Delivered);
    assert_eq!(kit.heard()[10].1.headers[sign::ID], heard[0].1.headers[sign::ID]);
}

#[tokio::test(start_paused = true)]
async fn t19_a_receiver_that_says_nothing_holds_up_nobody_else() {
    let kit = Kit::new();
    let (slow, _) = kit.endpoint("slow").await;
    kit.endpoint("quick").await;
    for _ in 0..40 {
        kit.event(EventKind::Settled, "0x9").await;
    }
    let (mut worker, begin) = (kit.worker(), tokio::time::Instant::now());
    while numbers(&kit.heard(), "quick").len() < 40 {
        worker.turn().await;
        worker.wait().await;
        assert!(begin.elapsed().as_secs() < 15, "{:?}", numbers(&kit.heard(), "quick"));
    }
    assert_eq!(numbers(&kit.heard(), "slow").len(), 2, "no more at once for one endpoint");
    worker.settle().await;
    assert_eq!(begin.elapsed().as_secs(), 15);
    let given_up = kit.delivery(&slow, 0).await;
    let why = given_up.last.clone().unwrap().problem.unwrap();
    assert!(why.contains("15 seconds"), "{why}");
    assert_eq!(given_up.next_at(), Some(Timestamp(kit.now() + 5)));
}

#[tokio::test]
async fn an_answer_is_success_failure_or_the_end() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("a").await;
    let mut worker = kit.worker();
    for (index, (reply, wait, part)) in [
        (status(302), 5, "redirects are not followed"),
        (status(404), 5, "it answered 404"),
        (Reply::Answered { status: 429, retry_after: Some("60".into()) }, 60, "429"),
        (Reply::Answered { status: 503, retry_after: Some("99999999".into()) }, 86_400, "503"),
        (Reply::Answered { status: 503, retry_after: Some("soon".into()) }, 5, "503"),
        (Reply::Nothing("no route".into()), 5, "no route"),
    ]
    .into_iter()
    .enumerate()
    {
        kit.event(EventKind::Settled, "0x9").await;
        kit.says("/a", reply);
        work(&mut worker).await;
        let failed = kit.delivery(&id, index).await;
        assert_eq!(failed.next_at(), Some(Timestamp(kit.now() + wait)));
        assert!(failed.last.unwrap().problem.unwrap().contains(part));
        kit.pass(wait);
        work(&mut worker).await;
        let taken = kit.delivery(&id, index).await;
        assert_eq!((taken.state, taken.attempts), (DeliveryState::Delivered, 2));
        assert_eq!(taken.last.unwrap().problem, None);
    }
}

#[tokio::test]
async fn t19_whoever_says_gone_is_told_nothing_more_and_misses_nothing_when_it_is_back() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("a").await;
    kit.event(EventKind::Settled, "0x9").await;
    kit.says("/a", status(410));
    let mut worker = kit.worker();
    work(&mut worker).await;
    let endpoint = kit.webhooks.find("", &id).await.unwrap();
    let EndpointState::Disabled { why, .. } = &endpoint.state else { panic!("{endpoint:?}") };
    assert!(why.contains("410"), "{why}");
    assert!(matches!(kit.webhooks.test("", &id).await, Err(WebhookError::Disabled)));
    kit.event(EventKind::Reverted, "0x9").await;
    kit.pass(86_400);
    work(&mut worker).await;
    assert_eq!(kit.heard().len(), 1);
    let enable = Change { disabled: Some(false), ..Change::default() };
    kit.webhooks.change("", &id, enable).await.unwrap();
    kit.pass(2);
    work(&mut worker).await;
    assert_eq!(numbers(&kit.heard(), "/a"), [1, 1, 2]);
}

#[tokio::test]
async fn t20_whatever_goes_wrong_with_the_book_forty_events_reach_two_endpoints() {
    for seed in 0..60_u64 {
        let kit = Kit::new();
        let (first, _) = kit.endpoint("first").await;
        let (second, _) = kit.endpoint("second").await;
        let mut worker = kit.worker();
        for step in 0..40_u64 {
            kit.event(EventKind::Settled, "0x9").await;
            let troubles =
                [Trouble::CommitFails, Trouble::CommitAnswerLost, Trouble::ScanFails, Trouble::GetFails];
            let dice = (seed * 2_654_435_761 + step * 40_503) % 11;
            if let Some(trouble) = troubles.get(usize::try_from(dice).unwrap()) {
                kit.store.trouble(*trouble);
            }
            worker.turn().await;
            if dice == 5 {
                // The process dies with whatever is on its way.
                worker = kit.instance().worker();
            } else if dice > 5 {
                worker.settle().await;
            }
            kit.pass(dice);
        }
        let mut clean = kit.instance().worker();
        drop(worker);
        for _ in 0..40 {
            work(&mut clean).await;
            kit.pass(30);
        }
        for (id, path) in [(&first, "first"), (&second, "second")] {
            let page = kit.webhooks.deliveries("", id, None, 100).await.unwrap();
            assert!(page.deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
            let ids: Vec<_> = page.deliveries.iter().map(Delivery::id).collect();
            let expected: Vec<_> =
                (1..=40).map(|n| format!("msg_{}_{n}", id.trim_start_matches("we_"))).collect();
            assert_eq!(ids, expected, "seed {seed}");
            let mut told = numbers(&kit.heard(), path);
            told.sort_unstable();
            told.dedup();
            assert_eq!(told, (1..=40).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn t20_what_a_crash_has_left_under_way_is_sent_when_its_lease_ends() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("slow").await;
    kit.event(EventKind::Settled, "0x9").await;
    let mut worker = kit.worker();
    worker.turn().await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kit.heard().len(), 1);
    drop(worker);
    let change = Change { url: Some("https://shop.example/a".into()), ..Change::default() };
    kit.webhooks.change("", &id, change).await.unwrap();
    let other = kit.instance();
    let mut worker = other.worker();
    work(&mut worker).await;
    kit.pass(29);
    work(&mut worker).await;
    assert_eq!(kit.heard().len(), 1, "it may be under way");
    kit.pass(1);
    work(&mut worker).await;
    let heard = kit.heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].1.headers[sign::ID], heard[1].1.headers[sign::ID]);
    assert_eq!(kit.delivery(&id, 0).await.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn t17_two_processes_on_one_book_send_each_event_once() {
    let kit = Kit::new();
    kit.endpoint("a").await;
    let (mut one, mut other) = (kit.worker(), kit.instance().worker());
    for _ in 0..40 {
        kit.event(EventKind::Settled, "0x9").await;
    }
    for _ in 0..40 {
        tokio::join!(one.turn(), other.turn());
        tokio::join!(one.settle(), other.settle());
        kit.pass(2);
    }
    let mut told = numbers(&kit.heard(), "/a");
    told.sort_unstable();
    assert_eq!(told, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn t16_during_a_change_of_secrets_messages_are_signed_with_both() {
    let kit = Kit::new();
    let (id, old) = kit.endpoint("a").await;
    let rotate = Change { rotate: Some(3_600), ..Change::default() };
    let (_, new) = kit.webhooks.change("", &id, rotate).await.unwrap();
    let new = new.unwrap();
    let mut worker = kit.worker();
    kit.event(EventKind::Settled, "0x9").await;
    work(&mut worker).await;
    kit.pass(3_600);
    kit.event(EventKind::Settled, "0x9").await;
    work(&mut worker).await;
    let heard = kit.heard();
    let believes = |secret: &str, (at, letter): &(u64, Letter)| {
        let receiver = Receiver::new([secret]).unwrap();
        receiver.verify(&letter.headers, letter.body.as_bytes(), Timestamp(*at)).is_ok()
    };
    assert_eq!(heard.len(), 2);
    assert!(believes(&old, &heard[0]) && believes(&new, &heard[0]));
    assert!(!believes(&old, &heard[1]) && believes(&new, &heard[1]));
}

fn caller(name: &str, pay_to: &str) -> Caller {
    Caller {
        name: name.into(),
        digest: [0; 32],
        networks: Vec::new(),
        assets: Vec::new(),
        pay_to: vec![pay_to.into()],
        gas_per_day: None,
    }
}

#[tokio::test]
async fn an_endpoint_hears_what_its_owner_may_and_wants() {
    let kit = Kit::with(vec![Caller { pay_to: Vec::new(), ..caller("ann", "") }, caller("bob", "0x8")]);
    kit.endpoint_of("ann", "all", Vec::new()).await;
    kit.endpoint_of("ann", "undone", vec![EventKind::Reverted]).await;
    let (bobs, _) = kit.endpoint_of("bob", "bob", Vec::new()).await;
    for kind in [EventKind::Settled, EventKind::Reverted] {
        kit.event(kind, "0x9").await;
    }
    work(&mut kit.worker()).await;
    assert_eq!(numbers(&kit.heard(), "/all"), [1, 2]);
    assert_eq!(numbers(&kit.heard(), "/undone"), [2]);
    // No list is for a payee that no mechanism knows: nothing is heard rather than too much.
    assert!(numbers(&kit.heard(), "/bob").is_empty());
    // Nobody sees, changes or removes what is another's.
    assert_eq!(kit.webhooks.list("bob").await.unwrap().len(), 1);
    for owner in ["ann", "", "Bob"] {
        assert!(matches!(kit.webhooks.find(owner, &bobs).await, Err(WebhookError::NotFound)));
        assert!(matches!(kit.webhooks.remove(owner, &bobs).await, Err(WebhookError::NotFound)));
        assert!(matches!(kit.webhooks.test(owner, &bobs).await, Err(WebhookError::NotFound)));
        let page = kit.webhooks.deliveries(owner, &bobs, None, 10).await;
        assert!(matches!(page, Err(WebhookError::NotFound)));
    }
}

#[tokio::test]
async fn whoever_is_no_caller_any_more_is_told_nothing_and_everything_when_it_is_again() {
    let ann = || vec![Caller { pay_to: Vec::new(), ..caller("ann", "") }];
    let kit = Kit::with(ann());
    kit.endpoint_of("ann", "a", Vec::new()).await;
    kit.event(EventKind::Settled, "0x9").await;
    for callers in [Vec::new(), vec![caller("bob", "0x9")]] {
        work(&mut kit.instance_for(callers).worker()).await;
    }
    assert!(kit.heard().is_empty());
    work(&mut kit.instance_for(ann()).worker()).await;
    assert_eq!(numbers(&kit.heard(), "/a"), [1]);
}

#[tokio::test]
async fn only_while_there_is_an_endpoint_every_settlement_is_written_down() {
    let kit = Kit::new();
    assert_eq!((kit.webhooks.open().await.unwrap(), kit.bell.wants_every()), (0, false));
    // What was before an endpoint is none of its business.
    kit.event(EventKind::Reverted, "0x9").await;
    let (id, _) = kit.endpoint("a").await;
    assert!(kit.bell.wants_every());
    let other = kit.instance();
    assert!(!other.bell.wants_every());
    assert_eq!((other.webhooks.open().await.unwrap(), other.bell.wants_every()), (1, true));
    kit.event(EventKind::Settled, "0x9").await;
    kit.event(EventKind::Settled, "0x9").await;
    kit.says("/a", status(500));
    let mut worker = kit.worker();
    work(&mut worker).await;
    assert_eq!(numbers(&kit.heard(), "/a"), [2, 3]);
    kit.webhooks.remove("", &id).await.unwrap();
    assert!(!kit.bell.wants_every());
    kit.pass(60);
    work(&mut worker).await;
    assert_eq!(kit.heard().len(), 2);
    let keys = Delivery::all_of(&id);
    let left = kit.webhooks.0.deliveries.scan_all(Some(&keys), 10).await.unwrap();
    let mut states: Vec<_> = left.iter().map(|entry| entry.record.state).collect();
    states.sort_by_key(|state| *state == DeliveryState::Delivered);
    assert_eq!(states, [DeliveryState::Cancelled, DeliveryState::Delivered]);
    let record = kit.store.get(Book::Endpoints, &id).await.unwrap().unwrap();
    assert!(!record.body.contains("whsec") && !record.body.contains("shop.example"), "{}", record.body);
}

#[tokio::test]
async fn what_an_owner_can_have_is_bounded() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("a").await;
    for _ in 0..15 {
        kit.endpoint("b").await;
    }
    let wish = |url: &str, stripe, scheme| Wish { url: url.into(), types: Vec::new(), stripe, scheme };
    let good = "https://shop.example/";
    let more = kit.webhooks.create("", wish(good, false, Scheme::V1)).await;
    assert!(matches!(more, Err(WebhookError::TooMany)), "{more:?}");
    let inner = kit.webhooks.create("", wish("https://127.0.0.1/", false, Scheme::V1)).await;
    assert!(matches!(inner, Err(WebhookError::Url(Denied::Address))), "{inner:?}");
    let both = kit.webhooks.create("", wish(good, true, Scheme::V1a)).await;
    assert!(matches!(both, Err(WebhookError::Compat)), "{both:?}");
    let change = Change { url: Some("http://shop.example/".into()), ..Change::default() };
    assert!(matches!(kit.webhooks.change("", &id, change).await, Err(WebhookError::Url(Denied::Scheme))));
    let tested = kit.webhooks.test("", &id).await.unwrap();
    assert!(matches!(kit.webhooks.test("", &id).await, Err(WebhookError::Testing)));
    work(&mut kit.worker()).await;
    let [(_, letter)] = kit.heard().try_into().unwrap();
    assert_eq!(letter.headers[sign::ID], tested.id().as_str());
    assert!(letter.body.contains(r#""type":"endpoint.test""#), "{}", letter.body);
    assert!(kit.webhooks.test("", &id).await.is_ok());
    for wrong in ["msg_1", "", "msg_", &format!("msg_{}_7", id.trim_start_matches("we_"))] {
        let again = kit.webhooks.redeliver("", &id, wrong).await;
        assert!(matches!(again, Err(WebhookError::NotFound)), "{wrong}");
    }
}

#[tokio::test]
async fn what_an_endpoint_was_sent_is_read_page_by_page() {
    let kit = Kit::new();
    let (id, _) = kit.endpoint("a").await;
    kit.endpoint("b").await;
    for _ in 0..4 {
        kit.event(EventKind::Settled, "0x9").await;
    }
    kit.webhooks.test("", &id).await.unwrap();
    work(&mut kit.worker()).await;
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = kit.webhooks.deliveries("", &id, after.as_deref(), 2).await.unwrap();
        seen.extend(page.deliveries);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let subjects: Vec<_> =
        seen.iter().map(|delivery| matches!(delivery.subject, groat_core::books::Subject::Test(_))).collect();
    assert_eq!(subjects, [false, false, false, false, true]);
    assert!(seen.iter().all(|delivery| delivery.state == DeliveryState::Delivered));
}
