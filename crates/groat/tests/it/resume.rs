//! `groat pay --resume`: what a crash left open reaches its owner, once and for one payment.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use groat_core::Challenge;
use groat_wire::Dialects;
use serde_json::{Value, json};

use crate::processes::{groat, text};
use crate::world::offer;

const KEY: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";

/// Takes payments, breaks at the first for each path, and gives the answer for the same one afterwards.
struct Forgetful {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Forgetful {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            let mut taken = HashSet::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; 64 * 1024];
                let count = stream.read(&mut request).unwrap_or_default();
                let head = String::from_utf8_lossy(&request[..count]).into_owned();
                let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
                let answer = match head.to_lowercase().contains("payment-signature:") {
                    false => challenge(),
                    true if taken.insert(path.clone()) => respond(500, "", "broken"),
                    true => respond(200, "x-kind: resumed\r\n", &format!("what {path} costs a cent for")),
                };
                kept.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { url, heads }
    }

    /// Payments that came, and how many different ones.
    fn payments(&self) -> (usize, usize) {
        let heads = self.heads.lock().unwrap();
        let line = |head: &String| {
            head.lines().find(|line| line.to_lowercase().starts_with("payment-signature:")).map(str::to_owned)
        };
        let all: Vec<String> = heads.iter().filter_map(line).collect();
        (all.len(), all.iter().collect::<HashSet<_>>().len())
    }
}

fn respond(status: u16, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n{fields}\r\n{body}")
}

fn challenge() -> String {
    let challenge = Challenge {
        resource: Default::default(),
        offers: vec![offer()],
        pass_at: None,
        moment: None,
        error: String::new(),
        extensions: Default::default(),
    };
    let parts = Dialects::standard().write_challenge(&challenge);
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}\r\n", value.to_str().unwrap())
    };
    let fields: String = parts.headers.iter().map(field).collect();
    respond(402, &fields, &serde_json::to_string(&parts.body).unwrap())
}

fn pay(data: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = groat(data);
    command.arg("pay").args(arguments).env("GROAT_PRIVATE_KEY", KEY).output().unwrap()
}

#[test]
fn what_a_resumption_bought_is_printed_and_the_same_command_then_buys_anew() {
    let (data, seller) = (tempfile::tempdir().unwrap(), Forgetful::start());
    let url = format!("{}/weather", seller.url);
    let lost = pay(data.path(), &[&url]);
    assert_eq!(lost.status.code(), Some(21), "{:?}", text(&lost));
    let resumed = pay(data.path(), &["--resume"]);
    let (stdout, stderr) = text(&resumed);
    assert_eq!(resumed.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "what /weather costs a cent for");
    assert!(stderr.starts_with(&format!("bought   GET {url}  pay_")), "{stderr}");
    assert!(stderr.contains("paid         0.01 USDC on eip155:84532"), "{stderr}");
    assert!(stderr.contains("(signed by an earlier command)"), "{stderr}");
    assert_eq!(seller.payments(), (2, 1));

    let nothing = pay(data.path(), &["--resume"]);
    assert_eq!(text(&nothing), (String::new(), "nothing is open\n".to_owned()));
    assert_eq!(pay(data.path(), &[&url]).status.code(), Some(0));
    assert_eq!(seller.payments(), (3, 2), "to ask again is another purchase");
}

#[test]
fn what_resumptions_bought_is_a_list_in_json() {
    let (data, seller) = (tempfile::tempdir().unwrap(), Forgetful::start());
    for path in ["a", "b"] {
        let lost = pay(data.path(), &[&format!("{}/{path}", seller.url)]);
        assert_eq!(lost.status.code(), Some(21), "{:?}", text(&lost));
    }
    let resumed = pay(data.path(), &["--resume", "--json"]);
    let list: Value = serde_json::from_slice(&resumed.stdout).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    for path in ["a", "b"] {
        let request = json!(format!("GET {}/{path}", seller.url));
        let one = list.iter().find(|one| one["request"] == request).unwrap();
        assert_eq!(one["body"], json!(format!("what /{path} costs a cent for")));
        assert_eq!((&one["outcome"], &one["status"]), (&json!("bought"), &json!(200)));
        assert_eq!(one["headers"]["x-kind"], "resumed");
        assert_eq!(one["payment"]["paymentId"], one["paymentId"]);
    }
    assert_eq!(text(&pay(data.path(), &["--resume", "--json"])).0, "[]\n");
    assert_eq!(seller.payments(), (4, 2));
}

#[test]
fn what_was_asked_for_with_a_key_is_asked_for_again_only_by_the_command_that_has_it() {
    let (data, seller) = (tempfile::tempdir().unwrap(), Forgetful::start());
    let url = format!("{}/mail", seller.url);
    let send = || pay(data.path(), &["-X", "POST", "-H", "x-api-key: k", &url]);
    assert_eq!(send().status.code(), Some(21));
    let resumed = pay(data.path(), &["--resume"]);
    assert_eq!(resumed.status.code(), Some(20));
    let (stdout, stderr) = text(&resumed);
    assert!(stdout.is_empty() && stderr.contains("with header fields, which are not kept"), "{stderr}");
    assert_eq!(seller.payments(), (1, 1));
    assert_eq!(send().status.code(), Some(0));
    assert_eq!(seller.payments(), (2, 1));
    let heads = seller.heads.lock().unwrap();
    assert!(heads.last().unwrap().contains("x-api-key: k"), "{heads:?}");
}

#[test]
fn a_resumption_refuses_what_it_would_not_heed() {
    let data = tempfile::tempdir().unwrap();
    let unheeded: [&[&str]; 7] = [
        &["-H", "x-api-key: k"],
        &["-X", "POST"],
        &["--max", "$1"],
        &["--max-payments", "1"],
        &["--dialect", "x402-v1"],
        &["--plain-http"],
        &["http://127.0.0.1:1/"],
    ];
    for options in unheeded {
        let refused = pay(data.path(), &[&["--resume"], options].concat());
        assert_eq!(refused.status.code(), Some(2), "{options:?}: {:?}", text(&refused));
    }
    let seller = Forgetful::start();
    pay(data.path(), &[&format!("{}/a", seller.url)]);
    let (stdout, _) = text(&pay(data.path(), &["--resume", "-i"]));
    assert!(stdout.starts_with("HTTP/1.1 200 OK\n") && stdout.contains("\nx-kind: resumed\n"), "{stdout}");
}
