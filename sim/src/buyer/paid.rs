//! Buyers who pay first, by a transaction of their own, and show it until somebody says what became of it.

use std::sync::Arc;
use std::time::Duration;

use groat_core::ports::{Clock, Mechanism};
use groat_core::{Challenge, Network, Offer, Payment, PaymentId};
use groat_wire::want_pay::proof::{Algorithm, Audience, Claims, token};
use groat_wire::want_pay::{decimal::Decimal, pay_header};
use groat_wire::{Asked, Dialect, agentxpay};
use http::HeaderMap;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::send::{Parcel, exchange};
use super::{End, PEACEFUL_SENDINGS_MAX, ask, judge, thief};
use crate::chain::{Account, Action, Made, Request, Transaction, Way, fnv, hash_text};
use crate::direct::{AGE_S_MAX, ByHash, ByProof, binding, sign_proof};
use crate::exact::NETWORK;
use crate::fault::Fault;
use crate::notebook::{Outlay, Show, Told};
use crate::shop::{ORIGIN, Route};
use crate::tongue::Tongue;
use crate::world::{PRICE, World};

/// How long a proof is good.
const PROOF_S: u64 = 120;

/// A transaction and everything that its payer knows of it.
pub(super) struct Spent {
    /// Its number in the notebook.
    pub(super) number: usize,
    pub(super) payer: Account,
    pub(super) hash: u64,
    pub(super) tongue: Tongue,
    /// What was asked for, where it is paid by request.
    offer: Offer,
}

/// Pays, and takes what was paid for.
pub(super) async fn shop(world: &Arc<World>, wish: u64, purse: Account, route: Route, tongue: Tongue) {
    let Some(challenge) = ask(world, route, tongue).await else { return };
    let Some(spent) = pay(world, purse, route, &challenge, tongue) else { return };
    let spent = Arc::new(spent);
    world.stage.count("paid directly");
    if world.stage.strikes(Fault::NeverShown) {
        return;
    }
    thief::lurk(world, &spent, route);
    if world.stage.strikes(Fault::ShownTooLate) {
        world.stage.pause_ms(AGE_S_MAX * 1_000, AGE_S_MAX * 1_000 + 30_000).await;
    }
    let mut wanted = vec![route];
    if tongue == Tongue::Hash {
        let more = world.stage.below(3);
        wanted.extend((0..more).filter_map(|_| {
            let index = usize::try_from(world.stage.below(4)).ok()?;
            Route::ALL.get(index).copied()
        }));
    }
    let at_once = world.stage.chance(500);
    let mut tasks = JoinSet::new();
    for route in wanted {
        let (world, spent) = (Arc::clone(world), Arc::clone(&spent));
        let task = async move {
            let Some(parcel) = show(&world, &spent, route, spent.payer, Spelling::default()) else { return };
            world.notebook.change_outlay(spent.number, |outlay| {
                outlay.seen.get_or_insert(parcel.clone());
            });
            let end = pursue(&world, &spent, &parcel).await;
            world.notebook.change_outlay(spent.number, |outlay| outlay.ends.push(end));
            world.stage.note("payer ends", wish, || format!("{} {}", end.code(), hash_text(spent.hash)));
            world.stage.count(end.code());
            if end == End::Bought {
                world.stage.count(spent.tongue.code());
                if world.stage.chance(300) {
                    world.stage.pause_ms(0, 20_000).await;
                    send(&world, &spent, parcel, true).await;
                }
            }
        };
        if at_once {
            tasks.spawn(task);
        } else {
            task.await;
        }
    }
    tasks.join_all().await;
}

/// Makes a transaction, writes it down and sends it; what becomes of it is the chain's affair.
fn pay(
    world: &Arc<World>,
    purse: Account,
    route: Route,
    challenge: &Challenge,
    tongue: Tongue,
) -> Option<Spent> {
    let stage = &world.stage;
    let offer = challenge.offers.iter().find(|offer| offer.dialect == Some(tongue.dialect().id()))?.clone();
    let short = u64::from(stage.strikes(Fault::PaidShort));
    // Whoever is poor pays from a purse that nobody has filled.
    let payer = if stage.strikes(Fault::PoorPayer) { Account(purse.0 + 0x100) } else { purse };
    let way = match tongue {
        Tongue::Hash => {
            let mut several = vec![Made { service: route.service(), value: PRICE - short }];
            if stage.chance(400) {
                let more = stage.between(1, 3);
                several.extend((0..more).map(|_| Made { service: stage.between(1, 2), value: PRICE }));
            }
            Way::Services(several)
        }
        _ => Way::Request(Request {
            id: fnv(offer.extra.get("id")?.as_str()?.as_bytes()),
            value: PRICE - short,
        }),
    };
    let nonce = world.chain.pending_nonce(payer);
    let transaction =
        Transaction { sender: payer, nonce, fee: stage.below(1 << 32), action: Action::Pay(way.clone()) };
    let hash = transaction.hash();
    let spent = Spent { number: 0, payer, hash, tongue, offer };
    let ids = ids(&spent, &way)?;
    stage.note("buyer pays", way.value(), || format!("{} {way:?} {ids:?}", hash_text(hash)));
    let outlay = Outlay {
        hash,
        way,
        tongue,
        ids,
        ends: Vec::new(),
        shows: Vec::new(),
        proof_until_s: None,
        seen: None,
    };
    let number = world.notebook.pay(outlay);
    if !stage.strikes(Fault::NeverPaid) {
        let late_ms = if stage.strikes(Fault::PaidLate) { stage.between(500, 25_000) } else { 0 };
        let chain = Arc::clone(&world.chain);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late_ms)).await;
            // A node that refuses it is as good as any other that forgets it.
            let _ = chain.submit(transaction);
        });
    }
    Some(Spent { number, ..spent })
}

/// The ids that the payments of a transaction have.
fn ids(spent: &Spent, way: &Way) -> Option<Vec<PaymentId>> {
    let network = Network::parse(NETWORK).ok()?;
    let payment = |proof: Value| Payment {
        dialect: spent.tongue.dialect().id(),
        scheme: spent.offer.scheme.clone(),
        network: network.clone(),
        proof,
        accepted: None,
        resource: None,
        extensions: Map::new(),
    };
    match way {
        Way::Services(several) => (0..several.len())
            .map(|count| {
                let proof = json!({ "hash": hash_text(spent.hash), "count": count });
                Some(ByHash { node: None }.key(&payment(proof), &spent.offer).ok()?.0.id())
            })
            .collect(),
        Way::Request(_) => {
            let proof = json!({ "claims": { "sub": spent.offer.extra.get("id")?, "exp": 0 } });
            Some(vec![ByProof { node: None }.key(&payment(proof), &spent.offer).ok()?.0.id()])
        }
    }
}

/// How the same thing is written otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spelling {
    /// Of a hash.
    pub(super) upper_case: bool,
    /// The last byte of a signature.
    pub(super) last: u8,
}

/// The request that shows a transaction, signed by an account where that is asked for.
pub(super) fn show(
    world: &World,
    spent: &Spent,
    route: Route,
    signer: Account,
    spelling: Spelling,
) -> Option<Parcel> {
    let mut headers = HeaderMap::new();
    let url = format!("{ORIGIN}{}", route.path());
    if spent.tongue == Tongue::Hash {
        let text = hash_text(spent.hash);
        let text = if spelling.upper_case { format!("0X{}", text[2..].to_uppercase()) } else { text };
        let mut payment = Payment {
            dialect: agentxpay::ID,
            scheme: agentxpay::SCHEME.to_owned(),
            network: spent.offer.network.clone(),
            proof: json!({ "hash": text }),
            accepted: None,
            resource: None,
            extensions: Map::new(),
        };
        if world.wares.bound {
            let method = route.method();
            let asked = Asked { method: method.as_str(), url: &url, body: b"" };
            let lines = agentxpay::lines(&payment, &asked);
            payment.proof["payer"] = json!(signer.to_string());
            payment.proof["signature"] = json!(binding(signer, &lines));
        }
        agentxpay::AgentXPay.write_payment(&payment, &mut headers).ok()?;
        return Some(Parcel::to(route, headers));
    }
    let claims = claims(world, spent, &url, route)?;
    world.notebook.change_outlay(spent.number, |outlay| {
        // The earliest of them.
        outlay.proof_until_s.get_or_insert(claims.exp);
    });
    let signature = sign_proof(signer, &claims, spelling.last);
    let token = token(Algorithm::Es256kR, &claims, &signature).ok()?;
    pay_header::write(&token, &mut headers).ok()?;
    Some(Parcel::to(route, headers))
}

fn claims(world: &World, spent: &Spent, url: &str, route: Route) -> Option<Claims> {
    let offer = &spent.offer;
    let text = |key: &str| offer.extra.get(key).and_then(Value::as_str).map(str::to_owned);
    let now = world.seller.clock.now().0;
    let expires = offer.extra.get("expires").and_then(Value::as_u64)?;
    Some(Claims {
        iss: spent.payer.to_string(),
        sub: text("id")?,
        amount: Decimal::from_units(offer.amount, offer.currency.as_ref()?.decimals).to_string(),
        currency: text("currency")?,
        chain: text("chain")?,
        tx: hash_text(spent.hash),
        iat: now,
        exp: (now + PROOF_S).min(expires + 300),
        nonce: text("nonce"),
        aud: Some(Audience::One(ORIGIN.to_owned())),
        htm: Some(route.method().to_string()),
        htu: Some(url.to_owned()),
        jti: None,
    })
}

/// Shows it and writes down what was said.
pub(super) async fn send(world: &Arc<World>, spent: &Spent, parcel: Parcel, by_payer: bool) -> Option<Told> {
    let lost = world.stage.strikes(Fault::AnswerLost);
    let (route, print) = (parcel.route, parcel.print());
    let show = Show { route, by_payer, print, told: None, was_mined: false };
    let place = world.notebook.change_outlay(spent.number, |outlay| {
        outlay.shows.push(show);
        outlay.shows.len() - 1
    });
    let told = exchange(world, parcel).await?.told;
    let now_s = world.facilitator.clock.now().0.max(world.seller.clock.now().0);
    let was_mined = world.chain.head().after.receipts.contains_key(&spent.hash);
    world.notebook.change_outlay(spent.number, |outlay| {
        if let (Some(pass), Some(id)) = (&told.pass, told.credit()) {
            world.notebook.give(id, pass.clone());
        }
        if let Some(show) = outlay.shows.get_mut(place) {
            show.told = Some((told.clone(), now_s));
            show.was_mined = was_mined;
        }
    });
    if lost { None } else { Some(told) }
}

/// Shows it until somebody says how it ended.
async fn pursue(world: &Arc<World>, spent: &Arc<Spent>, parcel: &Parcel) -> End {
    let mut peaceful = 0;
    let mut failures = 0;
    loop {
        let count = if world.stage.strikes(Fault::Copies) { world.stage.between(2, 4) } else { 1 };
        let mut copies = JoinSet::new();
        for copy in 0..count {
            let (world, spent, parcel) = (Arc::clone(world), Arc::clone(spent), parcel.clone());
            copies.spawn(async move {
                tokio::time::sleep(Duration::from_millis(copy * world.stage.below(300))).await;
                send(&world, &spent, parcel, true).await
            });
        }
        let answers: Vec<Told> = copies.join_all().await.into_iter().flatten().collect();
        match judge(&answers, false) {
            Some(End::Free) if failures < 3 => failures += 1,
            Some(end) => return end,
            None => {}
        }
        if world.stage.strikes(Fault::BuyerGone) {
            return End::Gone;
        }
        if world.stage.is_calm() {
            peaceful += 1;
            // What is not on the chain by now never will be.
            let is_there = world.chain.head().after.receipts.contains_key(&spent.hash);
            if peaceful > if is_there { PEACEFUL_SENDINGS_MAX } else { PEACEFUL_SENDINGS_MAX / 8 } {
                return End::Unknown;
            }
        }
        world.stage.pause_ms(1_000, 8_000).await;
    }
}
