//! From the words of one row to plain data.

use super::super::distribution::{self, DURATION, HEAP, WIRE};
use super::super::layout::{
    DISTRIBUTION_WORDS, EventKind, GcKind, Severity, StatusClass, Text, TrendState, blocked_by, event, finding, gauge,
    gc, gc_total, header, leak, live, route, sample, slot, trend,
};
use super::super::record::{
    BlockedBy, Collection, Driver, Event, Exit, Finding, GcTotal, InFlight, Live, Pressure, Progress, RouteBytes,
    RouteStats, Sample, Trend,
};
use super::super::stops;
use super::super::writer::UNKNOWN;

pub fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

pub fn known(word: u64) -> Option<u64> {
    (word != UNKNOWN).then_some(word)
}

pub fn text(words: &[u64], text: Text) -> String {
    let length = (words[text.offset] as usize).min(text.max_bytes());
    let bytes: Vec<u8> =
        words[text.offset + 1..text.offset + text.words].iter().flat_map(|word| word.to_le_bytes()).collect();
    let end = bytes[..length].iter().position(|byte| *byte == 0).unwrap_or(length);
    // Control characters are replaced, because the text may be printed on a terminal.
    String::from_utf8_lossy(&bytes[..end]).replace(|c: char| c.is_control(), "\u{fffd}")
}

/// Methods and labels are stored once and referenced by index.
pub struct Names {
    pub methods: Vec<String>,
    pub labels: Vec<String>,
}

impl Names {
    pub fn method(&self, index: u64) -> String {
        self.methods.get(index as usize).cloned().unwrap_or_else(|| "?".into())
    }
    pub fn label(&self, index: u64) -> String {
        self.labels.get(index as usize).cloned().unwrap_or_else(|| "(other)".into())
    }
}

pub fn pressure_of(head: &[u64]) -> Pressure {
    let over = |part: Option<u64>, whole: Option<u64>| {
        part.zip(whole).filter(|(_, whole)| *whole > 0).map(|(part, whole)| part as f64 / whole as f64)
    };
    let semi_space_max_bytes = Some(head[gauge::SEMI_SPACE_MAX]).filter(|bytes| *bytes > 0);
    let young = semi_space_max_bytes.unwrap_or(0).saturating_mul(3);
    Pressure {
        level: head[gauge::SHED_PPM].min(1_000_000) as f64 / 1e6,
        heap: over(known(head[gauge::HEAP_LIVE]), head[gauge::HEAP_LIMIT].checked_sub(young)),
        rss: over(Some(head[gauge::RSS]), known(head[gauge::CGROUP_LIMIT])),
        delay_ms: ms(head[gauge::LOOP_LAG_NS]),
        native_bytes: known(head[gauge::NATIVE_ALLOCATED]),
        semi_space_max_bytes,
    }
}

pub fn exit_of(head: &[u64]) -> Option<Exit> {
    let kind = match head[header::EXIT_KIND] {
        1 => "exit",
        2 => "uncaught-exception",
        3 => "worker-end",
        _ => return None,
    };
    Some(Exit {
        kind: kind.into(),
        code: head[header::EXIT_CODE] as i64,
        at: head[header::EXIT_AT],
        detail: text(head, header::EXIT_DETAIL),
    })
}

/// The end by a signal that the handler has recorded. A process that has been active since has survived the signal.
pub fn stop_of(word: u64, head: &[u64]) -> Option<Exit> {
    let (signal, at) = stops::read(word)?;
    let seen = [gauge::HEARTBEAT_AT, gauge::LOOP_TICK_AT, gauge::PUBLISHED_AT].map(|gauge| head[gauge]);
    let survived = seen.iter().any(|seen| *seen > at.saturating_add(stops::SURVIVED_MS));
    (!survived).then(|| Exit {
        kind: "signal".into(),
        code: 128 + i64::from(signal.number()),
        at,
        detail: signal.name().into(),
    })
}

pub fn in_flight_of(row: &[u64], torn: bool, names: &Names, running: u64) -> InFlight {
    InFlight {
        method: names.method(row[slot::METHOD]),
        path: text(row, slot::PATH),
        route: row[slot::LABEL].checked_sub(1).map(|label| names.label(label)),
        age_ms: 0.0,
        running: running == row[slot::HANDLE],
        heap_bytes: row[slot::HEAP] as i64,
        external_bytes: row[slot::EXTERNAL] as i64,
        native_bytes: row[slot::NATIVE] as i64,
        body_bytes: row[slot::BODY],
        started_at: row[slot::STARTED_AT],
        torn,
        handle: row[slot::HANDLE],
    }
}

pub fn gc_kind(code: u64) -> &'static str {
    GcKind::ALL.get(code as usize).map_or("unknown", |kind| kind.name())
}

pub fn gc_total_of(kind: GcKind, row: &[u64]) -> GcTotal {
    GcTotal {
        kind: kind.name(),
        count: row[gc_total::COUNT],
        pause_ms: ms(row[gc_total::PAUSE_NS]),
        buckets: row[gc_total::BUCKETS..][..gc_total::BUCKETS_LEN].to_vec(),
    }
}

pub fn collection_of(row: &[u64]) -> Collection {
    Collection {
        at: row[gc::AT],
        kind: gc_kind(row[gc::KIND]),
        pause_ms: ms(row[gc::PAUSE_NS]),
        before_bytes: row[gc::BEFORE],
        after_bytes: row[gc::AFTER],
        external_bytes: row[gc::EXTERNAL],
    }
}

pub fn sample_of(row: &[u64]) -> Sample {
    Sample {
        at: row[sample::AT],
        rss_bytes: row[sample::RSS],
        heap_used_bytes: row[sample::HEAP_USED],
        heap_limit_bytes: row[sample::HEAP_LIMIT],
        external_bytes: row[sample::EXTERNAL],
        heap_total_bytes: row[sample::HEAP_TOTAL],
        heap_live_bytes: known(row[sample::HEAP_LIVE]),
        cgroup_used_bytes: known(row[sample::CGROUP_USED]),
        native_allocated_bytes: known(row[sample::NATIVE_ALLOCATED]).unwrap_or(0),
        in_flight: row[sample::IN_FLIGHT],
        requests_total: row[sample::REQUESTS_TOTAL],
        blocked_ms: ms(row[sample::BLOCKED_NS]),
        lag_ms: ms(row[sample::LOOP_LAG_NS]),
        gc_pause_ms: ms(row[sample::GC_PAUSE_NS]),
    }
}

pub fn live_of(row: &[u64]) -> Live {
    Live {
        at: row[live::AT],
        heap_bytes: row[live::HEAP],
        external_bytes: row[live::EXTERNAL],
        rss_bytes: row[live::RSS],
        requests_total: row[live::REQUESTS_TOTAL],
        in_flight: row[live::IN_FLIGHT],
        native_bytes: known(row[live::NATIVE]),
        connections_total: row[live::CONNECTIONS_TOTAL],
    }
}

/// None if there is no verdict yet.
pub fn trend_of(row: &[u64]) -> Option<Trend> {
    let state = *TrendState::ALL.get((row[trend::STATE] as usize).checked_sub(1)?)?;
    let figure = |word: usize| Some(f64::from_bits(row[word])).filter(|value| value.is_finite());
    let time = |word: usize| Some(row[word]).filter(|at| *at > 0);
    Some(Trend {
        state,
        per: Driver::ALL.get(row[trend::DRIVER] as usize).copied().unwrap_or_default(),
        samples: row[trend::SAMPLES],
        progress: Progress {
            of_requests: row[trend::OF_REQUESTS],
            of_collections: row[trend::OF_COLLECTIONS],
            ..Progress::default()
        },
        bytes_per_request: figure(trend::PER_REQUEST),
        low: figure(trend::LOW),
        high: figure(trend::HIGH),
        p: figure(trend::P),
        since: time(trend::SINCE),
        from: time(trend::FROM),
        to: time(trend::TO),
        hours_to_limit: None,
    })
}

pub fn finding_of(row: &[u64]) -> Finding {
    let some = |field| Some(text(row, field)).filter(|text| !text.is_empty());
    let severity = Severity::ALL.get(row[finding::SEVERITY] as usize).copied().unwrap_or(Severity::Info);
    Finding {
        kind: text(row, finding::KIND),
        route: some(finding::ROUTE),
        origin: some(finding::ORIGIN),
        count: row[finding::COUNT],
        per_thousand: known(row[finding::PER_THOUSAND_PPM]).map(|ppm| ppm as f64 / 1e6),
        first_seen: row[finding::FIRST_SEEN],
        last_seen: row[finding::LAST_SEEN],
        severity: severity.name(),
        advice: text(row, finding::ADVICE),
        withdrawn_at: Some(row[finding::WITHDRAWN_AT]).filter(|at| *at > 0),
        ..Finding::default()
    }
}

/// Adds a row of `LEAKS` to its finding.
pub fn leak_of(row: &[u64], finding: Finding) -> Finding {
    let some = |field| Some(text(row, field)).filter(|text| !text.is_empty());
    let figure = |word: usize| Some(f64::from_bits(row[word])).filter(|value| value.is_finite());
    Finding {
        bytes_per_request: figure(leak::BYTES),
        low: figure(leak::LOW),
        high: figure(leak::HIGH),
        p: figure(leak::P),
        routes: some(leak::ROUTES)
            .map_or(Vec::new(), |routes| routes.split(leak::ROUTE_SEPARATOR).filter_map(route_bytes).collect()),
        holder: some(leak::HOLDER),
        added_by: some(leak::ADDED_BY),
        package: some(leak::PACKAGE),
        hours_to_limit: figure(leak::HOURS),
        class: some(leak::CLASS),
        path: some(leak::PATH).map(|path| path.split(leak::PATH_ARROW).map(ToOwned::to_owned).collect()),
        advice: some(leak::ADVICE).unwrap_or(finding.advice),
        ..finding
    }
}

/// A part of `leak::ROUTES`. None for one that is not whole.
fn route_bytes(part: &str) -> Option<RouteBytes> {
    let mut parts = part.splitn(4, ' ');
    let mut figure = || parts.next()?.parse().ok().filter(|bytes: &f64| bytes.is_finite());
    let (bytes_per_request, low, high) = (figure()?, figure()?, figure()?);
    Some(RouteBytes { route: parts.next()?.to_owned(), bytes_per_request, low, high })
}

/// None if the loop was never blocked, or never by known code.
pub fn blocked_by_of(row: &[u64]) -> Option<BlockedBy> {
    let frames = text(row, blocked_by::STACK);
    let function = text(row, blocked_by::FUNCTION);
    (row[blocked_by::AT] > 0).then(|| BlockedBy {
        at: row[blocked_by::AT],
        function: (!function.is_empty()).then_some(function),
        origin: text(row, blocked_by::ORIGIN),
        stack: frames.split(blocked_by::FRAME_SEPARATOR).filter(|f| !f.is_empty()).map(ToOwned::to_owned).collect(),
        native: row[blocked_by::NATIVE] != 0,
    })
}

pub fn event_of(row: &[u64]) -> Event {
    let route = text(row, event::ROUTE);
    Event {
        at: row[event::AT],
        kind: EventKind::from_code(row[event::KIND]).map_or("unknown", EventKind::name),
        route: (!route.is_empty()).then_some(route),
        detail: text(row, event::DETAIL),
    }
}

/// The median of the last requests: sweeping lowers some of them by what an earlier collection has freed.
pub fn external_median(row: &[u64]) -> Option<i64> {
    let known = (row[route::EXTERNAL_COUNT] as usize).min(route::EXTERNAL_RECENT_LEN);
    let mut recent: Vec<i64> = row[route::EXTERNAL_RECENT..][..known].iter().map(|bytes| *bytes as i64).collect();
    recent.sort_unstable();
    recent.get(known / 2).copied()
}

pub fn route_stats(row: &[u64], method: String, label: String) -> RouteStats {
    let distribution = |first: usize, scale| distribution::read(&row[first..first + DISTRIBUTION_WORDS], scale);
    let mean = |sum: usize, count: usize| match row[count] {
        0 => None,
        count => Some(row[sum] as i64 as f64 / count as f64),
    };
    RouteStats {
        method,
        route: label,
        status: StatusClass::of(row[route::STATUS_CLASS].min(9) as u32 * 100).name(),
        count: row[route::COUNT],
        errors: row[route::ERRORS],
        aborted: row[route::ABORTED],
        limited: row[route::LIMITED],
        duration_ms: distribution(route::DURATION, DURATION),
        heap_bytes: distribution(route::HEAP, HEAP),
        body_bytes: distribution(route::BODY, WIRE),
        response_bytes: distribution(route::RESPONSE, WIRE),
        external_median_bytes: external_median(row),
        whole_count: row[route::WHOLE_COUNT],
        whole_heap_mean_bytes: mean(route::WHOLE_HEAP_SUM, route::WHOLE_HEAP_COUNT),
        native_held_mean_bytes: mean(route::NATIVE_HELD_SUM, route::COUNT).unwrap_or(0.0),
        native_total_mean_bytes: mean(route::NATIVE_TOTAL_SUM, route::COUNT).unwrap_or(0.0),
        native_peak_bytes: row[route::NATIVE_PEAK],
        layers: Vec::new(),
        latency_buckets: row[route::LATENCY..][..route::LATENCY_LEN].to_vec(),
    }
}
