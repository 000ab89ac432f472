//! What lives on the heap, as far as collections tell.
//!
//! Right after a major collection it is known. Until the next, what was used after the last collection of any kind is an upper
//! bound: garbage of the old generation is in it. V8 begins the next major collection at the latest when the heap has grown
//! half the way from what lived to what it may hold, so a heap at two thirds of that way grows faster than it is
//! collected, and the bound is taken for the truth: a burst that holds its memory is seen before the limit is hit, and
//! a healthy server never gets there (traced on Node 20 to 26).
//!
//! Besides, what the requests in flight have allocated since the last major collection may live as long as they do: it counts as
//! living, up to what is used. On Node 24 no collection at all may run while half the heap fills up, and this is all
//! that tells. It is more than what lives where many requests at once make much garbage, until the next collection says so.
//!
//! An old figure says little, since a heap that grows is collected. So [`Heap::wants_collection`] asks V8 to look again while
//! there is pressure, and where no answer comes the figure fades.

use super::Millis;

/// How far from what lived to what may live the heap must have grown, for its growth to count.
const OUTRUN: f64 = 0.65;
/// Less than this part of what may live makes no difference.
const MUCH: u64 = 128;
/// A figure younger than this needs no other.
const FRESH_MS: Millis = 500;
/// From one question to the next, at least; and 20 times the last answer's pause, so that asking stays under 5 % of the time.
const ASK_EVERY_MS: Millis = 2_000;
const ASK_PAUSES: u64 = 20;
/// Without an answer a figure counts in full for this long, and for nothing after twice as long.
const FADES_AFTER_MS: Millis = 2_000;

/// What lives, over what the old generation may hold; and how much the figure still counts, 1 to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub share: f64,
    pub freshness: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Heap {
    /// What the old generation may hold, bytes; 0 where unknown.
    capacity: u64,
    /// Used after the last major collection, and when that was.
    live: Option<(u64, Millis)>,
    /// Used after the last collection of any kind.
    after: u64,
    /// What the requests in flight have allocated; the same at the last major collection; what was used when it was told.
    in_flight: u64,
    in_flight_then: u64,
    used: u64,
    last_pause_ms: u64,
    asked_at: Option<Millis>,
    /// Major collections that there were.
    majors: u64,
}

impl Heap {
    pub fn new(capacity: u64) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// A collection has ended. May be called within it: does not allocate.
    pub fn collected(&mut self, major: bool, used: u64, pause_ns: u64, now: Millis) {
        self.after = used;
        if major {
            self.majors += 1;
            self.live = Some((used, now));
            self.in_flight_then = self.in_flight;
            self.last_pause_ms = pause_ns / 1_000_000;
        }
    }

    /// What the requests in flight have allocated, and what is used. True if that changes anything much.
    pub fn charged(&mut self, in_flight: u64, used: u64) -> bool {
        let much = self.in_flight.abs_diff(in_flight) > self.capacity / MUCH;
        // Small changes add up.
        if much {
            (self.in_flight, self.used) = (in_flight, used);
            self.in_flight_then = self.in_flight_then.min(in_flight);
        }
        much
    }

    /// When the last major collection was.
    pub fn collected_at(&self) -> Option<Millis> {
        self.live.map(|(_, at)| at)
    }

    pub fn majors(&self) -> u64 {
        self.majors
    }

    pub fn live(&self) -> Option<u64> {
        self.live.map(|(live, _)| live)
    }

    pub fn estimate(&self, now: Millis) -> Option<Estimate> {
        if self.capacity == 0 || (self.live.is_none() && self.after == 0) {
            return None;
        }
        let (live, at) = self.live.unwrap_or((0, now));
        let outrun = live as f64 + OUTRUN * self.capacity.saturating_sub(live) as f64;
        if self.after as f64 > outrun {
            // A growing heap is news, however old the last major collection is.
            return Some(Estimate { share: self.after as f64 / self.capacity as f64, freshness: 1.0 });
        }
        let held = live.saturating_add(self.in_flight - self.in_flight_then).min(self.used);
        if held > live {
            return Some(Estimate { share: held as f64 / self.capacity as f64, freshness: 1.0 });
        }
        let faded = now.saturating_sub(at).saturating_sub(FADES_AFTER_MS) as f64 / FADES_AFTER_MS as f64;
        Some(Estimate { share: live as f64 / self.capacity as f64, freshness: 1.0 - faded.clamp(0.0, 1.0) })
    }

    /// Whether to ask V8 what lives now, given that there is pressure; notes that it was asked.
    pub fn wants_collection(&mut self, now: Millis) -> bool {
        let fresh = self.live.is_some_and(|(_, at)| now.saturating_sub(at) < FRESH_MS);
        let every = ASK_EVERY_MS.max(self.last_pause_ms.saturating_mul(ASK_PAUSES));
        let soon = self.asked_at.is_some_and(|at| now.saturating_sub(at) < every);
        if fresh || soon {
            return false;
        }
        self.asked_at = Some(now);
        true
    }
}
