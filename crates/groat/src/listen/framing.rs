//! Watches the bytes of an HTTP/1 connection for heads that two servers could read in two ways.
//!
//! The HTTP library is lenient where the standard lets it be: it takes a bare LF for the end of a line, and one of two
//! lengths. A server in front of us may choose otherwise, and then a request can hide in the body of another (threat
//! row H11). Here nothing is parsed twice: suspicion is noted, and the answer is a refusal.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether a connection has sent something ambiguous. It does not recover from that.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion(Arc<AtomicBool>);

impl Suspicion {
    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A stream whose incoming bytes are watched.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: S,
    watch: Watch,
    suspicion: Suspicion,
}

impl<S> Framed<S> {
    pub(super) fn new(stream: S, suspicion: Suspicion) -> Self {
        Self { stream, watch: Watch::default(), suspicion }
    }
}

/// The longest start of a line that is kept: the names and values of interest are shorter.
const LINE_BYTES_MAX: usize = 128;

#[derive(Debug)]
enum Place {
    Head,
    /// So many bytes of body are left.
    Body(u64),
    /// HTTP/2, or a body after which the connection ends.
    Rest,
}

#[derive(Debug)]
struct Watch {
    place: Place,
    /// The start of the line, without its end.
    line: Vec<u8>,
    /// Whether the last byte was a CR.
    cr: bool,
    first_line: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            place: Place::Head,
            line: Vec::new(),
            cr: false,
            first_line: true,
            length: None,
            chunked: false,
        }
    }
}

impl Watch {
    /// Looks at what came in; `false` when it is ambiguous.
    fn see(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.place {
                Place::Rest => return true,
                Place::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= here as u64;
                    if *left == 0 {
                        *self = Self::default();
                    }
                    bytes = &bytes[here..];
                }
                Place::Head => {
                    bytes = rest;
                    let after_cr = std::mem::replace(&mut self.cr, byte == b'\r');
                    let fine = match byte {
                        b'\n' => after_cr && self.end_of_line(),
                        _ => !after_cr,
                    };
                    if !fine {
                        return false;
                    }
                    if !matches!(byte, b'\r' | b'\n') && self.line.len() < LINE_BYTES_MAX {
                        self.line.push(byte);
                    }
                }
            }
        }
        true
    }

    fn end_of_line(&mut self) -> bool {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            // Empty lines before a request are ignored (RFC 9112, section 2.2).
            if !self.first_line {
                self.end_of_head();
            }
            return true;
        }
        if std::mem::take(&mut self.first_line) {
            if line == *b"PRI * HTTP/2.0" {
                self.place = Place::Rest;
            }
            return true;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return true };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits =
                value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()?.parse().ok());
            // Two lengths, even equal ones, or one that is no number or may go on behind what was kept of the line.
            let Some(length) = digits.flatten().filter(|_| line.len() < LINE_BYTES_MAX) else { return false };
            return self.length.replace(length).is_none() && !self.chunked;
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return !std::mem::replace(&mut self.chunked, true) && self.length.is_none();
        }
        true
    }

    fn end_of_head(&mut self) {
        self.place = match (self.chunked, self.length) {
            (true, _) => Place::Rest,
            (false, Some(length)) if length > 0 => Place::Body(length),
            _ => {
                *self = Self::default();
                return;
            }
        };
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let result = Pin::new(&mut this.stream).poll_read(context, buffer);
        if !this.suspicion.is_raised() && !this.watch.see(&buffer.filled()[before..]) {
            this.suspicion.raise();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fine(bytes: &[u8]) -> bool {
        // Whole, and byte by byte: where a read ends means nothing.
        let whole = Watch::default().see(bytes);
        let mut watch = Watch::default();
        assert_eq!(whole, bytes.iter().all(|byte| watch.see(std::slice::from_ref(byte))));
        whole
    }

    #[test]
    fn h11_heads_that_can_be_read_in_two_ways_are_noticed() {
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\nHost: a\r\n\r\n", "y".repeat(5000));
        let long_lf = format!("GET / HTTP/1.1\r\nx: {}\nHost: a\r\n\r\n", "y".repeat(5000));
        // What was kept of the line is the length 0; read so, the body would be a head that hides what follows it.
        let zeros = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}41\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n{}",
            "0".repeat(200),
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        for (bytes, fine) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\na\nb\nGET / HTTP/1.1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n", true),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n", true),
            (&long, true),
            (&long_lf, false),
            (&zeros, false),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\naGET / HTTP/1.1\nHost: a\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", false),
        ] {
            assert_eq!(is_fine(bytes.as_bytes()), fine, "{bytes:.200}");
        }
    }
}
