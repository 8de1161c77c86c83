//! What clients of flesh and libraries never send, on raw sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::processes::Running;
use crate::world::{Upstream, World};

/// Sends bytes, and reads until the other side has closed; `None` when it keeps the connection open.
fn raw(gate: &Running, bytes: &str) -> Option<String> {
    let mut stream = TcpStream::connect(gate.said("gate").trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that closes with unread bytes in the socket resets the connection: that is closed as well.
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => None,
        _ => Some(String::from_utf8_lossy(&answer).into_owned()),
    }
}

struct Gate {
    _world: World,
    upstream: Upstream,
    gate: Running,
    _data: tempfile::TempDir,
}

impl Gate {
    fn start() -> Self {
        let world = World::new();
        let data = tempfile::tempdir().unwrap();
        let upstream = Upstream::start();
        let gate = world.gate(data.path(), "127.0.0.1:0", &upstream);
        Self { _world: world, upstream, gate, _data: data }
    }

    /// Refused with 400, closed, nothing of it reaches the API, and the gate still works.
    fn refuses(&self, bytes: &str) {
        let answer = raw(&self.gate, bytes).unwrap_or_else(|| panic!("open after {bytes:.100?}"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:.100?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{bytes:.100?}: {answer}");
        assert!(self.upstream.heads().is_empty(), "{bytes:.100?}");
    }
}

#[test]
fn h11_requests_that_can_be_read_in_two_ways_are_refused_and_closed() {
    let gate = Gate::start();
    let hidden = "GET /a HTTP/1.1\r\nHost: b\r\n\r\n";
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 30\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "Content-Length: 0, 0\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "X: y\nContent-Length: 0\r\n\r\n",
        "X: y\n\n",
    ] {
        gate.refuses(&format!("POST /free HTTP/1.1\r\nHost: a\r\n{head}{hidden}"));
    }
    gate.refuses(&format!("GET /free HTTP/1.1\nHost: a\n\n{hidden}"));
}

#[test]
fn h11_nothing_follows_a_chunked_body_on_its_connection() {
    let gate = Gate::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "POST /free HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    let answer = raw(&gate.gate, &format!("{chunked}{hidden}")).expect("closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(gate.upstream.heads().len(), 1);
}

#[test]
fn h06_too_many_fields_and_folded_lines_are_refused() {
    let gate = Gate::start();
    let many = (0..2000).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    for (fields, status) in [(many.as_str(), "431"), ("x: y\r\n z\r\n", "400")] {
        let answer = raw(&gate.gate, &format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect("closed");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert!(gate.upstream.heads().is_empty());
}

#[test]
fn h14_h15_h16_no_other_spelling_or_verb_gets_a_priced_route_for_nothing() {
    let gate = Gate::start();
    for line in [
        "GET /./a",
        "GET //a",
        "GET /b/../a",
        "GET /%61",
        "GET /a/",
        "GET /a;x=1",
        "GET /a%2f",
        "GET /a%00",
        "GET /A",
        "GET /a.",
        "GET /a%5c",
        "GET /%2561",
        "GET /a?x",
        "GET /a#x",
        "HEAD /a",
        "POST /a",
    ] {
        let answer = raw(&gate.gate, &format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .expect("closed");
        let free = gate.upstream.heads();
        // What is forwarded for nothing must be another path to every server behind us.
        assert!(free.iter().all(|head| head.starts_with("GET /A ")), "{line}: {answer} {free:?}");
    }
    let tricks = "X-HTTP-Method-Override: POST\r\nX-Original-URL: /a\r\nX-Rewrite-URL: /a\r\n";
    raw(&gate.gate, &format!("GET /free HTTP/1.1\r\nHost: a\r\n{tricks}Connection: close\r\n\r\n"))
        .expect("closed");
    let head = gate.upstream.heads().pop().unwrap().to_lowercase();
    assert!(
        head.starts_with("get /free") && !head.contains("x-original") && !head.contains("override"),
        "{head}"
    );
    assert!(!head.contains("x-rewrite"), "{head}");
}

#[test]
fn h13_a_target_that_names_another_host_does_not_get_a_priced_route() {
    let gate = Gate::start();
    let line = "GET http://evil.example/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(&gate.gate, line).expect("closed");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(gate.upstream.heads().is_empty());
}
