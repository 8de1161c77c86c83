//! What became of a pass: how often it was used, where that is counted, and whether it was taken back.

use serde::{Deserialize, Serialize};

use super::{Aggregate, Book};
use crate::{PaymentId, Timestamp};

/// One pass. Written before the request is let in; a pass that is not counted has none until it is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassUse {
    /// The payment that it was given for.
    pub payment: PaymentId,
    /// How many requests it is good for, where they are counted.
    #[serde(default)]
    pub uses_max: Option<u32>,
    /// How many it was used for.
    pub uses: u32,
    /// From then on nobody asks.
    pub expires_at: Timestamp,
    /// When it was taken back: from then on it is good for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassUseEvent {
    /// One more request is let in.
    Use,
    /// The last one came to nothing.
    GiveBack,
    /// Whoever has it wants it no longer to be good.
    Revoke,
}

impl PassUse {
    /// Whether it has no use left.
    pub fn is_used_up(&self) -> bool {
        self.uses_max.is_some_and(|uses_max| self.uses >= uses_max)
    }
}

impl Aggregate for PassUse {
    type Event = PassUseEvent;
    const BOOK: Book = Book::Passes;

    fn key(&self) -> String {
        self.payment.to_string()
    }

    fn state(&self) -> &'static str {
        match self.revoked_at {
            Some(_) => "revoked",
            None if self.is_used_up() => "used_up",
            None => "good",
        }
    }

    fn is_final(&self) -> bool {
        // Nothing has to be taken up after a crash.
        true
    }

    fn apply(mut self, event: PassUseEvent, now: Timestamp) -> Option<Self> {
        match event {
            PassUseEvent::Use if self.revoked_at.is_some() || self.is_used_up() => return None,
            PassUseEvent::Use if now >= self.expires_at => return None,
            PassUseEvent::Use => self.uses = self.uses.checked_add(1)?,
            PassUseEvent::GiveBack => self.uses = self.uses.checked_sub(1)?,
            PassUseEvent::Revoke if self.revoked_at.is_some() => return None,
            PassUseEvent::Revoke => self.revoked_at = Some(now),
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;
    use crate::key::{KeyKind, PaymentKey};

    const NOW: Timestamp = Timestamp(10);

    fn pass(uses_max: Option<u32>) -> PassUse {
        let payment = PaymentKey::new(KeyKind::Eip3009, &Network::eip155(1), &[&[1]]).id();
        PassUse { payment, uses_max, uses: 0, expires_at: Timestamp(20), revoked_at: None }
    }

    #[test]
    fn t12_a_use_is_taken_while_there_is_one_and_in_its_time() {
        let once = pass(Some(1)).apply(PassUseEvent::Use, NOW).unwrap();
        assert_eq!((once.uses, once.state()), (1, "used_up"));
        assert_eq!(once.clone().apply(PassUseEvent::Use, NOW), None);
        assert_eq!(once.apply(PassUseEvent::GiveBack, NOW), Some(pass(Some(1))));
        assert_eq!(pass(Some(1)).apply(PassUseEvent::GiveBack, NOW), None);
        assert_eq!(pass(Some(1)).apply(PassUseEvent::Use, Timestamp(20)), None);
    }

    #[test]
    fn a_pass_that_was_taken_back_has_no_use_and_stays_so() {
        for pass in [pass(None), pass(Some(3))] {
            let revoked = pass.apply(PassUseEvent::Revoke, NOW).unwrap();
            assert_eq!((revoked.revoked_at, revoked.state()), (Some(NOW), "revoked"));
            for event in [PassUseEvent::Use, PassUseEvent::Revoke, PassUseEvent::GiveBack] {
                assert_eq!(revoked.clone().apply(event, Timestamp(11)), None, "{event:?}");
            }
        }
    }

    #[test]
    fn a_record_of_before_passes_were_taken_back_is_read() {
        let old = pass(Some(3));
        let text = format!(r#"{{"payment":"{}","uses_max":3,"uses":0,"expires_at":20}}"#, old.payment);
        assert_eq!(serde_json::from_str::<PassUse>(&text).unwrap(), old);
    }
}
