//! The list of metrics. Those without `plimsoll_` have the names and the meaning of prom-client's and
//! express-prom-bundle's.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::metrics::MetricType;

use super::merged::{self, max, sum, sum_known};
use super::{Families, Histogram, Options, Value, labels, routes};
use crate::recorder::FILE_BYTES;
use crate::recorder::findings::findings;
use crate::recorder::record::{Record, Trend};
use crate::recorder::writer::GC_PAUSE_BOUNDS_NS;

pub fn fill(families: &mut Families, records: &[Record], options: &Options) {
    let processes = merged::processes(records);
    recorder(families, records, processes.len());
    if let Some((cause, at)) = &options.last_death {
        let row = (labels([("cause", cause)]), Value::Gauge((*at as f64 / 1e3).into()));
        families.push(
            "plimsoll_last_death_timestamp_seconds",
            "Time of the death that this start found, by probable cause, Unix time.",
            MetricType::Gauge,
            vec![row],
        );
    }
    if records.is_empty() {
        return;
    }
    // Counters continue after the end of a member.
    let counted: Vec<&Record> = records.iter().chain(&options.past).collect();
    internal_errors(families, &counted);
    cpu_time(families, &counted);
    process(families, &processes);
    surroundings(families, &processes);
    event_loop(families, records);
    heap(families, records);
    allocation(families, records, &counted);
    collections(families, &counted);
    requests(families, records, &counted);
    findings_by_kind(families, records);
    trend(families, records);
    pressure(families, records, &counted);
    routes::fill(families, &counted, options);
}

fn recorder(families: &mut Families, records: &[Record], processes: usize) {
    families.gauge("plimsoll_processes", processes as u64, "Processes that these figures cover.");
    let isolates = records.len() as u64;
    families.gauge(
        "plimsoll_isolates",
        isolates,
        "Main and worker threads that these figures cover. Each has a record.",
    );
    let names: BTreeSet<_> = records.iter().map(|record| record.name.as_str()).collect();
    let version = env!("CARGO_PKG_VERSION");
    let names = names.into_iter().map(|name| (labels([("name", name), ("version", version)]), Value::Info));
    let help = "Name of the records, and version of Plimsoll that reads them.";
    families.push("plimsoll_recorder_info", help, MetricType::Info, names.collect());
    families.gauge("plimsoll_recorder_bytes", isolates * FILE_BYTES as u64, "Memory of the records.");
    let stalest = records.iter().map(|record| record.last_heartbeat).min().map(|at| at as f64 / 1e3);
    families.known(
        "plimsoll_recorder_heartbeat_timestamp_seconds",
        stalest,
        "Oldest last heartbeat of the records, Unix time.",
    );
}

fn internal_errors(families: &mut Families, counted: &[&Record]) {
    let internal_errors = total(counted, |record| record.internal_errors);
    families.counter("plimsoll_faults_total", internal_errors, "Internal errors of Plimsoll that were caught.");
}

/// Once for each process, in microseconds.
fn cpu_time(families: &mut Families, counted: &[&Record]) {
    let processes = merged::processes(counted.iter().copied());
    let us = |figure: fn(&Record) -> f64| total(&processes, |record| merged::units(figure(record), 1e3));
    let (user, system) = (us(|record| record.process.cpu_user_ms), us(|record| record.process.cpu_system_ms));
    let seconds = |us: u64| us as f64 / 1e6;
    families.counter("process_cpu_user_seconds_total", seconds(user), "User CPU time, sum of all processes.");
    families.counter("process_cpu_system_seconds_total", seconds(system), "System CPU time, sum of all processes.");
    families.counter(
        "process_cpu_seconds_total",
        seconds(user.saturating_add(system)),
        "User and system CPU time, sum of all processes.",
    );
}

fn total(counted: &[&Record], figure: impl Fn(&Record) -> u64) -> u64 {
    sum(counted.iter().copied(), figure)
}

fn process(families: &mut Families, processes: &[&Record]) {
    let each = || processes.iter().copied();
    let start = each().map(|record| record.started_at).min().map(|at| at as f64 / 1e3);
    families.known("process_start_time_seconds", start, "Start of Plimsoll in the oldest process, Unix time.");
    let rss = sum(each(), |record| record.process.rss_bytes);
    families.gauge("process_resident_memory_bytes", rss, "Resident memory, sum of all processes.");
    // Zero on a platform that does not report it.
    let open = Some(sum(each(), |record| record.process.open_fds)).filter(|fds| *fds > 0);
    families.known("process_open_fds", open, "Open file descriptors, sum of all processes.");
    let limit = Some(sum(each(), |record| record.process.max_fds)).filter(|fds| *fds > 0);
    families.known("process_max_fds", limit, "Limit of open file descriptors, sum of all processes.");

    let versions: BTreeSet<_> = each().map(|record| record.node_version.as_str()).collect();
    let versions = versions.into_iter().filter(|version| !version.is_empty()).map(|version| {
        let mut numbers = version.trim_start_matches('v').split(['.', '-']);
        let mut next = || numbers.next().unwrap_or_default();
        let (major, minor, patch) = (next(), next(), next());
        (labels([("version", version), ("major", major), ("minor", minor), ("patch", patch)]), Value::Info)
    });
    let help = "Versions of Node.js in use, one series for each.";
    families.push("nodejs_version_info", help, MetricType::Info, versions.collect());
}

fn surroundings(families: &mut Families, processes: &[&Record]) {
    let native = |figure: fn(&Record) -> u64| {
        sum_known(processes.iter().copied(), |record| record.native.supported.then(|| figure(record)))
    };
    let allocated = native(|record| record.native.allocated_bytes);
    families.known("plimsoll_native_allocated_bytes", allocated, "Bytes allocated by Plimsoll's native code.");
    let active = native(|record| record.native.active_bytes);
    families.known("plimsoll_native_active_bytes", active, "Bytes in pages that Plimsoll's allocator uses.");
    let resident = native(|record| record.native.resident_bytes);
    families.known("plimsoll_native_resident_bytes", resident, "Resident bytes of Plimsoll's allocator.");
    let (used, limit) = merged::cgroup(processes);
    families.known(
        "plimsoll_cgroup_memory_used_bytes",
        used,
        "Memory charged to the cgroup, of the process closest to its limit.",
    );
    families.known(
        "plimsoll_cgroup_memory_limit_bytes",
        limit,
        "Memory limit of the cgroup, of the process closest to its limit.",
    );
}

fn event_loop(families: &mut Families, records: &[Record]) {
    let lag = max(records, |record| record.event_loop.lag_ms / 1e3);
    families.known("nodejs_eventloop_lag_seconds", lag, "Delay of the event loop at the last tick, of the worst loop.");
    let lags = records.iter().filter_map(|record| merged::lag_quantiles(record, [0.5, 0.9, 0.99]));
    let worst = lags.reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1]), a[2].max(b[2])]);
    families.known(
        "nodejs_eventloop_lag_p50_seconds",
        worst.map(|lags| lags[0]),
        "Median event-loop delay of the last minute, sampled, of the worst loop.",
    );
    families.known(
        "nodejs_eventloop_lag_p90_seconds",
        worst.map(|lags| lags[1]),
        "90th percentile of the event-loop delay of the last minute, sampled, of the worst loop.",
    );
    families.known(
        "nodejs_eventloop_lag_p99_seconds",
        worst.map(|lags| lags[2]),
        "99th percentile of the event-loop delay of the last minute, sampled, of the worst loop.",
    );
    families.known(
        "nodejs_eventloop_utilization",
        max(records, |record| record.event_loop.utilization),
        "Share of the last tick in which the event loop was active, of the busiest loop.",
    );
    families.known(
        "plimsoll_eventloop_blocked_seconds",
        max(records, |record| record.blocked_ms / 1e3),
        "Duration of the current block of the event loop at the last heartbeat, of the worst loop. 0 if no loop is blocked.",
    );
    families.known(
        "plimsoll_eventloop_longest_block_seconds",
        max(records, |record| record.event_loop.longest_block_ms / 1e3),
        "Longest block of an event loop since its start.",
    );
}

fn heap(families: &mut Families, records: &[Record]) {
    let each = |figure: fn(&Record) -> u64| sum(records, figure);
    families.gauge(
        "nodejs_heap_size_total_bytes",
        each(|record| record.heap.total_bytes),
        "Memory reserved for V8's heaps, sum of all isolates.",
    );
    families.gauge(
        "nodejs_heap_size_used_bytes",
        each(|record| record.heap.used_bytes),
        "Used memory of V8's heaps, garbage included, sum of all isolates.",
    );
    families.gauge(
        "nodejs_external_memory_bytes",
        each(|record| record.heap.external_bytes),
        "Memory outside the heap that its objects retain, sum of all isolates.",
    );
    families.known(
        "plimsoll_heap_live_bytes",
        sum_known(records, |record| record.heap.live_bytes),
        "Used heap after the last major collection, sum of the isolates that have had one.",
    );
    families.gauge(
        "plimsoll_heap_limit_bytes",
        each(|record| record.heap.limit_bytes),
        "Limit of V8's heap, sum of all isolates.",
    );
    let limited = records.iter().filter(|record| record.heap.limit_bytes > 0);
    let fullest = limited.map(|record| record.heap.used_bytes as f64 / record.heap.limit_bytes as f64);
    families.known(
        "plimsoll_heap_used_ratio",
        fullest.max_by(f64::total_cmp),
        "Used heap over its limit, of the isolate closest to its limit.",
    );
}

fn allocation(families: &mut Families, records: &[Record], counted: &[&Record]) {
    let allocated = |record: &Record| record.heap.allocated_bytes;
    let attributed = |record: &Record| record.heap.attributed_bytes.max(0) as u64;
    families.counter(
        "plimsoll_heap_allocated_bytes_total",
        total(counted, allocated),
        "Bytes allocated on V8's heaps since the start, collected ones included.",
    );
    families.counter(
        "plimsoll_heap_attributed_bytes_total",
        total(counted, attributed),
        "Bytes allocated on V8's heaps by code that ran for a request.",
    );
    // Not a counter: allocations of a running request count here only until its span ends.
    families.gauge(
        "plimsoll_heap_unattributed_bytes",
        sum(records, allocated).saturating_sub(sum(records, attributed)),
        "Bytes allocated since the start and not attributed to a request. Bytes of running code are included until it returns.",
    );
    families.known(
        "plimsoll_async_metered_ratio",
        max(records, |record| record.async_spans.share),
        "Share of the time in which async code is metered, of the isolate with the largest share.",
    );
    let exact = records.iter().all(|record| record.heap.exact);
    families.gauge(
        "plimsoll_heap_exact",
        u64::from(exact),
        "1 if every isolate counts allocations exactly, otherwise 0.",
    );
}

fn collections(families: &mut Families, counted: &[&Record]) {
    // prom-client's names of the kinds. A scavenge and a minor mark-sweep both collect the young generation.
    let mut kinds: BTreeMap<&str, (u64, Vec<u64>)> = BTreeMap::new();
    for total in counted.iter().flat_map(|record| &record.gc) {
        let kind = match total.kind {
            "scavenge" | "minor-mark-sweep" => "minor",
            "mark-sweep-compact" => "major",
            "incremental-marking" => "incremental",
            _ => "weakcb",
        };
        let (pause_ns, counts) = kinds.entry(kind).or_default();
        *pause_ns = pause_ns.saturating_add(merged::units(total.pause_ms, 1e6));
        merged::add_counts(counts, &total.buckets);
    }
    let bounds = GC_PAUSE_BOUNDS_NS.map(|ns| ns as f64 / 1e9);
    let rows = kinds.iter().map(|(kind, (pause_ns, counts))| {
        let histogram = Histogram::new(*pause_ns as f64 / 1e9, bounds, counts);
        (labels([("kind", kind)]), histogram)
    });
    families.histograms(
        "nodejs_gc_duration_seconds",
        rows,
        "Garbage collection pauses by kind: minor, major, incremental or weakcb.",
    );
}

fn findings_by_kind(families: &mut Families, records: &[Record]) {
    let mut kinds: BTreeMap<(String, &str), u64> = BTreeMap::new();
    for finding in records.iter().flat_map(findings) {
        *kinds.entry((finding.kind, finding.severity)).or_default() += 1;
    }
    let rows = kinds.into_iter().map(|((kind, severity), count)| {
        (labels([("kind", kind.as_str()), ("severity", severity)]), Value::Gauge(count.into()))
    });
    let help = "Number of findings by kind and severity.";
    families.push("plimsoll_findings", help, MetricType::Gauge, rows.collect());

    let standing = records.iter().flat_map(findings).filter(|finding| finding.withdrawn_at.is_none());
    let places: BTreeSet<_> =
        standing.map(|finding| (finding.kind, finding.route.unwrap_or_default(), finding.severity)).collect();
    let rows = places.iter().map(|(kind, route, severity)| {
        (labels([("kind", kind.as_str()), ("route", route.as_str()), ("severity", severity)]), Value::Info)
    });
    let help = "1 for each finding that is not withdrawn. The route is empty if it is not known.";
    families.push("plimsoll_finding_info", help, MetricType::Info, rows.collect());
}

/// Each isolate leaks separately. The worst trend is reported, with its figures.
fn trend(families: &mut Families, records: &[Record]) {
    let mut worst: BTreeMap<&str, &Trend> = BTreeMap::new();
    let slope = |trend: &Trend| trend.bytes_per_request.unwrap_or(f64::MIN);
    for (quantity, trend) in records.iter().flat_map(|record| record.trend.each()) {
        let known = worst.entry(quantity.name()).or_insert(trend);
        let order = (trend.state as u64).cmp(&(known.state as u64));
        if order.then(slope(trend).total_cmp(&slope(known))).is_gt() {
            *known = trend;
        }
    }
    let mut rows = |name, help, figure: fn(&Trend) -> Option<f64>| {
        let rows = worst.iter().filter_map(|(quantity, trend)| {
            Some((labels([("quantity", *quantity)]), Value::Gauge(figure(trend)?.into())))
        });
        families.push(name, help, MetricType::Gauge, rows.collect());
    };
    rows(
        "plimsoll_trend_state",
        "State of the trend of memory by requests: 0 learning, 1 steady, 2 uncertain, 3 leaking. Of the worst isolate.",
        |trend| Some(trend.state as u64 as f64),
    );
    rows(
        "plimsoll_trend_bytes_per_request",
        "Growth of live memory per request, of the isolate with the worst state.",
        |trend| trend.bytes_per_request,
    );
    rows("plimsoll_trend_low_bytes_per_request", "Lower end of the growth's 95 % interval.", |trend| trend.low);
    rows("plimsoll_trend_high_bytes_per_request", "Upper end of the growth's 95 % interval.", |trend| trend.high);
    rows("plimsoll_trend_limit_seconds", "Time until the memory reaches its limit at this growth.", |trend| {
        trend.hours_to_limit.map(|hours| hours * 3600.0)
    });
    rows("plimsoll_trend_p_ratio", "Probability of such a trend by chance.", |trend| trend.p);
}

fn requests(families: &mut Families, records: &[Record], counted: &[&Record]) {
    let each = |figure: fn(&Record) -> u64| total(counted, figure);
    let now = |figure: fn(&Record) -> u64| sum(records, figure);
    families.counter("plimsoll_http_requests_total", each(|record| record.requests.total), "Requests received.");
    families.gauge("plimsoll_http_requests_in_flight", now(|record| record.requests.in_flight), "Requests in flight.");
    families.counter(
        "plimsoll_http_requests_untracked_total",
        each(|record| record.requests.untracked),
        "Requests served without tracking, because all slots were in use.",
    );
    families.counter(
        "plimsoll_http_requests_limited_total",
        each(|record| record.requests.limited),
        "Requests refused because their body exceeds a limit.",
    );
    families.counter(
        "plimsoll_http_requests_over_budget_total",
        each(|record| record.requests.over_budget),
        "Requests refused because the bodies in flight would have exceeded the budget.",
    );
    families.counter(
        "plimsoll_http_requests_too_slow_total",
        each(|record| record.requests.too_slow),
        "Requests refused because their body was received too slowly.",
    );
    families.gauge(
        "plimsoll_http_body_held_bytes",
        now(|record| record.requests.body_held_bytes),
        "Bytes of the budget in use by bodies in flight.",
    );
    families.counter(
        "plimsoll_http_requests_shed_total",
        each(|record| record.requests.shed),
        "Requests refused by shed().",
    );
    families.counter(
        "plimsoll_http_requests_whole_total",
        each(|record| record.async_spans.whole_requests),
        "Requests metered whole, async code included.",
    );
    families.counter(
        "plimsoll_http_received_bytes_total",
        each(|record| record.requests.body_bytes),
        "Bytes of request bodies received.",
    );
}

fn pressure(families: &mut Families, records: &[Record], counted: &[&Record]) {
    let each = |figure: fn(&Record) -> u64| total(counted, figure);
    families.counter(
        "plimsoll_http_requests_shed_reported_total",
        each(|record| record.requests.shed_reported),
        "Requests that shed() would have refused, but only reported.",
    );
    families.counter(
        "plimsoll_http_requests_limit_reported_total",
        each(|record| record.requests.limit_reported),
        "Requests that limit() would have refused, but only reported.",
    );
    families.known(
        "plimsoll_shed_ratio",
        max(records, |record| record.pressure.level),
        "Share of requests that shed() refuses: 0 admits all, 1 none. Of the isolate that refuses most.",
    );
    let fullest = |share: fn(&Record) -> Option<f64>| records.iter().filter_map(share).max_by(f64::total_cmp);
    families.known(
        "plimsoll_pressure_heap_ratio",
        fullest(|record| record.pressure.heap),
        "Live heap over the limit of the old generation, of the fullest isolate.",
    );
    families.known(
        "plimsoll_pressure_rss_ratio",
        fullest(|record| record.pressure.rss),
        "Resident memory over the cgroup's limit, of the process closest to it.",
    );
    families.counter(
        "plimsoll_near_heap_limit_grants_total",
        each(|record| record.near_limit.grants),
        "Reserves that V8 was granted near its heap limit.",
    );
}
