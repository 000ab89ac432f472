//! The reader's result: plain data, with the names of `plimsoll show --json` and `plimsoll.stats()`. Sizes are bytes,
//! `*_ms` milliseconds, times are epoch milliseconds.

use serde::Serialize;

use super::kinds::{Quantity, TrendState};
use super::writer::Run;

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub pid: u32,
    /// Whether its owner holds the lock. It is never inferred from a pid.
    pub alive: bool,
    pub started_at: u64,
    pub last_heartbeat: u64,
    /// How long the event loop had been blocked at the last heartbeat. 0 if it was not.
    pub blocked_ms: f64,
    pub name: String,
    /// 0 for the main thread.
    pub thread: u64,
    /// The file read, if it is one.
    pub path: Option<String>,
    pub script: String,
    pub node_version: String,
    pub platform: String,
    pub boot_id: String,
    pub process_start_ticks: u64,
    /// How it ended, if that was recorded.
    pub exit: Option<Exit>,
    pub reported: bool,
    /// Hash of the started script, and the leader of its run.
    #[serde(skip)]
    pub entry: u64,
    #[serde(skip)]
    pub run: Run,
    /// Whether it has listened or had a request.
    #[serde(skip)]
    pub served: bool,
    pub mirrored: bool,
    /// Rows that were being written at each reading. They are left out or marked.
    pub torn_rows: u32,
    pub process: Process,
    pub heap: Heap,
    pub native: Native,
    pub cgroup: Cgroup,
    pub event_loop: EventLoop,
    pub async_spans: AsyncSpans,
    pub requests: Requests,
    pub pressure: Pressure,
    pub near_limit: NearLimit,
    pub gc: Vec<GcTotal>,
    pub in_flight: Vec<InFlight>,
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// The last collections, oldest first.
    pub collections: Vec<Collection>,
    /// The heap after the last major collections, oldest first.
    pub live_history: Vec<Live>,
    pub routes: Vec<RouteStats>,
    /// Oldest first.
    pub events: Vec<Event>,
    #[serde(rename = "faults")]
    pub internal_errors: u64,
    pub findings: Vec<Finding>,
    pub trend: Trends,
}

/// Whether memory grows with requests, by quantity. None if that is not sampled.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trends {
    pub heap: Option<Trend>,
    pub external: Option<Trend>,
    pub native: Option<Trend>,
}

impl Trends {
    pub fn each_mut(&mut self) -> impl Iterator<Item = (Quantity, &mut Trend)> {
        let trends = [self.heap.as_mut(), self.external.as_mut(), self.native.as_mut()];
        Quantity::ALL.into_iter().zip(trends).filter_map(|(quantity, trend)| Some((quantity, trend?)))
    }

    pub fn each(&self) -> impl Iterator<Item = (Quantity, &Trend)> {
        let trends = [self.heap.as_ref(), self.external.as_ref(), self.native.as_ref()];
        Quantity::ALL.into_iter().zip(trends).filter_map(|(quantity, trend)| Some((quantity, trend?)))
    }
}

/// The figures are none while there are too few samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    pub state: TrendState,
    /// Number of points that the figures are based on.
    pub samples: u64,
    pub progress: Progress,
    /// What the following figures are for.
    pub per: Driver,
    /// Growth for each request, with its interval of 95 %.
    pub bytes_per_request: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Probability of such a trend by chance.
    pub p: Option<f64>,
    /// When the growth began. None without growth.
    pub since: Option<u64>,
    /// Times of the first point, and of the last collection that was judged.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// Hours until the memory reaches its limit at this rate. None without growth and without a limit.
    pub hours_to_limit: Option<f64>,
}

/// What something grows with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Driver {
    #[default]
    #[serde(rename = "request")]
    Requests,
    /// Of WebSockets, mostly.
    #[serde(rename = "connection")]
    Connections,
    #[serde(rename = "second")]
    Time,
}

impl Driver {
    pub const ALL: [Self; 3] = [Self::Requests, Self::Connections, Self::Time];
    /// There are hardly any requests or connections if there were fewer.
    const FEW: u64 = 64;
    /// Connections without requests: as many times more than requests.
    const MORE: u64 = 4;

    /// What there was most of.
    pub fn of(requests: u64, connections: u64) -> Self {
        match (requests, connections) {
            _ if connections >= Self::FEW && connections > Self::MORE * requests => Self::Connections,
            _ if requests >= Self::FEW => Self::Requests,
            _ => Self::Time,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "request",
            Self::Connections => "connection",
            Self::Time => "second",
        }
    }
}

/// How far a trend is from its verdict.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Requests so far, and those that a verdict needs.
    pub requests: u64,
    pub of_requests: u64,
    /// Major collections after the warm-up so far, and those that a verdict needs.
    pub collections: u64,
    pub of_collections: u64,
    /// Time until a verdict at the present rates. None if that is not known, or if there is one.
    pub eta_ms: Option<u64>,
}

/// What a request of one route retains: bytes, with the interval of 95 %.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteBytes {
    pub route: String,
    pub bytes_per_request: f64,
    pub low: f64,
    pub high: f64,
}

/// A problem with evidence, and advice.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: String,
    pub route: Option<String>,
    /// The call site or allocation site, if known.
    pub origin: Option<String>,
    pub count: u64,
    /// For a thousand requests of the route. None if it does not apply. For a leak: how many objects of `class` they
    /// leave behind.
    pub per_thousand: Option<f64>,
    pub first_seen: u64,
    pub last_seen: u64,
    pub severity: &'static str,
    pub advice: String,
    /// When it had stopped. None while it continues.
    pub withdrawn_at: Option<u64>,
    /// For a leak: bytes that a request of the route retains (any request if no route is known), with the interval of
    /// 95 %, and the probability of such growth by chance.
    pub bytes_per_request: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub p: Option<f64>,
    /// For a leak: the routes whose requests own it, the one with the most first.
    pub routes: Vec<RouteBytes>,
    /// For a leak: what retains it and must be fixed, such as `entries: Map of services/audit.js`.
    pub holder: Option<String>,
    /// For a leak: the function that adds to the holder, such as `AuditTrail.record (services/audit.js:7)`.
    pub added_by: Option<String>,
    /// For a leak: package and version of the holder, if that is in `node_modules`.
    pub package: Option<String>,
    /// For a leak: hours until the memory reaches its limit, as of the last report.
    pub hours_to_limit: Option<f64>,
    /// For a leak: the class that leaks, and what retains it, root first.
    pub class: Option<String>,
    pub path: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// `exit`, `uncaught-exception`, `signal` (then `detail` is its name) or `worker-end`.
    pub kind: String,
    pub code: i64,
    pub at: u64,
    pub detail: String,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    pub rss_bytes: u64,
    pub cpu_user_ms: f64,
    pub cpu_system_ms: f64,
    pub open_fds: u64,
    pub max_fds: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Heap {
    pub used_bytes: u64,
    pub total_bytes: u64,
    pub limit_bytes: u64,
    pub external_bytes: u64,
    pub malloced_bytes: u64,
    /// Committed and touched.
    pub physical_bytes: u64,
    /// Used heap after the last major collection. None before the first.
    pub live_bytes: Option<u64>,
    pub live_at: Option<u64>,
    pub allocated_bytes: u64,
    pub attributed_bytes: i64,
    /// Requests without a heap figure, because V8's own work has blurred it.
    pub uncertain_requests: u64,
    pub exact: bool,
    /// When these figures were published by the JS thread.
    pub at: u64,
}

/// The addon's own allocator (jemalloc). `supported` is false if it is not in use.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Native {
    pub supported: bool,
    pub allocated_bytes: u64,
    pub active_bytes: u64,
    pub resident_bytes: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cgroup {
    pub limit_bytes: Option<u64>,
    pub used_bytes: Option<u64>,
    /// OOM kills in this cgroup before the start of the process.
    pub oom_kills_at_start: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLoop {
    pub last_tick: u64,
    pub lag_ms: f64,
    /// 0 to 1, over the last tick.
    pub utilization: f64,
    pub longest_block_ms: f64,
    /// Handle of the slot that blocked it at the last heartbeat, or 0.
    #[serde(skip)]
    pub blocked_slot: u64,
    /// The code that last blocked it for a second or more. None if there was none, or if it is not known.
    pub blocked_by: Option<BlockedBy>,
}

/// Code that blocked the event loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockedBy {
    /// When its stack was captured, epoch milliseconds.
    pub at: u64,
    /// None for an anonymous function.
    pub function: Option<String>,
    /// `src/report.js:12:5`
    pub origin: String,
    /// The innermost frames of the app and of packages, as `slow (src/report.js:12:5)`, innermost first.
    pub stack: Vec<String>,
    /// The loop was blocked by native code, which has returned. The line is the next that runs JavaScript.
    pub native: bool,
}

impl BlockedBy {
    /// `slow (src/report.js:12:5)`
    pub fn place(&self) -> String {
        match &self.function {
            Some(function) => format!("{function} ({})", self.origin),
            None => self.origin.clone(),
        }
    }
}

impl Record {
    /// The code that blocks the loop, or did at the last heartbeat. None if it is not blocked, or if that is not known.
    pub fn blocked_by(&self) -> Option<&BlockedBy> {
        let since = self.last_heartbeat.saturating_sub(self.blocked_ms as u64);
        self.event_loop.blocked_by.as_ref().filter(|by| self.blocked_ms > 0.0 && by.at >= since)
    }
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    pub total: u64,
    pub in_flight: u64,
    pub untracked: u64,
    pub limited: u64,
    pub shed: u64,
    /// Refusals that `report: true` only counted.
    pub shed_reported: u64,
    pub limit_reported: u64,
    /// Refusals by the budget, and of bodies that arrived too slowly.
    pub over_budget: u64,
    pub too_slow: u64,
    /// Room of bodies in flight in the budget.
    pub body_held_bytes: u64,
    pub body_bytes: u64,
}

/// The input of `shed()`.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pressure {
    /// The level of pressure, 0 to 1.
    pub level: f64,
    /// Live heap over the old generation's maximum. None before the first major collection.
    pub heap: Option<f64>,
    /// RSS over the cgroup's limit. None without one.
    pub rss: Option<f64>,
    pub delay_ms: f64,
    /// The addon's own allocations.
    pub native_bytes: Option<u64>,
    /// The maximum size of one semi-space. None if unknown.
    pub semi_space_max_bytes: Option<u64>,
}

/// The reserve that V8 is granted near its heap limit.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NearLimit {
    pub grants: u64,
    /// Time of the last grant.
    pub at: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcTotal {
    pub kind: &'static str,
    pub count: u64,
    pub pause_ms: f64,
    /// Counts by pause, not cumulative (bounds: `GC_PAUSE_BOUNDS_NS`). The last has no upper bound.
    #[serde(skip)]
    pub buckets: Vec<u64>,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    pub method: String,
    pub path: String,
    pub route: Option<String>,
    pub age_ms: f64,
    /// Whether its synchronous code was on the stack at the last heartbeat (dead) or is now (alive).
    pub running: bool,
    pub heap_bytes: i64,
    pub external_bytes: i64,
    /// Bytes that the addon holds for it.
    pub native_bytes: i64,
    pub body_bytes: u64,
    pub started_at: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub torn: bool,
    #[serde(skip)]
    pub handle: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    pub at: u64,
    pub rss_bytes: u64,
    pub heap_used_bytes: u64,
    pub heap_limit_bytes: u64,
    pub external_bytes: u64,
    pub heap_total_bytes: u64,
    pub heap_live_bytes: Option<u64>,
    pub cgroup_used_bytes: Option<u64>,
    pub native_allocated_bytes: u64,
    pub in_flight: u64,
    pub requests_total: u64,
    pub blocked_ms: f64,
    pub lag_ms: f64,
    /// Total pause of all collections so far.
    pub gc_pause_ms: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collection {
    pub at: u64,
    pub kind: &'static str,
    pub pause_ms: f64,
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub external_bytes: u64,
}

/// The live heap right after one major collection.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    pub at: u64,
    pub heap_bytes: u64,
    pub external_bytes: u64,
    /// At the last sample before the collection.
    pub rss_bytes: u64,
    pub requests_total: u64,
    pub in_flight: u64,
    /// RSS that is neither V8's heap nor external memory. None in a worker thread.
    pub native_bytes: Option<u64>,
    #[serde(skip)]
    pub connections_total: u64,
}

/// Counts of what requests may forget to close, and what they may follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Epoch milliseconds.
    pub at: u64,
    /// Requests and connections of clients so far.
    pub requests: u64,
    pub connections: u64,
    /// Requests in flight, and connections of clients that are open.
    pub in_flight: u64,
    pub clients: u64,
    /// Descriptors without those of clients, referenced timers, worker threads, child processes. None if unknown.
    pub counts: [Option<u64>; 4],
}

/// How asynchronous spans are metered.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AsyncSpans {
    /// Share of the time in which they are metered, 0 to 1.
    pub share: f64,
    /// What metering adds to a request's CPU time, as a part of that. An estimate from above, and 1 while unknown.
    pub cost: f64,
    /// Requests that were metered as a whole.
    pub whole_requests: u64,
}

/// One row: method × route × status class.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteStats {
    pub method: String,
    pub route: String,
    pub status: &'static str,
    pub count: u64,
    /// Responses of class `5xx`.
    pub errors: u64,
    pub aborted: u64,
    /// Refused by `limit()`.
    pub limited: u64,
    pub duration_ms: Distribution,
    pub heap_bytes: Distribution,
    pub body_bytes: Distribution,
    pub response_bytes: Distribution,
    /// The median of the last nine requests without a collection in their spans. None if there is no such request.
    pub external_median_bytes: Option<i64>,
    /// Requests that were metered as a whole (including their asynchronous part), and their mean. None if there is no
    /// such request.
    pub whole_count: u64,
    pub whole_heap_mean_bytes: Option<f64>,
    /// The addon's own memory, on average: bytes that a request still held at its end, and bytes allocated for it in
    /// total. Then the most that was held for one.
    pub native_held_mean_bytes: f64,
    pub native_total_mean_bytes: f64,
    pub native_peak_bytes: u64,
    /// What each function of the app's stack has used, the heaviest first. Empty unless that was requested.
    pub layers: Vec<LayerStats>,
    /// Counts by latency, not cumulative (bounds: `LATENCY_BOUNDS_NS`). The last has no upper bound.
    #[serde(skip)]
    pub latency_buckets: Vec<u64>,
}

/// A function of the app's stack in the requests of one row. The figures exclude what it passed the request to.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerStats {
    pub name: String,
    /// File and line, if known.
    pub origin: Option<String>,
    /// Requests in which it ran.
    pub count: u64,
    pub heap_bytes: i64,
    pub heap_mean_bytes: f64,
    /// Time on the stack.
    pub time_ms: f64,
    pub time_mean_ms: f64,
}

/// Count and sum are exact. Quantiles are the mean of the values in the quantile's bucket (buckets are quarters of a
/// power of two), so they are exact if the values of a route are alike.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    /// The buckets in use, ascending, not cumulative. For merging records and for histograms.
    #[serde(skip)]
    pub buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Inclusive upper bound of its values, in the quantity's own unit. Infinite for the last.
    pub up_to: f64,
    pub count: u64,
    pub mean: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub at: u64,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub route: Option<String>,
    pub detail: String,
}
