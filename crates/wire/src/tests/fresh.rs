//! A 402 that was kept is whole again once the fields of its moment are added.

use std::sync::Arc;

use groat_core::offer::Moment;
use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt, Timestamp};
use http::{HeaderMap, HeaderValue};

use super::{challenge, offer};
use crate::{ChallengeParts, Dialect, Dialects, Freshness, WireError, x402_v2};

/// A dialect that says the time.
struct Clock;

impl Dialect for Clock {
    fn id(&self) -> DialectId {
        DialectId::new("clock")
    }

    fn freshness(&self, offers: &[Offer]) -> Freshness {
        if offers.is_empty() { Freshness::Kept } else { Freshness::Fields }
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        if let Some(moment) = &challenge.moment {
            out.headers.append("x-clock", HeaderValue::from(moment.now.0));
        }
    }

    fn read_challenge(&self, _headers: &HeaderMap, _body: &[u8]) -> Result<Option<Challenge>, WireError> {
        Ok(None)
    }

    fn write_payment(&self, _payment: &Payment, _headers: &mut HeaderMap) -> Result<(), WireError> {
        Ok(())
    }

    fn read_payment(&self, _headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        Ok(None)
    }

    fn choose<'c>(&self, _payment: &Payment, _challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        Err(Reason::NoMatchingRequirements)
    }

    fn write_receipt(&self, _receipt: &Receipt, _headers: &mut HeaderMap) {}

    fn read_receipt(&self, _headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        Ok(None)
    }
}

#[test]
fn a_kept_402_with_its_fresh_fields_is_the_402_of_that_moment() {
    let dialects = Dialects::new(vec![Arc::new(x402_v2::V2), Arc::new(Clock)]);
    let moment = Moment { now: Timestamp(7), random: [0; 16], method: "GET".into(), preferred: 0 };
    let kept = challenge(vec![offer()]);
    let told = Challenge { moment: Some(moment), ..kept.clone() };

    assert_eq!(dialects.freshness(&told.offers), Freshness::Fields);
    assert_eq!(dialects.freshness(&[]), Freshness::Kept);
    let mut parts = dialects.write_challenge(&kept);
    assert!(!parts.headers.contains_key("x-clock"));
    dialects.write_fresh_fields(&told, &mut parts.headers);
    let whole = dialects.write_challenge(&told);
    assert_eq!((parts.headers, parts.body), (whole.headers, whole.body));
}

#[test]
fn fresh_fields_of_an_offer_that_is_for_another_dialect_are_not_told() {
    let dialects = Dialects::new(vec![Arc::new(Clock)]);
    let moment = Moment { now: Timestamp(7), random: [0; 16], method: "GET".into(), preferred: 0 };
    let other = Offer { dialect: Some(x402_v2::ID), ..offer() };
    let mut headers = HeaderMap::new();
    dialects.write_fresh_fields(&Challenge { moment: Some(moment), ..challenge(vec![other]) }, &mut headers);
    assert!(headers.is_empty());
}
