//! A seller that wants more than one block, beside the engine on the embedded chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_chain_evm::ExactEvm;
use groat_core::books::SettlementState;
use groat_core::ports::{Facilitator, Mechanism, PaymentStatus};
use groat_core::{Confirmations, Payment, Timestamp};
use groat_devchain::Mining;
use groat_seller::{Limits, Pay};
use groat_store::MemoryStore;
use groat_wire::Dialects;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::outsider::waiting;
use crate::world::{NOW, PAY_TO, World, offer};

struct Shop {
    app: Router,
    hits: Arc<AtomicUsize>,
    payment: Payment,
    method: Method,
    /// The header fields of the payment.
    fields: HeaderMap,
}

impl Shop {
    async fn new(world: &World, confirmations: Confirmations, method: Method) -> Self {
        let mut limits = Limits::default();
        (limits.settle_timeout_s, limits.settle_again_after_ms) = (2, 50);
        let pay = Pay::builder()
            .facilitator(Arc::new(world.engine.clone()))
            .mechanisms(vec![Arc::new(ExactEvm::offline())])
            .store(Arc::new(MemoryStore::default()))
            .clock(Arc::new(|| Timestamp(NOW)))
            .network("eip155:84532")
            .pay_to(PAY_TO)
            .public_url("https://api.example.com")
            .limits(limits)
            .confirmations(confirmations)
            .build()
            .unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = hits.clone();
        let handler = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { "sunny" }
        };
        let app = Router::new().route("/weather", any(handler).layer(pay.price("$0.01")));
        let mut shop = Self { app, hits, payment: world.payer(1).pay(1), method, fields: HeaderMap::new() };
        let challenge = shop.ask().await;
        let (parts, body) = challenge.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let dialects = Dialects::standard();
        let (_, challenge) = dialects.read_challenge(&parts.headers, &body).unwrap().unwrap();
        let payment = dialects.accept(shop.payment.clone(), &challenge, &challenge.offers[0]);
        dialects.write_payment(&payment, &mut shop.fields).unwrap();
        shop
    }

    async fn ask(&self) -> http::Response<Body> {
        let mut request =
            Request::get("/weather").header("host", "api.example.com").body(Body::empty()).unwrap();
        *request.method_mut() = self.method.clone();
        request.headers_mut().extend(self.fields.clone());
        self.app.clone().oneshot(request).await.unwrap()
    }

    async fn answer(&self) -> StatusCode {
        self.ask().await.status()
    }

    /// Until the answer is there; nothing but "pending" may be said before.
    async fn served(&self) {
        for _ in 0..20 {
            match self.answer().await {
                StatusCode::OK => return,
                other => assert_eq!(other, StatusCode::SERVICE_UNAVAILABLE),
            }
        }
        panic!("it is never served");
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    async fn status(&self, world: &World) -> Option<PaymentStatus> {
        let id = ExactEvm::offline().key(&self.payment, &offer()).unwrap().0.id();
        world.engine.status(&id).await.unwrap()
    }

    /// Until the facilitator says so, with so many blocks mined meanwhile.
    async fn until(&self, world: &World, blocks: u64, is_so: impl Fn(PaymentStatus) -> bool) {
        for _ in 0..1_000 {
            if self.status(world).await.is_some_and(&is_so) {
                return;
            }
            if waiting(&world.chain) > 0 {
                world.chain.mine(blocks);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", self.status(world).await);
    }
}

fn is_settled(status: PaymentStatus) -> bool {
    matches!(status.state, SettlementState::Settled(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_a_payment_that_a_reorganisation_moves_is_served_three_blocks_deep_and_not_before() {
    let world = World::new(Mining::Manual);
    let shop = Shop::new(&world, Confirmations::Blocks(3), Method::POST).await;
    let pending = async { assert_eq!(shop.answer().await, StatusCode::SERVICE_UNAVAILABLE) };
    tokio::join!(pending, shop.until(&world, 1, is_settled));
    world.chain.request("dev_reorg", json!([1, true])).unwrap();
    shop.until(&world, 0, |status| matches!(status.state, SettlementState::Submitted { .. })).await;
    assert_eq!(shop.answer().await, StatusCode::SERVICE_UNAVAILABLE);
    shop.until(&world, 1, is_settled).await;
    world.chain.mine(1);
    shop.until(&world, 0, |status| status.depth.is_some_and(|depth| depth.confirmations == 2)).await;
    assert_eq!(shop.answer().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(shop.hits(), 0);
    world.chain.mine(1);
    shop.served().await;
    assert_eq!((shop.hits(), world.received(), world.transactions()), (1, offer().amount.as_u256(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_kept_until_its_payment_is_finalized() {
    let world = World::new(Mining::Manual);
    let shop = Shop::new(&world, Confirmations::Finalized, Method::GET).await;
    let pending = async { assert_eq!(shop.answer().await, StatusCode::SERVICE_UNAVAILABLE) };
    tokio::join!(pending, shop.until(&world, 1, is_settled));
    world.chain.mine(40);
    shop.until(&world, 0, |status| status.depth.is_some_and(|depth| depth.safe && !depth.finalized)).await;
    assert_eq!((shop.answer().await, shop.hits()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    world.chain.mine(24);
    shop.served().await;
    assert_eq!((shop.hits(), world.received()), (1, offer().amount.as_u256()));
}
