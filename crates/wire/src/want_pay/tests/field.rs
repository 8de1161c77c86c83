//! The field `Pay`: one proof, and nothing that two readers could read as two things.

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use crate::WireError;
use crate::want_pay::pay_header::{PAY, SIZE_BYTES_MAX, parse, read, write};

#[test]
fn one_proof_plain_or_quoted_with_others_behind_it() {
    for good in [
        "proof=aa.bb.cc",
        "proof=\"aa.bb.cc\"",
        " proof=aa.bb.cc ",
        "proof=aa.bb.cc, trace=1",
        "proof=aa.bb.cc;v=\"a, b; proof=x.y.z \\\" c\" ,flag",
        "proof=\"aa.bb.cc\" ; a=?1, b=:YQ==:",
    ] {
        assert_eq!(parse(good), Ok("aa.bb.cc"), "{good}");
    }
    for bad in [
        "",
        "proof",
        "proof=",
        "proof=aa.bb",
        "proof=aa.bb.cc.dd",
        "proof=aa..cc",
        "proof=aa.b+.cc",
        "aa.bb.cc",
        "Proof=aa.bb.cc",
        "trace=1, proof=aa.bb.cc",
        "proof=\"aa.bb.cc",
        "proof=aa.bb.cc trace=1",
        "proof=aa.bb.cc,",
        "proof=aa.bb.cc,,a",
        "proof = aa.bb.cc",
        "proof=aa.bb.cc; A=1",
        "proof=\"aa.bb.cc\"x",
        "Bearer aa.bb.cc",
    ] {
        assert!(matches!(parse(bad), Err(WireError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn h07_two_proofs_are_none() {
    for twice in
        ["proof=aa.bb.cc, proof=aa.bb.cc", "proof=aa.bb.cc;proof", "proof=aa.bb.cc;a=1;proof=\"d.e.f\""]
    {
        assert_eq!(parse(twice).unwrap_err().code(), "invalid_proof", "{twice}");
    }
    let mut headers = HeaderMap::new();
    assert_eq!(read(&headers), Ok(None));
    write("aa.bb.cc", &mut headers).unwrap();
    assert_eq!(read(&headers), Ok(Some("aa.bb.cc")));
    headers.append(PAY, HeaderValue::from_static("proof=aa.bb.cc"));
    assert_eq!(read(&headers).unwrap_err().code(), "invalid_proof");
}

#[test]
fn a_field_is_as_large_as_allowed_and_no_larger() {
    let largest = format!("a.b.{}", "c".repeat(SIZE_BYTES_MAX - "proof=a.b.".len()));
    let mut headers = HeaderMap::new();
    write(&largest, &mut headers).unwrap();
    assert_eq!(read(&headers), Ok(Some(largest.as_str())));
    assert_eq!(write(&(largest + "c"), &mut headers).unwrap_err().code(), "invalid_proof");
    assert!(write("no token", &mut headers).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}|(proof=)?(a\\.b\\.c|\"|\\\\|;|,|=|x| |proof=){0,12}") {
        if let Ok(token) = parse(&text) {
            let mut headers = HeaderMap::new();
            write(token, &mut headers).unwrap();
            prop_assert_eq!(read(&headers), Ok(Some(token)));
        }
    }
}
