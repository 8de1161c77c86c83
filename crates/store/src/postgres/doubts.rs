//! Commits that the server was told of and did not answer.
//!
//! Whoever was told "unknown" reads next. What he reads must stay true, so as long as such a commit may still come into
//! force, reads wait: until the server's process that held it has ended.

use std::time::Duration;

use groat_core::Fault;
use tokio::sync::watch;

use super::unavailable;

/// How long a read waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many there are.
#[derive(Debug)]
pub(super) struct Doubts(watch::Sender<usize>);

impl Default for Doubts {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Doubts {
    /// One more. Called before its callers are told.
    pub(super) fn arise(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// One less.
    pub(super) fn end(&self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Waits until there are none.
    pub(super) async fn none(&self) -> Result<(), Fault> {
        let mut count = self.0.subscribe();
        match tokio::time::timeout(PATIENCE, count.wait_for(|count| *count == 0)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(unavailable("how an earlier commit ended is not known yet")),
        }
    }
}
