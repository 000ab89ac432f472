//! The layout of the record, in words of 8 bytes. Each row starts with its sequence number.
//!
//! The whole is 6.5 MiB. The routes' histograms are three quarters of it.

pub use super::kinds::{EventKind, GcKind, Quantity, Severity, StatusClass, TrendState};

/// First word of every recorder file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"PLIMSOLL");
/// Raised whenever an offset or a meaning below changes. Readers reject unknown versions.
pub const VERSION: u64 = 9;

/// A range of rows of equal size.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub start: usize,
    pub rows: usize,
    pub row_words: usize,
}

impl Table {
    const fn after(start: usize, rows: usize, row_words: usize) -> Self {
        Table { start, rows, row_words }
    }
    pub const fn end(&self) -> usize {
        self.start + self.rows * self.row_words
    }
    /// The first word of row `index`, which must be below `rows`.
    pub fn row(&self, index: usize) -> usize {
        debug_assert!(index < self.rows);
        self.start + index * self.row_words
    }
}

/// A string of bounded length: one word of length in bytes, then the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub offset: usize,
    pub words: usize,
}

impl Text {
    pub const fn max_bytes(&self) -> usize {
        (self.words - 1) * 8
    }
}

/// Words of the header. They are written once at the start, and the exit fields at the end.
pub mod header {
    use super::Text;
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const WORDS: usize = 2;
    pub const PID: usize = 3;
    /// 0 for the main thread, otherwise the worker thread's id.
    pub const THREAD: usize = 4;
    /// Start time of the process in clock ticks since boot (`/proc/self/stat`, field 22). 0 if unknown.
    pub const PROCESS_START_TICKS: usize = 5;
    /// Two words: the kernel's boot id.
    pub const BOOT_ID: usize = 6;
    /// Epoch milliseconds.
    pub const STARTED_AT: usize = 8;
    /// How the process ended, an `Exit` discriminant. 0 while it runs, and if the end could not be recorded.
    pub const EXIT_KIND: usize = 9;
    pub const EXIT_CODE: usize = 10;
    pub const EXIT_AT: usize = 11;
    /// 1 once a later start has reported this death.
    pub const REPORTED: usize = 12;
    /// 1 if the file mirrors anonymous memory. It may then be up to 250 ms older than the process's end.
    pub const MIRRORED: usize = 13;
    /// The cgroup's count of OOM kills at the start. `u64::MAX` if unknown.
    pub const CGROUP_OOM_KILLS: usize = 14;
    /// Hash of the started script, see `files::entry_of`. Records of one name and one entry belong together.
    pub const ENTRY: usize = 15;
    pub const NAME: Text = Text { offset: 16, words: 9 };
    pub const SCRIPT: Text = Text { offset: 25, words: 33 };
    pub const NODE_VERSION: Text = Text { offset: 58, words: 5 };
    pub const EXIT_DETAIL: Text = Text { offset: 63, words: 33 };
    pub const PLATFORM: Text = Text { offset: 96, words: 5 };
    /// 1 once the process has listened or had a request: only a server's end is a death.
    pub const SERVED: usize = 101;
    /// The leader of the run, and its start in clock ticks: the primary of a cluster, otherwise the process itself.
    pub const RUN_PID: usize = 102;
    pub const RUN_TICKS: usize = 103;
    pub const END: usize = 128;
}

/// Gauges that the JS thread writes, one word each, without a sequence number: each is independent.
pub mod gauge {
    use super::header;
    const G: usize = header::END;
    /// When the JS thread last published its heap figures, epoch milliseconds.
    pub const PUBLISHED_AT: usize = G;
    pub const HEAP_USED: usize = G + 1;
    pub const HEAP_TOTAL: usize = G + 2;
    pub const HEAP_LIMIT: usize = G + 3;
    pub const EXTERNAL: usize = G + 4;
    pub const MALLOCED: usize = G + 5;
    /// Used heap right after the last major collection. `u64::MAX` before the first.
    pub const HEAP_LIVE: usize = G + 6;
    pub const HEAP_LIVE_AT: usize = G + 7;
    /// Bytes allocated on the V8 heap since the probe was installed (exact), …
    pub const ALLOCATED: usize = G + 8;
    /// … and those charged to requests (signed: single readings may be negative).
    pub const ATTRIBUTED: usize = G + 9;
    /// 1 if the exact probe is on.
    pub const EXACT: usize = G + 10;
    pub const REQUESTS_TOTAL: usize = G + 11;
    pub const REQUESTS_IN_FLIGHT: usize = G + 12;
    pub const REQUESTS_UNTRACKED: usize = G + 13;
    pub const REQUESTS_LIMITED: usize = G + 14;
    pub const REQUESTS_SHED: usize = G + 15;
    /// Handle of the slot whose synchronous code is running, or 0.
    pub const RUNNING: usize = G + 16;
    /// Time of the event loop's last tick, epoch milliseconds.
    pub const LOOP_TICK_AT: usize = G + 17;
    /// Delay of the last tick beyond its due time, nanoseconds.
    pub const LOOP_LAG_NS: usize = G + 18;
    /// Event-loop utilisation over the last tick, parts per million.
    pub const LOOP_UTILIZATION_PPM: usize = G + 19;
    /// Numbers of slots, labels, route rows and methods that were ever used. Readers stop there.
    pub const SLOTS_USED: usize = G + 20;
    pub const LABELS_USED: usize = G + 21;
    pub const ROUTES_USED: usize = G + 22;
    pub const METHODS_USED: usize = G + 23;
    /// Next row of each ring, counted since the start. The row is this modulo the ring's length.
    pub const GC_NEXT: usize = G + 24;
    pub const EVENTS_NEXT: usize = G + 25;
    /// Internal errors of Plimsoll that were caught.
    pub const INTERNAL_ERRORS: usize = G + 26;
    pub const HEAP_EXECUTABLE: usize = G + 27;
    pub const HEAP_PHYSICAL: usize = G + 28;
    pub const BODY_BYTES: usize = G + 29;
    /// The level of `shed()`, parts per million: 0 admits all, 1,000,000 nothing.
    pub const SHED_PPM: usize = G + 30;
    /// Refusals that `report: true` only counted, of `shed()` and of `limit()`.
    pub const SHED_REPORTED: usize = G + 31;
    pub const LIMIT_REPORTED: usize = G + 32;
    /// Number of reserves granted near the heap limit, and the time of the last one, epoch milliseconds.
    pub const NEAR_LIMIT_GRANTS: usize = G + 33;
    pub const NEAR_LIMIT_AT: usize = G + 34;
    /// The maximum size of one semi-space of the young generation. 0 if unknown.
    pub const SEMI_SPACE_MAX: usize = G + 35;
    /// Requests that were metered as a whole, including their asynchronous part.
    pub const REQUESTS_WHOLE: usize = G + 36;
    /// Share of time in which asynchronous spans are metered, and the cost of metering, parts per million.
    pub const WINDOW_SHARE_PPM: usize = G + 37;
    pub const WINDOW_COST_PPM: usize = G + 38;
    /// Next row of the ring of live heaps, and numbers of layers and layer rows that were ever used.
    pub const LIVE_NEXT: usize = G + 39;
    pub const LAYERS_USED: usize = G + 40;
    pub const LAYER_ROWS_USED: usize = G + 41;
    pub const FINDINGS_USED: usize = G + 42;
    /// Room of the bodies in flight in the budget, for this thread.
    pub const BODY_HELD: usize = G + 43;
    /// Refusals because of the budget, and because of bodies that arrived too slowly.
    pub const OVER_BUDGET: usize = G + 44;
    pub const TOO_SLOW: usize = G + 45;
    /// Number of points ever added to the finest window, collections before that in the warm-up, and the number of
    /// requests at the last point.
    pub const WINDOWS_NEXT: usize = G + 46;
    pub const WINDOWS_WARM_UP: usize = G + 47;
    pub const WINDOWS_REQUESTS: usize = G + 48;
    /// Connections that servers have accepted, and those that are open.
    pub const CONNECTIONS_TOTAL: usize = G + 49;
    pub const CLIENTS: usize = G + 50;
    /// Referenced timers, worker threads and child processes of this thread, and when all of these were last counted,
    /// epoch milliseconds.
    pub const TIMERS: usize = G + 51;
    pub const WORKERS: usize = G + 52;
    pub const CHILDREN: usize = G + 53;
    pub const COUNTED_AT: usize = G + 54;
    /// Requests without a heap figure in the distributions, because V8's own work has blurred it.
    pub const HEAP_UNCERTAIN: usize = G + 63;
    pub const END: usize = G + 64;

    // The following words belong to the sampler thread.
    pub const HEARTBEAT_AT: usize = END;
    pub const RSS: usize = END + 1;
    pub const CPU_USER_US: usize = END + 2;
    pub const CPU_SYSTEM_US: usize = END + 3;
    pub const OPEN_FDS: usize = END + 4;
    pub const MAX_FDS: usize = END + 5;
    /// `u64::MAX` if there is no limit or it cannot be read.
    pub const CGROUP_LIMIT: usize = END + 6;
    pub const CGROUP_USED: usize = END + 7;
    /// How long the event loop has been blocked at the heartbeat, nanoseconds. 0 if it is not blocked.
    pub const BLOCKED_NS: usize = END + 8;
    pub const BLOCKED_SLOT: usize = END + 9;
    pub const NATIVE_ALLOCATED: usize = END + 10;
    pub const NATIVE_ACTIVE: usize = END + 11;
    pub const NATIVE_RESIDENT: usize = END + 12;
    pub const SAMPLES_NEXT: usize = END + 13;
    pub const SAMPLER_EVENTS_NEXT: usize = END + 14;
    /// The longest block since the start, nanoseconds.
    pub const BLOCKED_MAX_NS: usize = END + 15;
    /// Counts that are suspicious: a bit for each, by its index in `record::Counts`.
    pub const SUSPICIOUS_COUNTS: usize = END + 16;
    pub const SAMPLER_END: usize = END + 32;
}

/// Totals of collections, one row for each kind.
pub const GC_TOTALS: Table = Table::after(gauge::SAMPLER_END, 5, 16);
pub mod gc_total {
    pub const COUNT: usize = 1;
    pub const PAUSE_NS: usize = 2;
    /// Counts by pause, not cumulative. The bounds are `writer::GC_PAUSE_BOUNDS_NS`, and the last bucket has no upper
    /// bound.
    pub const BUCKETS: usize = 3;
    pub const BUCKETS_LEN: usize = 7;
}

pub const METHODS_MAX: usize = 64;
pub const METHODS: Table = Table::after(GC_TOTALS.end(), METHODS_MAX, 4);
pub const METHOD_TEXT: Text = Text { offset: 0, words: 4 };

/// Two samples a second for ten minutes.
pub const SAMPLES: Table = Table::after(METHODS.end(), 1200, 16);
pub mod sample {
    pub const AT: usize = 1;
    pub const RSS: usize = 2;
    pub const HEAP_USED: usize = 3;
    pub const HEAP_LIMIT: usize = 4;
    pub const EXTERNAL: usize = 5;
    pub const HEAP_TOTAL: usize = 6;
    pub const HEAP_LIVE: usize = 7;
    pub const CGROUP_USED: usize = 8;
    pub const NATIVE_ALLOCATED: usize = 9;
    pub const IN_FLIGHT: usize = 10;
    pub const REQUESTS_TOTAL: usize = 11;
    pub const BLOCKED_NS: usize = 12;
    pub const LOOP_LAG_NS: usize = 13;
    pub const GC_PAUSE_NS: usize = 14;
    pub const HEAP_AT: usize = 15;
}

pub const GCS: Table = Table::after(SAMPLES.end(), 1024, 8);
pub mod gc {
    pub const AT: usize = 1;
    pub const KIND: usize = 2;
    pub const PAUSE_NS: usize = 3;
    pub const BEFORE: usize = 4;
    pub const AFTER: usize = 5;
    pub const EXTERNAL: usize = 6;
}

/// Events of the JS thread, and those of the sampler. Each ring has one writer.
pub const EVENTS: Table = Table::after(GCS.end(), 256, 64);
pub const SAMPLER_EVENTS: Table = Table::after(EVENTS.end(), 64, 64);
pub mod event {
    use super::Text;
    pub const AT: usize = 1;
    pub const KIND: usize = 2;
    pub const ROUTE: Text = Text { offset: 3, words: 26 };
    pub const DETAIL: Text = Text { offset: 29, words: 35 };
}

/// The live heap: its size right after major collections.
pub const LIVES: Table = Table::after(SAMPLER_EVENTS.end(), 512, 9);
pub mod live {
    pub const AT: usize = 1;
    pub const HEAP: usize = 2;
    pub const EXTERNAL: usize = 3;
    /// Resident set at the last sample before the collection.
    pub const RSS: usize = 4;
    pub const REQUESTS_TOTAL: usize = 5;
    /// Requests in flight at that moment.
    pub const IN_FLIGHT: usize = 6;
    /// RSS that is neither V8's heap nor external memory, from the last sample before the collection.
    pub const NATIVE: usize = 7;
    /// Connections accepted so far.
    pub const CONNECTIONS_TOTAL: usize = 8;
}

/// The same in windows, for the trend: `WINDOWS` rings in one table. Each row of a ring represents two of the ring
/// before. So 64 rows cover 64 major collections, the next 64 twice as many, and the last 131,072. With one collection
/// every ten seconds, that is two weeks. Rows are as in `LIVES`.
pub const WINDOWS: usize = 12;
pub const WINDOW_ROWS: usize = 64;
pub const WINDOW_LIVES: Table = Table::after(LIVES.end(), WINDOWS * WINDOW_ROWS, 9);

/// Verdicts on the trend, by `Quantity`. The sampler thread writes them.
pub const TRENDS: Table = Table::after(WINDOW_LIVES.end(), 3, 13);
pub mod trend {
    /// A `TrendState` plus one. 0 if there is no verdict yet.
    pub const STATE: usize = 1;
    pub const SAMPLES: usize = 2;
    /// Bits of an `f64`, like the next three.
    pub const PER_REQUEST: usize = 3;
    pub const LOW: usize = 4;
    pub const HIGH: usize = 5;
    pub const P: usize = 6;
    /// Epoch milliseconds, or 0.
    pub const SINCE: usize = 7;
    pub const FROM: usize = 8;
    pub const TO: usize = 9;
    pub const OF_REQUESTS: usize = 10;
    pub const OF_COLLECTIONS: usize = 11;
    /// A `record::Driver`.
    pub const DRIVER: usize = 12;
}

/// Requests in flight. The number is a power of two: a handle is generation × `SLOTS_MAX` + index.
pub const SLOTS_MAX: usize = 4096;
pub const SLOTS: Table = Table::after(TRENDS.end(), SLOTS_MAX, 37);
pub mod slot {
    use super::Text;
    /// The handle while the slot is in use, otherwise 0.
    pub const HANDLE: usize = 1;
    pub const STARTED_AT: usize = 2;
    pub const STARTED_NS: usize = 3;
    pub const METHOD: usize = 4;
    /// Label index plus one. 0 if not known yet.
    pub const LABEL: usize = 5;
    pub const HEAP: usize = 6;
    pub const EXTERNAL: usize = 7;
    pub const NATIVE: usize = 8;
    pub const BODY: usize = 9;
    pub const SPANS: usize = 10;
    pub const FLAGS: usize = 11;
    pub const PATH: Text = Text { offset: 12, words: 25 };
}

/// Rows for routes beyond the bound, `(other)`, one for each status class.
pub const OTHER_ROUTES: usize = 5;
/// Route rows and labels. The last label is `(other)`.
pub const ROUTES_MAX: usize = 1024;
pub const LABELS: Table = Table::after(SLOTS.end(), ROUTES_MAX + 1, 26);
pub const LABEL_TEXT: Text = Text { offset: 0, words: 26 };

pub const DISTRIBUTION_WORDS: usize = 128;
pub const ROUTES: Table = Table::after(LABELS.end(), ROUTES_MAX + OTHER_ROUTES, 40 + 4 * DISTRIBUTION_WORDS);
pub mod route {
    pub const METHOD: usize = 1;
    pub const LABEL: usize = 2;
    pub const STATUS_CLASS: usize = 3;
    pub const COUNT: usize = 4;
    pub const ERRORS: usize = 5;
    pub const ABORTED: usize = 6;
    pub const LIMITED: usize = 7;
    pub const WHOLE_HEAP_COUNT: usize = 8;
    pub const SPANS_SUM: usize = 9;
    /// Requests without a collection in their spans. The external bytes of the last of them are in `EXTERNAL_RECENT`, a
    /// ring.
    pub const EXTERNAL_COUNT: usize = 10;
    /// The addon's memory: bytes held at the requests' ends, bytes allocated in total, and the most held for one
    /// request.
    pub const NATIVE_HELD_SUM: usize = 11;
    /// Counts by latency, not cumulative. The bounds are `writer::LATENCY_BOUNDS_NS`, and the last bucket has no upper
    /// bound.
    pub const LATENCY: usize = 12;
    pub const LATENCY_LEN: usize = 15;
    pub const NATIVE_TOTAL_SUM: usize = 27;
    pub const NATIVE_PEAK: usize = 28;
    /// Requests that were metered as a whole, and the heap bytes of those with a certain figure, which
    /// `WHOLE_HEAP_COUNT` counts.
    pub const WHOLE_COUNT: usize = 29;
    pub const WHOLE_HEAP_SUM: usize = 30;
    pub const EXTERNAL_RECENT: usize = 31;
    pub const EXTERNAL_RECENT_LEN: usize = 9;
    pub const DURATION: usize = 40;
    pub const HEAP: usize = DURATION + super::DISTRIBUTION_WORDS;
    pub const BODY: usize = HEAP + super::DISTRIBUTION_WORDS;
    pub const RESPONSE: usize = BODY + super::DISTRIBUTION_WORDS;
}

/// Functions of the app's stack by name and source position. The last row is for those beyond the bound.
pub const LAYERS_MAX: usize = 256;
pub const LAYERS: Table = Table::after(ROUTES.end(), LAYERS_MAX + 1, 24);
pub mod layer {
    use super::Text;
    pub const NAME: Text = Text { offset: 0, words: 9 };
    pub const ORIGIN: Text = Text { offset: 9, words: 15 };
}

/// What a layer used in the requests of one route row.
pub const LAYER_ROWS_MAX: usize = 2048;
pub const LAYER_ROWS: Table = Table::after(LAYERS.end(), LAYER_ROWS_MAX, 7);
pub mod layer_row {
    /// Index into `ROUTES`, plus one.
    pub const ROUTE: usize = 1;
    pub const LAYER: usize = 2;
    pub const COUNT: usize = 3;
    /// Of the requests with a certain heap figure, which `HEAP_COUNT` counts.
    pub const HEAP_SUM: usize = 4;
    pub const TIME_NS: usize = 5;
    pub const HEAP_COUNT: usize = 6;
}

/// Findings, one row for each kind, route and place. The last row is for those beyond the bound. As many rows as
/// [`LEAKS`] has are reserved for leaks.
pub const FINDINGS_MAX: usize = 128;
pub const FINDINGS: Table = Table::after(LAYER_ROWS.end(), FINDINGS_MAX + 1, 182);
pub mod finding {
    use super::Text;
    pub const COUNT: usize = 1;
    pub const FIRST_SEEN: usize = 2;
    pub const LAST_SEEN: usize = 3;
    /// A `Severity`.
    pub const SEVERITY: usize = 4;
    /// For a thousand requests, in millionths. `u64::MAX` if it does not apply.
    pub const PER_THOUSAND_PPM: usize = 5;
    pub const KIND: Text = Text { offset: 6, words: 4 };
    pub const ROUTE: Text = Text { offset: 10, words: 26 };
    pub const ORIGIN: Text = Text { offset: 36, words: 15 };
    /// 1,024 bytes. Longer text is cut between words.
    pub const ADVICE: Text = Text { offset: 51, words: 129 };
    /// When the finding's cause stopped, epoch milliseconds. 0 while it continues.
    pub const WITHDRAWN_AT: usize = 180;
    /// Index into `LEAKS`, plus one. 0 for other findings, and for a leak beyond the bound.
    pub const LEAK: usize = 181;
}

/// Additional data of findings that are leaks. These are few, and need much space.
pub const LEAKS_MAX: usize = 16;
pub const LEAKS: Table = Table::after(FINDINGS.end(), LEAKS_MAX, 534);
pub mod leak {
    use super::Text;
    /// Bytes that a request retains, with the interval of 95 %, and the probability of such growth by chance. Each is
    /// the bits of an `f64`, NaN if unknown.
    pub const BYTES: usize = 1;
    pub const LOW: usize = 2;
    pub const HIGH: usize = 3;
    pub const P: usize = 4;
    pub const CLASS: Text = Text { offset: 5, words: 14 };
    /// Its parts, separated by [`PATH_ARROW`].
    pub const PATH: Text = Text { offset: 19, words: 65 };
    pub const PATH_ARROW: &str = " → ";
    pub const ROUTE_SEPARATOR: &str = " ␟ ";
    /// Used instead of the finding's, which is too short: 2,048 bytes.
    pub const ADVICE: Text = Text { offset: 84, words: 257 };
    /// Bits of an `f64`, NaN if unknown.
    pub const HOURS: usize = 341;
    /// For each route bytes, low, high, and its name; routes are separated by [`ROUTE_SEPARATOR`].
    pub const ROUTES: Text = Text { offset: 342, words: 129 };
    pub const HOLDER: Text = Text { offset: 471, words: 27 };
    pub const ADDED_BY: Text = Text { offset: 498, words: 26 };
    pub const PACKAGE: Text = Text { offset: 524, words: 10 };
}

/// The code that last blocked the event loop for a second or more. The sampler thread writes it.
pub const BLOCKED_BY: Table = Table::after(LEAKS.end(), 1, 128);
pub mod blocked_by {
    use super::Text;
    /// Epoch milliseconds. 0 if there was none.
    pub const AT: usize = 1;
    /// 1 if the stack was captured after native code that blocked the loop.
    pub const NATIVE: usize = 2;
    pub const FUNCTION: Text = Text { offset: 3, words: 13 };
    pub const ORIGIN: Text = Text { offset: 16, words: 15 };
    /// Frames, separated by [`FRAME_SEPARATOR`].
    pub const STACK: Text = Text { offset: 31, words: 97 };
    pub const FRAME_SEPARATOR: &str = " ␟ ";
}

/// The signal that ended the process, see `stops`, or 0. It is in a block of its own that is never mirrored: the signal
/// handler writes it to the file.
pub const STOP: usize = BLOCKED_BY.end().next_multiple_of(4096 / 8);

pub const WORDS: usize = STOP + 1;
/// Size of a recorder file: whole pages.
pub const FILE_BYTES: usize = (WORDS * 8).next_multiple_of(4096);

// The record stays under 7 MiB, and each field is within its row.
const _: () = {
    const fn end(text: Text) -> usize {
        text.offset + text.words
    }
    assert!(FILE_BYTES < 7 << 20);
    assert!(end(header::PLATFORM) <= header::SERVED && header::RUN_TICKS < header::END);
    assert!(end(METHOD_TEXT) <= METHODS.row_words);
    assert!(end(event::DETAIL) <= EVENTS.row_words);
    assert!(end(slot::PATH) <= SLOTS.row_words);
    assert!(end(LABEL_TEXT) <= LABELS.row_words);
    assert!(sample::HEAP_AT < SAMPLES.row_words && gc::EXTERNAL < GCS.row_words);
    assert!(gc_total::BUCKETS + gc_total::BUCKETS_LEN <= GC_TOTALS.row_words);
    assert!(
        route::LATENCY + route::LATENCY_LEN <= route::NATIVE_TOTAL_SUM
            && route::WHOLE_HEAP_SUM < route::EXTERNAL_RECENT
    );
    assert!(route::EXTERNAL_RECENT + route::EXTERNAL_RECENT_LEN <= route::DURATION);
    assert!(
        gauge::WINDOWS_REQUESTS < gauge::END
            && live::CONNECTIONS_TOTAL < LIVES.row_words
            && trend::DRIVER < TRENDS.row_words
    );
    assert!(end(finding::ADVICE) <= finding::WITHDRAWN_AT && finding::LEAK < FINDINGS.row_words);
    assert!(end(leak::PACKAGE) <= LEAKS.row_words);
    assert!(end(blocked_by::STACK) <= BLOCKED_BY.row_words);
    assert!(end(layer::ORIGIN) <= LAYERS.row_words && layer_row::HEAP_COUNT < LAYER_ROWS.row_words);
    assert!(route::RESPONSE + DISTRIBUTION_WORDS <= ROUTES.row_words);
};
