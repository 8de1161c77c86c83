//! Who may hear of what: an endpoint hears no more than its owner could ask for.

use std::sync::Arc;

use groat_core::books::PaymentEvent;
use groat_core::ports::Mechanism;

use crate::http::Caller;

/// The callers of the facilitator, and what tells accounts apart.
pub(super) struct Audience {
    pub(super) callers: Vec<Caller>,
    pub(super) mechanisms: Vec<Arc<dyn Mechanism>>,
}

impl Audience {
    /// Whether there is still such an owner. While there is none, its endpoints are told nothing.
    pub(super) fn knows(&self, owner: &str) -> bool {
        if self.callers.is_empty() { owner.is_empty() } else { self.caller(owner).is_some() }
    }

    /// Whether an owner may hear of an event.
    pub(super) fn may_hear(&self, owner: &str, event: &PaymentEvent) -> bool {
        if self.callers.is_empty() {
            return owner.is_empty();
        }
        let allows = |caller: &Caller| {
            caller.allows(&self.mechanisms, &event.network, &event.asset, &event.pay_to).is_ok()
        };
        self.caller(owner).is_some_and(allows)
    }

    fn caller(&self, owner: &str) -> Option<&Caller> {
        self.callers.iter().find(|caller| caller.name == owner)
    }
}
