//! Buyers: each has wishes, signs once for each, and sends the same payment again until somebody says how it ended.

mod hostile;
mod send;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use groat_core::Challenge;
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::host::gate::Route;
use crate::notebook::Told;
use crate::wire::{Http, http};
use crate::world::World;
use sign::Signed;
pub(crate) use sign::{fill, purse};

/// How a payment ended for its buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Paid and answered.
    Bought,
    /// Paid, and the answer is gone for good: told so.
    RefundDue,
    /// Refused: a conforming payer may sign again.
    Refused,
    /// The handler failed and nothing was charged.
    Free,
    /// The buyer does not care any more.
    Gone,
    /// Nobody could say until the end of the run.
    Unknown,
}

impl End {
    fn code(self) -> &'static str {
        match self {
            Self::Bought => "bought",
            Self::RefundDue => "refund due",
            Self::Refused => "refused",
            Self::Free => "handler failed, free",
            Self::Gone => "buyer gone",
            Self::Unknown => "unknown to the end",
        }
    }
}

/// A conforming payer does not sign without end.
const PAYMENTS_MAX: usize = 3;
/// How long after the storm an outcome may stay unknown: until the authorization is dead (40 s) and so long that no
/// clock can doubt it (60 s), and a minute more (invariant I13).
const PEACE_S_MAX: u64 = 160;
/// Most wishes of a buyer.
const WISHES_MAX: u64 = 3;

/// A buyer with its connections.
#[derive(Clone)]
pub(crate) struct Buyer {
    pub(crate) world: Arc<World>,
    pub(crate) at: usize,
    http: Http,
}

/// Lives until nothing is left to do.
pub(crate) async fn run(world: Arc<World>, at: usize) -> turmoil::Result {
    let buyer = Buyer { world, at, http: http() };
    let mut bought = Vec::new();
    buyer.world.stage.pause_ms(0, 10_000).await;
    for wish in 0..buyer.world.stage.between(1, WISHES_MAX) {
        if buyer.world.stage.is_calm() {
            break;
        }
        bought.extend(buyer.shop(at as u64 * WISHES_MAX + wish).await);
        buyer.world.stage.pause_ms(0, 4_000).await;
    }
    while !buyer.world.stage.is_calm() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for signed in bought {
        buyer.compare(&signed).await;
    }
    buyer.world.notebook.buyer_goes();
    Ok(())
}

impl Buyer {
    /// Tries to get what it wishes; what was bought is returned.
    async fn shop(&self, wish: u64) -> Option<Arc<Signed>> {
        let stage = &self.world.stage;
        let seller = usize::try_from(stage.below(self.world.shape.sellers() as u64)).unwrap_or_default();
        let route = Route::ALL[usize::try_from(stage.below(4)).unwrap_or_default()];
        let challenge = self.ask(seller, route).await?;
        for _ in 0..PAYMENTS_MAX {
            let signed = Arc::new(sign::sign(self, wish, seller, route, &challenge).await?);
            hostile::act(self, &signed);
            let end = self.pursue(&signed).await;
            self.world.notebook.change(signed.number, |deal| deal.end = Some(end));
            stage.note("buyer ends", wish, || format!("{} {}", end.code(), signed.id));
            stage.count(end.code());
            match end {
                End::Bought => return Some(signed),
                End::Refused => stage.pause_ms(500, 4_000).await,
                _ => return None,
            }
        }
        None
    }

    /// The challenge of a route.
    async fn ask(&self, seller: usize, route: Route) -> Option<Challenge> {
        for _ in 0..100 {
            if let Some(challenge) = send::challenge(self, seller, route).await {
                return Some(challenge);
            }
            self.world.stage.pause_ms(500, 3_000).await;
        }
        self.world.stage.broken("a challenge is always to be had", route.path());
        None
    }

    /// Sends one payment until its end is known.
    async fn pursue(&self, signed: &Arc<Signed>) -> End {
        let stage = &self.world.stage;
        let mut failures = 0;
        loop {
            let answers = self.send_copies(signed).await;
            match judge(&answers) {
                // The answer was free, so the same payment may be tried again.
                Some(End::Free) if failures < 2 => failures += 1,
                Some(end) => return end,
                None => {}
            }
            if stage.strikes(Fault::BuyerGone) {
                return End::Gone;
            }
            if stage.calm_for_ms() > PEACE_S_MAX * 1_000 {
                return End::Unknown;
            }
            stage.pause_ms(500, 5_000).await;
        }
    }

    async fn send_copies(&self, signed: &Arc<Signed>) -> Vec<Told> {
        let stage = &self.world.stage;
        let count = if stage.strikes(Fault::Copies) { stage.between(2, 5) } else { 1 };
        if count == 1 {
            return send::send(self, signed, signed.route).await.into_iter().collect();
        }
        let mut copies = JoinSet::new();
        for _ in 0..count {
            let (buyer, signed) = (self.clone(), Arc::clone(signed));
            copies.spawn(async move {
                let pause = buyer.world.stage.below(3) * buyer.world.stage.below(300);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                send::send(&buyer, &signed, signed.route).await
            });
        }
        copies.join_all().await.into_iter().flatten().collect()
    }

    /// In peace, what was bought is given again (invariant I11).
    async fn compare(&self, signed: &Signed) {
        let stage = &self.world.stage;
        stage.pause_ms(0, 5_000).await;
        for _ in 0..40 {
            if let Some(told) = send::send(self, signed, signed.route).await
                && told.settled().is_some()
            {
                return stage.count("the same answer again");
            }
            stage.pause_ms(1_000, 3_000).await;
        }
        stage.broken("what was bought is given again", &format!("{} {}", signed.id, signed.route.path()));
    }
}

/// What the answers to one payment mean together; `None` when nothing is certain.
fn judge(answers: &[Told]) -> Option<End> {
    let mut end = None;
    for told in answers {
        let next = match told.status {
            _ if told.settled().is_some() && told.error == "refund_due" => End::RefundDue,
            _ if told.settled().is_some() => End::Bought,
            402 => End::Refused,
            500 | 504 => End::Free,
            _ => continue,
        };
        // Whoever was told of success believes it.
        if end != Some(End::Bought) {
            end = Some(next);
        }
    }
    end
}
