//! What was lost: totals by reason, and by process for its profile's resource.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use aya::maps::{HashMap as BpfHashMap, MapData, PerCpuArray};

use crate::abi::{self, Counter, LostKey, LostReason, ProcessKey};
use crate::loader;
use crate::processes::lock;
use crate::ring::RingCounters;

/// Counts of what was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    ring: u64,
    state: u64,
    events: u64,
    malformed: u64,
    filtered: u64,
}

impl Lost {
    fn named(self) -> [(&'static str, u64); 5] {
        [
            ("sample ring full", self.ring),
            ("no working memory", self.state),
            ("event ring full", self.events),
            ("malformed record", self.malformed),
            ("unknown to filters", self.filtered),
        ]
    }
}

/// Samples of one process that were lost: by the last part of the attribute `hearth.lost.…`.
pub(crate) type LostOfProcess = Vec<(&'static str, u64)>;

/// The name of a reason in the attribute `hearth.lost.…`; none for one we do not know.
fn attribute(reason: u32) -> Option<&'static str> {
    const NAMES: [(LostReason, &str); 2] =
        [(LostReason::Ring, "ring_full"), (LostReason::State, "no_memory")];
    NAMES.iter().find(|(known, _)| *known as u32 == reason).map(|(_, name)| *name)
}

/// Reads and remembers.
pub(crate) struct Losses {
    counters: Mutex<PerCpuArray<MapData, u64>>,
    map: Mutex<BpfHashMap<MapData, LostKey, u64>>,
    /// What was reported, in all and when the map was read.
    reported: Mutex<(Lost, Lost)>,
}

impl Losses {
    pub(crate) fn new(counters: PerCpuArray<MapData, u64>, map: BpfHashMap<MapData, LostKey, u64>) -> Self {
        Self { counters: Mutex::new(counters), map: Mutex::new(map), reported: Mutex::default() }
    }

    /// A counter of the kernel side.
    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        loader::counter(&lock(&self.counters), counter)
    }

    fn total(&self, ring: &RingCounters) -> Lost {
        Lost {
            ring: self.counter(Counter::LostRing),
            state: self.counter(Counter::LostState),
            events: self.counter(Counter::LostEvents),
            malformed: ring.malformed.load(Ordering::Relaxed),
            filtered: ring.undecided.load(Ordering::Relaxed),
        }
    }

    /// All losses since the start, by reason.
    pub(crate) fn named(&self, ring: &RingCounters) -> Vec<(&'static str, u64)> {
        self.total(ring).named().to_vec()
    }

    /// What was lost since the last call, by reason; only those that are not 0.
    pub(crate) fn newly_lost(&self, ring: &RingCounters) -> Vec<(&'static str, u64)> {
        let now = self.total(ring);
        let before = std::mem::replace(&mut lock(&self.reported).0, now);
        let pairs = now.named().into_iter().zip(before.named());
        pairs
            .map(|((reason, now), (_, before))| (reason, now.saturating_sub(before)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What each process lost since the last call. Empties the kernel side's map, which it looks into only
    /// if the totals say that there is something.
    pub(crate) fn of_processes(&self, ring: &RingCounters) -> HashMap<ProcessKey, LostOfProcess> {
        let now = self.total(ring);
        let before = std::mem::replace(&mut lock(&self.reported).1, now);
        let mut lost: HashMap<ProcessKey, LostOfProcess> = HashMap::new();
        if (now.ring, now.state) == (before.ring, before.state) {
            return lost;
        }
        let mut map = lock(&self.map);
        let keys: Vec<LostKey> = map.keys().flatten().collect();
        for key in keys {
            // What is counted between these two calls is missing from the process, not from the totals.
            let Ok(count) = map.get(&key, 0) else { continue };
            if let Err(error) = map.remove(&key) {
                tracing::debug!(%error, "cannot reset a count of lost samples");
            }
            let (process, reason) = abi::lost_of(&key);
            if let Some(reason) = attribute(reason) {
                lost.entry(process).or_default().push((reason, count));
            }
        }
        lost
    }
}
