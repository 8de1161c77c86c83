//! The token endpoint: a 402 says where a permit buys an access token, and the token opens the resource.
//!
//! ```text
//! 402   WWW-Authenticate: Bearer realm="…", token_type="access_token"
//!       Payment-Scheme: https://host/x402/schemes/evm
//!       Payment-Endpoint: /token/GET/weather
//!       {"reason": …, "access_token_endpoint": "/token/GET/weather", "payment_scheme": {…}, …}
//! POST  /token/GET/weather   {"version": "Version 0.1", "permit": {…}}
//! 200   {"access_token": …, "token_type": "Bearer", "expires_in": 300, "metadata": {…}}
//! GET   /weather   Authorization: Bearer …
//! ```
//!
//! A permit is an ordinary payment of the scheme `exact` in another spelling, one of the scheme `permit`, or the proof of a way
//! to pay without a chain. It travels in a body of its own, an *order*, not in a header field. Source: PyPI `x402-mock` 0.3.0, whose parser is strict: components of another type than `evm`,
//! or with a member that is null, make the whole 402 unreadable to it.

mod challenge;
mod offchain;
mod order;
mod permit;
mod spender;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt};
use http::HeaderMap;

use crate::{ChallengeParts, Dialect, WireError};

pub use order::{Given, write_given};

/// The name of this dialect.
pub const ID: DialectId = DialectId::new("token");

/// The field of a 402 that lists ways to pay, as URIs that describe them.
pub const SCHEME_HEADER: &str = "payment-scheme";
/// The field of a 402 that says where a payment buys a token.
pub const ENDPOINT_HEADER: &str = "payment-endpoint";
/// Where our payment service describes the ways to pay of its 402s, by name.
pub const SCHEMES_PATH: &str = "/x402/schemes";

/// The package signs for ten minutes; a 402 of this dialect does not say.
const TIMEOUT_S: u64 = 600;

/// The scheme of a permit that is an authorization.
const SCHEME: &str = "exact";
/// The scheme of a permit that names who may take the money.
const PERMIT_SCHEME: &str = "permit";

/// Whether a kind of permit moves tokens on a chain, and not money that is kept elsewhere.
pub fn is_of_tokens(kind: &str) -> bool {
    kind == permit::ERC3009 || spender::is_kind(kind)
}

/// The dialect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Token;

impl Dialect for Token {
    fn id(&self) -> DialectId {
        ID
    }

    fn response_fields(&self) -> &'static [&'static str] {
        &[SCHEME_HEADER, ENDPOINT_HEADER]
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        challenge::write(challenge, out);
    }

    fn read_challenge(&self, _headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        challenge::read(body)
    }

    fn accept(&self, payment: Payment, _challenge: &Challenge, offer: &Offer) -> Payment {
        if offchain::is_offchain(offer) {
            return Payment { dialect: ID, ..payment };
        }
        Payment { dialect: ID, accepted: Some(permit::accepted(&offer.asset)), ..payment }
    }

    fn write_payment(&self, payment: &Payment, _headers: &mut HeaderMap) -> Result<(), WireError> {
        order::write(payment).map(|_| ())
    }

    fn read_payment(&self, _headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        Ok(None)
    }

    fn write_order(&self, payment: &Payment) -> Option<Result<Vec<u8>, WireError>> {
        Some(order::write(payment))
    }

    fn read_order(&self, body: &[u8]) -> Result<Option<Payment>, WireError> {
        order::read(body).map(Some)
    }

    fn read_given(&self, body: &[u8]) -> Result<Option<Given>, WireError> {
        order::read_given(body).map(Some)
    }

    /// The offer on the permit's chain, in its token. One with exactly the signed amount and payee is meant before one that
    /// only verification can turn down.
    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        match payment.scheme.as_str() {
            SCHEME => permit::choose(payment, &challenge.offers),
            PERMIT_SCHEME => spender::choose(payment, &challenge.offers),
            _ => offchain::choose(payment, &challenge.offers),
        }
    }

    fn write_receipt(&self, _receipt: &Receipt, _headers: &mut HeaderMap) {}

    fn read_receipt(&self, _headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        Ok(None)
    }
}
