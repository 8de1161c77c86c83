//! The languages of the economy: the seller speaks all of them, and a buyer draws one for each purchase.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use groat_core::payment::DialectId;
use groat_core::{Challenge, Offer, Payment, Reason, Receipt};
use groat_seller::ConfigError;
use groat_wire::want_pay::WantPay;
use groat_wire::want_pay::id::RequestKey;
use groat_wire::{
    Asked, ChallengeParts, Dialect, Dialects, Freshness, Prescribed, WireError, agentxpay, token, x402_v1,
    x402_v2,
};
use http::HeaderMap;

use crate::dice::Dice;
use crate::stage::Stage;
use crate::world::World;

/// Who is named as the one that looks after requests.
const FACILITATOR: &str = "https://pay.example/";

/// The language of a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tongue {
    V2,
    V1,
    /// A permit in a body buys a pass.
    Token,
    /// A transaction, shown by its hash.
    Hash,
    /// A transaction, shown by a signed proof.
    Proof,
}

impl Tongue {
    pub(crate) fn draw(stage: &Stage) -> Self {
        match stage.below(100) {
            0..35 => Self::V2,
            35..50 => Self::V1,
            50..65 => Self::Token,
            65..83 => Self::Hash,
            _ => Self::Proof,
        }
    }

    pub(crate) fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Self::V2 => Box::new(x402_v2::V2),
            Self::V1 => Box::new(x402_v1::V1::default()),
            Self::Token => Box::new(token::Token),
            Self::Hash => Box::new(agentxpay::AgentXPay),
            Self::Proof => Box::new(WantPay::default()),
        }
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::V2 => "bought by x402 v2",
            Self::V1 => "bought by x402 v1",
            Self::Token => "bought by a permit",
            Self::Hash => "bought by a hash",
            Self::Proof => "bought by a proof",
        }
    }
}

/// What the seller speaks.
pub(crate) fn spoken(world: &Arc<World>) -> Result<Dialects, ConfigError> {
    let key = RequestKey::new(&[7; 32]).map_err(|_| ConfigError::Missing("request key"))?;
    let want_pay = WantPay::selling(key, FACILITATOR).map_err(|_| ConfigError::Missing("facilitator"))?;
    let proofs = Seeded { inner: want_pay, world: Arc::clone(world) };
    Ok(Dialects::new(vec![
        Arc::new(x402_v2::V2),
        Arc::new(x402_v1::V1::default()),
        Arc::new(token::Token),
        Arc::new(agentxpay::AgentXPay),
        Arc::new(proofs),
    ]))
}

/// The real dialect, except that what nobody can guess follows from the run: the same seed is the same run.
struct Seeded {
    inner: WantPay,
    world: Arc<World>,
}

impl Dialect for Seeded {
    fn id(&self) -> DialectId {
        self.inner.id()
    }

    fn payment_fields(&self) -> &'static [&'static str] {
        self.inner.payment_fields()
    }

    fn companion_fields(&self) -> &'static [&'static str] {
        self.inner.companion_fields()
    }

    fn response_fields(&self) -> &'static [&'static str] {
        self.inner.response_fields()
    }

    fn freshness(&self, offers: &[Offer]) -> Freshness {
        self.inner.freshness(offers)
    }

    fn hear(&self, headers: &HeaderMap, challenge: &mut Challenge) {
        self.inner.hear(headers, challenge);
    }

    fn write_challenge(&self, challenge: &Challenge, out: &mut ChallengeParts) {
        let mut challenge = challenge.clone();
        if let Some(moment) = &mut challenge.moment {
            let mut dice = Dice::new(self.world.challenges.fetch_add(1, Ordering::Relaxed));
            let (high, low) = (dice.next(), dice.next());
            moment.random = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        }
        self.inner.write_challenge(&challenge, out);
    }

    fn read_challenge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Option<Challenge>, WireError> {
        self.inner.read_challenge(headers, body)
    }

    fn prescribe(&self, challenge: &Challenge, offer: &Offer) -> Prescribed {
        self.inner.prescribe(challenge, offer)
    }

    fn accept(&self, payment: Payment, challenge: &Challenge, offer: &Offer) -> Payment {
        self.inner.accept(payment, challenge, offer)
    }

    fn write_payment(&self, payment: &Payment, headers: &mut HeaderMap) -> Result<(), WireError> {
        self.inner.write_payment(payment, headers)
    }

    fn read_payment(&self, headers: &HeaderMap) -> Result<Option<Payment>, WireError> {
        self.inner.read_payment(headers)
    }

    fn bind(&self, payment: Payment, asked: &Asked<'_>) -> Payment {
        self.inner.bind(payment, asked)
    }

    fn choose<'c>(&self, payment: &Payment, challenge: &'c Challenge) -> Result<&'c Offer, Reason> {
        self.inner.choose(payment, challenge)
    }

    fn write_receipt(&self, receipt: &Receipt, headers: &mut HeaderMap) {
        self.inner.write_receipt(receipt, headers);
    }

    fn read_receipt(&self, headers: &HeaderMap) -> Result<Option<Receipt>, WireError> {
        self.inner.read_receipt(headers)
    }
}
