//! Broken promises that are known, each with what would mend it. They are counted and do not end a run, so that they
//! hide nothing else. A row goes away with its cause.

/// A rule that is known to be broken, and why.
pub(crate) const KNOWN: &[(&str, &str)] = &[(
    NONCE_GAP,
    "a transaction of ours that vanished (evicted, dropped, lost in a reorganisation) is not sent again once its \
     payment has ended; its nonce stays unused and everything behind it is stuck: fill it with a transfer of nothing",
)];

pub(crate) const NONCE_GAP: &str = "no nonce gap outlives its payment";
