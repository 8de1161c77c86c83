//! All dialects of one place, asked together.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use groat_core::payment::DialectId;
use groat_core::ports::{AccessClaim, NoAccess};
use groat_core::{Challenge, Network, Offer, Payment, Reason, Receipt};
use http::HeaderMap;
use serde_json::Value;

use crate::{
    Asked, ChallengeParts, Dialect, Freshness, Prescribed, Sold, WireError, agentxpay, credentials, token,
    want_pay, x402_v1, x402_v2,
};

/// Header fields that carry payments. Whoever forwards a request takes them away: they are as good as money.
pub static PAYMENT_HEADERS: Fields = Fields::new(|| fields_of(|dialect| dialect.payment_fields()));

/// Schemes of `Authorization` that are payments; see [`credentials`].
pub static PAYMENT_SCHEMES: Fields = Fields::new(|| fields_of(|dialect| dialect.payment_schemes()));

/// Header fields that go with them.
pub static COMPANION_HEADERS: Fields = Fields::new(|| fields_of(|dialect| dialect.companion_fields()));

/// Header fields of responses that are ours alone: challenges, receipts and passes, to be exposed to browsers (CORS) and
/// taken away from what an upstream answers.
pub static RESPONSE_HEADERS: Fields = Fields::new(|| {
    let mut names = fields_of(|dialect| dialect.response_fields());
    names.push(crate::pass::PASS_HEADER_NAME);
    names
});

/// Names of header fields, of every dialect that we know.
pub type Fields = LazyLock<Vec<&'static str>>;

/// The challenge without the offers that only other dialects tell.
fn told_in<'c>(dialect: &dyn Dialect, challenge: &'c Challenge) -> Cow<'c, Challenge> {
    let is_own = |offer: &&Offer| offer.dialect.as_ref().is_none_or(|one| *one == dialect.id());
    if challenge.offers.iter().all(|offer| is_own(&offer)) {
        return Cow::Borrowed(challenge);
    }
    let offers = challenge.offers.iter().filter(is_own).cloned().collect();
    Cow::Owned(Challenge { offers, ..challenge.clone() })
}

fn fields_of(which: impl Fn(&dyn Dialect) -> &'static [&'static str]) -> Vec<&'static str> {
    Dialects::all().iter().flat_map(which).copied().collect()
}

/// The dialects spoken at one place, the preferred first.
#[derive(Clone)]
pub struct Dialects {
    dialects: Vec<Arc<dyn Dialect>>,
}

impl Dialects {
    /// These, in this order of precedence.
    pub fn new(dialects: Vec<Arc<dyn Dialect>>) -> Self {
        Self { dialects }
    }

    /// What a route speaks unless it says otherwise.
    pub fn standard() -> Self {
        Self::all()
    }

    /// Everything we speak. A new dialect is one line here.
    pub fn all() -> Self {
        Self::new(vec![
            Arc::new(x402_v2::V2),                  //
            Arc::new(x402_v1::V1::default()),       //
            Arc::new(token::Token),                 //
            Arc::new(agentxpay::AgentXPay),         //
            Arc::new(want_pay::WantPay::default()), //
            Arc::new(crate::mpp::Mpp),              //
        ])
    }

    /// The same, with this one in place of the one that has its name.
    #[must_use]
    pub fn with(mut self, dialect: Arc<dyn Dialect>) -> Self {
        match self.dialects.iter_mut().find(|known| known.id() == dialect.id()) {
            Some(known) => *known = dialect,
            None => self.dialects.push(dialect),
        }
        self
    }

    /// How much of a 402 of these offers is another each time.
    pub fn freshness(&self, offers: &[Offer]) -> Freshness {
        self.iter().map(|dialect| dialect.freshness(offers)).max().unwrap_or(Freshness::Kept)
    }

    /// The header fields that are missing in a 402 which was made without a moment.
    pub fn write_fresh_fields(&self, challenge: &Challenge, headers: &mut HeaderMap) {
        let mut fresh = ChallengeParts::default();
        for dialect in self.iter().filter(|one| one.freshness(&challenge.offers) == Freshness::Fields) {
            write_own(dialect, challenge, &mut fresh);
        }
        for (name, value) in &fresh.headers {
            headers.append(name, value.clone());
        }
    }

    /// Heeds what a request says of the ways that its sender can pay.
    pub fn hear(&self, headers: &HeaderMap, challenge: &mut Challenge) {
        self.iter().for_each(|dialect| dialect.hear(headers, challenge));
    }

    /// The dialect with this name.
    pub fn by_id(&self, id: &DialectId) -> Option<&dyn Dialect> {
        self.iter().find(|dialect| dialect.id() == *id)
    }

    /// All of them, the preferred first.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Dialect> {
        self.dialects.iter().map(AsRef::as_ref)
    }

    /// A 402 that speaks every dialect: all header fields, and one body with the members of all.
    pub fn write_challenge(&self, challenge: &Challenge) -> ChallengeParts {
        let mut parts = ChallengeParts::default();
        self.iter().for_each(|dialect| write_own(dialect, challenge, &mut parts));
        parts
    }

    /// Reads a 402 in the preferred dialect that it speaks.
    pub fn read_challenge(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<(DialectId, Challenge)>, WireError> {
        self.read_challenge_in(None, headers, body)
    }

    /// The same, but in one dialect `only`.
    pub fn read_challenge_in(
        &self,
        only: Option<&DialectId>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Option<(DialectId, Challenge)>, WireError> {
        self.first(|dialect| match only {
            Some(only) if *only != dialect.id() => Ok(None),
            _ => Ok(dialect.read_challenge(headers, body)?.map(|read| (dialect.id(), read))),
        })
    }

    /// Reads the payment of a request. More than one is ambiguous, whatever they are (threat row H07).
    pub fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        let own = PAYMENT_HEADERS.iter().map(|name| headers.get_all(*name).iter().count());
        let counts = own.chain([credentials::count_shared(headers)]);
        let (fields, names) =
            counts.fold((0, 0), |(fields, names), count| (fields + count, names + count.min(1)));
        match (fields, names) {
            (0 | 1, _) => self.first(|dialect| dialect.read_payment(headers)),
            // One field that stands there twice: its dialect may have a word of its own for that.
            (_, 1) => Err(self
                .first(|dialect| dialect.read_payment(headers))
                .err()
                .filter(|error| error.code() != Reason::InvalidPayload.code())
                .unwrap_or(WireError::Ambiguous)),
            _ => Err(WireError::Ambiguous),
        }
    }

    /// The offer that the payment accepts, under the rules of its dialect. What is told in one dialect alone is paid in that one:
    /// another would not bind the proof as it does.
    pub fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        let dialect = self.by_id(&payment.dialect).ok_or(Reason::NoMatchingRequirements)?;
        match told_in(dialect, challenge) {
            Cow::Borrowed(all) => dialect.choose(payment, all),
            Cow::Owned(own) => {
                let chosen = dialect.choose(payment, &own)?;
                challenge.offers.iter().find(|offer| *offer == chosen).ok_or(Reason::NoMatchingRequirements)
            }
        }
    }

    /// What a dialect wants signed into the payment of an offer.
    pub fn prescribe(&self, id: &DialectId, challenge: &Challenge, offer: &Offer) -> Prescribed {
        self.by_id(id).map(|dialect| dialect.prescribe(challenge, offer)).unwrap_or_default()
    }

    /// The payment with what its dialect wants a buyer to repeat of the challenge.
    pub fn accept(&self, payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
        match self.by_id(&payment.dialect) {
            Some(dialect) => dialect.accept(payment, challenge, offer),
            None => payment,
        }
    }

    /// Adds a payment to a request, in its dialect.
    pub fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        let dialect = self.by_id(&payment.dialect);
        dialect
            .ok_or_else(|| WireError::malformed("payment", "its dialect is not spoken here"))?
            .write_payment(payment, headers)
    }

    /// How the dialect of a payment names a reason.
    pub fn reason<'r>(&self, id: &DialectId, reason: &'r Reason) -> &'r str {
        self.by_id(id).map_or(reason.code(), |dialect| dialect.reason(reason))
    }

    /// The payment together with the request that it came with.
    pub fn bind(&self, payment: Payment, asked: &Asked<'_>) -> Payment {
        match self.by_id(&payment.dialect) {
            Some(dialect) => dialect.bind(payment, asked),
            None => payment,
        }
    }

    /// What its payer may sign for this request.
    pub fn payer_lines(&self, payment: &Payment, asked: &Asked<'_>) -> Option<String> {
        self.by_id(&payment.dialect)?.payer_lines(payment, asked)
    }

    /// Reads a claim of access in place of a payment.
    pub fn read_access(&self, headers: &HeaderMap) -> Result<Option<AccessClaim>, WireError> {
        self.first(|dialect| dialect.read_access(headers))
    }

    /// The claim together with the request that it came with.
    pub fn bind_access(&self, claim: AccessClaim, asked: &Asked<'_>, network: &Network) -> AccessClaim {
        match self.by_id(&claim.dialect) {
            Some(dialect) => dialect.bind_access(claim, asked, network),
            None => claim,
        }
    }

    /// How the dialect of a claim says that it lets nobody in.
    pub fn no_access_title(&self, dialect: &DialectId, why: &NoAccess) -> &'static str {
        self.by_id(dialect).map_or("access_denied", |dialect| dialect.no_access_title(why))
    }

    /// Pages that list what a seller offers: path and body of each.
    pub fn directories(&self, sold: &[Sold<'_>]) -> Vec<(&'static str, Value)> {
        self.iter().filter_map(|dialect| dialect.directory(sold)).collect()
    }

    /// The body that carries the payment to [`Challenge::pass_at`]; `None` where it goes with the request itself.
    pub fn write_order(&self, payment: &Payment) -> Option<Result<Vec<u8>, WireError>> {
        self.by_id(&payment.dialect)?.write_order(payment)
    }

    /// Reads a body that was sent to buy a pass.
    pub fn read_order(&self, body: &[u8]) -> Result<Option<Payment>, WireError> {
        self.first(|dialect| dialect.read_order(body))
    }

    /// Reads the answer to an order of this dialect.
    pub fn read_given(&self, dialect: &DialectId, body: &[u8]) -> Result<Option<token::Given>, WireError> {
        self.by_id(dialect).map_or(Ok(None), |dialect| dialect.read_given(body))
    }

    /// Adds a receipt for a payment of this dialect: always version 2 of x402, and the payment's own language.
    pub fn write_receipt(&self, payment_dialect: &DialectId, receipt: &Receipt, headers: &mut HeaderMap) {
        self.iter()
            .filter(|dialect| dialect.id() == x402_v2::ID || dialect.id() == *payment_dialect)
            .for_each(|dialect| dialect.write_receipt(receipt, headers));
    }

    /// Reads the receipt of a response.
    pub fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        self.first(|dialect| dialect.read_receipt(headers))
    }

    fn first<T>(
        &self,
        read: impl Fn(&dyn Dialect) -> Result<Option<T>, WireError>,
    ) -> Result<Option<T>, WireError> {
        self.iter().find_map(|dialect| read(dialect).transpose()).transpose()
    }
}

/// What a dialect says of the offers that it can say.
fn write_own(dialect: &dyn Dialect, challenge: &Challenge, parts: &mut ChallengeParts) {
    match told_in(dialect, challenge) {
        // With nothing to say it says nothing: an empty list would be read as an offer of nothing.
        Cow::Owned(own) if own.offers.is_empty() => {}
        own => dialect.write_challenge(&own, parts),
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self::standard()
    }
}

impl std::fmt::Debug for Dialects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(Dialect::id)).finish()
    }
}
