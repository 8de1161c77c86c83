//! What can be made to go wrong, so that those who use a chain can be tested against it.

use std::collections::HashMap;
use std::time::Duration;

/// Faults waiting to happen. All off by default; also reachable as `dev_*` RPC methods.
#[derive(Debug, Default)]
pub struct Faults {
    /// So many sent transactions are acknowledged and then lost (`dev_dropNext`).
    pub drop_next: u32,
    /// So many sent transactions are taken and the reply is lost (`dev_loseReply`).
    pub lose_reply: u32,
    /// No blocks are made while this is on (`dev_hold`, `dev_release`).
    pub hold: bool,
    /// Every answer over HTTP or the transport comes so much later (`dev_delay`, milliseconds).
    pub delay: Duration,
    /// Methods that fail: how many times more, and with which JSON-RPC code (`dev_failNext`).
    pub fail_next: HashMap<String, (u32, i64)>,
}

impl Faults {
    /// The error code that this call of a method must fail with, if it must.
    pub(crate) fn strike(&mut self, method: &str) -> Option<i64> {
        let (left, code) = self.fail_next.get_mut(method)?;
        let code = *code;
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.fail_next.remove(method);
        }
        Some(code)
    }

    /// Whether the next sent transaction is to be lost.
    pub(crate) fn drops(&mut self) -> bool {
        take(&mut self.drop_next)
    }

    /// Whether the reply to the next sent transaction is to be lost.
    pub(crate) fn loses_reply(&mut self) -> bool {
        take(&mut self.lose_reply)
    }
}

fn take(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}
