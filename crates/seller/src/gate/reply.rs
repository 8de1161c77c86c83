//! A whole answer that can be given more than once.

use axum::body::Body;
use bytes::Bytes;
use groat_core::books::Answer;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

/// Status, header fields and body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Boxed because replies travel as errors.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// JSON that nobody may cache.
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self { status, headers: Box::new(headers), body: body.to_string().into() }
    }

    /// A code for programs and a sentence for people.
    pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "error": code, "message": message }))
    }

    /// The same, to be tried again in so many seconds.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.headers.insert(RETRY_AFTER, seconds.into());
        self
    }

    /// Says that a token was shown which lets nobody in (RFC 6750 section 3.1).
    #[must_use]
    pub(crate) fn with_bad_token(mut self, why: Option<&str>) -> Self {
        let Some(why) = why else { return self };
        let error = format!(r#"error="invalid_token", error_description="{why}""#);
        // One challenge of a scheme says all of it, and what other schemes say stays behind it.
        let is_bearer = |said: &HeaderValue| said.as_bytes().starts_with(b"Bearer ");
        let (bearer, others): (Vec<_>, Vec<_>) =
            self.headers.get_all(WWW_AUTHENTICATE).iter().cloned().partition(is_bearer);
        let text = match bearer.first().and_then(|said| said.to_str().ok()) {
            Some(said) => format!("{said}, {error}"),
            None => format!("Bearer {error}"),
        };
        if let Ok(value) = HeaderValue::try_from(text) {
            self.headers.insert(WWW_AUTHENTICATE, value);
            others.into_iter().for_each(|value| {
                self.headers.append(WWW_AUTHENTICATE, value);
            });
        }
        self
    }

    /// What the handler answered, as it lies in the book; `None` when the body was too large to keep.
    pub(crate) fn from_answer(answer: &Answer) -> Option<Self> {
        let body = data_encoding::BASE64.decode(answer.body.as_deref()?.as_bytes()).ok()?;
        Some(Self {
            status: StatusCode::from_u16(answer.status).ok()?,
            headers: Box::new(answer_headers(answer)),
            body: body.into(),
        })
    }

    /// As an HTTP response.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

fn answer_headers(answer: &Answer) -> HeaderMap {
    let field = |(name, value): &(String, String)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
    };
    answer.headers.iter().filter_map(field).collect()
}

/// The fields of an answer that hold for a resend too. Values that are not text cannot be written into the book, so
/// they are left out for whoever comes first as well.
pub(crate) fn kept_fields(fields: &HeaderMap, method: &Method) -> HeaderMap {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        value.to_str().ok().map(|_| (name.clone(), value.clone()))
    };
    let mut kept: HeaderMap = fields.iter().filter_map(text).collect();
    // The length follows from the body, except where there is none by definition.
    if method != Method::HEAD {
        kept.remove(CONTENT_LENGTH);
    }
    kept
}

/// An answer for the book.
pub(crate) fn answer(status: StatusCode, headers: &HeaderMap, body: Option<&[u8]>) -> Answer {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    Answer {
        status: status.as_u16(),
        headers: headers.iter().filter_map(field).collect(),
        body: body.map(|bytes| data_encoding::BASE64.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_token_is_told_in_its_own_challenge_and_the_others_stay() {
        for (said, told) in [
            (vec![], vec![r#"Bearer error="#]),
            (vec!["Bearer realm=\"a\""], vec![r#"Bearer realm="a", error="#]),
            (vec!["Bearer realm=\"a\"", "Other b=1"], vec![r#"Bearer realm="a", error="#, "Other b=1"]),
            (vec!["Other b=1", "Other b=2"], vec![r#"Bearer error="#, "Other b=1", "Other b=2"]),
        ] {
            let mut reply = Reply::error(StatusCode::PAYMENT_REQUIRED, "x", "y");
            for value in said {
                reply.headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(value));
            }
            let reply = reply.with_bad_token(Some("it is old"));
            let values: Vec<_> = reply.headers.get_all(WWW_AUTHENTICATE).iter().collect();
            assert_eq!(values.len(), told.len());
            for (value, start) in values.into_iter().zip(told) {
                assert!(value.to_str().unwrap().starts_with(start), "{value:?}");
            }
        }
    }
}
