//! Whatever is told reads back, and is paid once.

use groat_core::payment::ReceiptOutcome;
use groat_core::{Challenge, Network, Offer, Reason, Receipt, Timestamp};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::json;

use super::super::{ID, Mpp, PAYMENT_HEADER, RECEIPT_HEADER, expires};
use super::{NOW, asked, fields, moment, offer, opened, paid, payment_of, sealed, told, values};
use crate::{Dialect, Dialects, Freshness, PAYMENT_HEADERS, PAYMENT_SCHEMES, RESPONSE_HEADERS, WireError};

#[test]
fn a_challenge_reads_back_and_its_payment_accepts_the_offer() {
    let challenge = asked(vec![offer()]);
    let read = Mpp.read_challenge(&told(&challenge), br#"{"error": "why"}"#).unwrap().unwrap();
    assert_eq!((read.error.as_str(), read.offers.len()), ("why", 1));
    let ours = &read.offers[0];
    assert_eq!((&ours.network, &ours.asset, ours.amount), (&offer().network, &offer().asset, offer().amount));
    assert_eq!((&ours.pay_to, &ours.extra), (&offer().pay_to, &offer().extra));
    let payment = paid(&read, ours);
    let arrived = Mpp.read_payment(&fields(&payment)).unwrap().unwrap();
    assert_eq!(arrived, payment);
    assert_eq!(Mpp.choose(&arrived, &challenge), Ok(&challenge.offers[0]));
    assert_eq!(Mpp.prescribe(&read, ours).expires_at, Some(NOW.plus(300)));
}

#[test]
fn every_offer_has_a_field_and_a_number_of_its_own() {
    let dear = Offer { amount: groat_core::Amount::from_units(20_000), ..offer() };
    let challenge = asked(vec![offer(), dear]);
    let headers = told(&challenge);
    assert_eq!(values(&headers).len(), 2);
    let read = Mpp.read_challenge(&headers, b"").unwrap().unwrap();
    let nonces: Vec<_> = read.offers.iter().map(|offer| Mpp.prescribe(&read, offer).nonce).collect();
    assert_ne!(nonces[0], nonces[1]);
    for (told, ours) in read.offers.iter().zip(&challenge.offers) {
        assert_eq!(Mpp.choose(&paid(&read, told), &challenge), Ok(ours));
    }
}

#[test]
fn what_the_dialect_cannot_say_it_does_not_say() {
    let unnamed = Offer { extra: Default::default(), ..offer() };
    let permit2 = Offer {
        extra: json!({"name": "A", "version": "1", "assetTransferMethod": "permit2"})
            .as_object()
            .cloned()
            .unwrap(),
        ..offer()
    };
    let elsewhere =
        Offer { network: Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap(), ..offer() };
    let other = Offer { scheme: "upto".into(), ..offer() };
    for offer in [unnamed, permit2, elsewhere, other] {
        assert_eq!(Mpp.freshness(std::slice::from_ref(&offer)), Freshness::Kept);
        assert!(told(&asked(vec![offer])).is_empty());
    }
    // Without a moment there is no number that is new.
    assert_eq!(Mpp.freshness(&[offer()]), Freshness::Fields);
    assert!(told(&Challenge { moment: None, ..asked(vec![offer()]) }).is_empty());
    // What would not fit into a field.
    assert!(told(&asked(vec![Offer { asset: "\u{e9}".into(), ..offer() }])).len() == 1, "base64 holds all");
    let many = vec![offer(); 9];
    assert_eq!(values(&told(&asked(many))).len(), 3);
}

#[test]
fn the_tokens_challenge_stays_first_and_header_fields_stay_small() {
    let challenge = Challenge { pass_at: Some("/token/GET/weather".into()), ..asked(vec![offer()]) };
    let parts = Dialects::all().write_challenge(&challenge);
    let told = values(&parts.headers);
    assert!(told[0].starts_with("Bearer ") && told[1].starts_with("Payment id="), "{told:?}");
    let size: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    assert!(size < 3_000, "{size}");
}

#[test]
fn buyers_take_it_last_and_when_it_is_asked_for() {
    let parts = Dialects::all().write_challenge(&asked(vec![offer()]));
    let body = serde_json::to_vec(&parts.body).unwrap();
    let (first, _) = Dialects::all().read_challenge(&parts.headers, &body).unwrap().unwrap();
    assert_eq!(first.as_str(), "x402-v2");
    let (only, _) = Dialects::all().read_challenge_in(Some(&ID), &parts.headers, &body).unwrap().unwrap();
    assert_eq!(only, ID);
    assert_eq!(Dialects::all().iter().last().map(Dialect::id), Some(ID));
}

#[test]
fn h07_two_payments_are_ambiguous_wherever_they_are() {
    let own = fields(&payment_of(&asked(vec![offer()])));
    let shared = sealed("authorization", &opened(&own, PAYMENT_HEADER));
    let both = |one: &HeaderMap, other: &HeaderMap| {
        let mut headers = one.clone();
        other.iter().for_each(|(name, value)| {
            headers.append(name, value.clone());
        });
        Dialects::all().read_payment(&headers)
    };
    for (one, other) in [(&own, &own), (&own, &shared), (&shared, &shared)] {
        assert_eq!(both(one, other), Err(WireError::Ambiguous));
    }
    let x402 = super::field("payment-signature", "e30=");
    assert_eq!(both(&x402, &own), Err(WireError::Ambiguous));
    assert_eq!(both(&x402, &shared), Err(WireError::Ambiguous));
}

#[test]
fn what_stands_in_authorization_for_others_is_no_payment() {
    for text in ["Bearer abc", "Basic YTpi", "Payments x"] {
        let headers = super::field("authorization", text);
        assert_eq!(Dialects::all().read_payment(&headers), Ok(None));
        let mut written = headers.clone();
        let payment = payment_of(&asked(vec![offer()]));
        Mpp.write_payment(&payment, &mut written).unwrap();
        assert_eq!(written[AUTHORIZATION], text, "it has a field of its own");
        assert_eq!(Dialects::all().read_payment(&written), Ok(Some(payment)));
    }
    assert!(PAYMENT_SCHEMES.contains(&"payment") && PAYMENT_HEADERS.contains(&PAYMENT_HEADER));
}

#[test]
fn a_payment_is_read_from_the_field_that_its_challenge_selects() {
    let payment = payment_of(&asked(vec![offer()]));
    let mut json = opened(&fields(&payment), PAYMENT_HEADER);
    assert!(Mpp.read_payment(&sealed("authorization", &json)).is_err());
    // A client of an earlier draft does not know the parameter, and does not repeat it.
    json["challenge"].as_object_mut().unwrap().remove("header");
    assert!(Mpp.read_payment(&sealed(PAYMENT_HEADER, &json)).is_err());
    let shared = sealed("authorization", &json);
    let arrived = Mpp.read_payment(&shared).unwrap().unwrap();
    assert!(Mpp.choose(&arrived, &asked(vec![offer()])).is_ok());
    // One that we pay ourselves goes there, and replaces nothing.
    let mut written = HeaderMap::new();
    Mpp.write_payment(&arrived, &mut written).unwrap();
    assert_eq!(opened(&written, "authorization"), json);
    let mut taken = super::field("authorization", "Bearer mine");
    assert!(Mpp.write_payment(&arrived, &mut taken).is_err());
    assert_eq!(taken[AUTHORIZATION], "Bearer mine");
}

#[test]
fn only_settled_money_has_a_receipt_and_it_reads_back() {
    let receipt = |outcome, settled_at| Receipt {
        outcome,
        network: Network::eip155(84532),
        transaction: Some("0xab".into()),
        payer: None,
        amount: None,
        settled_at,
    };
    let written = |receipt: &Receipt| {
        let mut headers = HeaderMap::new();
        Mpp.write_receipt(receipt, &mut headers);
        headers
    };
    let settled = receipt(ReceiptOutcome::Settled, Some(NOW));
    assert_eq!(Mpp.read_receipt(&written(&settled)), Ok(Some(settled)));
    for silent in [
        receipt(ReceiptOutcome::Pending, Some(NOW)),
        receipt(ReceiptOutcome::Failed(Reason::Expired), Some(NOW)),
        receipt(ReceiptOutcome::Settled, None),
    ] {
        assert!(written(&silent).is_empty());
    }
    assert!(RESPONSE_HEADERS.contains(&RECEIPT_HEADER));
}

#[test]
fn a_date_is_read_in_every_spelling_of_the_rfc_and_nothing_else_is() {
    // From `date -u -d … +%s`.
    for (text, at) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T00:00:00Z", 951_782_400),
        ("2027-01-15T08:00:00.000Z", 1_800_000_000),
        ("2027-01-15t09:30:00.123456+01:30", 1_800_000_000),
        ("2027-01-15T00:00:00-08:00", 1_800_000_000),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ] {
        assert_eq!(expires::read(text), Some(Timestamp(at)), "{text}");
    }
    for at in [0, 68_169_600, 951_782_399, 4_107_542_400, NOW.0] {
        assert_eq!(expires::read(&Timestamp(at).rfc3339()), Some(Timestamp(at)));
    }
    for text in [
        "",
        "2027",
        "2027-01-15",
        "2027-01-15T08:00:00",
        "2027-01-15 08:00:00Z",
        "2027-13-01T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2027-01-15T24:00:00Z",
        "2027-01-15T08:00:00.Z",
        "2027-01-15T08:00:00+1:00",
        "1969-12-31T23:59:59Z",
        "2027-01-15T08:00:00Zx",
        "+027-01-15T08:00:00Z",
        "\u{662}027-01-15T08:00:00Z",
    ] {
        assert_eq!(expires::read(text), None, "{text}");
    }
}

#[test]
fn another_moment_is_another_number() {
    let first = payment_of(&asked(vec![offer()]));
    let later = groat_core::offer::Moment { random: [8; 16], ..moment() };
    let second = payment_of(&Challenge { moment: Some(later), ..asked(vec![offer()]) });
    let nonce = |payment: &groat_core::Payment| payment.proof["authorization"]["nonce"].clone();
    assert_ne!(nonce(&first), nonce(&second));
}
