//! The object of `plimsoll.stats()`: the public `Stats`, and some additional figures.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::recorder::FILE_BYTES;
use crate::recorder::findings::findings;
use crate::recorder::record::{
    AsyncSpans, Cgroup, EventLoop, Finding, InFlight, Live, Pressure, Record, RouteStats, Trends,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats<'a> {
    pid: u32,
    thread: u64,
    name: &'a str,
    started_at: u64,
    rss_bytes: u64,
    process: Process,
    heap: Heap<'a>,
    gc: BTreeMap<&'static str, Gc>,
    native: Native,
    cgroup: &'a Cgroup,
    event_loop: Loop<'a>,
    async_spans: &'a AsyncSpans,
    requests: Requests<'a>,
    routes: &'a [RouteStats],
    pressure: &'a Pressure,
    near_limit: NearLimit<'a>,
    findings: Vec<Finding>,
    trend: &'a Trends,
    recorder: Recorder<'a>,
    #[serde(rename = "faults")]
    internal_errors: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    cpu_user_ms: f64,
    cpu_system_ms: f64,
    open_fds: u64,
    max_fds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Heap<'a> {
    used_bytes: u64,
    total_bytes: u64,
    live_bytes: Option<u64>,
    live_at: Option<u64>,
    live_history: &'a [Live],
    limit_bytes: u64,
    allocated_bytes: u64,
    external_bytes: u64,
    malloced_bytes: u64,
    attributed_bytes: i64,
    unattributed_bytes: i64,
    uncertain_requests: u64,
    exact: bool,
    /// Why the exact probe is off. Absent while it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gc {
    count: u64,
    pause_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Native {
    #[serde(rename_all = "camelCase")]
    Figures {
        allocated_bytes: u64,
        active_bytes: u64,
        resident_bytes: u64,
    },
    Missing(&'static str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Loop<'a> {
    #[serde(flatten)]
    event_loop: &'a EventLoop,
    blocked_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests<'a> {
    total: u64,
    in_flight: u64,
    untracked: u64,
    limited: u64,
    shed: u64,
    shed_reported: u64,
    limit_reported: u64,
    over_budget: u64,
    too_slow: u64,
    body_held_bytes: u64,
    body_bytes: u64,
    /// The request in flight that started first.
    oldest: Option<Oldest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Oldest<'a> {
    method: &'a str,
    path: &'a str,
    route: Option<&'a str>,
    started_at: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NearLimit<'a> {
    /// Whether V8 would be granted a reserve.
    armed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    reserve_bytes: u64,
    grants: u64,
    at: Option<u64>,
}

/// What this environment knows in addition to its record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// Why allocation is not counted exactly, or none.
    pub exact_reason: Option<&'a str>,
    /// The reserve that V8 would be granted near its limit. If none, the reason.
    pub reserve: Option<u64>,
    pub no_reserve: Option<&'a str>,
}

#[derive(Serialize)]
struct Recorder<'a> {
    path: Option<&'a str>,
    bytes: usize,
}

pub fn stats<'a>(record: &'a Record, own: Own<'a>) -> impl Serialize + use<'a> {
    let heap = &record.heap;
    let unattributed = i128::from(heap.allocated_bytes) - i128::from(heap.attributed_bytes);
    let oldest = record.in_flight.iter().filter(|request| !request.torn).min_by_key(|request| request.started_at);
    Stats {
        pid: record.pid,
        thread: record.thread,
        name: &record.name,
        started_at: record.started_at,
        rss_bytes: record.process.rss_bytes,
        process: Process {
            cpu_user_ms: record.process.cpu_user_ms,
            cpu_system_ms: record.process.cpu_system_ms,
            open_fds: record.process.open_fds,
            max_fds: record.process.max_fds,
        },
        heap: Heap {
            used_bytes: heap.used_bytes,
            total_bytes: heap.total_bytes,
            live_bytes: heap.live_bytes,
            live_at: heap.live_at,
            live_history: &record.live_history,
            limit_bytes: heap.limit_bytes,
            allocated_bytes: heap.allocated_bytes,
            external_bytes: heap.external_bytes,
            malloced_bytes: heap.malloced_bytes,
            attributed_bytes: heap.attributed_bytes,
            unattributed_bytes: unattributed.clamp(i64::MIN.into(), i64::MAX.into()) as i64,
            uncertain_requests: heap.uncertain_requests,
            exact: heap.exact,
            reason: own.exact_reason.filter(|_| !heap.exact),
        },
        gc: record.gc.iter().map(|total| (total.kind, Gc { count: total.count, pause_ms: total.pause_ms })).collect(),
        native: match record.native.supported {
            true => Native::Figures {
                allocated_bytes: record.native.allocated_bytes,
                active_bytes: record.native.active_bytes,
                resident_bytes: record.native.resident_bytes,
            },
            false => Native::Missing("unsupported"),
        },
        cgroup: &record.cgroup,
        event_loop: Loop { event_loop: &record.event_loop, blocked_ms: record.blocked_ms },
        async_spans: &record.async_spans,
        requests: Requests {
            total: record.requests.total,
            in_flight: record.requests.in_flight,
            untracked: record.requests.untracked,
            limited: record.requests.limited,
            shed: record.requests.shed,
            shed_reported: record.requests.shed_reported,
            limit_reported: record.requests.limit_reported,
            over_budget: record.requests.over_budget,
            too_slow: record.requests.too_slow,
            body_held_bytes: record.requests.body_held_bytes,
            body_bytes: record.requests.body_bytes,
            oldest: oldest.map(|InFlight { method, path, route, started_at, .. }| Oldest {
                method,
                path,
                route: route.as_deref(),
                started_at: *started_at,
            }),
        },
        routes: &record.routes,
        pressure: &record.pressure,
        near_limit: NearLimit {
            armed: own.reserve.is_some(),
            reason: own.no_reserve.filter(|_| own.reserve.is_none()),
            reserve_bytes: own.reserve.unwrap_or(0),
            grants: record.near_limit.grants,
            at: record.near_limit.at,
        },
        findings: findings(record),
        trend: &record.trend,
        recorder: Recorder { path: record.path.as_deref(), bytes: FILE_BYTES },
        internal_errors: record.internal_errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use serde_json::{Value, json};

    fn object(record: &Record, exact_reason: Option<&str>) -> Value {
        serde_json::to_value(stats(record, Own { exact_reason, ..Own::default() })).unwrap()
    }

    #[test]
    fn has_every_promised_field_under_its_name() {
        let stats = object(&sample::record(), None);
        for pointer in [
            "/pid",
            "/rssBytes",
            "/heap/usedBytes",
            "/heap/liveBytes",
            "/heap/limitBytes",
            "/heap/allocatedBytes",
            "/heap/externalBytes",
            "/heap/attributedBytes",
            "/heap/unattributedBytes",
            "/gc/scavenge/count",
            "/gc/mark-sweep-compact/pauseMs",
            "/native/allocatedBytes",
            "/native/activeBytes",
            "/native/residentBytes",
            "/requests/total",
            "/requests/inFlight",
            "/requests/untracked",
            "/requests/limited",
            "/requests/shed",
            "/requests/shedReported",
            "/requests/limitReported",
            "/requests/overBudget",
            "/requests/tooSlow",
            "/requests/bodyHeldBytes",
            "/pressure/level",
            "/pressure/heap",
            "/pressure/rss",
            "/pressure/delayMs",
            "/nearLimit/grants",
            "/routes/0/durationMs/p99",
            "/routes/0/heapBytes/mean",
            "/routes/0/bodyBytes/sum",
            "/routes/0/responseBytes/count",
            "/recorder/bytes",
            "/asyncSpans/share",
            "/asyncSpans/wholeRequests",
            "/heap/liveHistory/0/heapBytes",
            "/routes/0/wholeCount",
            "/routes/0/wholeHeapMeanBytes",
            "/routes/0/nativePeakBytes",
            "/routes/0/layers/0/heapMeanBytes",
            "/trend/heap/samples",
            "/trend/heap/bytesPerRequest",
            "/trend/heap/low",
            "/trend/heap/high",
            "/trend/heap/p",
            "/trend/heap/since",
        ] {
            assert!(stats.pointer(pointer).is_some_and(Value::is_number), "{pointer}: {stats}");
        }
        assert_eq!(stats["heap"]["exact"], json!(true));
        assert!(stats["findings"].is_array());
        assert_eq!(stats["trend"]["heap"]["state"], json!("leaking"));
        assert_eq!(
            stats["trend"]["external"],
            json!({
                "state": "learning", "samples": 0,
                "progress": { "requests": 51, "ofRequests": 0, "collections": 0, "ofCollections": 0, "etaMs": 0 },
                "per": "request", "bytesPerRequest": null, "low": null, "high": null, "p": null,
                "since": null, "from": null, "to": null, "hoursToLimit": null,
            })
        );
        assert_eq!(stats["trend"]["native"], Value::Null);
        assert_eq!(stats["recorder"]["path"], Value::Null);
        assert_eq!(stats["heap"]["unattributedBytes"], json!(500u64 << 20));
        assert_eq!(stats["routes"][0]["status"], json!("2xx"));
    }

    #[test]
    fn says_why_the_exact_probe_is_off_only_where_it_is() {
        let mut record = sample::record();
        assert_eq!(object(&record, Some("a symbol is missing"))["heap"].get("reason"), None);
        record.heap.exact = false;
        assert_eq!(object(&record, Some("a symbol is missing"))["heap"]["reason"], json!("a symbol is missing"));
    }

    #[test]
    fn says_whether_v8_would_be_granted_a_reserve_and_why_not() {
        let record = sample::record();
        let near_limit = |own| serde_json::to_value(stats(&record, own)).unwrap()["nearLimit"].clone();
        let armed = near_limit(Own { reserve: Some(5 << 20), no_reserve: Some("was off"), ..Own::default() });
        assert_eq!(armed, json!({ "armed": true, "reserveBytes": 5 << 20, "grants": 0, "at": null }));
        assert_eq!(near_limit(Own { no_reserve: Some("a flag"), ..Own::default() })["reason"], json!("a flag"));
    }

    #[test]
    fn finds_a_heap_limit_that_the_container_cannot_hold() {
        let mut record = sample::record();
        record.heap.limit_bytes = 4 << 30;
        let finding = &object(&record, None)["findings"][0];
        assert_eq!((&finding["kind"], &finding["severity"]), (&json!("heap-limit"), &json!("critical")));
        assert!(finding["advice"].as_str().unwrap().contains("--max-old-space-size="));
    }

    #[test]
    fn native_figures_are_unsupported_where_the_allocator_is_another() {
        let record = Record { native: Default::default(), ..sample::record() };
        assert_eq!(object(&record, None)["native"], json!("unsupported"));
    }
}
