//! The unpaid exchange: ask, follow, and read the challenge.

use groat_core::Challenge;
use groat_core::payment::DialectId;
use http::StatusCode;
use http::header::LOCATION;
use reqwest::{Method, Request, Response};

use super::{BuyError, Client, REDIRECTS_MAX};

/// What came back before anything was paid.
pub(super) enum Answer {
    /// Nothing has to be paid, or nothing that we understand.
    Free(Response),
    /// It costs something.
    Challenge {
        /// The 402 itself.
        response: http::response::Parts,
        /// Its language.
        dialect: DialectId,
        /// What it says.
        challenge: Challenge,
    },
}

/// Most of a 402's body that is read (threat row Y14).
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long its body may take.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

impl Client {
    /// Sends the request unpaid. A redirected GET is followed, because it carries nothing yet; the request that was
    /// answered is returned.
    pub(super) async fn ask(&self, mut request: Request) -> Result<(Request, Answer), BuyError> {
        for _ in 0..=REDIRECTS_MAX {
            let copy = request.try_clone().ok_or_else(|| BuyError::fault("the body must be in memory"))?;
            let url = request.url().clone();
            let response = self.http.execute(copy).await.map_err(|error| unreachable_host(&url, &error))?;
            if let Some(next) = redirect(&request, &response) {
                *request.url_mut() = next;
                continue;
            }
            if response.status() != StatusCode::PAYMENT_REQUIRED {
                return Ok((request, Answer::Free(response)));
            }
            let (parts, body) = read(response).await?;
            return match self.buyer.dialects.read_challenge(&parts.headers, &body)? {
                Some((dialect, challenge)) => {
                    Ok((request, Answer::Challenge { response: parts, dialect, challenge }))
                }
                None => {
                    let response = http::Response::from_parts(parts, body);
                    Ok((request, Answer::Free(response.into())))
                }
            };
        }
        Err(BuyError::fault(format!("more than {REDIRECTS_MAX} redirects")))
    }
}

/// Where a GET is sent instead. Other methods are not repeated elsewhere without being asked to.
fn redirect(request: &Request, response: &Response) -> Option<url::Url> {
    if !response.status().is_redirection() || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let target = response.headers().get(LOCATION)?.to_str().ok()?;
    let target = request.url().join(target).ok()?;
    // From https to http would be a step down.
    (target.scheme() == request.url().scheme() || target.scheme() == "https").then_some(target)
}

async fn read(mut response: Response) -> Result<(http::response::Parts, Vec<u8>), BuyError> {
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
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return Err(BuyError::fault("the challenge is larger than 65536 bytes")),
        Ok(Err(error)) => {
            return Err(BuyError::fault(format!("the challenge broke off: {}", error.without_url())));
        }
        Err(_) => return Err(BuyError::fault("the challenge took longer than 10 seconds")),
    }
    let (parts, _) = http::Response::from(response).into_parts();
    Ok((parts, body))
}

/// A connection that does not come about, in words.
pub(super) fn unreachable_host(url: &url::Url, error: &reqwest::Error) -> BuyError {
    let what = if error.is_timeout() {
        "does not answer in time"
    } else if error.is_connect() {
        "cannot be reached: is the address right, and is something running there?"
    } else {
        "broke the connection"
    };
    BuyError::fault(format!("{} {what}", super::host(url)))
}
