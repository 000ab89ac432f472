//! Updates the verdicts: called by the timer, by V8's collection callbacks and near its limit. Publishes to the record.

use std::time::Instant;

use super::delay::Delay;
use super::live_heap::Heap;
use super::{Guard, Millis, PPM, Policy, Readings, near_limit};
use crate::recorder::writer::Writer;

/// Verdicts with different marks that are stored. Further `shed()`s share the last one's.
const GUARDS_MAX: usize = 64;
/// The live heap must be below this share of the maximum for V8's reserve to be withdrawn, and for `shed()` to stop
/// refusing.
const ROOM: f64 = 0.8;

pub struct Watch {
    writer: Writer,
    started: Instant,
    heap: Heap,
    guards: Vec<(Policy, Guard)>,
    delay: Delay,
    granted_at: Option<Millis>,
    /// The same, until `shed()` may stop refusing.
    near_limit: Option<Millis>,
}

impl Watch {
    /// `capacity`: the old generation's maximum, bytes.
    pub fn new(writer: Writer, capacity: u64) -> Self {
        // Allocated in full at the start, because nothing here may allocate inside a collection.
        let guards = Vec::with_capacity(GUARDS_MAX);
        Self {
            writer,
            started: Instant::now(),
            heap: Heap::new(capacity),
            guards,
            delay: Delay::default(),
            granted_at: None,
            near_limit: None,
        }
    }

    fn now(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }

    /// Returns the number of the verdict for these marks, for [`Watch::level`].
    pub fn guard(&mut self, policy: Policy) -> usize {
        if let Some(known) = self.guards.iter().position(|(known, _)| *known == policy) {
            return known;
        }
        if self.guards.len() < GUARDS_MAX {
            self.guards.push((policy, Guard::new(&policy)));
            self.judge();
        }
        self.guards.len() - 1
    }

    /// The level of this guard, 0 to 1.
    pub fn level(&self, guard: usize) -> f64 {
        self.guards.get(guard).map_or(0.0, |(_, guard)| guard.level())
    }

    /// The highest level of all guards.
    pub fn worst(&self) -> f64 {
        self.guards.iter().map(|(_, guard)| guard.level()).fold(0.0, f64::max)
    }

    /// A collection has ended. May be called within it: does not allocate.
    pub fn collected(&mut self, major: bool, used: u64, pause_ns: u64) {
        let now = self.now();
        self.heap.collected(major, used, pause_ns, now);
        self.judge();
    }

    /// Live bytes after the last major collection.
    pub fn live(&self) -> Option<u64> {
        self.heap.live()
    }

    /// Number of major collections.
    pub fn majors(&self) -> u64 {
        self.heap.majors()
    }

    /// Updates what the requests in flight have allocated on the heap, and its used size.
    pub fn charged(&mut self, in_flight: u64, used: u64) {
        if self.heap.charged(in_flight, used) {
            self.judge();
        }
    }

    /// V8 has granted its reserve. Called within its allocator: does not allocate.
    pub fn granted(&mut self) {
        self.granted_at = Some(self.now());
        self.near_limit = self.granted_at;
        self.judge();
    }

    /// Call this on each tick. True if V8 should be asked to reduce its memory, which also shows the live heap. That
    /// costs the program scavenges, so a late event loop alone is no reason.
    pub fn ticked(&mut self, delay_ms: f64) -> bool {
        self.ticked_at(delay_ms, self.now())
    }

    fn ticked_at(&mut self, delay_ms: f64, now: Millis) -> bool {
        self.delay.ticked(delay_ms, now);
        self.judge();
        let short = self.guards.iter().any(|(_, guard)| guard.memory() > 0.0);
        (short || self.near_limit.is_some()) && self.heap.wants_collection(now)
    }

    /// Call this on each tick that [`Watch::looks_again`] has requested.
    pub fn late(&mut self, delay_ms: f64) {
        self.delay.ticked(delay_ms, self.now());
        self.judge();
    }

    /// Whether the loop is late and a guard uses that: another tick soon shows whether it continues.
    pub fn looks_again(&self) -> bool {
        self.delay.is_late() && self.guards.iter().any(|(policy, _)| policy.delay_ms.is_some())
    }

    /// Whether a collection since the grant has shown that the live heap has room again below `limit` bytes.
    pub fn has_room(&self, limit: u64) -> bool {
        let after_grant = self.granted_at < self.heap.collected_at();
        after_grant && self.heap.live().is_some_and(|live| (live as f64) < ROOM * limit as f64)
    }

    fn readings(&self, now: Millis) -> Readings {
        let surroundings = self.writer.surroundings();
        Readings {
            heap: self.heap.estimate(now),
            rss: surroundings.cgroup_limit.map(|limit| surroundings.rss as f64 / limit.max(1) as f64),
            delay_ms: self.delay.sustained_ms(),
            native_bytes: surroundings.native_allocated.map(|bytes| bytes as f64),
            near_limit: self.near_limit.is_some(),
        }
    }

    fn judge(&mut self) {
        let now = self.now();
        let heap = self.heap.estimate(now).zip(self.heap.collected_at());
        // Once it has stopped refusing, a heap that fills up again is handled by its marks.
        self.near_limit = self.near_limit.filter(|at| near_limit(Some(*at), heap, ROOM, now));
        let readings = self.readings(now);
        for (_, guard) in &mut self.guards {
            guard.judge(&readings, now);
        }
        self.writer.shed_level((self.worst() * PPM) as u64);
    }

    /// The figures that cause pressure, in a few words.
    pub fn figures(&self, guard: usize) -> String {
        let readings = self.readings(self.now());
        let mut parts = vec![format!("shed level {:.0} %", self.level(guard) * 100.0)];
        if readings.near_limit {
            parts.push("V8 was near its heap limit".into());
        }
        if let Some(heap) = readings.heap {
            parts.push(format!("heap {:.0} %", heap.share * 100.0));
        }
        if let Some(rss) = readings.rss {
            parts.push(format!("RSS {:.0} % of the cgroup's limit", rss * 100.0));
        }
        parts.push(format!("event-loop delay of {:.0} ms that lasts", readings.delay_ms));
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::map::Map;
    use crate::recorder::writer::Identity;
    use crate::shed::Marks;

    const MIB: u64 = 1 << 20;

    fn watch() -> Watch {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        Watch::new(writer, 200 * MIB)
    }

    fn heap(lower: f64) -> Policy {
        Policy { heap: Some(Marks { lower, upper: 0.9 }), ..Policy::default() }
    }

    #[test]
    fn equal_marks_share_a_guard_and_guards_are_bounded() {
        let mut watch = watch();
        let first = watch.guard(heap(0.5));
        assert_eq!(watch.guard(heap(0.5)), first);
        let last = (0..1000).map(|i| watch.guard(heap(0.5 + f64::from(i) / 1e4))).last();
        assert_eq!(last, Some(GUARDS_MAX - 1));
        assert_eq!(watch.level(usize::MAX), 0.0, "none such");
    }

    #[test]
    fn is_full_from_a_grant_on_until_a_collection_shows_room() {
        let mut watch = watch();
        let guard = watch.guard(Policy::default());
        watch.granted();
        assert_eq!(watch.level(guard), 1.0);
        std::thread::sleep(std::time::Duration::from_millis(2));
        watch.collected(true, 190 * MIB, 0);
        assert_eq!((watch.level(guard), watch.has_room(200 * MIB)), (1.0, false));
        watch.collected(true, 100 * MIB, 0);
        assert_eq!((watch.level(guard), watch.has_room(200 * MIB)), (0.0, true));
        watch.collected(true, 190 * MIB, 0);
        assert_eq!(watch.level(guard), 0.0, "the marks are off");
    }

    #[test]
    fn asks_for_collections_only_while_memory_is_short() {
        let mut watch = watch();
        watch.guard(heap(0.5));
        let delay_ms = Some(Marks { lower: 100.0, upper: 200.0 });
        let late = watch.guard(Policy { delay_ms, ..Policy::default() });
        for at in [0, 4_000, 4_750, 5_500] {
            assert!(!watch.ticked_at(500.0, at), "a late event loop has no use for it");
        }
        assert_eq!(watch.level(late), 1.0);
        assert!(!watch.ticked(0.0));
        watch.granted();
        assert!(watch.ticked(0.0));
        assert!(!watch.ticked(0.0), "it has just asked");
    }
}
