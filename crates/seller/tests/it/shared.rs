//! Tokens in the format of `x402-mock`: ours keep their promises, and those of others open what says so.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use groat_core::{PaymentId, Timestamp};
use groat_seller::{Paid, PassTerms, PaymentService, RouteBuilder, SharedKey, TokenFormat};
use groat_wire::shared_token::SharedToken;
use http::{Request, StatusCode};

use crate::kit::*;
use crate::token_shop::*;

fn shared() -> SharedKey {
    SharedKey::new("a key of thirty-two letters, or so").unwrap()
}

/// What a server of the package gives that has this key.
fn foreign(key: &SharedKey, at: u64, ttl_s: u64) -> String {
    let nonce = "ciHKkdLCp-gIwEetE789kQ".to_owned();
    key.write(&SharedToken { expires_at: Timestamp(at + ttl_s), issued_at: Timestamp(at), nonce })
}

/// `/weather` and `/news`, and whoever sells passes for them, in this format.
fn seller_of(
    world: &World,
    format: TokenFormat,
    uses: Option<u32>,
    change: impl Fn(RouteBuilder) -> RouteBuilder,
) -> Router {
    let key = groat_seller::PassKey::from_seed(&[1; 32]).unwrap();
    let builder = world.builder().pass_key(key).token_path("/token").shared_key(shared());
    let pay = builder.token_format(format).build().unwrap();
    let mut service = PaymentService::new(&pay);
    let mut app = Router::new();
    for path in ["/weather", "/news"] {
        let route = pay.route().price("$0.01").pass(PassTerms { ttl_s: 300, scope: None, uses });
        let layer = if path == "/weather" { change(route) } else { route }.build().unwrap();
        service = service.route(&format!("GET {path}"), &layer).unwrap();
        let handler = world.counted(|_, request: Request<Body>| async move {
            let paid = request.extensions().get::<Paid>().cloned().unwrap();
            let told = request.headers().get("authorization").map_or("none", |value| value.to_str().unwrap());
            text(&format!("{} {} {told}", paid.by_pass, paid.by_access))
        });
        app = app.route(path, any(handler).layer(layer));
    }
    app.fallback_service(service)
}

fn plain(route: RouteBuilder) -> RouteBuilder {
    route
}

async fn is_active(app: &Router, token: &str) -> bool {
    send(app, post("/x402/introspect", format!("token={token}"))).await.json()["active"] == true
}

#[tokio::test]
async fn f085_a_token_of_ours_is_one_of_x402_mock_and_keeps_what_we_promise() {
    let world = World::new();
    let app = seller_of(&world, TokenFormat::X402Mock, Some(3), plain);
    let sold = send(&app, order_at(ENDPOINT, &permit("n"))).await;
    let token = token(&sold);
    assert_eq!(sold.json()["expires_in"], 300);
    // A server of the package takes it: it was made with the key, and bears the payment that has bought it.
    let read = shared().read(&token, Timestamp(NOW)).unwrap();
    assert_eq!((read.payment(), read.expires_at), (Some(id("n")), Timestamp(NOW + 300)));
    let again = seller_of(&world, TokenFormat::X402Mock, Some(3), plain);
    assert_eq!(crate::token_shop::token(&send(&again, order_at(ENDPOINT, &permit("n"))).await), token);
    // B13: it opens what it was bought for and nothing else.
    let news = send(&app, bearer("/news", &token)).await;
    assert_eq!(news.json()["message"], "the pass is for another resource");
    // T12: three times, at either gate; the server behind is shown it too.
    for app in [&app, &again, &app] {
        assert!(is_active(app, &token).await);
        let seen = send(app, bearer("/weather", &token)).await;
        assert_eq!(seen.status, StatusCode::OK, "{seen:?}");
        assert_eq!(String::from_utf8_lossy(&seen.body), format!("true false Bearer {token}"));
    }
    for app in [&app, &again] {
        let seen = send(app, bearer("/weather", &token)).await;
        assert_eq!(seen.json()["message"], "the pass is used up");
        assert!(!is_active(app, &token).await);
    }
    assert_eq!(world.fake.settles(), 1);
}

#[tokio::test]
async fn f085_a_token_of_ours_ends_is_revoked_and_undone_in_this_format_too() {
    let world = World::new();
    let app = seller_of(&world, TokenFormat::X402Mock, None, plain);
    let one = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let other = token(&send(&app, order_at(ENDPOINT, &permit("m"))).await);
    // In our own field it is taken off.
    let mut own = get("/weather");
    own.headers_mut().insert("x-payment-access-token", one.parse().unwrap());
    assert_eq!(String::from_utf8_lossy(&send(&app, own).await.body), "true false none");
    send(&app, post("/x402/revoke", format!("token={one}"))).await;
    assert!(!is_active(&app, &one).await && is_active(&app, &other).await);
    assert_eq!(send(&app, bearer("/weather", &one)).await.status, StatusCode::PAYMENT_REQUIRED);
    world.fake.knows(id("m"), submitted_state());
    world.clock.store(NOW + 10, Ordering::SeqCst);
    assert_eq!(
        send(&app, bearer("/weather", &other)).await.json()["message"],
        "the payment of the pass was undone"
    );
    world.fake.knows(id("m"), settled_state());
    world.clock.store(NOW + 299, Ordering::SeqCst);
    assert_eq!(send(&app, bearer("/weather", &other)).await.status, StatusCode::OK);
    world.clock.store(NOW + 300, Ordering::SeqCst);
    assert_eq!(send(&app, bearer("/weather", &other)).await.json()["message"], "the pass has expired");
    assert!(!is_active(&app, &other).await);
}

#[tokio::test]
async fn f085_a_token_that_a_server_of_x402_mock_gave_opens_the_routes_that_say_so() {
    let world = World::new();
    let app = seller_of(&world, TokenFormat::Jwt, None, RouteBuilder::foreign_tokens);
    let token = foreign(&shared(), NOW, 3_600);
    for _ in 0..2 {
        let seen = send(&app, bearer("/weather", &token)).await;
        assert_eq!(String::from_utf8_lossy(&seen.body), format!("false true Bearer {token}"));
    }
    let news = send(&app, bearer("/news", &token)).await;
    assert_eq!(news.status, StatusCode::PAYMENT_REQUIRED);
    assert!(news.header("www-authenticate").contains(r#"error="invalid_token""#));
    let other = SharedKey::new(&"another key ".repeat(4)).unwrap();
    for bad in [
        foreign(&other, NOW, 300),
        foreign(&shared(), NOW - 300, 300),
        foreign(&shared(), NOW + 60, 300),
        foreign(&shared(), NOW, 3_601),
        format!("{}A", &token[..token.len() - 1]),
    ] {
        assert_eq!(send(&app, bearer("/weather", &bad)).await.status, StatusCode::PAYMENT_REQUIRED, "{bad}");
    }
    // It is none of ours to tell of or to take back.
    assert!(!is_active(&app, &token).await);
    assert_eq!((world.hits(), world.fake.settles()), (2, 0));
}

#[tokio::test]
async fn b13_a_token_with_the_id_of_a_payment_is_good_for_what_the_book_says_and_for_nothing_else() {
    let world = World::new();
    let app = seller_of(&world, TokenFormat::X402Mock, None, RouteBuilder::foreign_tokens);
    let sold = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    let made = |payment: PaymentId, ttl_s| {
        let (expires_at, issued_at) = (Timestamp(NOW + ttl_s), Timestamp(NOW));
        shared().write(&SharedToken { expires_at, issued_at, nonce: payment.to_string() })
    };
    assert_eq!(made(id("n"), 300), sold);
    world.fake.script_settle(pending("0x1"));
    world.fake.script_settle(pending("0x1"));
    send(&app, order_at(ENDPOINT, &permit("open"))).await;
    for bad in [made(id("n"), 301), made(id("unknown"), 300), made(id("open"), 300)] {
        assert_eq!(send(&app, bearer("/weather", &bad)).await.status, StatusCode::PAYMENT_REQUIRED);
        assert!(!is_active(&app, &bad).await);
    }
}

#[tokio::test]
async fn passes_of_before_the_format_was_changed_stay_good() {
    let world = World::new();
    let before = seller_of(&world, TokenFormat::Jwt, None, plain);
    let old = token(&send(&before, order_at(ENDPOINT, &permit("n"))).await);
    assert_eq!(old.split('.').count(), 3);
    let app = seller_of(&world, TokenFormat::X402Mock, None, plain);
    assert_eq!(send(&app, bearer("/weather", &old)).await.status, StatusCode::OK);
    let new = token(&send(&app, order_at(ENDPOINT, &permit("n"))).await);
    assert_eq!(new.split('.').count(), 2);
    // It is one pass, in two spellings.
    send(&app, post("/x402/revoke", format!("token={new}"))).await;
    assert!(!is_active(&app, &old).await);
}

#[tokio::test]
async fn t11_without_a_shared_key_there_is_nothing_of_this() {
    let world = World::new();
    assert!(world.builder().token_format(TokenFormat::X402Mock).build().is_err());
    let pay = world.builder().build().unwrap();
    assert!(pay.route().price("$0.01").foreign_tokens().build().is_err());
    let pay = world.builder().shared_key(shared()).build().unwrap();
    assert!(pay.route().price("$0.01").foreign_tokens().build().is_ok());
    let price = |_| async { groat_core::Price::parse("$0.01").map_err(|error| error.to_string()) };
    assert!(pay.route().price_fn(price).foreign_tokens().build().is_err());
    let app = Router::new().route("/", any(|| async { "x" }).layer(pay.price("$0.01")));
    let token = foreign(&shared(), NOW, 300);
    assert_eq!(send(&app, bearer("/", &token)).await.status, StatusCode::PAYMENT_REQUIRED);
}
