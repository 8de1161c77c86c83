//! What is to be sent when, in memory: the book cannot be asked for what is due first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use groat_core::Timestamp;

/// Deliveries on their way to one endpoint at the same time.
const EACH_MAX: usize = 2;
/// To all endpoints.
const ALL_MAX: usize = 128;

/// Every delivery that is not over, by endpoint.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    lines: BTreeMap<String, Line>,
    on_their_way: usize,
    /// The endpoint whose turn was last.
    served: String,
}

#[derive(Debug, Default)]
struct Line {
    due: BTreeSet<(Timestamp, String)>,
    times: HashMap<String, Timestamp>,
    on_their_way: HashSet<String>,
}

impl Agenda {
    /// A delivery is to be tried then, whatever was thought before. Not one that is on its way: that is told when it ends.
    pub(super) fn put(&mut self, endpoint: &str, key: String, at: Timestamp) {
        let line = self.lines.entry(endpoint.to_owned()).or_default();
        if line.on_their_way.contains(&key) {
            return;
        }
        if let Some(before) = line.times.insert(key.clone(), at) {
            line.due.remove(&(before, key.clone()));
        }
        line.due.insert((at, key));
    }

    /// One that is over, or is to be tried again.
    pub(super) fn landed(&mut self, endpoint: &str, key: String, again_at: Option<Timestamp>) {
        if let Some(line) = self.lines.get_mut(endpoint) {
            self.on_their_way -= usize::from(line.on_their_way.remove(&key));
        }
        match again_at {
            Some(at) => self.put(endpoint, key, at),
            None => self.lines.retain(|_, line| !line.times.is_empty() || !line.on_their_way.is_empty()),
        }
    }

    /// How many wait for an endpoint or are on their way to it.
    pub(super) fn count(&self, endpoint: &str) -> usize {
        self.lines.get(endpoint).map_or(0, |line| line.times.len() + line.on_their_way.len())
    }

    /// What is to be sent now, at most so many at once for each endpoint, and each endpoint in its turn.
    pub(super) fn take(&mut self, now: Timestamp, may: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            let served = self.served.clone();
            let behind = (Bound::Excluded(served.clone()), Bound::Unbounded);
            let mut order: Vec<String> = self.lines.range(behind).map(|(name, _)| name.clone()).collect();
            order.extend(self.lines.range(..=served).map(|(name, _)| name.clone()));
            for name in order {
                if self.on_their_way >= ALL_MAX {
                    return taken;
                }
                let Some(line) = self.lines.get_mut(&name).filter(|_| may(&name)) else { continue };
                if line.on_their_way.len() >= EACH_MAX || line.due.first().is_none_or(|(at, _)| *at > now) {
                    continue;
                }
                let Some((_, key)) = line.due.pop_first() else { continue };
                line.times.remove(&key);
                line.on_their_way.insert(key.clone());
                self.on_their_way += 1;
                self.served.clone_from(&name);
                taken.push((name, key));
            }
            if taken.len() == before {
                return taken;
            }
        }
    }

    /// When the next of those endpoints' is due that have room.
    pub(super) fn next_at(&self, may: impl Fn(&str) -> bool) -> Option<Timestamp> {
        let waiting =
            self.lines.iter().filter(|(name, line)| line.on_their_way.len() < EACH_MAX && may(name));
        waiting.filter_map(|(_, line)| line.due.first().map(|(at, _)| *at)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(endpoints: usize, each: usize) -> Agenda {
        let mut agenda = Agenda::default();
        for endpoint in 0..endpoints {
            (0..each).for_each(|key| {
                agenda.put(&format!("e{endpoint:03}"), format!("{endpoint}/{key}"), Timestamp(5))
            });
        }
        agenda
    }

    #[test]
    fn t19_an_endpoint_with_a_thousand_deliveries_leaves_room_for_the_others() {
        let mut agenda = filled(1, 1_000);
        agenda.put("e001", "one".into(), Timestamp(5));
        assert!(agenda.take(Timestamp(4), |_| true).is_empty());
        let taken = agenda.take(Timestamp(5), |_| true);
        assert_eq!(taken.len(), EACH_MAX + 1);
        assert!(taken.contains(&("e001".into(), "one".into())));
        assert!(agenda.take(Timestamp(5), |_| true).is_empty(), "nothing has come back");
        assert_eq!((agenda.count("e000"), agenda.count("e001"), agenda.count("e2")), (1_000, 1, 0));
        let (endpoint, key) = taken.into_iter().find(|(endpoint, _)| endpoint == "e000").unwrap();
        agenda.landed(&endpoint, key.clone(), Some(Timestamp(9)));
        assert_eq!(agenda.take(Timestamp(5), |_| true).len(), 1);
        assert_eq!(agenda.count("e000"), 1_000);
        agenda.landed("e001", "one".into(), None);
        assert_eq!(agenda.count("e001"), 0);
    }

    #[test]
    fn t19_with_more_slow_endpoints_than_places_everybody_has_a_turn() {
        let mut agenda = filled(300, 10);
        let mut served = HashSet::new();
        for _ in 0..3 {
            let taken = agenda.take(Timestamp(5), |_| true);
            assert_eq!(taken.len(), ALL_MAX);
            for (endpoint, key) in taken {
                agenda.landed(&endpoint, key, Some(Timestamp(50)));
                served.insert(endpoint);
            }
        }
        assert_eq!(served.len(), 300);
    }

    #[test]
    fn what_is_held_back_waits_and_what_is_on_its_way_is_taken_once() {
        let mut agenda = filled(2, 1);
        assert_eq!(agenda.take(Timestamp(5), |name| name == "e001"), [("e001".into(), "1/0".into())]);
        // The book is read again while it is on its way.
        agenda.put("e001", "1/0".into(), Timestamp(5));
        assert_eq!(agenda.next_at(|name| name == "e001"), None);
        assert!(agenda.take(Timestamp(5), |name| name == "e001").is_empty());
        assert_eq!(agenda.next_at(|_| true), Some(Timestamp(5)));
        agenda.put("e000", "0/0".into(), Timestamp(3));
        assert_eq!((agenda.next_at(|_| true), agenda.count("e000")), (Some(Timestamp(3)), 1));
    }
}
