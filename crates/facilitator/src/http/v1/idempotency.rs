//! `Idempotency-Key` (IETF draft, as Stripe has it): whoever lost an answer asks again and gets the same one, also after a
//! restart, and another request under the same key is refused (threat rows R12 to R15, T23).
//!
//! The key is a caller's own: its name, method and path are part of where the answer lies. Answers that say "not now"
//! (202, 401, 403, 408, 409, 429 and 5xx) are not kept, so that a retry can get on.

use std::future::Future;

use axum::http::{HeaderMap, StatusCode};
use groat_core::Fault;
use groat_core::books::{KeptAnswer, KeptEvent, KeptState};
use groat_store::{Applied, Entry};
use groat_wire::idempotency::{self, KeyError};
use sha2::{Digest, Sha256};

use super::V1;
use super::reply::Reply;

/// How often the record is tried again because somebody else wrote first.
const TRIES_MAX: usize = 16;

/// What a request goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// The client has chosen it.
    Sent(String),
    /// It follows from the request that is paid. Only success is kept for it, so that nobody's nonsense stands in the way
    /// of a payment.
    Derived(String),
}

/// Whose key it is, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'s> {
    /// The name of the API key, empty where none is needed.
    pub(super) caller: &'s str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
}

impl Scope<'_> {
    /// Where the answer lies. Every part has its length before it.
    fn place(&self, key: &Key) -> String {
        let (kind, key) = match key {
            Key::Sent(key) => ("sent", key),
            Key::Derived(key) => ("derived", key),
        };
        let mut hash = Sha256::new();
        for part in [self.caller, self.method, self.path, kind, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hex(&hash.finalize())
    }
}

/// The key that the client has sent.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Key>, Reply> {
    let wrong = |error: KeyError| {
        Reply::problem(StatusCode::BAD_REQUEST, "invalid_idempotency_key", &error.to_string())
    };
    Ok(idempotency::key(headers).map_err(wrong)?.map(Key::Sent))
}

/// Does the work once for a key, and gives its answer to everybody who asks with the same body. Without a key it is just
/// done. Work that has begun is detached: who hangs up cancels nothing.
pub(super) async fn once(
    v1: &V1,
    scope: Scope<'_>,
    key: Option<Key>,
    body: &[u8],
    work: impl Future<Output = Reply> + Send + 'static,
) -> Reply {
    let Some(key) = key else { return detached(work).await };
    let is_derived = matches!(key, Key::Derived(_));
    let fingerprint = hex(&Sha256::digest(body));
    let mine = match begin(v1, &scope.place(&key), &fingerprint, is_derived).await {
        Ok(Begun::Mine(mine)) => mine,
        Ok(Begun::Answered(reply)) => return reply,
        Ok(Begun::Open) => return detached(work).await,
        Err(fault) => return Reply::fault(&fault),
    };
    let v1 = v1.clone();
    detached(async move {
        let reply = work.await;
        let event = match is_kept(reply.status, is_derived) {
            true => KeptEvent::Keep { status: reply.status.as_u16(), body: reply.body.clone() },
            false => KeptEvent::Release,
        };
        if let Err(fault) = v1.0.answers.apply(mine, event, v1.now()).await {
            // It is free again after a while, and whatever moves money is done once all the same.
            tracing::warn!(%fault, "an answer is not kept");
        }
        reply
    })
    .await
}

async fn detached(work: impl Future<Output = Reply> + Send + 'static) -> Reply {
    let lost = || Reply::fault(&Fault::unavailable("facilitator", "the work was given up"));
    tokio::spawn(work).await.unwrap_or_else(|_| lost())
}

enum Begun {
    Mine(Entry<KeptAnswer>),
    Answered(Reply),
    /// The key was ours to choose, and the body is another: the books say what that is worth.
    Open,
}

async fn begin(v1: &V1, place: &str, fingerprint: &str, is_derived: bool) -> Result<Begun, Fault> {
    for _ in 0..TRIES_MAX {
        let now = v1.now();
        let Some(entry) = v1.0.answers.load(place).await? else {
            let state = KeptState::Running { since: now };
            let first = KeptAnswer { scope: place.to_owned(), fingerprint: fingerprint.to_owned(), state };
            match v1.0.answers.create(first).await? {
                Some(mine) => return Ok(Begun::Mine(mine)),
                None => continue,
            }
        };
        let is_other = entry.record.fingerprint != fingerprint;
        if !entry.record.is_free(now) {
            if is_derived && is_other && matches!(entry.record.state, KeptState::Kept { .. }) {
                return Ok(Begun::Open);
            }
            return Ok(Begun::Answered(known(&entry.record, fingerprint, is_derived)));
        }
        let event = KeptEvent::Begin { fingerprint: fingerprint.to_owned() };
        if let Applied::Done(mine) = v1.0.answers.apply(entry, event, now).await? {
            return Ok(Begun::Mine(mine));
        }
    }
    Err(Fault::unavailable("store", "too many write at once"))
}

/// The answer to whoever comes second.
fn known(record: &KeptAnswer, fingerprint: &str, is_derived: bool) -> Reply {
    let is_same = record.fingerprint == fingerprint;
    match &record.state {
        KeptState::Kept { status, body, .. } if is_same => Reply {
            is_replayed: true,
            ..Reply::new(StatusCode::from_u16(*status).unwrap_or(StatusCode::OK), body.clone())
        },
        // The other may come to nothing, and then this one is as good.
        KeptState::Running { .. } if is_same || is_derived => {
            let detail = "the same request is being worked on: ask again in a moment";
            Reply::problem(StatusCode::CONFLICT, "request_in_progress", detail).again_in(1)
        }
        _ => {
            let detail = "this Idempotency-Key came with another body before: use a new one";
            Reply::problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
        }
    }
}

fn is_kept(status: StatusCode, is_derived: bool) -> bool {
    let lasts = status != StatusCode::ACCEPTED && !status.is_server_error();
    let is_busy = matches!(status.as_u16(), 401 | 403 | 408 | 409 | 429);
    lasts && !is_busy && (!is_derived || status.is_success())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t23_a_field_that_is_no_key_is_a_problem() {
        let mut headers = HeaderMap::new();
        assert_eq!(read(&headers), Ok(None));
        headers.append("idempotency-key", "pay_1".parse().unwrap());
        assert_eq!(read(&headers), Ok(Some(Key::Sent("pay_1".to_owned()))));
        headers.append("idempotency-key", "pay_1".parse().unwrap());
        let problem = read(&headers).unwrap_err();
        assert_eq!(
            (problem.status, &problem.body["code"]),
            (StatusCode::BAD_REQUEST, &serde_json::json!("invalid_idempotency_key"))
        );
    }

    #[test]
    fn r15_another_caller_method_or_path_is_another_key() {
        let place = |caller, path, key: Key| Scope { caller, method: "POST", path }.place(&key);
        let sent = |key: &str| Key::Sent(key.to_owned());
        let one = place("a", "/v1/x", sent("k"));
        assert_ne!(one, place("b", "/v1/x", sent("k")));
        assert_ne!(one, place("a", "/v1/y", sent("k")));
        assert_ne!(one, place("a", "/v1/x", Key::Derived("k".to_owned())));
        assert_ne!(place("ab", "c", sent("k")), place("a", "bc", sent("k")));
    }
}
