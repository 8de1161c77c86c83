//! Nothing is lost and nothing is told twice: outages, windows, restarts, reorganisations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use groat_core::books::{Aggregate, IndexCursor, IndexedPayment};
use groat_core::ports::Store;
use groat_indexer::IndexerOptions;
use groat_store::{Journal, MemoryStore, SqliteStore};

use crate::world::{World, get, hashes};

#[tokio::test]
async fn a_block_is_read_when_two_lie_upon_it() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    let paid = world.pay();
    world.chain.mine(1);
    assert_eq!(indexer.poll().await.unwrap().found, 0);
    world.chain.mine(1);
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [paid]);
    assert_eq!(indexer.poll().await.unwrap().found, 0);
}

#[tokio::test]
async fn an_outage_moves_nothing_and_loses_nothing() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    world.chain.mine(3);
    indexer.poll().await.unwrap();
    let before = indexer.status().0;
    let paid = world.pay();
    world.chain.mine(3);
    for (method, times) in [("eth_getLogs", 1), ("eth_getBlockByNumber", 1), ("eth_getLogs", 3)] {
        for _ in 0..times {
            world.chain.faults(|faults| faults.fail_next.insert(method.into(), (1, -32000)));
            assert!(indexer.poll().await.is_err(), "{method}");
            assert_eq!(indexer.status().0, before);
            assert!(hashes(&indexer, &world).await.is_empty());
        }
    }
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [paid]);
}

/// Behind one URL there may be a node that does not have the newest blocks: by number it says that nothing happened in them.
#[tokio::test]
async fn a_node_that_lacks_a_block_makes_the_index_wait_and_not_skip() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    world.chain.mine(200);
    indexer.poll().await.unwrap();
    let place = indexer.status();
    let paid = world.pay();
    world.chain.mine(3);
    world.on_logs(|filter| match filter.get("blockHash") {
        Some(_) => Err("unknown block".into()),
        None => Err(String::new()),
    });
    assert!(indexer.poll().await.is_err());
    assert_eq!(indexer.status(), place);
    world.on_logs(|_| Ok(()));
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [paid]);
}

/// A wide window does not reach to where blocks are asked for by their hash.
#[tokio::test]
async fn the_newest_blocks_are_asked_for_by_hash_also_when_much_has_to_be_caught_up() {
    let world = World::new();
    world.chain.mine(80);
    let paid = world.pay();
    world.chain.mine(10);
    // Of the last 64 blocks a node that is behind would say by number that nothing happened.
    let newest = world.chain.block_number() - 64;
    world.on_logs(move |filter| match filter["toBlock"].as_str() {
        Some(to) if u64::from_str_radix(to.trim_start_matches("0x"), 16).unwrap() > newest => {
            Err(String::new())
        }
        _ => Ok(()),
    });
    let indexer = Arc::new(world.indexer().await);
    indexer.poll().await.unwrap();
    assert_eq!(hashes(&indexer, &world).await, [paid]);
}

#[tokio::test]
async fn windows_are_of_a_hundred_blocks_and_each_is_kept() {
    let world = World::new();
    let mut paid = vec![world.pay()];
    world.chain.mine(99);
    paid.push(world.pay());
    world.chain.mine(150);
    paid.push(world.pay());
    world.chain.mine(2);
    let indexer = Arc::new(world.indexer().await);
    assert_eq!(indexer.poll().await.unwrap().found, 3);
    paid.reverse();
    assert_eq!(hashes(&indexer, &world).await, paid);
    let cursor: Journal<IndexCursor> = Journal::new(Arc::new(world.store.clone()));
    let read = cursor.load("agentxpay").await.unwrap().unwrap().record.read;
    let places: Vec<u64> = read.iter().map(|(block, _)| *block).collect();
    // They end where the newest 64 begin, and are smaller there.
    let head = world.chain.block_number();
    assert_eq!(places, [99, head - 64, 208, 224, 240, head - 2]);
    // However it is cut, the rows are the same.
    for window in [1, 7, 1_000] {
        let options = IndexerOptions { window, ..IndexerOptions::default() };
        let other = Arc::new(world.indexer_on(Arc::new(MemoryStore::default()), options).await);
        other.poll().await.unwrap();
        let path = format!("/api/events?address={}", world.ada.address());
        assert_eq!(get(&other, &path).await, get(&indexer, &path).await, "{window}");
    }
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_commit_was() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let open = || async {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        Arc::new(world.indexer_on(store, IndexerOptions::default()).await)
    };
    let first = world.pay();
    world.chain.mine(180);
    let indexer = open().await;
    // It dies after the first window: the second is never told.
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    world.on_logs(
        move |_| if seen.fetch_add(1, Ordering::SeqCst) == 0 { Ok(()) } else { Err("no more".into()) },
    );
    assert!(indexer.poll().await.is_err());
    assert_eq!((asked.load(Ordering::SeqCst), indexer.status().0), (2, 99));
    world.on_logs(|_| Ok(()));
    let status = indexer.status();
    drop(indexer);
    let second = world.subscribe();
    world.chain.mine(2);
    let indexer = open().await;
    assert_eq!(indexer.status(), status);
    assert_eq!(hashes(&indexer, &world).await, [first.as_str()]);
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [second, first]);
}

#[tokio::test]
async fn a_reorganisation_is_followed_and_what_it_took_is_undone() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    let kept = world.pay();
    world.chain.mine(3);
    indexer.poll().await.unwrap();
    let gone = world.pay();
    world.chain.mine(3);
    assert_eq!(indexer.poll().await.unwrap().found, 1);
    assert_eq!(hashes(&indexer, &world).await, [gone.clone(), kept.clone()]);
    world.chain.reorg(4, true);
    // The node is behind what was read before: nobody can tell.
    let place = indexer.status();
    assert!(indexer.poll().await.is_err());
    assert_eq!(indexer.status(), place);
    world.chain.increase_time(1);
    world.chain.mine(6);
    assert_eq!(indexer.poll().await.unwrap().undone, 1);
    assert_eq!(hashes(&indexer, &world).await, std::slice::from_ref(&kept));
    let all: Journal<IndexedPayment> = Journal::new(Arc::new(world.store.clone()));
    let rows = all.scan_all(None, 10).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.record.undone).count(), 1);
    // A restart sees the same.
    let again = Arc::new(world.indexer().await);
    assert_eq!(hashes(&again, &world).await, [kept]);
    assert_eq!(again.status(), indexer.status());
}

#[tokio::test]
async fn a_payment_that_comes_back_at_its_old_place_is_told_again() {
    let world = World::new();
    let indexer = Arc::new(world.indexer().await);
    let paid = world.pay();
    world.chain.mine(3);
    indexer.poll().await.unwrap();
    // Its transaction waits again and gets into the first new block, which is another block.
    world.chain.reorg(4, false);
    world.chain.increase_time(7);
    world.chain.mine(6);
    let polled = indexer.poll().await.unwrap();
    assert_eq!((polled.undone, polled.found), (1, 1));
    assert_eq!(hashes(&indexer, &world).await, [paid]);
    let all: Journal<IndexedPayment> = Journal::new(Arc::new(world.store.clone()));
    let rows = all.scan_all(None, 10).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(!rows[0].record.undone && rows[0].version == 3);
}

#[tokio::test]
async fn two_indexers_on_one_store_write_everything_once_and_an_index_is_of_one_source() {
    let world = World::new();
    let (one, other) = (world.indexer().await, world.indexer().await);
    world.pay();
    world.chain.mine(3);
    assert_eq!(one.poll().await.unwrap().found, 1);
    // It finds that somebody else has written, and reads that.
    assert!(other.poll().await.is_err());
    assert_eq!(other.poll().await.unwrap().found, 0);
    let other = Arc::new(other);
    assert_eq!(hashes(&other, &world).await.len(), 1);
    let all: Journal<IndexedPayment> = Journal::new(Arc::new(world.store.clone()));
    assert_eq!(all.scan_all(None, 10).await.unwrap().len(), 1);
    let options = IndexerOptions { first_block: 1, ..IndexerOptions::default() };
    let clock = Arc::new(|| groat_core::Timestamp(0));
    let stranger = groat_indexer::Indexer::open(
        world.evm(),
        crate::world::CONTRACTS,
        Arc::new(world.store.clone()),
        clock,
        options,
    );
    let wrong = stranger.await.unwrap_err().to_string();
    assert!(wrong.contains("name another store"), "{wrong}");
    assert_eq!(IndexCursor::BOOK.table(), "index_cursors");
}
