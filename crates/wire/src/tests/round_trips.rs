//! Whatever is written reads back as itself.

use groat_core::payment::ReceiptOutcome;
use groat_core::ports::{Kind, Supported};
use groat_core::{Amount, Challenge, Network, Offer, Payment, Reason, Receipt, Resource};
use http::HeaderMap;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::dialects;
use crate::facilitator::{SettleResponse, read_request, read_supported, write_request, write_supported};
use crate::{Dialect, Version, x402_v1, x402_v2};

/// Text that our reader accepts: anything but NUL.
fn text() -> impl Strategy<Value = String> {
    "[^\u{0}]{0,12}"
}

fn word() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,12}"
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e15..1e15f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn members() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(text(), json_value(), 0..3).prop_map(|members| members.into_iter().collect())
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        prop::sample::select(groat_core::network::KNOWN).prop_map(|known| Network::eip155(known.chain_id)),
        any::<u64>().prop_map(Network::eip155),
        Just(Network::parse("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp").unwrap()),
    ]
}

fn amount() -> impl Strategy<Value = Amount> {
    any::<u128>().prop_map(Amount::from_units)
}

prop_compose! {
    fn an_offer()(
        scheme in prop_oneof![Just("exact".to_owned()), word()],
        network in network(),
        asset in word(),
        amount in amount(),
        pay_to in word(),
        timeout_s in 1..1_000_000u64,
        extra in members(),
    ) -> Offer {
        Offer { scheme, network, asset, amount, pay_to, timeout_s, extra, price: None, dialect: None, currency: None, verbatim: None }
    }
}

prop_compose! {
    fn a_challenge()(
        path in "[a-z/?=é]{0,20}",
        description in text(),
        mime_type in text(),
        offers in vec(an_offer(), 0..4),
        error in text(),
        extensions in members(),
    ) -> Challenge {
        let url = format!("https://api.example.com/{path}");
        Challenge { resource: Resource { url, description, mime_type }, offers, pass_at: None, moment: None, error, extensions }
    }
}

prop_compose! {
    fn a_receipt()(
        outcome in prop_oneof![
            Just(ReceiptOutcome::Settled),
            Just(ReceiptOutcome::Pending),
            prop::sample::select(Reason::ALL).prop_map(|reason| match reason {
                Reason::SettlementPending => ReceiptOutcome::Pending,
                reason => ReceiptOutcome::Failed(reason),
            }),
            "[a-z_]{1,20}".prop_map(|code| ReceiptOutcome::Failed(Reason::from_code(&code))),
        ],
        network in network(),
        transaction in option::of(word()),
        payer in option::of(word()),
        amount in option::of(amount()),
    ) -> Receipt {
        Receipt { outcome, network, transaction, payer, amount, settled_at: None }
    }
}

/// The offers as they are when nobody keeps their text.
fn plain(offers: &[Offer]) -> Vec<Offer> {
    offers.iter().map(|offer| Offer { currency: None, verbatim: None, ..offer.clone() }).collect()
}

proptest! {
    #[test]
    fn a_version_2_challenge_reads_back(challenge in a_challenge()) {
        let parts = dialects().write_challenge(&challenge);
        let (dialect, read) = dialects().read_challenge(&parts.headers, b"").unwrap().unwrap();
        prop_assert_eq!(dialect, x402_v2::ID);
        prop_assert_eq!(&Challenge { offers: plain(&read.offers), ..read.clone() }, &challenge);
        for offer in &read.offers {
            let text = offer.verbatim.as_ref().unwrap();
            prop_assert_eq!(text.value().unwrap(), &x402_v2::offer::write(offer));
        }
    }

    #[test]
    fn a_version_1_challenge_reads_back_with_its_portable_offers(challenge in a_challenge()) {
        let body = Value::Object(dialects().write_challenge(&challenge).body);
        let is_portable = |offer: &&Offer| {
            offer.scheme == "exact" && [8453, 84532, 43114, 43113].map(Some).contains(&offer.network.chain_id())
        };
        let portable: Vec<Offer> = challenge.offers.iter().filter(is_portable).cloned().collect();
        let expected = if portable.is_empty() { challenge.offers.clone() } else { portable };
        let read = x402_v1::V1::default().read_challenge(&HeaderMap::new(), body.to_string().as_bytes()).unwrap();
        let read = read.map(|read| plain(&read.offers)).unwrap_or_default();
        prop_assert!(
            read == expected || body.get("x402Version").is_none(),
            "{read:?} is not {expected:?}"
        );
    }

    #[test]
    fn a_version_2_payment_reads_back_and_chooses_its_offer(
        challenge in a_challenge(),
        one_more in an_offer(),
        proof in members(),
        pick in any::<prop::sample::Index>(),
    ) {
        let offers = [challenge.offers.clone(), Vec::from([one_more])].concat();
        let challenge = Challenge { offers, ..challenge };
        let headers = dialects().write_challenge(&challenge).headers;
        let read = x402_v2::V2.read_challenge(&headers, b"").unwrap().unwrap();
        let offer = &read.offers[pick.index(read.offers.len())];
        let payment = Payment {
            dialect: x402_v2::ID,
            scheme: offer.scheme.clone(),
            network: offer.network.clone(),
            proof: Value::Object(proof),
            accepted: None,
            resource: None,
            extensions: Map::new(),
        };
        let payment = dialects().accept(payment, &read, offer);
        let mut headers = HeaderMap::new();
        dialects().write_payment(&payment, &mut headers).unwrap();
        let sent = dialects().read_payment(&headers).unwrap().unwrap();
        prop_assert_eq!(&sent, &payment);
        let chosen = dialects().choose(&sent, &challenge).unwrap();
        prop_assert_eq!(chosen, &plain(std::slice::from_ref(offer))[0]);

        let body = write_request(&sent, chosen);
        let request = read_request(body.as_bytes()).unwrap();
        prop_assert_eq!(&request.offer, chosen);
        prop_assert_eq!(request.payment.fingerprint(), sent.fingerprint());
    }

    #[test]
    fn a_version_1_payment_reads_back(
        scheme in word(), network in network(), proof in members(), offer in an_offer(),
    ) {
        let proof = Value::Object(proof);
        prop_assume!(proof.get("authorization").is_none());
        let payment = Payment {
            dialect: x402_v1::ID,
            scheme,
            network,
            proof,
            accepted: None,
            resource: None,
            extensions: Map::new(),
        };
        let mut headers = HeaderMap::new();
        dialects().write_payment(&payment, &mut headers).unwrap();
        prop_assert_eq!(&dialects().read_payment(&headers).unwrap().unwrap(), &payment);
        let request = read_request(write_request(&payment, &offer).as_bytes()).unwrap();
        prop_assert_eq!(request.version, Version::One);
        prop_assert_eq!((request.payment, request.offer), (payment, offer));
    }

    #[test]
    fn a_receipt_reads_back_in_every_way_it_travels(receipt in a_receipt()) {
        for dialect in [x402_v1::ID, x402_v2::ID] {
            let mut headers = HeaderMap::new();
            dialects().by_id(&dialect).unwrap().write_receipt(&receipt, &mut headers);
            prop_assert_eq!(dialects().read_receipt(&headers).unwrap(), Some(receipt.clone()));
        }
        for version in [Version::One, Version::Two] {
            let answer = SettleResponse { receipt: receipt.clone(), message: Some("why".into()) };
            let body = answer.write(version).to_string();
            prop_assert_eq!(SettleResponse::read(body.as_bytes()).unwrap(), answer);
        }
    }

    #[test]
    fn what_is_supported_reads_back(
        kinds in vec((1..=2u8, word(), network(), members()), 0..4),
        extensions in vec(text(), 0..3),
        signers in btree_map(text(), vec(text(), 0..3), 0..3),
    ) {
        let kinds = kinds.into_iter().map(|(version, scheme, network, extra)| {
            Kind { version, scheme, network, extra }
        });
        let supported = Supported { kinds: kinds.collect(), extensions, signers };
        let body = write_supported(&supported).to_string();
        prop_assert_eq!(read_supported(body.as_bytes()).unwrap(), supported);
    }
}

#[test]
fn an_echo_repeats_the_offer_to_the_letter() {
    let odd = r#"{ "payTo":"0x1","scheme":"exact",  "network":"eip155:1","amount":"1", "asset":"0x2",
        "maxTimeoutSeconds":6e1, "surprise":{"big":1.50, "é":"\u00e9"}, "extra":null }"#;
    let text = format!(r#"{{"x402Version":2,"resource":{{"url":"https://x/"}},"accepts":[{odd}]}}"#);
    let field = crate::header::encode(text.as_bytes());
    let headers = super::field(x402_v2::CHALLENGE_HEADER, field.as_bytes());
    let challenge = x402_v2::V2.read_challenge(&headers, b"").unwrap().unwrap();
    assert_eq!(challenge.offers[0].verbatim, Some(odd.into()));
    let payment = super::v2_payment(&challenge, &challenge.offers[0]);
    let mut headers = HeaderMap::new();
    x402_v2::V2.write_payment(&payment, &mut headers).unwrap();
    let sent = crate::header::decode(headers[x402_v2::PAYMENT_HEADER].as_bytes(), "test", 1 << 16).unwrap();
    assert!(String::from_utf8(sent).unwrap().ends_with(&format!(r#""accepted":{odd}}}"#)));
    assert_eq!(json!(challenge.offers[0].timeout_s), json!(60));
}
