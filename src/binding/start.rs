//! The start of an environment's recording, component by component.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use napi::{Env, Result};
use napi_derive::napi;

use super::environment::{self, Environment, with};
use super::heap_statistics::{HeapRound, ReferenceHeapStatistics};
use super::pressure::{HeapOptions, Pressure};
use crate::export::ndjson::{StatsFile, StatsWriter};
use crate::leak::monitor::{self, Monitor};
use crate::leak::trend_sampler::{SamplerEvent, TrendSampler};
use crate::ledger::blocked::Listener;
use crate::ledger::sampler::{Block, Capturing, Sampler};
use crate::ledger::{Ledger, Meter, PathMode};
use crate::probe::process::{self, Cgroup};
use crate::probe::v8::sample_counter::CounterSearch;
use crate::probe::v8::stack::Interrupts;
use crate::probe::v8::{Collection, Probe, Round};
use crate::recorder::death::Surroundings;
use crate::recorder::files::{self, Recorder, Service};
use crate::recorder::map::Map;
use crate::recorder::writer::{Identity, Run, Writer, epoch_ms};
use crate::recorder::{EventKind, GcKind};

/// The input that verifies the exact probe.
#[napi(object)]
pub struct ProbeOptions {
    /// Why it is off.
    pub reason: Option<String>,
    pub rounds: Vec<HeapRound>,
    /// V8's `GCType` as `perf_hooks` has it: minor, major, incremental, weak callbacks.
    pub gc_types: Vec<u32>,
}

#[napi(object)]
pub struct StatsFileOptions {
    pub file: String,
    pub interval_ms: f64,
    pub max_bytes: f64,
    pub keep: u32,
}

#[napi(object)]
pub struct StartOptions {
    pub name: String,
    /// Folder for the record. None: the default ones.
    pub dir: Option<String>,
    /// Create no file.
    pub in_memory: bool,
    /// Path of the started script.
    pub script: String,
    /// The folder of Plimsoll's own scripts.
    pub own_folder: String,
    /// The script's identity: its path within its package, if it has one.
    pub entry: String,
    /// Whether the parent leads the run: the primary of a cluster, or another process that forked this one.
    pub led: bool,
    pub node_version: String,
    pub platform: String,
    /// 0 for the main thread.
    pub thread: u32,
    pub methods: Vec<String>,
    pub full_urls: bool,
    pub probe: ProbeOptions,
    pub heap: ReferenceHeapStatistics,
    pub heap_options: HeapOptions,
    pub stats: Option<StatsFileOptions>,
    /// Whether growth with requests is detected.
    pub trend: bool,
    /// Whether heap snapshots of a leak are taken.
    pub snapshots: bool,
}

#[napi(object)]
pub struct Started {
    /// The recorder's file. None if the record is in anonymous memory.
    pub path: Option<String>,
    pub warning: Option<String>,
    pub exact: bool,
    pub reason: Option<String>,
}

/// Starts recording in this environment. A second start changes nothing, and returns what the first one did.
#[napi(catch_unwind)]
pub fn start(env: Env, options: StartOptions) -> Result<Started> {
    if let Some(started) = with(|environment| started(environment)) {
        return Ok(started);
    }
    let environment = create(options);
    let started = started(&environment);
    environment::set(environment);
    env.add_env_cleanup_hook((), |()| environment::close())?;
    Ok(started)
}

fn started(environment: &Environment) -> Started {
    Started {
        path: environment.recorder.path().map(|path| path.display().to_string()),
        warning: environment.recorder.warning().map(str::to_owned),
        exact: environment.ledger.meter().exact(),
        reason: environment.reason.clone(),
    }
}

fn create(options: StartOptions) -> Environment {
    let main_thread = options.thread == 0;
    let surroundings = Surroundings {
        boot_id: process::boot_id(),
        cgroup_oom_kills: Cgroup::of_self().and_then(|cgroup| cgroup.oom_kills()),
    };
    let identity = identity(&options, &surroundings);
    let places = places(&options);
    let service = Service::new(&places, &identity);
    let (recorder, writer) = Recorder::create(&places, identity);
    if main_thread {
        recorder.record_stops();
    }
    writer.event(EventKind::Start, None, recorder.warning().unwrap_or(""));

    let limit = options.heap.limit.max(0.0) as u64;
    let mut pressure = Pressure::new(&writer, &options.heap_options, &options.node_version, limit);
    let (meter, reason) = meter(options.probe, &writer, &pressure);
    pressure.arm(&writer, &options.heap_options, reason.as_deref());
    let paths = if options.full_urls { PathMode::Full } else { PathMode::Masked };
    let mut ledger = Ledger::new(writer, meter, &options.methods, paths);
    ledger.supply(options.heap.figures());
    ledger.tick(0, 0.0);

    let recorder = Arc::new(recorder);
    let interrupts = Interrupts::default();
    let capturing = Capturing { interrupts: interrupts.clone(), own: options.own_folder };
    let Sampling { sampler, listener, blocks, trends } =
        sample(&recorder, &ledger, capturing, options.trend, main_thread);
    let (stats, reports) = write_stats(recorder.map(), options.stats);
    Environment {
        ledger,
        recorder,
        service,
        // A record that is in memory only belongs to no service.
        bases: if options.in_memory { Vec::new() } else { places.bases() },
        reason,
        last_death: None,
        surroundings,
        places,
        served: false,
        pressure,
        blocks,
        interrupts,
        listener,
        trends,
        samples: CounterSearch::default(),
        monitor: Monitor::new(monitor::Options { trend: options.trend, snapshots: options.snapshots }),
        announced: Vec::new(),
        main_thread,
        sampler,
        stats,
        reports,
    }
}

fn identity(options: &StartOptions, surroundings: &Surroundings) -> Identity {
    Identity {
        name: options.name.clone(),
        script: options.script.clone(),
        node_version: options.node_version.clone(),
        platform: options.platform.clone(),
        pid: std::process::id(),
        thread: u64::from(options.thread),
        process_start_ticks: process::start_ticks(),
        boot_id: surroundings.boot_id,
        cgroup_oom_kills: surroundings.cgroup_oom_kills,
        mirrored: false,
        entry: entry(&options.entry),
        run: run(options.led, surroundings.boot_id),
    }
}

fn places(options: &StartOptions) -> files::Options {
    files::Options {
        name: options.name.clone(),
        dir: options.dir.as_ref().map(PathBuf::from),
        in_memory: options.in_memory,
        start_ticks_of: process::start_ticks_of,
        ..Default::default()
    }
}

/// The sampler thread, and what it reports.
struct Sampling {
    sampler: Option<Sampler>,
    listener: Option<Listener>,
    blocks: Receiver<Block>,
    trends: Receiver<SamplerEvent>,
}

fn sample(recorder: &Arc<Recorder>, ledger: &Ledger, capturing: Capturing, trend: bool, main_thread: bool) -> Sampling {
    let touched = Arc::clone(recorder);
    let (unblocked, blocks) = channel();
    let on_unblocked = move |block: Block| drop(unblocked.send(block));
    let (events, trends) = channel();
    let mut trend = trend.then(|| TrendSampler::new(Arc::clone(recorder.map()), main_thread, events));
    let each_tick = move || {
        touched.touch();
        if let Some(trend) = &mut trend {
            trend.tick();
        }
    };
    let sampler = Sampler::start(Arc::clone(recorder.map()), ledger.last_tick(), capturing, each_tick, on_unblocked);
    if let Err(error) = &sampler {
        ledger.writer().event(EventKind::InternalError, None, &format!("no sampler thread: {error}"));
    }
    let (sampler, listener) = sampler.ok().unzip();
    Sampling { sampler, listener, blocks, trends }
}

/// The thread that writes the statistics file, and its problems.
fn write_stats(map: &Arc<Map>, options: Option<StatsFileOptions>) -> (Option<StatsWriter>, Receiver<String>) {
    let (report, reports) = channel();
    let stats = options.and_then(|options| {
        let file = StatsFile {
            file: PathBuf::from(options.file),
            interval: Duration::from_secs_f64(options.interval_ms / 1e3),
            max_bytes: options.max_bytes as u64,
            keep: options.keep,
        };
        let on_trouble = report.clone();
        let started = StatsWriter::start(Arc::clone(map), file, move |trouble: &str| {
            // The receiver is gone once the environment has ended.
            let _ = on_trouble.send(trouble.to_owned());
        });
        started.inspect_err(|error| drop(report.send(format!("no thread for the statistics file: {error}")))).ok()
    });
    (stats, reports)
}

/// A process has one started script, independently of the file that a worker thread runs.
fn entry(script: &str) -> u64 {
    static ENTRY: OnceLock<u64> = OnceLock::new();
    *ENTRY.get_or_init(|| files::entry_of(script))
}

/// Like the entry, it is the same for all threads: only the main thread knows the leader of the process.
fn run(led: bool, boot_id: u128) -> Run {
    static LEADER: OnceLock<(u32, u64)> = OnceLock::new();
    let (pid, ticks) = *LEADER.get_or_init(|| {
        // The first process of a container has no visible parent.
        let parent = process::parent_id().filter(|parent| led && *parent != 0);
        let pid = parent.unwrap_or_else(std::process::id);
        (pid, process::start_ticks_of(pid))
    });
    Run { pid, ticks, boot_id }
}

fn meter(probe: ProbeOptions, writer: &Writer, pressure: &Pressure) -> (Meter, Option<String>) {
    if probe.reason.is_some() {
        return (Meter::supplied(), probe.reason);
    }
    // The callback has a writer of its own, because it runs inside collections, when the environment may be borrowed.
    let writer = writer.clone();
    let watch = Rc::clone(&pressure.watch);
    let on_collection = move |collection: &Collection| {
        let Some(kind) = GcKind::ALL.get(collection.kind as usize) else { return };
        let after = &collection.after;
        writer.collection(*kind, collection.pause_ns, collection.before, after.used, after.external);
        writer.heap(epoch_ms(), &crate::ledger::figures(after));
        // No code borrows it across a call of V8, so it is free.
        if let Ok(mut watch) = watch.try_borrow_mut() {
            watch.collected(*kind == GcKind::MarkSweepCompact, after.used, collection.pause_ns);
        }
    };
    let rounds: Vec<Round> = probe.rounds.iter().map(HeapRound::round).collect();
    match Probe::install(&rounds, &probe.gc_types, Box::new(on_collection)) {
        Ok(probe) => (Meter::exact_with(probe), None),
        Err(error) => (Meter::supplied(), Some(error.to_string())),
    }
}
