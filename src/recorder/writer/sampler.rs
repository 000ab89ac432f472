//! The sampler thread's side of the record.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::super::layout::{
    BLOCKED_BY, EventKind, GC_TOTALS, Quantity, SAMPLER_EVENTS, SAMPLES, TRENDS, blocked_by, gauge, gc_total, sample,
    trend,
};
use super::super::map::Map;
use super::super::reader;
use super::super::record::{BlockedBy, InFlight, Trend};
use super::{UNKNOWN, epoch_ms, push_event, set, write_row};

/// What the sampler thread reads at each tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFigures {
    pub rss: u64,
    pub cpu_user_us: u64,
    pub cpu_system_us: u64,
    pub open_fds: u64,
    pub max_fds: u64,
    pub cgroup_limit: Option<u64>,
    pub cgroup_used: Option<u64>,
    /// jemalloc's allocated, active and resident bytes.
    pub native: Option<[u64; 3]>,
    pub blocked_ns: u64,
}

/// The sampler thread's side.
pub struct SamplerWriter {
    map: Arc<Map>,
}

impl SamplerWriter {
    pub fn new(map: Arc<Map>) -> Self {
        Self { map }
    }

    fn gauge(&self, word: usize) -> u64 {
        self.map.words()[word].load(Relaxed)
    }

    fn running(&self) -> u64 {
        self.gauge(gauge::RUNNING)
    }

    /// The request whose synchronous code is on the stack, by its slot.
    pub fn running_request(&self) -> Option<InFlight> {
        reader::slot(&*self.map, self.running()).ok().flatten()
    }

    /// Time of all collections so far.
    pub fn gc_pause(&self) -> Duration {
        let pauses = (0..GC_TOTALS.rows).map(|kind| self.gauge(GC_TOTALS.row(kind) + gc_total::PAUSE_NS));
        Duration::from_nanos(pauses.sum())
    }

    /// Writes the heartbeat, and one row of the ring of samples.
    pub fn sample(&self, figures: &ProcessFigures) {
        let at = epoch_ms();
        let [allocated, active, resident] = figures.native.unwrap_or([UNKNOWN; 3]);
        for (word, value) in [
            (gauge::RSS, figures.rss),
            (gauge::CPU_USER_US, figures.cpu_user_us),
            (gauge::CPU_SYSTEM_US, figures.cpu_system_us),
            (gauge::OPEN_FDS, figures.open_fds),
            (gauge::MAX_FDS, figures.max_fds),
            (gauge::CGROUP_LIMIT, figures.cgroup_limit.unwrap_or(UNKNOWN)),
            (gauge::CGROUP_USED, figures.cgroup_used.unwrap_or(UNKNOWN)),
            (gauge::NATIVE_ALLOCATED, allocated),
            (gauge::NATIVE_ACTIVE, active),
            (gauge::NATIVE_RESIDENT, resident),
            (gauge::BLOCKED_NS, figures.blocked_ns),
            (gauge::BLOCKED_SLOT, if figures.blocked_ns > 0 { self.running() } else { 0 }),
            (gauge::BLOCKED_MAX_NS, self.gauge(gauge::BLOCKED_MAX_NS).max(figures.blocked_ns)),
        ] {
            self.map.words()[word].store(value, Relaxed);
        }
        let gc_pause = self.gc_pause().as_nanos() as u64;
        let next = self.gauge(gauge::SAMPLES_NEXT);
        write_row(&self.map, SAMPLES, (next % SAMPLES.rows as u64) as usize, |row| {
            for (word, value) in [
                (sample::AT, at),
                (sample::RSS, figures.rss),
                (sample::HEAP_USED, self.gauge(gauge::HEAP_USED)),
                (sample::HEAP_LIMIT, self.gauge(gauge::HEAP_LIMIT)),
                (sample::EXTERNAL, self.gauge(gauge::EXTERNAL)),
                (sample::HEAP_TOTAL, self.gauge(gauge::HEAP_TOTAL)),
                (sample::HEAP_LIVE, self.gauge(gauge::HEAP_LIVE)),
                (sample::CGROUP_USED, figures.cgroup_used.unwrap_or(UNKNOWN)),
                (sample::NATIVE_ALLOCATED, allocated),
                (sample::IN_FLIGHT, self.gauge(gauge::REQUESTS_IN_FLIGHT)),
                (sample::REQUESTS_TOTAL, self.gauge(gauge::REQUESTS_TOTAL)),
                (sample::BLOCKED_NS, figures.blocked_ns),
                (sample::LOOP_LAG_NS, self.gauge(gauge::LOOP_LAG_NS)),
                (sample::GC_PAUSE_NS, gc_pause),
                (sample::HEAP_AT, self.gauge(gauge::PUBLISHED_AT)),
            ] {
                row.set(word, value);
            }
        });
        set(&self.map, gauge::SAMPLES_NEXT, next + 1);
        set(&self.map, gauge::HEARTBEAT_AT, at);
        self.map.touch(gauge::HEARTBEAT_AT, gauge::SAMPLER_END - gauge::HEARTBEAT_AT);
    }

    pub fn event(&self, kind: EventKind, route: Option<&str>, detail: &str) {
        push_event(&self.map, SAMPLER_EVENTS, gauge::SAMPLER_EVENTS_NEXT, kind, route, detail);
    }
    /// Which counts are suspicious: a bit for each.
    pub fn suspicious_counts(&self, bits: u64) {
        set(&self.map, gauge::SUSPICIOUS_COUNTS, bits);
    }

    /// The code that blocks the event loop.
    pub fn blocked_by(&self, by: &BlockedBy) {
        let mut stack = String::new();
        for frame in &by.stack {
            let separator = if stack.is_empty() { "" } else { blocked_by::FRAME_SEPARATOR };
            // Whole frames only.
            if stack.len() + separator.len() + frame.len() > blocked_by::STACK.max_bytes() {
                break;
            }
            stack = stack + separator + frame;
        }
        write_row(&self.map, BLOCKED_BY, 0, |row| {
            row.set(blocked_by::AT, by.at);
            row.set(blocked_by::NATIVE, u64::from(by.native));
            row.text(blocked_by::FUNCTION, by.function.as_deref().unwrap_or(""));
            row.text(blocked_by::ORIGIN, &by.origin);
            row.text(blocked_by::STACK, &stack);
        });
    }

    /// Writes the present verdict on one quantity.
    pub fn trend(&self, quantity: Quantity, verdict: &Trend) {
        write_row(&self.map, TRENDS, quantity as usize, |row| {
            row.set(trend::STATE, verdict.state as u64 + 1);
            row.set(trend::DRIVER, verdict.per as u64);
            row.set(trend::SAMPLES, verdict.samples);
            row.set(trend::OF_REQUESTS, verdict.progress.of_requests);
            row.set(trend::OF_COLLECTIONS, verdict.progress.of_collections);
            for (word, value) in [
                (trend::PER_REQUEST, verdict.bytes_per_request),
                (trend::LOW, verdict.low),
                (trend::HIGH, verdict.high),
                (trend::P, verdict.p),
            ] {
                row.set(word, value.unwrap_or(f64::NAN).to_bits());
            }
            for (word, at) in [(trend::SINCE, verdict.since), (trend::FROM, verdict.from), (trend::TO, verdict.to)] {
                row.set(word, at.unwrap_or(0));
            }
        });
    }
}
