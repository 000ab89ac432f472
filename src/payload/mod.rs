//! Bodies: counting their bytes before any consumer receives them, inflating them, and storing them in memory or on
//! disk.

pub mod inflate;
pub mod spool;

pub mod budget;
pub mod discard;

/// The handle of an open tap: generation × 2¹⁶ + index. It is never 0, and a small integer in JS.
pub type Handle = u32;

const INDEX_BITS: u32 = 16;
const GENERATIONS: u32 = 1 << (31 - INDEX_BITS);

/// The counter of one request's body.
#[derive(Clone, Copy, Debug)]
struct Tap {
    handle: Handle,
    received: u64,
    limit: u64,
}

/// The result of counting a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Within,
    /// More than the limit has arrived. Nothing after this may reach the consumer.
    Over,
    /// The handle is stale, or was never a tap.
    Unknown,
}

/// The taps of one environment. Their number is that of the bodies in flight. Memory grows to the highest number at a
/// time and stays there.
#[derive(Default)]
pub struct Taps {
    taps: Vec<Tap>,
    free: Vec<u32>,
}

impl Taps {
    /// `None` if 65,536 bodies are in flight already.
    pub fn open(&mut self, limit: u64) -> Option<Handle> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.taps.len() < 1 << INDEX_BITS => {
                self.taps.push(Tap { handle: 0, received: 0, limit: 0 });
                self.taps.len() as u32 - 1
            }
            None => return None,
        };
        let tap = &mut self.taps[index as usize];
        // A free tap stores its last handle's generation in `received`.
        let generation = tap.received as u32 % (GENERATIONS - 1) + 1;
        *tap = Tap { handle: generation << INDEX_BITS | index, received: 0, limit };
        Some(tap.handle)
    }

    fn get(&mut self, handle: Handle) -> Option<&mut Tap> {
        let tap = self.taps.get_mut((handle & ((1 << INDEX_BITS) - 1)) as usize)?;
        (handle != 0 && tap.handle == handle).then_some(tap)
    }

    /// Counts a chunk. A size equal to the limit is within it.
    pub fn count(&mut self, handle: Handle, bytes: u64) -> Verdict {
        match self.get(handle) {
            None => Verdict::Unknown,
            Some(tap) => {
                tap.received = tap.received.saturating_add(bytes);
                if tap.received > tap.limit { Verdict::Over } else { Verdict::Within }
            }
        }
    }

    /// Lowers the limit, for a limit that is nearer to the consumer. Returns whether the received bytes are within it.
    pub fn lower(&mut self, handle: Handle, limit: u64) -> Verdict {
        match self.get(handle) {
            None => Verdict::Unknown,
            Some(tap) => {
                tap.limit = tap.limit.min(limit);
                if tap.received > tap.limit { Verdict::Over } else { Verdict::Within }
            }
        }
    }

    pub fn received(&mut self, handle: Handle) -> u64 {
        self.get(handle).map_or(0, |tap| tap.received)
    }

    pub fn close(&mut self, handle: Handle) {
        if let Some(tap) = self.get(handle) {
            *tap = Tap { handle: 0, received: u64::from(handle >> INDEX_BITS), limit: 0 };
            self.free.push(handle & ((1 << INDEX_BITS) - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_closed_tap_counts_no_more() {
        let mut taps = Taps::default();
        let first = taps.open(10).unwrap();
        taps.close(first);
        taps.close(first);
        let second = taps.open(10).unwrap();
        assert_ne!(first, second);
        assert_eq!(taps.count(first, 100), Verdict::Unknown);
        assert_eq!(taps.count(second, 10), Verdict::Within);
        assert_eq!(taps.count(second, 1), Verdict::Over);
    }

    #[test]
    fn a_limit_can_only_be_lowered() {
        let mut taps = Taps::default();
        let tap = taps.open(100).unwrap();
        assert_eq!(taps.count(tap, 50), Verdict::Within);
        assert_eq!(taps.lower(tap, 1000), Verdict::Within);
        assert_eq!(taps.lower(tap, 49), Verdict::Over);
        assert_eq!(taps.count(tap, 0), Verdict::Over);
    }

    proptest! {
        #[test]
        fn the_verdict_is_over_exactly_when_the_sum_is(limit in 0u64..5000, chunks in prop::collection::vec(0u64..1000, 0..30)) {
            let mut taps = Taps::default();
            let tap = taps.open(limit).unwrap();
            let mut sum = 0;
            for chunk in chunks {
                sum += chunk;
                prop_assert_eq!(taps.count(tap, chunk) == Verdict::Over, sum > limit);
            }
        }
    }
}
