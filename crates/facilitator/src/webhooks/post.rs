//! How a signed message gets to a receiver: HTTP, or whatever stands for it in a test.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use groat_core::Timestamp;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;

use super::guard::{Denied, Guard, Lookup, Pinned};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where.
    pub url: String,
    /// With which fields.
    pub headers: HeaderMap,
    /// What.
    pub body: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer, of which nothing but this is read.
    Answered {
        /// Its status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<String>,
    },
    /// None, and why, in a sentence for the owner of the endpoint.
    Nothing(String),
}

/// Brings messages to receivers.
#[async_trait]
pub trait Post: Send + Sync {
    /// Sends once. Whoever asks gives up after a while.
    async fn post(&self, letter: Letter) -> Reply;
}

/// Over HTTP, to addresses that the guard lets through.
pub struct HttpPost {
    guard: Guard,
    tls: reqwest::Client,
    plain: reqwest::Client,
}

/// The machine has no TLS to offer.
#[derive(Debug, thiserror::Error)]
#[error("no client for webhooks can be built: {0}")]
pub struct PostError(reqwest::Error);

impl HttpPost {
    /// Sends where `guard` allows, by the addresses that `lookup` knows.
    pub fn new(guard: Guard, lookup: &Arc<dyn Lookup>) -> Result<Self, PostError> {
        // Whoever came first has chosen the TLS provider; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |is_plain: bool| {
            let pinned = Pinned { guard, is_plain, lookup: Arc::clone(lookup) };
            reqwest::Client::builder()
                .dns_resolver(Arc::new(pinned))
                // Each would choose another address than the one that was checked.
                .redirect(Policy::none())
                .no_proxy()
                .https_only(!is_plain)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(2)
                .build()
                .map_err(PostError)
        };
        Ok(Self { guard, tls: client(false)?, plain: client(true)? })
    }
}

#[async_trait]
impl Post for HttpPost {
    async fn post(&self, letter: Letter) -> Reply {
        // Again: the operator may allow less than when it was written down.
        let url = match self.guard.url(&letter.url) {
            Ok(url) => url,
            Err(denied) => return Reply::Nothing(format!("the URL is not allowed: {denied}")),
        };
        let client = if url.scheme() == "https" { &self.tls } else { &self.plain };
        let request = client
            .post(url)
            .headers(letter.headers)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("groat-webhooks"))
            .body(letter.body);
        match request.send().await {
            Ok(answer) => Reply::Answered {
                status: answer.status().as_u16(),
                retry_after: answer
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| Some(value.to_str().ok()?.to_owned())),
            },
            Err(error) => Reply::Nothing(explain(&error)),
        }
    }
}

/// In words of ours: the owner of the endpoint reads it, and what a library says may tell of this machine.
fn explain(error: &reqwest::Error) -> String {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = source {
        if let Some(denied) = inner.downcast_ref::<Denied>() {
            return format!("the URL is not allowed: {denied}");
        }
        source = inner.source();
    }
    let text = if error.is_timeout() {
        "it cannot be reached in time"
    } else if error.is_connect() {
        "it cannot be connected to, or its certificate is wrong"
    } else {
        "it closed the connection without an answer"
    };
    text.to_owned()
}

/// Seconds that a receiver asks for, as a number or as a date.
pub(super) fn seconds(retry_after: &str, now: Timestamp) -> Option<u64> {
    let text = retry_after.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(Timestamp(at).since(now))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::*;

    /// A name whose owner says something else each time.
    struct Rebinding(Mutex<Vec<&'static str>>);

    #[async_trait]
    impl Lookup for Rebinding {
        async fn look_up(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(vec![self.0.lock().unwrap().remove(0).parse().unwrap()])
        }
    }

    fn letter(url: String) -> Letter {
        Letter { url, headers: HeaderMap::new(), body: "{}".into() }
    }

    #[tokio::test]
    async fn t18_a_name_that_points_inside_is_not_connected_to_whatever_it_said_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lookup: Arc<dyn Lookup> = Arc::new(Rebinding(Mutex::new(vec!["169.254.169.254", "127.0.0.1"])));
        // Without the guard's port rule in the way: this is about the address.
        let post = HttpPost::new(Guard { allow_private: true }, &lookup).unwrap();
        let refused = post.post(letter(format!("http://shop.example:{port}/"))).await;
        let Reply::Nothing(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains("not on the open internet"), "{why}");
        // The second answer is allowed here, and connected to.
        let (sent, accepted) = tokio::join!(
            tokio::time::timeout(
                Duration::from_secs(5),
                post.post(letter(format!("http://shop.example:{port}/")))
            ),
            async {
                let (stream, _) = listener.accept().await.unwrap();
                drop(stream);
            }
        );
        let ((), Ok(Reply::Nothing(why))) = (accepted, sent) else { panic!("something answered") };
        assert!(why.contains("closed"), "{why}");
        // And with the same name a strict guard connects to nothing.
        let lookup: Arc<dyn Lookup> = Arc::new(Rebinding(Mutex::new(vec!["127.0.0.1"])));
        let strict = HttpPost::new(Guard::default(), &lookup).unwrap();
        let refused = strict.post(letter("https://shop.example:8443/".into())).await;
        assert_eq!(refused, Reply::Nothing(format!("the URL is not allowed: {}", Denied::Address)));
        let literal = strict.post(letter(format!("https://127.0.0.1:{port}/"))).await;
        assert!(matches!(&literal, Reply::Nothing(why) if why.contains("not allowed")), "{literal:?}");
        let more = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(more.is_err(), "somebody connected");
    }

    #[test]
    fn a_wait_is_a_number_or_a_date() {
        let now = Timestamp(1_614_265_330);
        assert_eq!(seconds(" 120 ", now), Some(120));
        assert_eq!(seconds("Thu, 25 Feb 2021 15:04:10 GMT", now), Some(120));
        assert_eq!(seconds("Thu, 25 Feb 2021 15:00:10 GMT", now), Some(0), "it is over");
        for wrong in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(seconds(wrong, now), None, "{wrong}");
        }
    }
}
