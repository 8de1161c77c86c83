//! The kill points of the threat model: places where a process can be made to die, to see what is made of what it leaves.
//!
//! Without the feature `armed` (of the binary: `failpoints`) [`reach`] and [`pause`] are nothing. With it,
//! `GROAT_FAILPOINT=KP5` ends the process where KP5 is reached, as SIGKILL does: nothing is flushed, nothing is dropped.
//! The library `fail` has no such end, so this is our own. `cargo xtask kills` goes through all rows.
//!
//! | Point | Right after … | Place |
//! | --- | --- | --- |
//! | KP0 | a gate has read a payment | seller `gate/admit`, `let_in` |
//! | KP1 | the hold is in the book of sales | seller `gate/work`, `hold` |
//! | KP2 | the facilitator said yes to `verify`; of a request that is served first nothing is in the book | seller `gate/work`, `begin` |
//! | KP3 | the facilitator found room beside the payer's other promises; that room is in memory | facilitator `engine`, `begin` |
//! | KP4 | the start of the handler is in the book | seller `gate/work`, `serve` |
//! | KP5 | the signed transaction is in the book, and was not sent | facilitator `engine/lane`, `submit` |
//! | KP6 | it was sent, and no answer came | facilitator `engine/watch`, `broadcast` |
//! | KP7 | the node took it | facilitator `engine/watch`, `broadcast` |
//! | KP8 | a block has it, and nobody has looked | facilitator `engine/watch`, `carry` |
//! | KP9 | the receipt is in the book of sales, before the handler of a request that is paid first | seller `gate/work`, `pay_first` |
//! | KP10 | the handler has answered, and the book has not its answer | seller `gate/work`, `serve` and `stream` |
//! | KP11 | the answer is in the book, and was not sent | seller `gate/work`, `step` |
//! | KP12 | the answer is in the book, and all but its last piece was sent | seller `gate/work`, `stream` |
//! | KP13 | the settlement and what the outbox says of it are in the book, and nobody was told | facilitator `engine/watch`, `look` |
//! | KP14 | more gas was signed for, and was not sent | facilitator `engine/watch`, `add` |
//! | KP15 | everything was read that is about to be written: here it falls asleep, for there are no leases to lose, only versions | facilitator `engine/lane`, `write` |
//! | KP16 | nothing: the book is put back from an older copy after a death at KP13 | none |
//! | KP17 | the signed payment is in the buyer's journal, and was not sent | buyer `client/reserve`, `sign` |
//! | KP18 | the payment was sent, and nothing was noted of the answer | buyer `client/send`, `send` |
//! | KP19 | the token that was bought is kept, and the purchase is still open | buyer `client/send`, `send` |
//! | KP20 | the purchase is closed, and the token was not shown yet | buyer `client/send`, `send` |
//! | KP21 | a debit is in its ledger, and the book of settlements has not heard of it | facilitator `engine/taken`, `settle_taken` |
//! | KP22 | a payment that tops a balance up was taken, and nothing is added yet | seller `service/balance`, `add` |

/// Ends the process if this point is armed.
#[inline(always)]
pub fn reach(_point: &str) {
    #[cfg(feature = "armed")]
    armed::end(_point);
}

/// Stops the process if this point is armed, until somebody lets it go on (SIGCONT).
#[inline(always)]
pub fn pause(_point: &str) {
    #[cfg(feature = "armed")]
    armed::stop(_point);
}

#[cfg(feature = "armed")]
mod armed {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    fn is_armed(point: &str) -> bool {
        std::env::var("GROAT_FAILPOINT").is_ok_and(|armed| armed == point)
    }

    pub(super) fn end(point: &str) {
        if is_armed(point) {
            eprintln!("failpoint {point}: killed");
            let _ = kill_process(getpid(), Signal::KILL);
            // No line of ours runs after this one.
            loop {
                std::thread::park();
            }
        }
    }

    pub(super) fn stop(point: &str) {
        static ONCE: AtomicBool = AtomicBool::new(false);
        if is_armed(point) && !ONCE.swap(true, Ordering::Relaxed) {
            eprintln!("failpoint {point}: stopped");
            let _ = kill_process(getpid(), Signal::STOP);
        }
    }
}
