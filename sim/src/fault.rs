//! Everything that can go wrong, by name.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $per_mille_max:literal;)+) => {
        /// One kind of trouble.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)+];

            /// Its name in reports.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// How many times in a thousand it strikes at most, where a seed has it at all.
            pub(crate) fn per_mille_max(self) -> u64 {
                match self {
                    $(Self::$name => $per_mille_max,)+
                }
            }
        }
    };
}

faults! {
    /// A question to the node stays without an answer.
    RpcReplyLost = "rpc reply lost", 60;
    /// No question to the node is answered for a while.
    RpcDown = "rpc down", 15;
    /// A node answers that has not seen the last blocks.
    StaleNode = "stale node", 60;
    /// A transaction is sent and never arrives.
    BroadcastDropped = "broadcast dropped", 150;
    /// A transaction arrives and the node's answer is lost.
    BroadcastReplyLost = "broadcast reply lost", 200;
    /// A transaction arrives late.
    BroadcastDelayed = "broadcast delayed", 200;
    /// The node forgets a transaction that waits.
    Evicted = "mempool eviction", 60;
    /// A block comes late, or the whole chain stands still.
    BlockHeld = "block held back", 60;
    /// Up to three blocks are replaced by others.
    Reorg = "reorg", 25;
    /// A transaction of a replaced block is not in the mempool any more.
    ReorgLoses = "reorg loses a transaction", 500;
    /// A commit fails and writes nothing.
    CommitFailed = "commit failed", 40;
    /// A commit is written and its answer is lost.
    CommitReplyLost = "commit reply lost", 40;
    /// A read fails.
    ReadFailed = "store read failed", 30;
    /// A store is down for a while.
    StoreDown = "store down", 15;
    /// The facilitator's process dies between two steps.
    FacilitatorCrash = "facilitator crash", 15;
    /// The seller's process dies between two steps.
    SellerCrash = "seller crash", 20;
    /// A process dies at any moment.
    PowerCut = "power cut", 20;
    /// A process that is taken for dead goes on.
    Zombie = "zombie", 400;
    /// A clock jumps ahead.
    ClockJump = "clock jump", 15;
    /// A call from seller to facilitator does not arrive.
    CallLost = "call lost", 80;
    /// Its answer does not come back.
    CallReplyLost = "call reply lost", 80;
    /// It arrives late.
    CallDelayed = "call delayed", 120;
    /// It arrives twice.
    CallDoubled = "call doubled", 80;
    /// A buyer's request does not arrive.
    RequestLost = "request lost", 100;
    /// A buyer's request arrives late, after others.
    RequestDelayed = "request delayed", 150;
    /// The answer to a buyer does not come back.
    AnswerLost = "answer lost", 150;
    /// A buyer hangs up in the middle.
    ClientLeft = "client left", 150;
    /// A buyer sends copies at once.
    Copies = "copies at once", 300;
    /// A buyer goes away for good.
    BuyerGone = "buyer gone for good", 80;
    /// A handler answers with an error.
    HandlerFailed = "handler failed", 80;
    /// A handler panics.
    HandlerPanicked = "handler panicked", 40;
    /// A handler does not answer in time.
    HandlerHung = "handler hung", 40;
    /// A payment is also sent to another resource.
    OtherResource = "sent to another resource", 120;
    /// The amount is changed after signing.
    AlteredAmount = "altered amount", 80;
    /// A payment is too old when it is sent.
    ExpiredPayment = "expired payment", 80;
    /// A payer has too little.
    PoorPayer = "poor payer", 80;
    /// A payer moves its money away meanwhile.
    Drained = "drained payer", 100;
    /// A payer cancels its authorization meanwhile.
    Cancelled = "cancelled authorization", 100;
    /// A stranger submits the authorization first.
    FrontRun = "front-run", 120;
    /// A payer's own transaction is sent late.
    PaidLate = "paid late", 250;
    /// It is never sent, and shown.
    NeverPaid = "shown and never paid", 100;
    /// It pays too little.
    PaidShort = "paid too little", 80;
    /// It is mined and never shown.
    NeverShown = "paid and never shown", 80;
    /// It is shown when it is too old.
    ShownTooLate = "shown too late", 60;
    /// Somebody else shows it.
    Thief = "shown by a thief", 400;
    /// A pass is shown elsewhere, or after its time.
    PassMisused = "pass misused", 400;
}
