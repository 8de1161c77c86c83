//! How much gas was set aside for a caller of the facilitator on one day.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::Timestamp;

/// One caller on one day. Never less than what was spent: it is written before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasDay {
    /// Days since 1970, UTC.
    pub day: u64,
    /// The name of the API key.
    pub caller: String,
    /// Gas.
    pub gas: u64,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GasDayEvent {
    /// So much more is set aside.
    SetAside(u64),
}

impl GasDay {
    /// The key of a day.
    pub fn key_of(day: u64, caller: &str) -> String {
        format!("{day}/{caller}")
    }
}

impl Aggregate for GasDay {
    type Event = GasDayEvent;
    const BOOK: Book = Book::Budgets;

    fn key(&self) -> String {
        Self::key_of(self.day, &self.caller)
    }

    fn state(&self) -> &'static str {
        "set_aside"
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(mut self, event: GasDayEvent, _now: Timestamp) -> Option<Self> {
        let GasDayEvent::SetAside(gas) = event;
        self.gas = self.gas.checked_add(gas)?;
        Some(self)
    }
}
