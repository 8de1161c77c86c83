//! A body on its way to the client while a copy is kept; it goes on when the client has left (threat row G09).

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

type Piece = Result<Frame<Bytes>, axum::Error>;

/// The client's end.
struct Relay(mpsc::Receiver<Piece>);

impl http_body::Body for Relay {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.0.poll_recv(context)
    }
}

/// A body of this length, where it is known, and what feeds it.
pub(crate) fn relay(length: Option<u64>) -> (Pump, Body) {
    // A few pieces of lead; a client that reads slowly slows the handler down.
    let (sender, receiver) = mpsc::channel(4);
    (Pump { client: sender, left: length, last: None }, Body::new(Relay(receiver)))
}

/// The handler's end. The client's body ends well by [`Pump::finish`] only.
pub(crate) struct Pump {
    client: mpsc::Sender<Piece>,
    /// How much is to come, where that is known.
    left: Option<u64>,
    /// The piece that makes the whole; a client that has it believes that all is well.
    last: Option<Frame<Bytes>>,
}

impl Pump {
    /// Sends `prefix` and then everything of `body`; gives the whole back when it is complete and not larger than
    /// `size_bytes_max`. Once the client has left there are `drain` for the rest.
    pub(crate) async fn run(
        &mut self,
        prefix: Bytes,
        mut body: Body,
        size_bytes_max: usize,
        drain: Duration,
    ) -> Option<Bytes> {
        let mut copy = Some(BytesMut::new());
        if !prefix.is_empty() {
            keep(&mut copy, &prefix, size_bytes_max);
            self.pass(Frame::data(prefix)).await;
        }
        let mut left: Option<Instant> = self.client.is_closed().then(|| Instant::now() + drain);
        loop {
            let end = left.unwrap_or_else(Instant::now);
            let frame = tokio::select! {
                frame = AssertUnwindSafe(body.frame()).catch_unwind() => frame,
                () = self.client.closed(), if left.is_none() => {
                    left = Some(Instant::now() + drain);
                    continue;
                }
                () = sleep_until(end), if left.is_some() => return None,
            };
            let frame = match frame {
                Ok(None) => return copy.map(BytesMut::freeze),
                Ok(Some(Ok(frame))) => frame,
                // The client must not take a part for the whole: its connection breaks as the handler's body did.
                Ok(Some(Err(error))) => {
                    let _ = self.client.send(Err(error)).await;
                    return None;
                }
                Err(_) => {
                    let _ = self.client.send(Err(axum::Error::new("the handler's body panicked"))).await;
                    return None;
                }
            };
            if let Some(piece) = frame.data_ref() {
                keep(&mut copy, piece, size_bytes_max);
            }
            if left.is_none() {
                self.pass(frame).await;
            } else if copy.is_none() {
                // Nobody reads it and it is too large to keep.
                return None;
            }
        }
    }

    /// Gives a piece to the client. When this fails the client has left, which is noticed elsewhere.
    async fn pass(&mut self, frame: Frame<Bytes>) {
        if let (Some(left), Some(piece)) = (&mut self.left, frame.data_ref()) {
            let before = std::mem::replace(left, left.saturating_sub(piece.len() as u64));
            match (before, *left) {
                // More than was announced.
                (0, _) => return,
                (_, 0) => {
                    self.last = Some(frame);
                    return;
                }
                _ => {}
            }
        }
        let _ = self.client.send(Ok(frame)).await;
    }

    /// The answer is in the book: the client may have all of it.
    pub(crate) async fn finish(self) {
        if let Some(last) = self.last {
            let _ = self.client.send(Ok(last)).await;
        }
    }

    /// The answer is not in the book: the client must not take it for the whole.
    pub(crate) async fn fail(self) {
        let _ = self.client.send(Err(axum::Error::new("the answer could not be kept"))).await;
    }
}

fn keep(copy: &mut Option<BytesMut>, piece: &Bytes, size_bytes_max: usize) {
    if copy.as_ref().is_some_and(|bytes| bytes.len() + piece.len() > size_bytes_max) {
        *copy = None;
    }
    if let Some(bytes) = copy {
        bytes.extend_from_slice(piece);
    }
}
