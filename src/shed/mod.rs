//! Whether a new request may come in: the verdict of `shed()`, pure and without a clock of its own.
//!
//! Each [`Signal`] compares one figure with two marks; the hardest pressed gives the level, 0 (admit all) to 1 (admit none).
//! Garbage is no pressure, so of the heap what counts is what lives ([`heap`]), over what the old generation may really hold
//! ([`semi_space`]). The levels are worked out by the timer and in V8's collection callbacks; a request reads one number.
//!
//! Tried and rejected: *used heap*, as others take it (it sheds a healthy server before each major collection); the last
//! level held until the lower mark is passed (a cache that fills the heap to between the marks would never be let go); no way
//! back from a figure that nobody renews (a server that refuses everything allocates too little for V8 to collect).

pub mod delay;
pub mod live_heap;
pub mod semi_space;
pub mod watch;

pub const PPM: f64 = 1e6;

/// Milliseconds since some moment; only differences count.
pub type Millis = u64;

/// Below the upper mark again, a signal that was at it lets go within this time, at the lower mark at once.
const RELAX_MS: Millis = 10_000;
/// At full for so long, some are let through: a server that refuses all would never learn that it could serve.
const TRICKLE_AFTER_MS: Millis = 10_000;
const TRICKLE_LEVEL: f64 = 0.98;
/// After V8 has granted its reserve, all are refused until a major collection shows room, or this long.
const NEAR_LIMIT_MS: Millis = 10_000;

/// Where refusing begins, and where it is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks {
    pub lower: f64,
    pub upper: f64,
}

/// Marks of each signal; none: not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// Of what the old generation holds.
    pub heap: Option<Marks>,
    /// Of the cgroup's memory limit.
    pub rss: Option<Marks>,
    pub delay_ms: Option<Marks>,
    pub native_bytes: Option<Marks>,
}

/// What is known now; none where a figure cannot be had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    pub heap: Option<live_heap::Estimate>,
    pub rss: Option<f64>,
    /// The event loop's delay, where it is sustained.
    pub delay_ms: f64,
    pub native_bytes: Option<f64>,
    /// V8's reserve has been granted, and nothing has shown since that there is room.
    pub near_limit: bool,
}

/// One figure against its marks. While it rises from the lower mark to the upper one, the level does so from 0 to 1. Once it
/// was at the upper, the level falls from 1 with time, and to 0 below the lower.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    marks: Marks,
    /// When it was last at the upper mark, until it is below the lower one.
    full_at: Option<Millis>,
}

impl Signal {
    pub fn new(marks: Marks) -> Self {
        Self { marks, full_at: None }
    }

    pub fn level(&mut self, value: f64, now: Millis) -> f64 {
        let Marks { lower, upper } = self.marks;
        if value >= upper {
            self.full_at = Some(now);
        } else if value.is_nan() || value < lower {
            self.full_at = None;
            return 0.0;
        }
        let linear = ((value - lower) / (upper - lower)).clamp(0.0, 1.0);
        let held = self.full_at.map_or(0.0, |at| 1.0 - now.saturating_sub(at) as f64 / RELAX_MS as f64);
        linear.max(held)
    }
}

/// The verdict of one `shed()`.
#[derive(Clone, Debug)]
pub struct Guard {
    heap: Option<Signal>,
    rss: Option<Signal>,
    delay_ms: Option<Signal>,
    native_bytes: Option<Signal>,
    full_since: Option<Millis>,
    level: f64,
    /// Of the signals that a collection may relieve.
    memory: f64,
}

impl Guard {
    pub fn new(policy: &Policy) -> Self {
        Self {
            heap: policy.heap.map(Signal::new),
            rss: policy.rss.map(Signal::new),
            delay_ms: policy.delay_ms.map(Signal::new),
            native_bytes: policy.native_bytes.map(Signal::new),
            full_since: None,
            level: 0.0,
            memory: 0.0,
        }
    }

    /// Of the last judgement, 0 to 1: how short memory is. A late event loop is not part of it.
    pub fn memory(&self) -> f64 {
        self.memory
    }

    /// The level of the last judgement, 0 to 1.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// What `readings` call for.
    pub fn judge(&mut self, readings: &Readings, now: Millis) -> f64 {
        fn of(signal: &mut Option<Signal>, value: Option<f64>, now: Millis) -> f64 {
            signal.as_mut().zip(value).map_or(0.0, |(signal, value)| signal.level(value, now))
        }
        // All of them, each time: a signal that was not asked would not know when it was full.
        let heap = of(&mut self.heap, readings.heap.map(|heap| heap.share), now)
            * readings.heap.map_or(0.0, |heap| heap.freshness);
        self.memory =
            heap.max(of(&mut self.native_bytes, readings.native_bytes, now)).max(of(&mut self.rss, readings.rss, now));
        let level = self.memory.max(of(&mut self.delay_ms, Some(readings.delay_ms), now));
        self.level = if readings.near_limit { 1.0 } else { self.trickle(level, now) };
        self.level
    }

    fn trickle(&mut self, level: f64, now: Millis) -> f64 {
        if level < TRICKLE_LEVEL {
            self.full_since = None;
            return level;
        }
        let since = *self.full_since.get_or_insert(now);
        if now.saturating_sub(since) >= TRICKLE_AFTER_MS { TRICKLE_LEVEL } else { level }
    }
}

/// Whether V8's reserve still stands for danger: until a major collection after it shows what lives below `room`, a share of
/// what the old generation may hold, or until it is long ago.
pub fn near_limit(
    granted_at: Option<Millis>,
    heap: Option<(live_heap::Estimate, Millis)>,
    room: f64,
    now: Millis,
) -> bool {
    let Some(granted_at) = granted_at else { return false };
    let relieved = heap.is_some_and(|(heap, collected_at)| collected_at > granted_at && heap.share < room);
    !relieved && now.saturating_sub(granted_at) < NEAR_LIMIT_MS
}

#[cfg(test)]
mod tests;
