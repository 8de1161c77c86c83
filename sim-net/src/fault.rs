//! Everything that can go wrong, by name.

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $per_mille_max:literal;)+) => {
        /// One kind of trouble.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// Every kind.
            pub(crate) const ALL: &'static [Fault] = &[$(Fault::$name,)+];

            /// Its name in reports.
            pub(crate) fn code(self) -> &'static str {
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

// The first block is asked for every second, the others whenever they could strike.
faults! {
    /// Two hosts do not hear each other; what is on the way is lost, and open connections stay half-open.
    Partition = "partition", 180;
    /// Only one of two hosts hears the other.
    OneWay = "one-way partition", 60;
    /// Everything between two hosts waits, and then arrives at once.
    Hold = "messages held", 80;
    /// A host hears nobody for a while, and nobody hears it.
    Isolated = "host isolated", 50;
    /// Everything between two hosts takes long.
    SlowLink = "slow link", 80;
    /// A facilitator's process dies.
    FacilitatorCrash = "facilitator crash", 120;
    /// A gate's process dies.
    GateCrash = "gate crash", 120;
    /// The node restarts: connections break, the chain stays.
    NodeCrash = "node crash", 50;
    /// A host vanishes without a word: its peers keep half-open connections.
    PowerCut = "power cut", 400;
    /// A process is stopped and goes on later, as after SIGSTOP: what it was about to write or to say comes late.
    Stopped = "process stopped", 60;
    /// A clock jumps ahead, or back.
    ClockJump = "clock jump", 50;
    /// A store is away for a while.
    StoreDown = "store down", 50;

    /// A question to the node never gets there.
    RpcLost = "rpc question lost", 40;
    /// A question to the node is answered, and the answer is lost.
    RpcReplyLost = "rpc reply lost", 40;
    /// The node answers an error of its own.
    RpcFails = "rpc fails", 20;
    /// A node that has not seen the last block tells of receipts and events.
    StaleNode = "stale node", 60;
    /// A transaction is acknowledged and lost.
    BroadcastDropped = "broadcast dropped", 120;
    /// A transaction arrives and the node's answer is lost.
    BroadcastReplyLost = "broadcast reply lost", 150;
    /// The node forgets a transaction that waits.
    Evicted = "mempool eviction", 120;
    /// A block comes late, or the chain stands still for a while.
    BlockHeld = "block held back", 100;
    /// A block costs many times what the last one did, and those after it fall only slowly.
    FeeSpike = "fee spike", 60;
    /// The clock of a block is ahead.
    BlockAhead = "block ahead of time", 80;
    /// Up to three blocks are replaced by others.
    Reorg = "reorg", 50;
    /// Transactions of replaced blocks are not in the mempool any more.
    ReorgForgets = "reorg forgets", 400;

    /// A gate's call to its facilitator arrives twice.
    CallDoubled = "call doubled", 60;
    /// A gate's call to its facilitator arrives late, after its gate has given up or died.
    CallDelayed = "call delayed", 40;

    /// A commit fails and writes nothing.
    CommitFailed = "commit failed", 50;
    /// A commit is written and its answer is lost.
    CommitReplyLost = "commit reply lost", 50;
    /// A read fails.
    ReadFailed = "store read failed", 15;
    /// A commit takes long.
    SlowDisk = "slow disk", 60;

    /// A buyer sends copies at once, to every door it knows.
    Copies = "copies at once", 350;
    /// A buyer hangs up before the end of its request.
    HangUp = "hung up mid-body", 120;
    /// A buyer hangs up before the end of the answer.
    ClientLeft = "client left", 150;
    /// A buyer goes away for good.
    BuyerGone = "buyer gone for good", 60;
    /// One nonce is signed for two payees.
    TwoPayees = "one nonce for two payees", 150;
    /// A payment is also sent to another resource.
    OtherResource = "sent to another resource", 100;
    /// The amount is changed after signing.
    AlteredAmount = "altered amount", 60;
    /// A payment is too old when it is sent.
    Expired = "expired payment", 60;
    /// A payer has too little.
    Poor = "poor payer", 60;
    /// A payer moves its money away meanwhile.
    Drained = "drained payer", 100;
    /// A payer cancels its authorization meanwhile.
    Cancelled = "cancelled authorization", 100;
    /// A stranger submits the authorization first.
    FrontRun = "front-run", 150;

    /// A handler answers with an error.
    HandlerFailed = "handler failed", 80;
    /// A handler panics.
    HandlerPanicked = "handler panicked", 40;
    /// A handler does not answer in time.
    HandlerHung = "handler hung", 40;
}

/// A mistake made on purpose, to see that it is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Planted {
    /// At a crash a store forgets what it said it had written last.
    ForgottenCommit,
    /// The line to the facilitator says "refused" where it should say "no answer".
    TimeoutIsRefusal,
    /// Two gates of one seller keep a book each.
    TwoBooks,
    /// The store overwrites whatever it finds.
    BlindWrites,
}
