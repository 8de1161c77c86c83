//! The unpaid exchange: ask, follow, and read the challenge.

use std::time::Duration;

use groat_core::Challenge;
use groat_core::payment::DialectId;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_ENCODING, LOCATION, RANGE, USER_AGENT};
use http::{HeaderName, StatusCode};
use reqwest::{Method, Request, Response};
use url::Url;

use super::url::{host, leads_inside, same_origin};
use super::{BuyError, Client};

/// What came back before anything was paid.
pub(super) enum Answer {
    /// Nothing has to be paid, or nothing that we understand.
    Free(Response),
    /// It costs something.
    Challenge {
        /// The request that was answered: after a redirect not the one that was sent first.
        request: Box<Request>,
        /// The language of the challenge.
        dialect: DialectId,
        /// What it says.
        challenge: Challenge,
    },
}

/// Redirects of an unpaid request that are followed.
const REDIRECTS_MAX: usize = 5;
/// Most of a 402's body that is read (threat row Y14).
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;
/// All that another origin learns of a request that was redirected to it.
const FOLLOWING_HEADERS: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, RANGE, USER_AGENT];

/// Why an exchange came to nothing.
pub(super) enum Broken {
    /// The head of the answer took too long.
    Timeout,
    /// There is no connection, or it broke.
    Connection(reqwest::Error),
}

impl Client {
    /// Sends the request unpaid, with a pass where there is one for exactly this. A redirected GET is followed, because it
    /// carries no payment yet.
    pub(super) async fn ask(&self, mut request: Request) -> Result<Answer, BuyError> {
        for _ in 0..=REDIRECTS_MAX {
            let mut copy = request.try_clone().ok_or_else(BuyError::stream)?;
            let with_pass = self.show_pass(&mut copy).await;
            let response = self.exchange(copy).await.map_err(|broken| broken.told(request.url()))?;
            if let Some(next) = redirect(&request, &response)? {
                follow(&mut request, next);
                continue;
            }
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                return Ok(Answer::Free(response));
            }
            if with_pass {
                self.forget_pass(&request).await;
            }
            let (parts, body) = self.read(response).await?;
            let only = self.buyer.options.dialect.as_ref();
            return match self.buyer.dialects.read_challenge_in(only, &parts.headers, &body)? {
                Some((dialect, challenge)) => {
                    Ok(Answer::Challenge { request: Box::new(request), dialect, challenge })
                }
                None => Ok(Answer::Free(http::Response::from_parts(parts, body).into())),
            };
        }
        Err(BuyError::fault(format!("{} redirects more than {REDIRECTS_MAX} times", host(request.url()))))
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn exchange(&self, request: Request) -> Result<Response, Broken> {
        self.exchange_within(request, self.buyer.options.timeout).await
    }

    /// The same, for whoever has less time.
    pub(super) async fn exchange_within(
        &self,
        request: Request,
        limit: Duration,
    ) -> Result<Response, Broken> {
        match tokio::time::timeout(limit, self.http.execute(request)).await {
            Ok(result) => result.map_err(Broken::Connection),
            Err(_) => Err(Broken::Timeout),
        }
    }

    /// The whole of a 402, if it is small and comes soon.
    pub(super) async fn read(
        &self,
        mut response: Response,
    ) -> Result<(http::response::Parts, Vec<u8>), BuyError> {
        // We did not offer to unpack anything.
        if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(BuyError::fault("the challenge is compressed, which nobody asked for"));
        }
        let mut body = Vec::new();
        let reading = async {
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > BODY_BYTES_MAX {
                    return Ok(false);
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<bool, reqwest::Error>(true)
        };
        let limit = self.buyer.options.challenge_timeout;
        match tokio::time::timeout(limit, reading).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                return Err(BuyError::fault(format!("the challenge is larger than {BODY_BYTES_MAX} bytes")));
            }
            Ok(Err(error)) => {
                return Err(BuyError::fault(format!("the challenge broke off: {}", error.without_url())));
            }
            Err(_) => return Err(BuyError::fault(format!("the challenge took longer than {limit:?}"))),
        }
        let (parts, _) = http::Response::from(response).into_parts();
        Ok((parts, body))
    }
}

/// Where a GET is sent instead. Other methods and bodies are not repeated elsewhere without being asked to.
fn redirect(request: &Request, response: &Response) -> Result<Option<Url>, BuyError> {
    let followed = [301, 302, 303, 307, 308].contains(&response.status().as_u16())
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && request.body().is_none();
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let Some(target) = location.filter(|_| followed).and_then(|text| request.url().join(text).ok()) else {
        return Ok(None);
    };
    let from = request.url();
    let is_step_down = from.scheme() == "https" && target.scheme() != "https";
    let is_web = matches!(target.scheme(), "http" | "https") && target.has_host();
    if is_step_down || !is_web || leads_inside(from, &target) {
        return Err(BuyError::fault(format!(
            "{} redirects to {}://{}, where this client does not follow",
            host(from),
            target.scheme(),
            host(&target)
        )));
    }
    Ok(Some(target))
}

fn follow(request: &mut Request, mut next: Url) {
    next.set_fragment(None);
    // Nobody asked for these, and before the host they look like one (threat row Y23).
    let _ = next.set_username("");
    let _ = next.set_password(None);
    if !same_origin(request.url(), &next) {
        let headers = std::mem::take(request.headers_mut());
        let kept = headers.iter().filter(|(name, _)| FOLLOWING_HEADERS.contains(name));
        request.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    }
    *request.url_mut() = next;
}

impl Broken {
    /// In words.
    fn told(&self, url: &Url) -> BuyError {
        let what = match self {
            Self::Timeout => "does not answer in time",
            Self::Connection(error) if error.is_timeout() => "does not answer in time",
            Self::Connection(error) if error.is_connect() => {
                "cannot be reached: is the address right, and is something running there?"
            }
            Self::Connection(_) => "broke the connection",
        };
        BuyError::fault(format!("{} {what}", host(url)))
    }
}
