//! Whether a new request is admitted: the verdict of `shed()`, as pure functions with the time as an argument.
//!
//! Each [`Signal`] compares one figure with two marks. The signal under the most pressure sets the level, from 0 (admit
//! all) to 1 (admit none). Garbage is no pressure, so for the heap it is the live heap that counts ([`live_heap`]),
//! over the old generation's real maximum ([`semi_space`]). The levels are computed by the timer and in V8's collection
//! callbacks. A request reads one number.
//!
//! Tried and rejected:
//!
//! - *Used heap*: it sheds requests of a healthy server before each major collection.
//! - Holding the last level until the lower mark is passed: with a cache that fills the heap to between the marks it
//!   would never end.
//! - Relying on a figure that is not renewed: a server that refuses everything allocates too little for V8 to collect.

pub mod delay;
pub mod live_heap;
pub mod semi_space;
pub mod watch;

pub const PPM: f64 = 1e6;

/// Milliseconds from any start. Only differences matter.
pub type Millis = u64;

/// Below the upper mark again, a full signal falls to 0 within this time, and at the lower mark at once.
const RELAX_MS: Millis = 10_000;
/// After this time at full level some requests are admitted: a server that refuses all would never detect that it could
/// serve.
const TRICKLE_AFTER_MS: Millis = 10_000;
const TRICKLE_LEVEL: f64 = 0.98;
/// After V8 has granted its reserve, all requests are refused until a major collection shows room, or for this long.
const NEAR_LIMIT_MS: Millis = 10_000;

/// The figures at which refusing begins and is complete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks {
    pub lower: f64,
    pub upper: f64,
}

/// Marks of each signal. None if it is not used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// As a share of the old generation's maximum.
    pub heap: Option<Marks>,
    /// As a share of the cgroup's memory limit.
    pub rss: Option<Marks>,
    pub delay_ms: Option<Marks>,
    pub native_bytes: Option<Marks>,
}

/// The present figures. None if a figure is not available.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    pub heap: Option<live_heap::Estimate>,
    pub rss: Option<f64>,
    /// The event loop's sustained delay.
    pub delay_ms: f64,
    pub native_bytes: Option<f64>,
    /// V8's reserve was granted, and nothing has shown since that there is room.
    pub near_limit: bool,
}

/// One figure against its marks. While it rises from the lower mark to the upper one, the level rises from 0 to 1.
/// After it has reached the upper mark, the level falls from 1 with time, and to 0 below the lower mark.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    marks: Marks,
    /// When it was last at the upper mark. None once it is below the lower one.
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
    /// The level of the signals that a collection may reduce.
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

    /// How short memory is, by the last judgement, 0 to 1. A late event loop does not count.
    pub fn memory(&self) -> f64 {
        self.memory
    }

    /// The level of the last judgement, 0 to 1.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// The level for `readings`.
    pub fn judge(&mut self, readings: &Readings, now: Millis) -> f64 {
        fn of(signal: &mut Option<Signal>, value: Option<f64>, now: Millis) -> f64 {
            signal.as_mut().zip(value).map_or(0.0, |(signal, value)| signal.level(value, now))
        }
        // All signals are updated each time: one that is skipped would not record when it was full.
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

/// Whether V8's reserve still counts as danger. That ends when a later major collection shows a live heap below `room`,
/// a share of the old generation's maximum, or after some time.
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
