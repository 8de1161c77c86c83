//! One life of a process. A dead process does nothing any more: its next step never ends. A zombie goes on, but nobody
//! hears it: only the store's compare-and-set keeps it from doing harm.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::fault::Fault;
use crate::stage::Stage;

/// From start to crash.
pub(crate) struct Life {
    stage: Arc<Stage>,
    crash: Fault,
    dead: AtomicBool,
    /// Dead to all others, and still at work: a long pause, a lost lease.
    zombie: AtomicBool,
    /// Wakes in the order of waiting, unlike a watch channel, which would make runs differ.
    bell: Notify,
}

impl Life {
    /// `crash` is how it may die at a step.
    pub(crate) fn new(stage: Arc<Stage>, crash: Fault) -> Arc<Self> {
        Arc::new(Self {
            stage,
            crash,
            dead: AtomicBool::new(false),
            zombie: AtomicBool::new(false),
            bell: Notify::new(),
        })
    }

    pub(crate) fn kill(&self) {
        if !self.is_dead() && self.stage.strikes(Fault::Zombie) {
            self.zombie.store(true, Ordering::Relaxed);
        }
        self.dead.store(true, Ordering::Relaxed);
        self.bell.notify_waiters();
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) async fn died(&self) {
        // Whoever listens before asking misses nothing.
        let rung = self.bell.notified();
        if !self.is_dead() {
            rung.await;
        }
    }

    /// A place where the process may die, and where a dead one stays. Every call to the outside begins and ends here.
    pub(crate) async fn step(&self) {
        if !self.is_dead() && self.stage.strikes(self.crash) {
            self.kill();
        }
        if self.is_dead() && !self.zombie.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
    }

    /// What the process does, as long as it lives.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.died() => None,
            done = work => Some(done),
        }
    }
}
