//! The newest blocks: waiting for the next, and whether an earlier one still belongs to the chain.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::{B256, U64};
use groat_core::books::Mined;
use groat_core::ports::Standing;
use groat_core::{Depth, Fault};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Chain, lock};
use crate::rpc::Block;

/// Between two looks for a new block. One small request; blocks come every second at the fastest.
const POLL_INTERVAL: Duration = Duration::from_millis(40);
/// The first of them, where blocks come when something is sent.
const EAGER_INTERVAL: Duration = Duration::from_millis(2);
/// A block that comes sooner after something was sent has come for it.
const QUICK_MAX: Duration = Duration::from_millis(50);
/// With so many such blocks in a row it is no chance.
const QUICK_STREAK: u32 = 3;
/// Links of the chain that are remembered.
const LINKS_MAX: usize = 512;
/// So long they are taken for true.
const LINKS_FRESH: Duration = Duration::from_secs(1);
/// After a longer silence the links begin anew.
const GAP_MAX: u64 = 64;
/// So many blocks deep a block is final on chains whose nodes do not know the word.
const DEPTH_FINAL: u64 = 64;
/// And so many deep it is safe.
const DEPTH_SAFE: u64 = 32;
/// Between two questions for what is final, or safe.
const TAG_FRESH: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Heads {
    newest: watch::Sender<u64>,
    polling: tokio::sync::Mutex<()>,
    /// Something was sent.
    sent: Notify,
    quick: Mutex<Quick>,
    links: tokio::sync::Mutex<Links>,
    last_final: Tag,
    last_safe: Tag,
}

/// The last block that deserves a word, and when a node said so.
#[derive(Debug)]
struct Tag {
    word: &'static str,
    /// So many blocks deep where nodes do not know the word.
    depth: u64,
    told: Mutex<Option<(Instant, u64)>>,
}

impl Tag {
    fn new(word: &'static str, depth: u64) -> Self {
        Self { word, depth, told: Mutex::default() }
    }
}

/// Whether blocks come when something is sent, as on chains of developers and of single sequencers.
#[derive(Debug, Default)]
struct Quick {
    sent: Option<Instant>,
    /// So many blocks in a row came at once.
    streak: u32,
}

impl Quick {
    fn block(&mut self) {
        let at_once = self.sent.is_some_and(|sent| sent.elapsed() < QUICK_MAX);
        self.streak = if at_once { self.streak.saturating_add(1) } else { 0 };
    }
}

/// The chain as it was when somebody looked last.
#[derive(Debug, Default)]
struct Links {
    hashes: BTreeMap<u64, B256>,
    looked: Option<(Instant, u64)>,
}

impl Links {
    /// The newest block and the one with this number, if somebody has looked a moment ago.
    fn fresh(&self, number: u64) -> Option<(u64, Option<B256>)> {
        let (at, head) = self.looked?;
        (at.elapsed() < LINKS_FRESH).then(|| (head, self.hashes.get(&number).copied()))
    }
}

impl Default for Heads {
    fn default() -> Self {
        let (polling, links) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let (last_final, last_safe) = (Tag::new("finalized", DEPTH_FINAL), Tag::new("safe", DEPTH_SAFE));
        let newest = watch::Sender::new(0);
        Self { newest, polling, sent: Notify::new(), quick: Mutex::default(), links, last_final, last_safe }
    }
}

impl Heads {
    /// The newest block that anybody has seen.
    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Somebody has seen this block. Returns whether it is news; a chain that was put back is.
    pub(super) fn note(&self, number: u64) -> bool {
        let is_news = self.newest.send_if_modified(|newest| std::mem::replace(newest, number) != number);
        if is_news {
            lock(&self.quick).block();
        }
        is_news
    }

    /// A transaction was sent: on a chain that makes a block for each, the next is there at once.
    fn note_sent(&self) {
        lock(&self.quick).sent = Some(Instant::now());
        self.sent.notify_one();
    }

    fn is_quick(&self) -> bool {
        lock(&self.quick).streak >= QUICK_STREAK
    }

    /// Until the next look after something was sent.
    fn eager_interval(&self) -> Duration {
        if self.is_quick() { EAGER_INTERVAL } else { POLL_INTERVAL }
    }
}

impl Chain {
    /// The newest block that anybody here has seen.
    pub(crate) fn newest(&self) -> u64 {
        self.0.heads.newest()
    }

    /// Returns when the newest block is another than `after`, or after the timeout. However many wait, one asks.
    pub(crate) async fn wait_block(&self, after: u64, timeout: Duration) -> u64 {
        let mut newest = self.0.heads.newest.subscribe();
        let deadline = Instant::now() + timeout;
        tokio::select! {
            _ = newest.wait_for(|newest| *newest != after) => {}
            () = self.poll_until(deadline) => {}
        }
        self.newest()
    }

    /// Whether a block comes for each transaction.
    pub(super) fn is_quick(&self) -> bool {
        self.0.heads.is_quick()
    }

    /// Something was sent: the next block may come sooner.
    pub(super) fn note_sent(&self) {
        self.0.heads.note_sent();
    }

    /// A block did not come at once.
    pub(super) fn note_slow(&self) {
        lock(&self.0.heads.quick).streak = 0;
    }

    pub(super) fn note_block(&self, number: u64) {
        self.0.heads.note(number);
    }

    async fn poll_until(&self, deadline: Instant) {
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.0.heads.polling.lock()).await else { return };
        let mut interval = self.0.heads.eager_interval();
        while Instant::now() < deadline {
            if let Ok(number) = self.rpc().ask::<_, U64>("eth_blockNumber", ()).await
                && self.0.heads.note(number.to::<u64>())
            {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => interval = (interval * 2).min(POLL_INTERVAL),
                () = self.0.heads.sent.notified() => interval = self.0.heads.eager_interval(),
            }
        }
    }

    /// What has become of a block that a transaction was seen in.
    pub(crate) async fn standing(&self, mined: &Mined) -> Result<Standing, Fault> {
        let Some(head) = self.head_above(mined).await? else { return Ok(Standing::Replaced) };
        let is_final = mined.block <= self.last(&self.0.heads.last_final, head).await?;
        Ok(if is_final { Standing::Final } else { Standing::Standing })
    }

    /// How deep it lies.
    pub(crate) async fn depth(&self, mined: &Mined) -> Result<Depth, Fault> {
        let Some(head) = self.head_above(mined).await? else { return Ok(Depth::default()) };
        Ok(Depth {
            // The newest that was looked at may be a second old, and below a block that is there.
            confirmations: head.max(mined.block) - mined.block + 1,
            safe: mined.block <= self.last(&self.0.heads.last_safe, head).await?,
            finalized: mined.block <= self.last(&self.0.heads.last_final, head).await?,
        })
    }

    /// Whether the chain has this block now. `None` while it has none of that number.
    pub(crate) async fn has(&self, mined: &Mined) -> Result<Option<bool>, Fault> {
        let hash = hash_of(mined)?;
        Ok(self.rpc().block(mined.block).await?.map(|block| block.hash == hash))
    }

    /// The newest block, if the chain below it has this one. One question a second, however many ask.
    async fn head_above(&self, mined: &Mined) -> Result<Option<u64>, Fault> {
        let hash = hash_of(mined)?;
        let (head, known) = self.look_below(mined.block).await?;
        let there = match known {
            Some(hash) => Some(hash),
            None => self.rpc().block(mined.block).await?.map(|block| block.hash),
        };
        Ok((there == Some(hash)).then_some(head))
    }

    /// The newest block, and the one with this number below it, where that is remembered.
    async fn look_below(&self, number: u64) -> Result<(u64, Option<B256>), Fault> {
        if let Some(known) = self.0.heads.links.lock().await.fresh(number) {
            return Ok(known);
        }
        // A gap takes many questions, and they must not be lost when whoever asks has no time for all of them.
        let chain = self.clone();
        let look = tokio::spawn(async move {
            let mut links = chain.0.heads.links.lock().await;
            if let Some(known) = links.fresh(number) {
                return Ok(known);
            }
            let head = chain.rpc().head().await?;
            chain.link(&mut links.hashes, &head).await?;
            let head = head.number.to::<u64>();
            links.looked = Some((Instant::now(), head));
            Ok((head, links.hashes.get(&number).copied()))
        });
        look.await.map_err(|_| Fault::unavailable("chain", "a look at its blocks broke off"))?
    }

    /// Follows the parents of a new head down to what is known; everything below stands as it did.
    async fn link(&self, links: &mut BTreeMap<u64, B256>, head: &Block) -> Result<(), Fault> {
        let (mut number, mut hash, mut parent) = (head.number.to::<u64>(), head.hash, head.parent_hash);
        links.split_off(&(number + 1));
        if links.last_key_value().is_some_and(|(last, _)| number - last > GAP_MAX) {
            links.clear();
        }
        // Taken over only as a whole: half a way down would look like all of it.
        let mut fresh = BTreeMap::new();
        while links.get(&number) != Some(&hash) {
            fresh.insert(number, hash);
            if number == 0 || links.range(..number).next().is_none() {
                break;
            }
            if links.get(&(number - 1)) == Some(&parent) {
                break;
            }
            let below = self.rpc().block(number - 1).await?;
            let below = below.ok_or_else(|| {
                Fault::unavailable(
                    "chain",
                    "the node does not have a block below its newest: it is asked again",
                )
            })?;
            (number, hash, parent) = (number - 1, below.hash, below.parent_hash);
        }
        links.append(&mut fresh);
        while links.len() > LINKS_MAX {
            links.pop_first();
        }
        Ok(())
    }

    async fn last(&self, tag: &Tag, head: u64) -> Result<u64, Fault> {
        if let Some((at, number)) = *lock(&tag.told)
            && at.elapsed() < TAG_FRESH
        {
            return Ok(number);
        }
        let answer =
            self.rpc().try_ask::<_, Option<Block>>("eth_getBlockByNumber", (tag.word, false)).await?;
        let number = match answer {
            Ok(Some(block)) => block.number.to::<u64>(),
            Ok(None) | Err(_) => head.saturating_sub(tag.depth),
        };
        *lock(&tag.told) = Some((Instant::now(), number));
        Ok(number)
    }
}

fn hash_of(mined: &Mined) -> Result<B256, Fault> {
    mined.block_hash.parse().map_err(|_| Fault::garbled("store", "a block has no hash"))
}
