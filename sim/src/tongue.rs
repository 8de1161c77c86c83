//! The languages of the economy: the seller speaks all of them, and a buyer draws one for each purchase.

use std::sync::Arc;

use groat_seller::ConfigError;
use groat_wire::want_pay::WantPay;
use groat_wire::want_pay::id::RequestKey;
use groat_wire::{Dialect, Dialects, agentxpay, token, x402_v1, x402_v2};

use crate::stage::Stage;

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
pub(crate) fn spoken() -> Result<Dialects, ConfigError> {
    let key = RequestKey::new(&[7; 32]).map_err(|_| ConfigError::Missing("request key"))?;
    let want_pay = WantPay::selling(key, FACILITATOR).map_err(|_| ConfigError::Missing("facilitator"))?;
    Ok(Dialects::new(vec![
        Arc::new(x402_v2::V2),
        Arc::new(x402_v1::V1::default()),
        Arc::new(token::Token),
        Arc::new(agentxpay::AgentXPay),
        Arc::new(want_pay),
    ]))
}
