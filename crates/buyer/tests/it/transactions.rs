//! Payments that are transactions of the buyer's own: nobody can say of one that it comes to nothing because time has passed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use groat_buyer::{BuyError, BuyErrorKind, Buyer, Client, Ending};
use groat_chain_evm::ExactEvm;
use groat_core::books::PurchaseState;
use groat_core::ports::{Fate, Mechanism, PayRequest, Payer, SignError, Signer, Token};
use groat_core::{Failure, Fault, Network, Offer, Payment, PaymentKey, Reason, Receipt, Terms, Timestamp};
use groat_store::MemoryStore;
use tokio::sync::Semaphore;

use crate::crash::Dying;
use crate::kit::{Act, Counting, Owner, Seller};

/// Signs as others do, and has to send something of which this is what became.
struct Coins {
    exact: ExactEvm,
    fate: Mutex<Result<Fate, Fault>>,
    sent: AtomicU64,
    discarded: AtomicU64,
    asked: AtomicU64,
    /// Who may sign.
    turns: Semaphore,
}

impl Coins {
    fn new() -> Arc<Self> {
        let fate = Mutex::new(Ok(open()));
        let [sent, discarded, asked] = [0; 3].map(AtomicU64::new);
        let turns = Semaphore::new(1);
        Arc::new(Self { exact: ExactEvm::offline(), fate, sent, discarded, asked, turns })
    }

    fn is(&self, fate: Result<Fate, Fault>) {
        *self.fate.lock().unwrap() = fate;
    }

    /// Returns when somebody wants a signature.
    async fn is_asked(&self) {
        while self.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }
}

fn open() -> Fate {
    Fate::Open { transaction: Some("0xab".to_owned()) }
}

fn no_node() -> Fault {
    Fault::unavailable("chain", "no node is set for this payment")
}

impl Mechanism for Coins {
    fn scheme(&self) -> &'static str {
        self.exact.scheme()
    }

    fn speaks(&self, network: &Network) -> bool {
        self.exact.speaks(network)
    }

    fn offer(&self, terms: &Terms) -> Result<Option<Offer>, String> {
        self.exact.offer(terms)
    }

    fn key(&self, payment: &Payment, offer: &Offer) -> Result<(PaymentKey, Timestamp), Reason> {
        self.exact.key(payment, offer)
    }

    fn same_account(&self, one: &str, other: &str) -> bool {
        self.exact.same_account(one, other)
    }

    fn is_paid_before(&self) -> bool {
        true
    }

    fn token(&self, network: &Network, asset: &str) -> Option<Token> {
        self.exact.token(network, asset)
    }
}

#[async_trait]
impl Payer for Coins {
    async fn pay(&self, request: PayRequest<'_>, signer: &dyn Signer) -> Result<Payment, SignError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _turn = self.turns.acquire().await;
        self.exact.pay(request, signer).await
    }

    async fn publish(&self, _: &Payment) -> Result<Option<Receipt>, Failure> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        match self.fate.lock().unwrap().clone() {
            Ok(Fate::Paid(receipt)) => Ok(receipt),
            Ok(Fate::Dead(reason)) => Err(reason.into()),
            Ok(Fate::Open { transaction }) => Err(Fault::Pending { transaction }.into()),
            Err(fault) => Err(fault.into()),
        }
    }

    async fn fate(&self, _: &Payment, _: &Offer) -> Result<Fate, Fault> {
        self.fate.lock().unwrap().clone()
    }

    fn discard(&self, _: &Payment) {
        self.discarded.fetch_add(1, Ordering::SeqCst);
    }
}

fn client(owner: &Owner, coins: &Arc<Coins>) -> Client {
    Client::new(Buyer { payers: vec![coins.clone()], ..owner.buyer() }).unwrap()
}

fn may_land(error: &BuyError) -> bool {
    matches!(error, BuyError::MayLand { .. }) && error.kind() == BuyErrorKind::Pending
}

#[tokio::test]
async fn y12_nothing_is_signed_beside_a_transaction_that_may_land() {
    let (seller, signer, coins) = (Seller::start().await, Counting::new(), Coins::new());
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    let get = async || client(&owner, &coins).get(&seller.url).await;
    assert!(matches!(get().await, Err(BuyError::Pending { .. })));
    owner.later(59);
    assert!(matches!(get().await, Err(BuyError::Pending { .. })), "it is sent as long as it buys something");
    assert_eq!(coins.sent(), 2);
    for (later_s, fate) in
        [(2, Ok(open())), (100, Ok(open())), (86_400, Err(no_node())), (864_000, Ok(open()))]
    {
        owner.later(later_s);
        coins.is(fate);
        assert!(may_land(&get().await.unwrap_err()));
        match client(&owner, &coins).resume().await.unwrap().remove(0).ending {
            Ending::Failed(error) => assert!(may_land(&error), "{error}"),
            other => panic!("{other:?}"),
        }
        // Whoever knows no such payments now cannot say either.
        let stranger = Client::new(Buyer { payers: vec![], ..owner.buyer() }).unwrap();
        assert!(may_land(&stranger.get(&seller.url).await.unwrap_err()));
    }
    assert_eq!((signer.count(), coins.sent(), seller.payments().len()), (1, 2, 0), "nor sent late");

    // Another transaction has its nonce: now another can be signed.
    coins.is(Ok(Fate::Dead(Reason::TransactionFailed)));
    assert!(matches!(get().await, Err(BuyError::Refused { .. })), "so does the next one's publication");
    assert_eq!(signer.count(), 2);
    coins.is(Ok(Fate::Paid(None)));
    owner.later(1);
    get().await.unwrap();
    let states: Vec<_> = client(&owner, &coins).purchases().await.unwrap();
    let states: Vec<_> = states.iter().map(|purchase| purchase.state.clone()).collect();
    assert!(
        matches!(
            states[..],
            [PurchaseState::Refused { .. }, PurchaseState::Refused { .. }, PurchaseState::Bought { .. }]
        ),
        "{states:?}"
    );
}

#[tokio::test]
async fn a_transaction_that_landed_late_is_shown_and_not_paid_anew() {
    let (seller, signer, coins) = (Seller::start().await, Counting::new(), Coins::new());
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    client(&owner, &coins).get(&seller.url).await.unwrap_err();
    owner.later(4_000);
    coins.is(Ok(Fate::Paid(None)));
    assert!(client(&owner, &coins).get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!((signer.count(), coins.sent(), seller.signed()), (1, 1, 1));
}

#[tokio::test]
async fn a_landed_transaction_that_its_seller_takes_no_more_is_shown_once_and_then_the_next_is_signed() {
    let (seller, signer, coins) = (Seller::start().await, Counting::new(), Coins::new());
    let owner = Owner { signer: signer.clone(), ..Owner::new() };
    client(&owner, &coins).get(&seller.url).await.unwrap_err();
    owner.later(4_000);
    coins.is(Ok(Fate::Paid(None)));
    seller.acts([Act::Status(402)]);
    let refused = client(&owner, &coins).get(&seller.url).await;
    assert!(matches!(refused, Err(BuyError::Refused { retry_after_s: 0, .. })), "{refused:?}");
    assert_eq!(signer.count(), 1);
    assert!(!client(&owner, &coins).get(&seller.url).await.unwrap().payment.unwrap().resent);
    assert_eq!(client(&owner, &coins).spent_today().await.unwrap().total_usd_micros, 20_000);
}

#[tokio::test]
async fn kp17_a_transaction_that_was_never_sent_is_not_sent_late() {
    for resumed in [true, false] {
        let (seller, inner, coins) = (Seller::start().await, MemoryStore::default(), Coins::new());
        let dying = Dying { inner: inner.clone(), state: "sent", written: false };
        let owner = Owner::on(Arc::new(dying));
        client(&owner, &coins).get(&seller.url).await.unwrap_err();
        inner.set_down(false);
        let owner = Owner { store: Arc::new(inner), ..owner };
        owner.later(61);
        let client = client(&owner, &coins);
        if resumed {
            let ending = client.resume().await.unwrap().remove(0).ending;
            assert!(matches!(ending, Ending::Closed(_)), "{ending:?}");
            assert_eq!((coins.sent(), coins.discarded.load(Ordering::SeqCst)), (0, 1));
        }
        coins.is(Ok(Fate::Paid(None)));
        assert!(!client.get(&seller.url).await.unwrap().payment.unwrap().resent);
        assert_eq!((coins.sent(), seller.signed()), (1, 1));
    }
}

#[tokio::test]
async fn a_signature_that_must_not_leave_gives_back_what_it_took() {
    let (seller, slow, quick) = (Seller::start().await, Coins::new(), Coins::new());
    quick.is(Ok(Fate::Paid(None)));
    let owner = Owner::new();
    let turn = slow.turns.acquire().await.unwrap();
    let waiting = client(&owner, &slow);
    let url = seller.url.clone();
    let waiting = tokio::spawn(async move { waiting.get(&url).await });
    slow.is_asked().await;
    // Another process takes the place of whoever does not get on.
    client(&owner, &quick).get(&seller.url).await.unwrap();
    drop(turn);
    let late = waiting.await.unwrap();
    assert!(matches!(late, Err(BuyError::Fault(_))), "{late:?}");
    assert_eq!((slow.discarded.load(Ordering::SeqCst), slow.sent(), seller.signed()), (1, 0, 1));
}

#[tokio::test]
async fn a_transaction_that_was_signed_too_slowly_is_not_sent() {
    let (seller, coins) = (Seller::start().await, Coins::new());
    let owner = Owner::new();
    let turn = coins.turns.acquire().await.unwrap();
    let waiting = client(&owner, &coins);
    let url = seller.url.clone();
    let waiting = tokio::spawn(async move { waiting.get(&url).await });
    coins.is_asked().await;
    owner.later(61);
    drop(turn);
    let late = waiting.await.unwrap();
    assert!(matches!(&late, Err(BuyError::Fault(text)) if text.contains("not sent")), "{late:?}");
    assert_eq!((coins.sent(), coins.discarded.load(Ordering::SeqCst)), (0, 1));
    assert!(client(&owner, &coins).resume().await.unwrap().is_empty());
}
