//! What the reference implementation, npm `mppx` 0.11.0, said and heard (`vectors/mpp`).

use groat_core::{Amount, Network, Payment, Reason, Timestamp};
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::{Mpp, PAYMENT_HEADER, RECEIPT_HEADER, params};
use super::{PAYEE, PAYER, USDC, asked, field, fields, offer, opened, told, values};
use crate::Dialect;

const EXCHANGE: &str = include_str!("../../../../../vectors/mpp/01-exchange.json");
const CHALLENGES: &str = include_str!("../../../../../vectors/mpp/02-challenges.json");
const OURS_PAID: &str = include_str!("../../../../../vectors/mpp/03-groat-is-paid.json");
const OURS: &str = include_str!("../../../../../vectors/mpp/groat-challenge.txt");

fn vector(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The fields of a message. The recorder had values above ASCII as letters.
fn headers(message: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in message["headers"].as_object().unwrap() {
        let name: http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    headers
}

/// The credential alone, as anything but the field that it came in.
fn payment_of(request: &Value) -> Payment {
    Mpp.read_payment(&headers(request)).unwrap().unwrap()
}

#[test]
fn a_402_of_the_reference_is_read_and_paid_with_its_own_words() {
    let vector = vector(EXCHANGE);
    let (first, second) = (&vector["exchanges"][0], &vector["exchanges"][1]);
    let body = first["response"]["body"].as_str().unwrap();
    let challenge = Mpp.read_challenge(&headers(&first["response"]), body.as_bytes()).unwrap().unwrap();
    assert_eq!(challenge.error, "payment-required");
    assert_eq!(challenge.resource.description, "Weather — “today”");
    let [read] = &challenge.offers[..] else { panic!("one offer") };
    assert_eq!((&read.network, read.asset.as_str()), (&Network::eip155(84532), USDC));
    assert_eq!((read.amount, read.pay_to.as_str()), (Amount::from_units(10_000), PAYEE));

    // Its client signs the number and the end that we would sign.
    let theirs = payment_of(&second["request"]);
    let prescribed = Mpp.prescribe(&challenge, read);
    let nonce = format!("0x{}", data_encoding::HEXLOWER.encode(&prescribed.nonce.unwrap()));
    assert_eq!(theirs.proof["authorization"]["nonce"], nonce);
    assert_eq!(prescribed.expires_at, Some(Timestamp(1_893_456_300)));
    assert_eq!(theirs.proof["authorization"]["validBefore"], "1893456300");
    assert_eq!(theirs.proof["authorization"]["from"], PAYER);

    // And what we would send with that signature means what it sends.
    let ours = Mpp.accept(Payment { accepted: None, ..theirs.clone() }, &challenge, read);
    let (sent, written) = (headers(&second["request"]), fields(&ours));
    assert_eq!(opened(&written, "authorization"), opened(&sent, "authorization"));
}

#[test]
fn a_receipt_of_the_reference_has_what_ours_has_but_the_chain() {
    let vector = vector(EXCHANGE);
    let theirs = headers(&vector["exchanges"][1]["response"]);
    assert_eq!(Mpp.read_receipt(&theirs), Ok(None));
    let mut ours = HeaderMap::new();
    let receipt = groat_core::Receipt {
        outcome: groat_core::payment::ReceiptOutcome::Settled,
        network: Network::eip155(84532),
        transaction: Some(format!("0x{}", "ab".repeat(32))),
        payer: Some(PAYER.into()),
        amount: None,
        settled_at: Some(Timestamp(1_893_456_000)),
    };
    Mpp.write_receipt(&receipt, &mut ours);
    let json = |headers: &HeaderMap| -> Value {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(headers[RECEIPT_HEADER].as_bytes()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let mut told = json(&ours);
    assert_eq!(told.as_object_mut().unwrap().remove("chainId"), Some(json!(84532)));
    told["timestamp"] = told["timestamp"].as_str().unwrap().replace("Z", ".000Z").into();
    assert_eq!(told, json(&theirs));
}

#[test]
fn what_the_reference_refuses_is_read_by_us_as_what_it_is() {
    let vector = vector(EXCHANGE);
    let refusals = vector["refusals"].as_array().unwrap();
    assert!(refusals.len() >= 8 && refusals.iter().all(|refusal| refusal["status"] == 402));
    for refusal in refusals {
        let read = Mpp.read_payment(&field("authorization", refusal["authorization"].as_str().unwrap()));
        let is_readable = !matches!(refusal["what"].as_str(), Some("garbage" | "another account"));
        assert_eq!(read.is_ok(), is_readable, "{}", refusal["what"]);
        // Its challenges are not ours, whatever they ask for.
        if let Ok(Some(payment)) = read {
            let answer = Mpp.choose(&payment, &asked(vec![offer()])).map(|_| ());
            assert_eq!(answer, Err(Reason::NoMatchingRequirements), "{}", refusal["what"]);
        }
    }
}

#[test]
fn challenges_are_read_as_the_reference_reads_them() {
    for one in vector(CHALLENGES)["fields"].as_array().unwrap() {
        let field = one["field"].as_str().unwrap();
        let ours = params::read(field).ok().map(|challenges| {
            let known = challenges.into_iter().map(|mut told| {
                let request = told["request"].as_str().unwrap().as_bytes().to_vec();
                let request = data_encoding::BASE64URL_NOPAD.decode(&request).unwrap();
                told.insert("request".into(), serde_json::from_slice(&request).unwrap());
                Value::Object(told)
            });
            Value::Array(known.collect())
        });
        assert_eq!(ours.unwrap_or_default(), one["read"], "{field}");
    }
}

#[test]
fn a_402_of_ours_is_paid_by_the_client_of_the_reference() {
    let challenge = asked(vec![offer()]);
    assert_eq!(values(&told(&challenge)), [OURS.trim()], "the recorder was given another 402");
    let vector = vector(OURS_PAID);
    let exchanges = vector["exchanges"].as_array().unwrap();
    let [_, paid] = &exchanges[..] else { panic!("asked and paid") };
    assert!(paid["request"]["headers"].get("authorization").is_none());
    assert!(paid["request"]["headers"].get(PAYMENT_HEADER).is_some());
    let payment = payment_of(&paid["request"]);
    assert_eq!(Mpp.choose(&payment, &challenge), Ok(&challenge.offers[0]));
    assert_eq!(Mpp.read_payment(&fields(&payment)), Ok(Some(payment)));
}
