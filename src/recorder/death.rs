//! Judges what ended a process that could not record its end, from its record and from the present state of the system.
//!
//! The rules go from the certain to the likely:
//!
//! 1. an end that was recorded,
//! 2. another boot,
//! 3. a heap that was out of room,
//! 4. the cgroup's own count of OOM kills,
//! 5. what was near its limit, or a blocked event loop.
//!
//! An end that fits no rule is called a signal. Bytes in the sentences are MiB, as in V8's own flags.

use std::collections::HashSet;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::GcKind;
use super::record::{Collection, Event, Finding, InFlight, Record};

/// A shorter block is a slow request, not a reason for a watchdog to kill.
const BLOCKED_MS: f64 = 3_000.0;
/// A near-limit event at most this long before the end is the cause of death.
const NEAR_LIMIT_MS: u64 = 10_000;
/// Number of requests of each kind, heaviest and oldest, that a death names.
const NAMED_REQUESTS: usize = 10;
/// The kind of an end by a signal that the handler has recorded.
const SIGNAL: &str = "signal";
const MIB: u64 = 1 << 20;

/// The state of the system at the start that judges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// 0 if unknown.
    pub boot_id: u128,
    /// OOM kills that this process's cgroup has counted. None if unknown.
    pub cgroup_oom_kills: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Cause {
    #[serde(rename = "heap limit")]
    HeapLimit,
    #[serde(rename = "cgroup OOM")]
    CgroupOom,
    #[serde(rename = "signal")]
    Signal,
    #[serde(rename = "blocked loop")]
    BlockedLoop,
    #[serde(rename = "exit")]
    Exit,
    #[serde(rename = "uncaught exception")]
    UncaughtException,
    #[serde(rename = "reboot")]
    Reboot,
    /// An ordinary stop: SIGTERM, SIGINT or SIGHUP.
    #[serde(rename = "stop")]
    Stop,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeapLimit => "heap limit",
            Self::CgroupOom => "cgroup OOM",
            Self::Signal => "signal",
            Self::BlockedLoop => "blocked loop",
            Self::Exit => "exit",
            Self::UncaughtException => "uncaught exception",
            Self::Reboot => "reboot",
            Self::Stop => "stop",
        })
    }
}

/// One death, as `plimsoll.lastDeath()` returns it.
#[derive(Clone, Debug)]
pub struct Death {
    pub record: Box<Record>,
    pub cause: Cause,
    /// One sentence with the figures on which the cause is based.
    pub evidence: String,
    /// Epoch milliseconds: the recorded end, otherwise the last sign of life.
    pub at: u64,
}

impl Death {
    pub fn new(record: Box<Record>, now: &Surroundings) -> Self {
        let (cause, evidence) = judge(&record, now);
        let at = last_sign_of_life(&record);
        Self { record, cause, evidence, at }
    }

    /// The heaviest requests that were in flight, then the oldest of the others.
    pub fn in_flight(&self) -> Vec<&InFlight> {
        let weight = |request: &InFlight| {
            (request.heap_bytes.max(0) as u64)
                .saturating_add(request.external_bytes.max(0) as u64)
                .saturating_add(request.body_bytes)
        };
        let requests = &self.record.in_flight;
        let mut heaviest: Vec<usize> = (0..requests.len()).collect();
        heaviest.sort_by_key(|index| std::cmp::Reverse(weight(&requests[*index])));
        heaviest.truncate(NAMED_REQUESTS);
        let mut oldest: Vec<usize> = (0..requests.len()).collect();
        oldest.sort_by_key(|index| requests[*index].started_at);
        oldest.truncate(NAMED_REQUESTS);
        let mut named = HashSet::new();
        heaviest.into_iter().chain(oldest).filter(|index| named.insert(*index)).map(|index| &requests[index]).collect()
    }
}

impl Death {
    /// The leak that was found and had not stopped. The largest if there are several.
    fn open_leak(&self) -> Option<&Finding> {
        let open = |finding: &&Finding| finding.kind == "leak" && finding.withdrawn_at.is_none();
        let bytes = |finding: &Finding| finding.bytes_per_request.unwrap_or(0.0);
        self.record.findings.iter().filter(open).max_by(|a, b| bytes(a).total_cmp(&bytes(b)))
    }

    /// What allocated most on the heap for one request: a route on average, or one request that was still in flight.
    fn heaviest(&self) -> Option<Heaviest<'_>> {
        let routes = self.record.routes.iter().map(|row| Heaviest {
            method: &row.method,
            route: &row.route,
            heap_bytes: row.heap_bytes.mean,
            requests: row.heap_bytes.count,
            in_flight: false,
        });
        let in_flight = self.record.in_flight.iter().map(|request| Heaviest {
            method: &request.method,
            route: request.route.as_deref().unwrap_or(&request.path),
            heap_bytes: request.heap_bytes as f64,
            requests: 1,
            in_flight: true,
        });
        let all = routes.chain(in_flight).filter(|each| each.heap_bytes > 0.0);
        all.max_by(|a, b| a.heap_bytes.total_cmp(&b.heap_bytes))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Heaviest<'a> {
    method: &'a str,
    route: &'a str,
    /// Bytes allocated for one request, on average.
    heap_bytes: f64,
    requests: u64,
    in_flight: bool,
}

impl Serialize for Death {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = &self.record;
        let exit = record.exit.as_ref();
        let mut out = serializer.serialize_struct("Death", 17)?;
        out.serialize_field("cause", &self.cause)?;
        out.serialize_field("evidence", &self.evidence)?;
        out.serialize_field("pid", &record.pid)?;
        out.serialize_field("at", &self.at)?;
        out.serialize_field("startedAt", &record.started_at)?;
        out.serialize_field("rssBytes", &record.process.rss_bytes)?;
        out.serialize_field("heapUsedBytes", &record.heap.used_bytes)?;
        out.serialize_field("heapLimitBytes", &record.heap.limit_bytes)?;
        out.serialize_field("cgroupLimitBytes", &record.cgroup.limit_bytes)?;
        out.serialize_field("exitCode", &exit.filter(|exit| exit.kind != SIGNAL).map(|exit| exit.code))?;
        out.serialize_field("signal", &exit.filter(|exit| exit.kind == SIGNAL).map(|exit| &exit.detail))?;
        out.serialize_field("finding", &self.open_leak())?;
        out.serialize_field("heaviest", &self.heaviest())?;
        out.serialize_field("script", &record.script)?;
        out.serialize_field("path", &record.path)?;
        out.serialize_field("inFlight", &self.in_flight())?;
        out.serialize_field("inFlightTotal", &record.in_flight.len())?;
        out.end()
    }
}

/// Whether the end was intended: the process exited without an error, or an operator sent a signal.
pub fn is_ordinary(record: &Record) -> bool {
    record.exit.as_ref().is_some_and(|exit| match exit.kind.as_str() {
        SIGNAL => record.blocked_ms < BLOCKED_MS,
        "exit" => exit.code == 0,
        _ => false,
    })
}

/// The recorded end, otherwise the latest time in the record, epoch milliseconds. The heartbeat comes twice a second.
/// Requests and collections may be later.
pub fn last_sign_of_life(record: &Record) -> u64 {
    if let Some(exit) = &record.exit {
        return exit.at;
    }
    [
        record.last_heartbeat,
        record.heap.at,
        record.event_loop.last_tick,
        record.collections.last().map_or(0, |collection| collection.at),
        record.in_flight.iter().map(|request| request.started_at).max().unwrap_or(0),
    ]
    .into_iter()
    .max()
    .unwrap_or(0)
}

/// The cause, and one sentence of evidence.
pub fn judge(record: &Record, now: &Surroundings) -> (Cause, String) {
    exit(record)
        .or_else(|| reboot(record, now))
        .or_else(|| heap_was_full(record))
        .or_else(|| oom_kill_was_counted(record, now))
        .or_else(|| heap_was_nearly_full(record))
        .or_else(|| cgroup_was_full_of_this_process(record))
        .or_else(|| blocked_loop(record))
        .or_else(|| cgroup_was_full(record))
        .unwrap_or_else(|| signal(record))
}

type Verdict = Option<(Cause, String)>;

fn exit(record: &Record) -> Verdict {
    let exit = record.exit.as_ref()?;
    let detail = if exit.detail.is_empty() { String::new() } else { format!(": {}", exit.detail) };
    Some(match exit.kind.as_str() {
        SIGNAL => stopped(record, &exit.detail),
        "uncaught-exception" => {
            (Cause::UncaughtException, format!("An uncaught exception ended it with exit code {}{detail}.", exit.code))
        }
        _ => (Cause::Exit, format!("It ended by itself with exit code {}{detail}.", exit.code)),
    })
}

/// An operator may have sent the signal, or a liveness probe that got no response while the event loop was blocked.
fn stopped(record: &Record, signal: &str) -> (Cause, String) {
    if record.blocked_ms < BLOCKED_MS {
        return (Cause::Stop, format!("{signal} ended it: an ordinary stop."));
    }
    let seconds = record.blocked_ms / 1e3;
    let evidence = format!(
        "{signal} ended it after the event loop had been blocked for {seconds:.1} s {}; the likely sender is a watchdog or a liveness probe that got no response.",
        blocker(record)
    );
    (Cause::BlockedLoop, evidence)
}

fn reboot(record: &Record, now: &Surroundings) -> Verdict {
    let then = u128::from_str_radix(&record.boot_id, 16).unwrap_or(0);
    (then != 0 && now.boot_id != 0 && then != now.boot_id).then(|| {
        let evidence = "The machine was rebooted: the kernel's boot id has changed, and no end was recorded.";
        (Cause::Reboot, evidence.into())
    })
}

/// Consecutive mark-sweeps that freed almost nothing.
struct Throes {
    collections: usize,
    freed: u64,
    over_ms: u64,
}

fn mark_sweeps(record: &Record) -> Vec<&Collection> {
    record.collections.iter().filter(|collection| collection.kind == GcKind::MarkSweepCompact.name()).collect()
}

/// V8 lets a heap grow by a large part of its size between two major collections, except near its limit. Tested on Node
/// 20 to 26 with limits of 64 and 200 MB. While a heap fills up, it grows by 30 to 70 % from one collection to the
/// next. At the end it mostly grows by 2 to 11 %, collections free under 5 %, and pauses take 15 to 80 % of the time.
/// Collections of an idle process also free little, but take almost no time.
fn throes(record: &Record) -> Option<Throes> {
    let majors = mark_sweeps(record);
    let tail: &[&Collection; 4] = majors.last_chunk()?;
    let freed = |collection: &Collection| collection.before_bytes.saturating_sub(collection.after_bytes);
    let cramped = tail.windows(2).filter(|pair| {
        let [before, after] = [pair[0], pair[1]];
        let grown_to = after.before_bytes as f64;
        grown_to <= 1.15 * before.after_bytes as f64 && freed(after) as f64 <= 0.1 * grown_to
    });
    let over_ms = tail[3].at.saturating_sub(tail[0].at);
    let pause_ms: f64 = tail[1..].iter().map(|collection| collection.pause_ms).sum();
    let since_ms = last_sign_of_life(record).saturating_sub(tail[3].at) as f64;
    let throes = cramped.count() >= 2
        && pause_ms >= 0.1 * over_ms as f64
        // The ring lacks the collection during which the process died. It takes about as long as the last one there.
        && since_ms <= 5_000.0 + 3.0 * tail[3].pause_ms;
    throes.then(|| {
        let freed = tail[1..].iter().fold(0u64, |sum, sweep| sum.saturating_add(freed(sweep)));
        Throes { collections: tail.len() - 1, freed, over_ms }
    })
}

/// The part of `heap_size_limit` for the young generation, by default (measured). Flags can change it, and it is
/// smaller on small machines.
fn young_generation(node_version: &str) -> u64 {
    let major = node_version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    MIB * match major {
        Some(24 | 25) => 192,
        Some(26..) => 96,
        _ => 48,
    }
}

/// The heap after the last major collection as a part of the old generation's maximum. It includes what survives in the
/// young generation: with a limit of 64 MB the heap was up to 80 MB at the end (tested). Above that, the young
/// generation's size was guessed wrong, and the result is none.
fn old_generation_filled(record: &Record) -> Option<f64> {
    let old =
        record.heap.limit_bytes.checked_sub(young_generation(&record.node_version)).filter(|old| *old > 0)? as f64;
    let held = record.heap.live_bytes.unwrap_or(record.heap.used_bytes) as f64;
    (held <= 1.15 * old + 16.0 * MIB as f64).then_some(held / old)
}

fn heap_limit(record: &Record, bytes: u64, when: &str, more: &str) -> (Cause, String) {
    let (held, limit) = (mib(bytes), mib(record.heap.limit_bytes));
    let evidence =
        format!("The V8 heap used {held} {when}, of a limit of {limit} that includes the young generation{more}.");
    (Cause::HeapLimit, evidence)
}

const WHEN_SWEPT: &str = "after its last mark-sweep";
const WHEN_READ: &str = "when last read";

fn heap_was_full(record: &Record) -> Verdict {
    let limit = record.heap.limit_bytes as f64;
    if limit == 0.0 {
        return None;
    }
    let died = last_sign_of_life(record);
    let near = |event: &&Event| event.kind == "near-limit" && event.at.saturating_add(NEAR_LIMIT_MS) >= died;
    if let Some(event) = record.events.iter().rev().find(near) {
        let ago = died.saturating_sub(event.at) as f64 / 1e3;
        let more = format!("; V8 reported {ago:.1} s before the end that the limit was near");
        return Some(heap_limit(record, record.heap.used_bytes, WHEN_READ, &more));
    }
    let live = record.heap.live_bytes?;
    if let Some(Throes { collections, freed, over_ms }) = throes(record)
        && (live as f64 >= 0.45 * limit || old_generation_filled(record).is_some_and(|filled| filled >= 0.85))
    {
        let (seconds, freed) = (over_ms as f64 / 1e3, mib(freed));
        let more = format!("; the last {collections} mark-sweeps, within {seconds:.1} s, freed {freed} in total");
        return Some(heap_limit(record, live, WHEN_SWEPT, &more));
    }
    (live as f64 >= 0.9 * limit).then(|| heap_limit(record, live, WHEN_SWEPT, ""))
}

/// A fast leak with a small limit dies without such a series of collections, at 89 % of the old generation or more
/// (tested). The young generation's size is a guess. So the heap must also have come this far within the last minute: a
/// process that was stable at that size did not die of it.
fn heap_was_nearly_full(record: &Record) -> Verdict {
    let heap = &record.heap;
    if heap.limit_bytes > 0 && heap.used_bytes as f64 >= 0.9 * heap.limit_bytes as f64 {
        return Some(heap_limit(record, heap.used_bytes, WHEN_READ, ""));
    }
    let filled = old_generation_filled(record).filter(|filled| *filled >= 0.85)?;
    let bytes = heap.live_bytes.unwrap_or(heap.used_bytes);
    let minute_ago = last_sign_of_life(record).saturating_sub(60_000);
    let long_so = record.samples.iter().take_while(|sample| sample.at < minute_ago).any(|sample| {
        let then = if heap.live_bytes.is_some() { sample.heap_live_bytes } else { Some(sample.heap_used_bytes) };
        then.is_some_and(|then| then as f64 >= 0.85 / filled * bytes as f64)
    });
    let when = if heap.live_bytes.is_some() { WHEN_SWEPT } else { WHEN_READ };
    (!long_so).then(|| heap_limit(record, bytes, when, ""))
}

fn cgroup_figures(record: &Record) -> String {
    match (record.cgroup.used_bytes, record.cgroup.limit_bytes) {
        (Some(used), Some(limit)) => {
            format!(
                "this process used {} and the cgroup {} of {}",
                mib(record.process.rss_bytes),
                mib(used),
                mib(limit)
            )
        }
        _ => format!("this process used {}", mib(record.process.rss_bytes)),
    }
}

fn oom_kill_was_counted(record: &Record, now: &Surroundings) -> Verdict {
    let (before, after) = (record.cgroup.oom_kills_at_start?, now.cgroup_oom_kills?);
    (after > before).then(|| {
        let evidence = format!(
            "The cgroup's count of OOM kills rose from {before} to {after} since this process started; at the last sample, {}.",
            cgroup_figures(record)
        );
        (Cause::CgroupOom, evidence)
    })
}

/// How much the cgroup's usage rose between the last two samples, and over how many milliseconds.
fn cgroup_growth(record: &Record) -> Option<(u64, u64)> {
    let [.., before, last] = record.samples.as_slice() else { return None };
    let growth = last.cgroup_used_bytes?.checked_sub(before.cgroup_used_bytes?)?;
    Some((growth, last.at.saturating_sub(before.at)))
}

/// At least 95 % of the cgroup's limit, or filling so fast that the limit was reached within two more samples: the
/// sampler is late too when memory is short. The count of OOM kills is not used, because a restarted container has a
/// new cgroup.
fn cgroup_was_full(record: &Record) -> Verdict {
    let (used, limit) = (record.cgroup.used_bytes?, record.cgroup.limit_bytes?);
    let growth = cgroup_growth(record)
        .filter(|(growth, _)| used >= limit / 2 && used.saturating_add(growth.saturating_mul(2)) >= limit);
    if limit == 0 || (used as f64) < 0.95 * limit as f64 && growth.is_none() {
        return None;
    }
    let growth = growth.map_or(String::new(), |(growth, over_ms)| {
        format!(", after a rise of {} in {:.1} s", mib(growth), over_ms as f64 / 1e3)
    });
    let evidence = format!(
        "No end was recorded; at the last sample, {}{growth}; the likely cause is the kernel's OOM killer.",
        cgroup_figures(record)
    );
    Some((Cause::CgroupOom, evidence))
}

/// A cgroup's usage includes the page cache, which fills up in normal operation. It is stronger evidence if most of it
/// is this process's memory.
fn cgroup_was_full_of_this_process(record: &Record) -> Verdict {
    let limit = record.cgroup.limit_bytes?;
    cgroup_was_full(record).filter(|_| record.process.rss_bytes >= limit / 2)
}

fn blocked_loop(record: &Record) -> Verdict {
    if record.blocked_ms < BLOCKED_MS {
        return None;
    }
    let running = blocker(record);
    let evidence = format!(
        "No end was recorded; at the last heartbeat, the event loop had been blocked for {:.1} s {running}; the likely cause is a watchdog or a liveness probe that got no response.",
        record.blocked_ms / 1e3
    );
    Some((Cause::BlockedLoop, evidence))
}

/// The request whose code blocked the event loop, and that code if it is known.
fn blocker(record: &Record) -> String {
    let slot = record.event_loop.blocked_slot;
    let request = record.in_flight.iter().find(|request| slot != 0 && request.handle == slot);
    let request = request.or_else(|| record.in_flight.iter().find(|request| request.running));
    let request = request.map_or("outside of any request".into(), |request| {
        format!("in {} {}", request.method, request.route.as_deref().unwrap_or(&request.path))
    });
    match record.blocked_by() {
        Some(by) => format!("{request}, by {}", by.place()),
        None => request,
    }
}

fn signal(record: &Record) -> (Cause, String) {
    let evidence = format!(
        "No end was recorded, and nothing points to a limit (heap {} of {}, {}); possible causes are SIGKILL, another signal without a handler, or a crash in native code.",
        mib(record.heap.used_bytes),
        mib(record.heap.limit_bytes),
        cgroup_figures(record)
    );
    (Cause::Signal, evidence)
}

fn mib(bytes: u64) -> String {
    let mib = bytes as f64 / MIB as f64;
    if mib < 10.0 { format!("{mib:.1} MiB") } else { format!("{mib:.0} MiB") }
}

#[cfg(test)]
mod tests;
