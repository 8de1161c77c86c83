//! Header fields that must not pass: payments inward, receipts of strangers outward, and what belongs to one hop.

use std::sync::LazyLock;

use groat_wire::pass::PASS_HEADER_NAME;
use groat_wire::{COMPANION_HEADERS, PAYMENT_HEADERS, RESPONSE_HEADERS, credentials};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, VARY, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that some frameworks obey instead of method and path (threat row H16).
const TRICKS: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
];

/// What only a gate may tell the server behind it (threat row G17).
pub(crate) const FROM_GATE: &[&str] =
    &["x-payment-id", "x-payment-payer", "x-payment-amount", "x-payment-asset", "x-payment-network"];

/// Fields of one connection (RFC 9110 section 7.6.1).
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields by which a server behind us could pretend to be the cashier (threat row G16).
const OWN: &[&str] = &["settlement-overrides", "extension-responses"];

/// What a client says beside its payment, such as how it can pay.
pub(crate) fn companions(headers: &HeaderMap) -> HeaderMap {
    let mut told = HeaderMap::new();
    for name in COMPANION_HEADERS.iter() {
        headers.get_all(*name).iter().for_each(|value| {
            told.append(*name, value.clone());
        });
    }
    told
}

/// Takes payments, tricks and forged gate fields off a request, so that nobody behind us logs or obeys them.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let spoken = PAYMENT_HEADERS.iter().chain(COMPANION_HEADERS.iter()).chain(RESPONSE_HEADERS.iter());
    for name in spoken.chain(TRICKS).chain(FROM_GATE).chain(OWN) {
        headers.remove(*name);
    }
    credentials::take_payments(headers, &AUTHORIZATION);
    strip_hop(headers);
}

/// Takes challenges, receipts and fields of the connection off an answer.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    for name in RESPONSE_HEADERS.iter().chain(OWN) {
        headers.remove(*name);
    }
    credentials::take_payments(headers, &WWW_AUTHENTICATE);
    strip_hop(headers);
}

fn strip_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(*name);
    }
}

/// Answers differ by who pays, so caches must tell them apart (threat row G18).
pub(crate) fn vary(headers: &mut HeaderMap) {
    static FIELDS: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
        let spoken = PAYMENT_HEADERS.iter().chain(COMPANION_HEADERS.iter()).copied();
        let names: Vec<&str> = spoken.chain([PASS_HEADER_NAME, "authorization"]).collect();
        HeaderValue::try_from(names.join(", ")).ok()
    });
    if let Some(fields) = &*FIELDS {
        headers.append(VARY, fields.clone());
    }
}

/// A paid answer belongs to one buyer: `private` is added, and what says otherwise is taken away.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    let told: Vec<String> = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_owned())
        .filter(|directive| {
            let name = directive.split('=').next().unwrap_or_default().to_ascii_lowercase();
            !matches!(name.as_str(), "" | "public" | "s-maxage" | "private")
        })
        .chain(["private".to_owned()])
        .collect();
    if let Ok(value) = HeaderValue::try_from(told.join(", ")) {
        headers.insert(CACHE_CONTROL, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g18_a_paid_answer_is_never_for_shared_caches() {
        for (told, kept) in [
            (None, "private"),
            (Some("public, max-age=60"), "max-age=60, private"),
            (Some("no-store"), "no-store, private"),
            (Some("private, s-maxage=9"), "private"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(told) = told {
                headers.insert(CACHE_CONTROL, HeaderValue::from_static(told));
            }
            keep_private(&mut headers);
            assert_eq!(headers[CACHE_CONTROL], kept);
        }
    }

    #[test]
    fn g18_every_field_that_a_dialect_reads_of_a_request_tells_answers_apart() {
        let mut headers = HeaderMap::new();
        vary(&mut headers);
        let told: Vec<&str> = headers[VARY].to_str().unwrap().split(", ").collect();
        for name in PAYMENT_HEADERS.iter().chain(COMPANION_HEADERS.iter()).chain(&[PASS_HEADER_NAME]) {
            assert!(told.contains(name), "{name}");
        }
        assert!(told.contains(&"authorization"));
    }

    #[test]
    fn fields_named_by_connection_go_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "x-secret, close"), ("x-secret", "1"), ("x-kept", "1"), ("te", "x")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip_request(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-kept"]);
    }
}
