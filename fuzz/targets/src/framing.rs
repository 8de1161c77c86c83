//! Heads of HTTP/1 requests: what passes unsuspected has one reading only.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../crates/groat/src/listen/framing.rs"]
mod watch;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use watch::{Framed, Suspicion};

/// The bytes as a connection; the first says in which pieces it arrives.
pub fn target(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let suspicious = suspicious(bytes, bytes.len().max(1));
    assert_eq!(suspicious, self::suspicious(bytes, usize::from(*piece) + 1), "where a read ends counts");
    assert_eq!(suspicious, self::suspicious(bytes, 1), "where a read ends counts");
    if suspicious {
        return;
    }
    let ours = Reader { bare_lf: false, last_length: false, chunks_win: true }.messages(bytes);
    for bare_lf in [false, true] {
        for last_length in [false, true] {
            for chunks_win in [false, true] {
                let theirs = Reader { bare_lf, last_length, chunks_win }.messages(bytes);
                assert_eq!(ours, theirs, "bare_lf {bare_lf} last {last_length} chunks {chunks_win}");
            }
        }
    }
}

fn suspicious(bytes: &[u8], piece: usize) -> bool {
    let suspicion = Suspicion::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = vec![0; piece];
    let mut stream = Framed::new(bytes, suspicion.clone());
    loop {
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut stream).poll_read(&mut context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            _ => return suspicion.is_raised(),
        }
    }
}

/// A server with its own opinions. All of those here are met in the wild.
#[derive(Clone, Copy)]
struct Reader {
    /// A line may end in LF alone.
    bare_lf: bool,
    /// Of several lengths the last counts.
    last_length: bool,
    /// Chunks count, and not a length beside them.
    chunks_win: bool,
}

/// One request as somebody frames it: where its head begins and how long its body is.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    begin: usize,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Reader {
    /// The requests up to the first that HTTP/1 has no answer to, or that is chunked.
    fn messages(self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut at = 0;
        while let Some((begin, end, lines)) = self.head(bytes, at) {
            // Whoever reads with this library gives up here, and so does the connection.
            let mut fields = [httparse::EMPTY_HEADER; 256];
            let mut request = httparse::Request::new(&mut fields);
            if !matches!(request.parse(&bytes[begin..end]), Ok(httparse::Status::Complete(_))) {
                break;
            }
            let Some(body) = self.body(&lines) else { break };
            let length = match body {
                Body::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
                Body::Chunked => usize::MAX,
            };
            messages.push(Message { begin, body });
            at = end.saturating_add(length);
        }
        messages
    }

    /// Begin, end and lines of the next head; lines before it that are empty do not count.
    fn head(self, bytes: &[u8], mut at: usize) -> Option<(usize, usize, Vec<&[u8]>)> {
        let mut begin = at;
        let mut lines = Vec::new();
        loop {
            let rest = bytes.get(at..)?;
            let line_end = rest.iter().enumerate().position(|(index, byte)| {
                *byte == b'\n' && (self.bare_lf || index > 0 && rest[index - 1] == b'\r')
            })?;
            let line = &rest[..line_end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            at += line_end + 1;
            match (line.is_empty(), lines.is_empty()) {
                (true, true) => begin = at,
                (true, false) => return Some((begin, at, lines)),
                (false, _) => lines.push(line),
            }
        }
    }

    fn body(self, lines: &[&[u8]]) -> Option<Body> {
        let named = |wanted: &'static str| {
            lines.iter().skip(1).filter_map(move |line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                line[..colon].eq_ignore_ascii_case(wanted.as_bytes()).then(|| line[colon + 1..].trim_ascii())
            })
        };
        let mut lengths = named("content-length");
        let length = if self.last_length { lengths.next_back() } else { lengths.next() };
        let chunked = named("transfer-encoding").next().is_some();
        match (chunked, length) {
            (true, None) => Some(Body::Chunked),
            (true, Some(_)) if self.chunks_win => Some(Body::Chunked),
            (_, None) => Some(Body::Length(0)),
            (_, Some(length)) => {
                let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let text = std::str::from_utf8(length).ok().filter(|_| digits)?;
                text.parse().ok().map(Body::Length)
            }
        }
    }
}
