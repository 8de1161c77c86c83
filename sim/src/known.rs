//! Broken promises that are known, each with what would mend it. They are counted and do not end a run, so that they
//! hide nothing else. A row goes away with its cause.

/// A rule that is known to be broken, and why.
pub(crate) const KNOWN: &[(&str, &str)] = &[
    (
        CUT_OFF_REPEATED,
        "the gate releases a run with side effects that was cut off, and a resend of the payment holds and runs it \
         again; kill point KP4 wants an end that accepts nothing",
    ),
    (
        RELEASE_NOT_FINAL,
        "the same release is told as 402, so the buyer may sign again while a copy still under way is charged",
    ),
    (
        ANSWER_NOT_KEPT,
        "a stream ends well for the client although the book could not keep it: a resend gets another answer, or is \
         told of a refund; the body should break off instead",
    ),
    (
        RELEASED_TOO_EARLY,
        "after a restart the gate releases what the facilitator does not know yet, while its call to settle is still \
         under way; nothing may be released as unpaid before the authorization is dead",
    ),
    (
        NONCE_GAP,
        "a transaction of ours that vanished (evicted, dropped, lost in a reorganisation) is not sent again once its \
         payment has ended; its nonce stays unused and everything behind it is stuck: fill it with a transfer of \
         nothing",
    ),
];

pub(crate) const CUT_OFF_REPEATED: &str = "a run cut off is not repeated";
pub(crate) const RELEASE_NOT_FINAL: &str = "a release that was told is final";
pub(crate) const ANSWER_NOT_KEPT: &str = "the answer given is the answer kept";
pub(crate) const RELEASED_TOO_EARLY: &str = "nothing under way is released";
pub(crate) const NONCE_GAP: &str = "no nonce gap outlives its payment";
