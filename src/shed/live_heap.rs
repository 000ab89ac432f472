//! The live heap, as far as collections show it.
//!
//! Right after a major collection it is known. Until the next one, the used size after the last collection of any kind
//! is an upper bound, since it includes garbage of the old generation. V8 begins the next major collection at the latest
//! when the heap has grown half of the way from the live size to its maximum. A heap that has grown two thirds of the
//! way grows faster than it is collected, and the bound is used as the live size. So a burst that retains its memory is
//! detected before the limit, and a healthy server never gets there (traced on Node 20 to 26).
//!
//! In addition, what the requests in flight have allocated since the last major collection may stay alive as long as
//! they do. It counts as live, up to the used size. On Node 24 half the heap may fill up without any collection, and
//! this is the only evidence. It is too high if many requests at once make much garbage, until the next collection.
//!
//! An old figure says little, since a growing heap is collected. So [`Heap::wants_collection`] asks V8 for a collection
//! while there is pressure. Without an answer the figure fades.

use super::Millis;

/// How far of the way from the live size to the maximum the heap must have grown for its growth to count.
const OUTRUN: f64 = 0.65;
/// Changes of less than this part of the maximum are ignored.
const MUCH: u64 = 128;
/// A figure that is younger than this needs no renewal.
const FRESH_MS: Millis = 500;
/// Least time from one request for a collection to the next. It is at least 20 times the last one's pause, so that the
/// cost stays under 5 % of the time.
const ASK_EVERY_MS: Millis = 2_000;
const ASK_PAUSES: u64 = 20;
/// Without an answer a figure has its full weight for this long, and none after twice as long.
const FADES_AFTER_MS: Millis = 2_000;

/// The live heap over the old generation's maximum, and the weight of that figure, 1 to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub share: f64,
    pub freshness: f64,
}

#[derive(Clone, Debug, Default)]
pub struct Heap {
    /// The old generation's maximum, bytes. 0 if unknown.
    capacity: u64,
    /// Used size after the last major collection, and its time.
    live: Option<(u64, Millis)>,
    /// Used size after the last collection of any kind.
    after: u64,
    /// What the requests in flight have allocated, the same at the last major collection, and the used size at the last
    /// update.
    in_flight: u64,
    in_flight_then: u64,
    used: u64,
    last_pause_ms: u64,
    asked_at: Option<Millis>,
    /// Number of major collections.
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

    /// Updates what the requests in flight have allocated, and the used size. Returns true if that is a significant
    /// change.
    pub fn charged(&mut self, in_flight: u64, used: u64) -> bool {
        let much = self.in_flight.abs_diff(in_flight) > self.capacity / MUCH;
        // Small changes accumulate.
        if much {
            (self.in_flight, self.used) = (in_flight, used);
            self.in_flight_then = self.in_flight_then.min(in_flight);
        }
        much
    }

    /// Time of the last major collection.
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
            // A growing heap is recent information, however old the last major collection is.
            return Some(Estimate { share: self.after as f64 / self.capacity as f64, freshness: 1.0 });
        }
        let held = live.saturating_add(self.in_flight - self.in_flight_then).min(self.used);
        if held > live {
            return Some(Estimate { share: held as f64 / self.capacity as f64, freshness: 1.0 });
        }
        let faded = now.saturating_sub(at).saturating_sub(FADES_AFTER_MS) as f64 / FADES_AFTER_MS as f64;
        Some(Estimate { share: live as f64 / self.capacity as f64, freshness: 1.0 - faded.clamp(0.0, 1.0) })
    }

    /// Whether to ask V8 for a collection now, given that there is pressure. Notes that it was asked.
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
