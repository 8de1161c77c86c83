//! The service as it listens: real sockets, hostile and parallel.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::U256;
use groat_chain_evm::ExactEvm;
use groat_core::Timestamp;
use groat_core::ports::{Clock, Mechanism, Store};
use groat_devchain::Mining;
use groat_facilitator::http::{Caller, Ready, Service};
use groat_wire::facilitator::write_request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::outsider::{succeeded, waiting};
use crate::world::{World, offer};

/// Serves a world until the test ends.
pub(crate) async fn serve(world: &World) -> SocketAddr {
    serve_callers(world, Vec::new()).await
}

/// The same, for the holders of keys.
pub(crate) async fn serve_callers(world: &World, callers: Vec<Caller>) -> SocketAddr {
    let mechanisms = vec![Arc::new(ExactEvm::offline()) as Arc<dyn Mechanism>];
    let ready = Ready::default();
    ready.set(true);
    let service = Service::new(Arc::new(world.engine.clone()), mechanisms, String::new, ready);
    let chain = world.chain.clone();
    let clock: Arc<dyn Clock> = Arc::new(move || Timestamp(chain.now()));
    let store: Arc<dyn Store> = Arc::new(world.store.clone());
    let router = service.callers(callers, &store, &clock).router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Sends bytes and reads until the server closes or says nothing more for a while.
async fn raw(server: SocketAddr, bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    // A server that has answered need not read the rest.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(Ok(count)) = tokio::time::timeout(patience, stream.read(&mut chunk)).await {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn post(server: SocketAddr, path: &str, body: String) -> (u16, Value) {
    let client = client();
    let request = client.post(format!("http://{server}{path}")).header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{status} {bytes:?}")))
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// One payment through the listening server, to see that it still works.
async fn still_serves(world: &World, server: SocketAddr, nonce: u8) {
    let body = write_request(&world.payer(1).pay(nonce), &offer());
    let (status, answer) = post(server, "/settle", body).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_h03_h10_what_is_no_request_gets_a_typed_answer_and_the_server_goes_on() {
    let world = World::new(Mining::Instant);
    let server = serve(&world).await;
    let good = write_request(&world.payer(1).pay(1), &offer());
    let twice = good.replacen("\"value\"", "\"value\":\"1\",\"value\"", 1);
    let deep = format!("{{\"paymentPayload\":{}1{}}}", "[".repeat(60_000), "]".repeat(60_000));
    let keys: Vec<String> = (0..20_000).map(|key| format!("\"{key}\":0")).collect();
    let shapes: Vec<(Vec<u8>, &[u16], &str)> = vec![
        (Vec::new(), &[400], "nothing"),
        (b"{\"x402Version\":2".to_vec(), &[400], "half"),
        (b"\xff\xfe{}".to_vec(), &[400], "not UTF-8"),
        (b"{\"x\":\"\\ud800\"}".to_vec(), &[400], "half a surrogate"),
        (deep.into_bytes(), &[400], "deep"),
        (twice.into_bytes(), &[400], "a member twice"),
        (format!("{{{}}}", keys.join(",")).into_bytes(), &[400], "many members"),
        (good.replacen("\"10000\"", "1e400", 1).into_bytes(), &[400, 200], "a giant number"),
        (good.replace("eip155:84532", "eip155:8453").into_bytes(), &[200], "a network not set up"),
        (good.replace("eip155:84532", "moon:1").into_bytes(), &[400, 200], "an unknown network"),
        (good.replace("\"payTo\"", "\"payto\"").into_bytes(), &[400, 200], "a member missing"),
        (good.replacen("\"from\"", "\"From\"", 1).into_bytes(), &[400, 200], "a payer missing"),
        (
            good.replace("\"x402Version\":2", "\"x402Version\":\"2\"").into_bytes(),
            &[400, 200],
            "a text version",
        ),
        (
            good.replace("\"x402Version\":2", "\"x402Version\":3").into_bytes(),
            &[400, 200],
            "an unknown version",
        ),
        (b" ".repeat(300_000), &[413], "too much"),
    ];
    for path in ["/verify", "/settle"] {
        for (shape, expected, what) in &shapes {
            let client = client();
            let request = client.post(format!("http://{server}{path}"));
            let request = request.header("content-type", "application/json").body(shape.clone());
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let answer: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            assert!(expected.contains(&status), "{path} {what}: {status} {answer}");
            if status == 413 {
                assert!(answer["error"].is_string(), "{answer}");
            } else if path == "/verify" {
                assert_eq!(answer["isValid"], false, "{what}: {answer}");
                assert!(answer["invalidReason"].is_string(), "{what}: {answer}");
                // Some clients read no verdict without it.
                assert!(answer["payer"].is_string(), "{what}: {answer}");
            } else {
                assert_eq!(answer["success"], false, "{what}: {answer}");
                assert!(answer["errorReason"].is_string(), "{what}: {answer}");
                assert!(
                    answer["transaction"].is_string() && answer["network"].is_string(),
                    "{what}: {answer}"
                );
            }
        }
    }
    assert_eq!(world.transactions(), 0);
    still_serves(&world, server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h05_h08_h11_broken_connections_and_endless_bodies_stop_nobody() {
    let world = World::new(Mining::Instant);
    let server = serve(&world).await;
    let head = "POST /settle HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let cases: Vec<(String, &[&str], &str)> = vec![
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(12)),
            &["413"],
            "chunks without end",
        ),
        (
            format!("{head}Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &["400"],
            "two lengths",
        ),
        (format!("{head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}"), &["400"], "two lengths"),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), &["400"], "no chunk"),
        (format!("{head}X: {}\r\n\r\n", "a".repeat(1 << 20)), &["431", ""], "a large field"),
        (format!("{head}{}\r\n", "A: b\r\n".repeat(2_000)), &["431", ""], "many fields"),
        ("GARBAGE\r\n\r\n".to_owned(), &["400"], "no HTTP"),
        ("\0".repeat(100), &["400"], "zeros"),
    ];
    for (bytes, expected, what) in cases {
        let answer = raw(server, bytes.as_bytes(), Duration::from_secs(2)).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(expected.contains(&status), "{what}: {answer:.200}");
    }
    // Half a request, and gone.
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(format!("{head}Content-Length: 900\r\n\r\n{{").as_bytes()).await.unwrap();
    drop(stream);
    assert_eq!(world.transactions(), 0);
    still_serves(&world, server, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h08_a_body_that_drips_is_given_up_while_others_are_served() {
    let world = World::new(Mining::Instant);
    let server = serve(&world).await;
    let slow = tokio::spawn(async move {
        let begin = Instant::now();
        let head = "POST /verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
        (raw(server, head.as_bytes(), Duration::from_secs(14)).await, begin.elapsed())
    });
    still_serves(&world, server, 1).await;
    let (answer, took) = slow.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:.200}");
    assert!(took > Duration::from_secs(9), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r02_twenty_parallel_requests_with_blocks_held_back_are_one_transaction_without_a_revert() {
    let world = World::new(Mining::Manual);
    let server = serve(&world).await;
    let body = write_request(&world.payer(1).pay(1), &offer());
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(post(server, "/settle", body.clone()))).collect();
    while waiting(&world.chain) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(waiting(&world.chain), 1);
    world.chain.mine(1);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let (status, answer) = &answers[0];
    assert_eq!((*status, &answer["success"]), (200, &json!(true)), "{answer}");
    assert!(succeeded(&world.chain, answer["transaction"].as_str().unwrap()));
    world.chain.mine(3);
    assert_eq!((world.transactions(), world.received(), waiting(&world.chain)), (1, U256::from(10_000), 0));
}
