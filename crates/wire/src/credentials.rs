//! Payments that share a field with what is not ours: credentials of HTTP authentication (RFC 9110, section 11).
//!
//! `Authorization` may hold a pass, what the server behind us asks for, or a payment in the scheme of a dialect; only the
//! scheme tells them apart. The same holds for challenges in `WWW-Authenticate`.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{PAYMENT_HEADERS, PAYMENT_SCHEMES};

/// Whether a request carries a payment, in a field of its own or in `Authorization`.
pub fn has_payment(headers: &HeaderMap) -> bool {
    count_shared(headers) > 0 || PAYMENT_HEADERS.iter().any(|name| headers.contains_key(*name))
}

/// How many payments there are in `Authorization`.
pub(crate) fn count_shared(headers: &HeaderMap) -> usize {
    spoken(headers, &AUTHORIZATION, &PAYMENT_SCHEMES).count()
}

/// The values of a field in which one of these schemes speaks.
pub(crate) fn spoken<'h>(
    headers: &'h HeaderMap,
    field: &HeaderName,
    schemes: &'h [&'h str],
) -> impl Iterator<Item = &'h HeaderValue> {
    headers.get_all(field).iter().filter(move |value| has_scheme(value, schemes))
}

/// Takes what speaks a scheme of payments out of a field, and leaves the rest as it was.
pub fn take_payments(headers: &mut HeaderMap, field: &HeaderName) {
    take(headers, field, &PAYMENT_SCHEMES);
}

fn take(headers: &mut HeaderMap, field: &HeaderName, schemes: &[&str]) {
    if spoken(headers, field, schemes).next().is_none() {
        return;
    }
    let kept: Vec<_> =
        headers.get_all(field).iter().filter(|value| !has_scheme(value, schemes)).cloned().collect();
    headers.remove(field);
    kept.into_iter().for_each(|value| {
        headers.append(field, value);
    });
}

/// Whether one of these schemes speaks in a field value. Some join several by commas; quotes are not looked at, because
/// taking too much for a payment is the safe mistake.
fn has_scheme(value: &HeaderValue, schemes: &[&str]) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| {
        let scheme = part.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default();
        schemes.iter().any(|name| scheme.eq_ignore_ascii_case(name.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_found_in_any_case_and_behind_others() {
        let has = |text: &'static str| has_scheme(&HeaderValue::from_static(text), &["payment"]);
        for text in ["Payment abc", "payment\tabc", "PAYMENT", "Bearer x, Payment y", "Basic a,payment b"] {
            assert!(has(text), "{text}");
        }
        for text in ["", "Bearer payment", "Payments abc", "Basic payment", "Digest a=\"Payment\", b=1"] {
            assert!(!has(text), "{text}");
        }
    }

    #[test]
    fn only_payments_are_taken_and_the_rest_keeps_its_order() {
        let mut headers = HeaderMap::new();
        for value in ["Bearer one", "Payment two", "Basic three", "payment four"] {
            headers.append(AUTHORIZATION, HeaderValue::from_static(value));
        }
        take(&mut headers, &AUTHORIZATION, &["payment"]);
        assert_eq!(headers.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer one", "Basic three"]);
        take(&mut headers, &AUTHORIZATION, &["bearer", "basic"]);
        assert!(!headers.contains_key(AUTHORIZATION));
    }
}
