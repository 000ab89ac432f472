//! The writing side. Each table has one writer thread: `Writer` is for the JS thread, `SamplerWriter` for the sampler.

mod findings;
mod pressure;
mod sampler;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::*, fence};
use std::time::{SystemTime, UNIX_EPOCH};

use super::distribution::{self, DURATION, HEAP, WIRE};
use super::layout::{
    EVENTS, EventKind, GC_TOTALS, GCS, GcKind, LABEL_TEXT, LABELS, LAYER_ROWS, LAYERS, MAGIC, METHOD_TEXT, METHODS,
    METHODS_MAX, ROUTES, SLOTS, StatusClass, Table, Text, VERSION, WORDS, event, gauge, gc, gc_total, header, layer,
    layer_row, route, slot,
};
use super::map::Map;
use super::shorten::shortened;
pub use findings::{Evidence, GrowthEvidence};
pub use pressure::Surroundings;
pub use sampler::{ProcessFigures, SamplerWriter};
pub(super) use windows::row_of;
pub use windows::{WARM_UP_COLLECTIONS, WARM_UP_REQUESTS};

/// Upper bounds of the latency histogram, nanoseconds: 1 ms to 60 s, the steps that are usual with Prometheus.
pub const LATENCY_BOUNDS_NS: [u64; route::LATENCY_LEN - 1] = [
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
];

/// Upper bounds of the histogram of collection pauses, nanoseconds. They are prom-client's defaults.
pub const GC_PAUSE_BOUNDS_NS: [u64; gc_total::BUCKETS_LEN - 1] =
    [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 2_000_000_000, 5_000_000_000];

/// A word for "unknown" or "none".
pub const UNKNOWN: u64 = u64::MAX;

pub fn epoch_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The words of one row, open for writing.
struct Row<'a>(&'a [AtomicU64]);

impl Row<'_> {
    fn get(&self, word: usize) -> u64 {
        self.0[word].load(Relaxed)
    }
    fn set(&self, word: usize, value: u64) {
        self.0[word].store(value, Relaxed);
    }
    fn add(&self, word: usize, value: u64) {
        self.set(word, self.get(word).wrapping_add(value));
    }
    fn text(&self, text: Text, value: &str) {
        set_text(self.0, text, value);
    }
    /// Writes prose, cut between words.
    fn prose(&self, text: Text, value: &str) {
        set_text(self.0, text, &shortened(value, text.max_bytes()));
    }
}

fn set_text(words: &[AtomicU64], text: Text, value: &str) {
    let bytes = value.floor_char_boundary(text.max_bytes());
    let value = &value.as_bytes()[..bytes];
    words[text.offset].store(value.len() as u64, Relaxed);
    for (word, chunk) in words[text.offset + 1..].iter().zip(value.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
}

/// Writes one row between an odd and an even sequence number.
fn write_row(map: &Map, table: Table, index: usize, write: impl FnOnce(&Row)) {
    let first = table.row(index);
    let row = &map.words()[first..first + table.row_words];
    // A row left odd (its writer panicked) becomes consistent again with its next write.
    let sequence = row[0].load(Relaxed) & !1;
    row[0].store(sequence + 1, Relaxed);
    fence(Release);
    write(&Row(row));
    row[0].store(sequence + 2, Release);
    map.touch(first, table.row_words);
}

fn set(map: &Map, word: usize, value: u64) {
    map.words()[word].store(value, Relaxed);
    map.touch(word, 1);
}

fn push_event(map: &Map, table: Table, next: usize, kind: EventKind, route: Option<&str>, detail: &str) {
    let at = map.words()[next].load(Relaxed);
    write_row(map, table, (at % table.rows as u64) as usize, |row| {
        row.set(event::AT, epoch_ms());
        row.set(event::KIND, kind as u64);
        row.text(event::ROUTE, route.unwrap_or(""));
        row.text(event::DETAIL, detail);
    });
    set(map, next, at + 1);
}

/// The identity of a record, written before its file gets its final name.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub name: String,
    pub script: String,
    pub node_version: String,
    pub platform: String,
    pub pid: u32,
    pub thread: u64,
    pub process_start_ticks: u64,
    pub boot_id: u128,
    pub cgroup_oom_kills: Option<u64>,
    pub mirrored: bool,
    /// Hash of the started script.
    pub entry: u64,
    pub run: Run,
}

/// The leader of processes that belong together, or the process itself. Counters of the run continue when a member is
/// replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Run {
    pub pid: u32,
    /// Clock ticks since boot. 0 if unknown.
    pub ticks: u64,
    pub boot_id: u128,
}

/// The kinds of a recorded end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    Exit = 1,
    UncaughtException = 2,
    WorkerEnd = 3,
}

/// Figures of V8's heap, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapFigures {
    pub used: u64,
    pub total: u64,
    pub limit: u64,
    pub external: u64,
    pub malloced: u64,
    pub executable: u64,
    pub physical: u64,
}

/// What one ended request adds to its route's row.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub duration_ns: u64,
    /// None if V8's own work has blurred one of its spans.
    pub heap_bytes: Option<i64>,
    /// None if a collection fell into one of its spans.
    pub external_bytes: Option<i64>,
    pub body_bytes: u64,
    pub response_bytes: u64,
    pub native: NativeUse,
    pub spans: u64,
    pub aborted: bool,
    pub limited: bool,
    /// All its spans were metered, including those after promises and callbacks.
    pub whole: bool,
}

/// What the addon itself has allocated for a request, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeUse {
    /// Allocated and not freed.
    pub held: i64,
    /// The most that was held when the request's span was closed.
    pub peak: i64,
    /// Allocated in total.
    pub total: u64,
}

/// What one layer has used in one request, without what it called with `next()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerUse {
    pub heap_bytes: i64,
    pub time_ns: u64,
}

/// The JS thread's side. Clones write the same record and must stay on the same thread.
#[derive(Clone)]
pub struct Writer {
    map: Arc<Map>,
}

impl Writer {
    /// Takes a zeroed map and writes the header.
    pub fn new(map: Arc<Map>, identity: &Identity) -> Self {
        let words = map.words();
        for (word, value) in [
            (header::VERSION, VERSION),
            (header::WORDS, WORDS as u64),
            (header::PID, u64::from(identity.pid)),
            (header::THREAD, identity.thread),
            (header::PROCESS_START_TICKS, identity.process_start_ticks),
            (header::BOOT_ID, (identity.boot_id >> 64) as u64),
            (header::BOOT_ID + 1, identity.boot_id as u64),
            (header::STARTED_AT, epoch_ms()),
            (header::MIRRORED, u64::from(identity.mirrored)),
            (header::ENTRY, identity.entry),
            (header::RUN_PID, u64::from(identity.run.pid)),
            (header::RUN_TICKS, identity.run.ticks),
            (header::CGROUP_OOM_KILLS, identity.cgroup_oom_kills.unwrap_or(UNKNOWN)),
            (gauge::HEAP_LIVE, UNKNOWN),
            (gauge::CGROUP_LIMIT, UNKNOWN),
            (gauge::CGROUP_USED, UNKNOWN),
            (gauge::NATIVE_ALLOCATED, UNKNOWN),
            (gauge::HEARTBEAT_AT, epoch_ms()),
            (gauge::LOOP_TICK_AT, epoch_ms()),
        ] {
            words[word].store(value, Relaxed);
        }
        set_text(words, header::NAME, &identity.name);
        set_text(words, header::SCRIPT, &identity.script);
        set_text(words, header::NODE_VERSION, &identity.node_version);
        set_text(words, header::PLATFORM, &identity.platform);
        // Written last: a file without it is not a complete record.
        words[header::MAGIC].store(MAGIC, Release);
        map.touch(0, gauge::SAMPLER_END);
        Self { map }
    }

    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    fn gauge(&self, word: usize) -> u64 {
        self.map.words()[word].load(Relaxed)
    }

    fn add_gauge(&self, word: usize, value: u64) {
        set(&self.map, word, self.gauge(word).wrapping_add(value));
    }

    pub fn methods<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut used = 0;
        for (index, name) in names.take(METHODS_MAX).enumerate() {
            let first = METHODS.row(index);
            set_text(&self.map.words()[first..first + METHODS.row_words], METHOD_TEXT, name);
            self.map.touch(first, METHODS.row_words);
            used = index + 1;
        }
        set(&self.map, gauge::METHODS_USED, used as u64);
    }

    /// Publishes the heap's figures with their time.
    pub fn heap(&self, at_ms: u64, figures: &HeapFigures) {
        let words = self.map.words();
        for (word, value) in [
            (gauge::PUBLISHED_AT, at_ms),
            (gauge::HEAP_USED, figures.used),
            (gauge::HEAP_TOTAL, figures.total),
            (gauge::HEAP_LIMIT, figures.limit),
            (gauge::EXTERNAL, figures.external),
            (gauge::MALLOCED, figures.malloced),
            (gauge::HEAP_EXECUTABLE, figures.executable),
            (gauge::HEAP_PHYSICAL, figures.physical),
        ] {
            words[word].store(value, Relaxed);
        }
        self.map.touch(gauge::PUBLISHED_AT, 32);
    }

    pub fn exact(&self, exact: bool) {
        set(&self.map, gauge::EXACT, u64::from(exact));
    }

    /// Total bytes allocated on the heap, and those charged to requests. The published values never fall, as readers
    /// expect of a counter, while a single reading may (see `ledger/charge.rs`).
    pub fn allocation(&self, allocated: i64, attributed: i64) {
        for (word, value) in [(gauge::ALLOCATED, allocated), (gauge::ATTRIBUTED, attributed)] {
            if value > self.gauge(word) as i64 {
                set(&self.map, word, value as u64);
            }
        }
    }

    pub fn loop_tick(&self, at_ms: u64, lag_ns: u64, utilization: f64) {
        set(&self.map, gauge::LOOP_TICK_AT, at_ms);
        set(&self.map, gauge::LOOP_LAG_NS, lag_ns);
        set(&self.map, gauge::LOOP_UTILIZATION_PPM, (utilization.clamp(0.0, 1.0) * 1e6) as u64);
    }

    pub fn running(&self, handle: u32) {
        set(&self.map, gauge::RUNNING, u64::from(handle));
    }

    pub fn request_untracked(&self) {
        self.add_gauge(gauge::REQUESTS_TOTAL, 1);
        self.add_gauge(gauge::REQUESTS_UNTRACKED, 1);
    }

    pub fn request_limited(&self) {
        self.add_gauge(gauge::REQUESTS_LIMITED, 1);
    }

    pub fn over_budget(&self) {
        self.add_gauge(gauge::OVER_BUDGET, 1);
    }

    pub fn too_slow(&self) {
        self.add_gauge(gauge::TOO_SLOW, 1);
    }

    pub fn body_held(&self, bytes: u64) {
        set(&self.map, gauge::BODY_HELD, bytes);
    }

    pub fn body_bytes(&self, bytes: u64) {
        self.add_gauge(gauge::BODY_BYTES, bytes);
    }

    pub fn internal_error(&self) {
        self.add_gauge(gauge::INTERNAL_ERRORS, 1);
    }

    pub fn in_flight(&self, count: usize) {
        set(&self.map, gauge::REQUESTS_IN_FLIGHT, count as u64);
    }

    /// Takes slot `index`. The request is in flight from now on.
    pub fn open_slot(&self, index: usize, handle: u32, method: usize, path: &str, at_ns: u64) {
        write_row(&self.map, SLOTS, index, |row| {
            row.set(slot::STARTED_AT, epoch_ms());
            row.set(slot::STARTED_NS, at_ns);
            row.set(slot::METHOD, method as u64);
            for word in [slot::LABEL, slot::HEAP, slot::EXTERNAL, slot::NATIVE, slot::BODY, slot::SPANS, slot::FLAGS] {
                row.set(word, 0);
            }
            row.text(slot::PATH, path);
            row.set(slot::HANDLE, u64::from(handle));
        });
        self.add_gauge(gauge::REQUESTS_TOTAL, 1);
        self.used(gauge::SLOTS_USED, index);
    }

    pub fn slot_label(&self, index: usize, label: usize) {
        write_row(&self.map, SLOTS, index, |row| row.set(slot::LABEL, label as u64 + 1));
    }

    pub fn slot_bytes(&self, index: usize, heap: i64, external: i64, native: i64, spans: u64) {
        write_row(&self.map, SLOTS, index, |row| {
            row.set(slot::HEAP, heap as u64);
            row.set(slot::EXTERNAL, external as u64);
            row.set(slot::NATIVE, native as u64);
            row.set(slot::SPANS, spans);
        });
    }

    pub fn slot_body(&self, index: usize, bytes: u64) {
        write_row(&self.map, SLOTS, index, |row| row.set(slot::BODY, bytes));
    }

    pub fn free_slot(&self, index: usize) {
        write_row(&self.map, SLOTS, index, |row| row.set(slot::HANDLE, 0));
    }

    pub fn label(&self, index: usize, label: &str) {
        let first = LABELS.row(index);
        set_text(&self.map.words()[first..first + LABELS.row_words], LABEL_TEXT, label);
        self.map.touch(first, LABELS.row_words);
        self.used(gauge::LABELS_USED, index);
    }

    /// Sets the key of row `index`.
    pub fn open_route(&self, index: usize, method: usize, label: usize, status: StatusClass) {
        write_row(&self.map, ROUTES, index, |row| {
            row.set(route::METHOD, method as u64);
            row.set(route::LABEL, label as u64);
            row.set(route::STATUS_CLASS, status.digit());
        });
        self.used(gauge::ROUTES_USED, index);
    }

    /// A server has accepted a connection.
    pub fn connection(&self) {
        self.add_gauge(gauge::CONNECTIONS_TOTAL, 1);
    }

    /// Connections of clients that are open, referenced timers, worker threads, child processes.
    pub fn counts(&self, [clients, timers, workers, children]: [u64; 4]) {
        for (word, value) in [
            (gauge::CLIENTS, clients),
            (gauge::TIMERS, timers),
            (gauge::WORKERS, workers),
            (gauge::CHILDREN, children),
            (gauge::COUNTED_AT, epoch_ms()),
        ] {
            set(&self.map, word, value);
        }
    }

    /// Ended requests of row `index`.
    pub fn route_count(&self, index: usize) -> u64 {
        self.gauge(ROUTES.row(index) + route::COUNT)
    }

    pub fn end_request(&self, index: usize, status: StatusClass, ended: &Ended) {
        write_row(&self.map, ROUTES, index, |row| {
            row.add(route::COUNT, 1);
            row.add(route::ERRORS, u64::from(status.digit() == 5));
            row.add(route::ABORTED, u64::from(ended.aborted));
            row.add(route::LIMITED, u64::from(ended.limited));
            row.add(route::SPANS_SUM, ended.spans);
            if let Some(external) = ended.external_bytes {
                let at = (row.get(route::EXTERNAL_COUNT) % route::EXTERNAL_RECENT_LEN as u64) as usize;
                row.set(route::EXTERNAL_RECENT + at, external as u64);
                row.add(route::EXTERNAL_COUNT, 1);
            }
            row.add(route::NATIVE_HELD_SUM, ended.native.held as u64);
            row.add(route::NATIVE_TOTAL_SUM, ended.native.total);
            row.set(route::NATIVE_PEAK, row.get(route::NATIVE_PEAK).max(ended.native.peak.max(0) as u64));
            if let Some(heap) = ended.heap_bytes {
                distribution::record(&row.0[route::HEAP..], HEAP, heap);
            }
            row.add(route::WHOLE_COUNT, u64::from(ended.whole));
            if let Some(heap) = ended.heap_bytes.filter(|_| ended.whole) {
                row.add(route::WHOLE_HEAP_COUNT, 1);
                row.add(route::WHOLE_HEAP_SUM, heap as u64);
            }
            row.add(route::LATENCY + LATENCY_BOUNDS_NS.partition_point(|bound| *bound < ended.duration_ns), 1);
            distribution::record(&row.0[route::DURATION..], DURATION, ended.duration_ns as i64);
            distribution::record(&row.0[route::BODY..], WIRE, ended.body_bytes as i64);
            distribution::record(&row.0[route::RESPONSE..], WIRE, ended.response_bytes as i64);
        });
        self.add_gauge(gauge::REQUESTS_WHOLE, u64::from(ended.whole));
        self.add_gauge(gauge::HEAP_UNCERTAIN, u64::from(ended.heap_bytes.is_none()));
    }

    /// Asynchronous spans: the share of time in which they are metered, 0 to 1, and what that adds to a request's CPU
    /// time, as a part of that.
    pub fn windows(&self, share: f64, cost: f64) {
        for (word, part) in [(gauge::WINDOW_SHARE_PPM, share), (gauge::WINDOW_COST_PPM, cost)] {
            set(&self.map, word, (part.max(0.0) * 1e6).round() as u64);
        }
    }

    pub fn layer(&self, index: usize, name: &str, origin: &str) {
        let first = LAYERS.row(index);
        let words = &self.map.words()[first..first + LAYERS.row_words];
        set_text(words, layer::NAME, name);
        set_text(words, layer::ORIGIN, origin);
        self.map.touch(first, LAYERS.row_words);
        self.used(gauge::LAYERS_USED, index);
    }

    /// Sets the key of row `index`.
    pub fn open_layer_row(&self, index: usize, route: usize, layer: usize) {
        write_row(&self.map, LAYER_ROWS, index, |row| {
            row.set(layer_row::ROUTE, route as u64 + 1);
            row.set(layer_row::LAYER, layer as u64);
        });
        self.used(gauge::LAYER_ROWS_USED, index);
    }

    /// What a layer used in a request. A heap figure that is not `certain` is left out.
    pub fn layer_use(&self, index: usize, used: &LayerUse, certain: bool) {
        write_row(&self.map, LAYER_ROWS, index, |row| {
            row.add(layer_row::COUNT, 1);
            row.add(layer_row::TIME_NS, used.time_ns);
            if certain {
                row.add(layer_row::HEAP_COUNT, 1);
                row.add(layer_row::HEAP_SUM, used.heap_bytes as u64);
            }
        });
    }

    /// Row `index` of a table is in use, so readers must read at least up to it.
    fn used(&self, gauge: usize, index: usize) {
        if self.gauge(gauge) <= index as u64 {
            set(&self.map, gauge, index as u64 + 1);
        }
    }

    /// Records one collection. Called within V8's epilogue: no allocation, no lock.
    pub fn collection(&self, kind: GcKind, pause_ns: u64, before: u64, after: u64, external: u64) {
        let next = self.gauge(gauge::GC_NEXT);
        let at = epoch_ms();
        write_row(&self.map, GCS, (next % GCS.rows as u64) as usize, |row| {
            row.set(gc::AT, at);
            row.set(gc::KIND, kind as u64);
            row.set(gc::PAUSE_NS, pause_ns);
            row.set(gc::BEFORE, before);
            row.set(gc::AFTER, after);
            row.set(gc::EXTERNAL, external);
        });
        set(&self.map, gauge::GC_NEXT, next + 1);
        write_row(&self.map, GC_TOTALS, kind as usize, |row| {
            row.add(gc_total::COUNT, 1);
            row.add(gc_total::PAUSE_NS, pause_ns);
            row.add(gc_total::BUCKETS + GC_PAUSE_BOUNDS_NS.partition_point(|bound| *bound < pause_ns), 1);
        });
        if kind == GcKind::MarkSweepCompact {
            set(&self.map, gauge::HEAP_LIVE, after);
            set(&self.map, gauge::HEAP_LIVE_AT, at);
            self.live(at, after, external);
        }
    }

    pub fn event(&self, kind: EventKind, route: Option<&str>, detail: &str) {
        push_event(&self.map, EVENTS, gauge::EVENTS_NEXT, kind, route, detail);
    }

    /// The process serves, so its end will be a death.
    pub fn served(&self) {
        set(&self.map, header::SERVED, 1);
    }

    /// The first recorded end stays: an uncaught exception is followed by an exit.
    pub fn exit(&self, kind: ExitKind, code: i64, detail: &str) {
        if self.gauge(header::EXIT_KIND) != 0 {
            return;
        }
        set(&self.map, header::EXIT_CODE, code as u64);
        set(&self.map, header::EXIT_AT, epoch_ms());
        set_text(self.map.words(), header::EXIT_DETAIL, detail);
        self.map.touch(0, header::END);
        set(&self.map, header::EXIT_KIND, kind as u64);
    }
}
