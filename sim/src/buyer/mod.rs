//! Buyers: each has one wish, signs once, and sends the same payment again until somebody says how it ended.

mod hostile;
mod paid;
mod send;
mod sign;
mod spend;
mod thief;

use std::sync::Arc;
use std::time::Duration;

use groat_core::Challenge;
use tokio::task::JoinSet;

use crate::chain::Account;
use crate::fault::Fault;
use crate::notebook::Told;
use crate::shop::Route;
use crate::tongue::Tongue;
use crate::world::World;
pub(crate) use send::Parcel;
use send::{Answer, send};
use sign::Signed;

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
/// In peace the outcome must be known after so many sendings.
const PEACEFUL_SENDINGS_MAX: u32 = 40;

/// Tries to get what it wishes.
pub(crate) async fn shop(world: Arc<World>, wish: u64, purse: Account) {
    world.stage.pause_ms(0, 60_000).await;
    let route = Route::ALL[usize::try_from(world.stage.below(4)).unwrap_or(0)];
    let tongue = Tongue::draw(&world.stage);
    if matches!(tongue, Tongue::Hash | Tongue::Proof) {
        return paid::shop(&world, wish, purse, route, tongue).await;
    }
    let Some(challenge) = ask(&world, route, tongue).await else { return };
    for _ in 0..PAYMENTS_MAX {
        let Some(signed) = sign::sign(&world, wish, purse, route, &challenge, tongue) else { return };
        let signed = Arc::new(signed);
        hostile::act(&world, &signed);
        let end = pursue(&world, &signed).await;
        world.notebook.change(signed.number, |deal| deal.end = Some(end));
        world.stage.note("buyer ends", wish, || format!("{} {}", end.code(), signed.id));
        world.stage.count(end.code());
        if end == End::Bought {
            world.stage.count(tongue.code());
            spend::spend(&world, &signed).await;
        }
        if end == End::Bought && world.stage.chance(300) {
            world.stage.pause_ms(0, 60_000).await;
            world.stage.count("sent again after success");
            send(&world, &signed, route).await;
        }
        if end != End::Refused {
            return;
        }
        world.stage.pause_ms(500, 5_000).await;
    }
}

/// The challenge of a route.
async fn ask(world: &Arc<World>, route: Route, tongue: Tongue) -> Option<Challenge> {
    for _ in 0..100 {
        if let Some(challenge) = send::challenge(world, route, tongue).await {
            return Some(challenge);
        }
        world.stage.pause_ms(1_000, 5_000).await;
    }
    world.stage.broken("a challenge is always to be had", route.path().to_owned());
    None
}

/// Sends one payment until its end is known.
async fn pursue(world: &Arc<World>, signed: &Arc<Signed>) -> End {
    let mut peaceful = 0;
    let mut failures = 0;
    loop {
        let answers = send_copies(world, signed).await;
        match judge(&answers, signed.parcel.is_order) {
            // The answer was free, so the same payment may be tried again.
            Some(End::Free) if failures < 2 => failures += 1,
            Some(end) => return end,
            None => {}
        }
        if world.stage.strikes(Fault::BuyerGone) {
            return End::Gone;
        }
        if world.stage.is_calm() {
            peaceful += 1;
            if peaceful > PEACEFUL_SENDINGS_MAX {
                return End::Unknown;
            }
        }
        world.stage.pause_ms(1_000, 8_000).await;
    }
}

async fn send_copies(world: &Arc<World>, signed: &Arc<Signed>) -> Vec<Told> {
    let count = if world.stage.strikes(Fault::Copies) { world.stage.between(2, 5) } else { 1 };
    if count == 1 {
        return send(world, signed, signed.route).await.into_iter().collect();
    }
    let mut copies = JoinSet::new();
    for _ in 0..count {
        let (world, signed) = (Arc::clone(world), Arc::clone(signed));
        copies.spawn(async move {
            tokio::time::sleep(Duration::from_millis(world.stage.below(3) * world.stage.below(300))).await;
            send(&world, &signed, signed.route).await
        });
    }
    copies.join_all().await.into_iter().flatten().collect()
}

/// What the answers to one payment mean together; `None` when nothing is certain.
fn judge(answers: &[Answer], is_order: bool) -> Option<End> {
    let mut end = None;
    for told in answers {
        let next = match told.status {
            _ if told.settled().is_some() && told.error == "refund_due" => End::RefundDue,
            _ if told.settled().is_some() => End::Bought,
            402 => End::Refused,
            // What is said of an order that is refused; the bytes themselves are good.
            400 if is_order => End::Refused,
            410 if told.error == "pass_expired" => End::Bought,
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
