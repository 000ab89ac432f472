//! Start and end of an environment's recording.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use napi::{Env, Error, Result};
use napi_derive::napi;

use super::paths::Paths;
use super::pressure::{self, HeapOptions, Pressure};
use super::sites::Search;
use super::trend::{self, Leak, Looks};
use crate::export::ndjson::{StatsFile, StatsWriter};
use crate::ledger::sampler::{Block, Sampler};
use crate::ledger::{Ledger, Meter, PathMode};
use crate::probe::process::{self, Cgroup};
use crate::probe::v8::{Collection, HeapStatistics, Probe, Round, unverified, versions};
use crate::recorder::death::{Death, Surroundings};
use crate::recorder::files::{self, Recorder, Service};
use crate::recorder::reader;
use crate::recorder::writer::{ExitKind, HeapFigures, Identity, Run, Writer, epoch_ms};
use crate::recorder::{EventKind, GcKind, Quantity, stops};
use crate::trend::cadence::Cadence;
use crate::trend::quantities::News;

/// The state of one environment.
pub struct Environment {
    pub ledger: Ledger,
    pub recorder: Arc<Recorder>,
    /// Whose records are read with this one, and where they are.
    pub service: Service,
    pub bases: Vec<PathBuf>,
    /// Why the exact probe is off.
    pub reason: Option<String>,
    /// None before the process serves.
    pub last_death: Option<Death>,
    surroundings: Surroundings,
    places: files::Options,
    served: bool,
    pub pressure: Pressure,
    /// Blocks of the event loop that are over, as the sampler thread saw them.
    pub blocks: Receiver<Block>,
    /// What it saw of the trend.
    pub leaks: Receiver<(Quantity, News)>,
    /// What is told of the heap's, and where it is allocated.
    pub leak: Leak,
    pub search: Search,
    /// None where it is not watched if memory grows.
    pub cadence: Option<Cadence>,
    /// What it is and what holds it.
    pub paths: Paths,
    /// Whether these are looked for.
    pub snapshots: bool,
    main_thread: bool,
    /// Both threads end when these are dropped.
    sampler: Option<Sampler>,
    stats: Option<StatsWriter>,
    /// Troubles of the statistics file: each ring of events has one writer, and that of these is the JS thread.
    reports: Receiver<String>,
}

thread_local! {
    static ENVIRONMENT: RefCell<Option<Environment>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread's environment, if it has been started. Nothing in `work` may call into JS: a collection may
/// run, whose callback does not touch the environment, but no other function of the binding.
pub fn with<T>(work: impl FnOnce(&mut Environment) -> T) -> Option<T> {
    ENVIRONMENT.with_borrow_mut(|environment| environment.as_mut().map(work))
}

/// What `v8.getHeapStatistics()` says; bytes.
#[napi(object)]
pub struct HeapTruth {
    pub total: f64,
    pub executable: f64,
    pub physical: f64,
    pub used: f64,
    pub limit: f64,
    pub malloced: f64,
    pub external: f64,
}

impl From<HeapStatistics> for HeapTruth {
    fn from(read: HeapStatistics) -> Self {
        let HeapStatistics { total, executable, physical, used, limit, malloced, external } = read;
        Self {
            total: total as f64,
            executable: executable as f64,
            physical: physical as f64,
            used: used as f64,
            limit: limit as f64,
            malloced: malloced as f64,
            external: external as f64,
        }
    }
}

impl HeapTruth {
    fn statistics(&self) -> HeapStatistics {
        HeapStatistics {
            total: self.total as u64,
            executable: self.executable as u64,
            physical: self.physical as u64,
            used: self.used as u64,
            limit: self.limit as u64,
            malloced: self.malloced as u64,
            external: self.external as u64,
        }
    }
}

/// What [`read_heap`] has read, or why it has not.
#[napi(object)]
pub struct HeapReading {
    pub figures: Option<HeapTruth>,
    pub reason: Option<String>,
}

/// A reading between two of `v8.getHeapStatistics()`.
#[napi(object)]
pub struct HeapRound {
    pub before: HeapTruth,
    pub read: HeapTruth,
    pub after: HeapTruth,
    /// Its other figures.
    pub others: Vec<f64>,
}

/// What the exact probe is verified by.
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
    /// Folder for the record; none: the default ones.
    pub dir: Option<String>,
    /// No file at all.
    pub in_memory: bool,
    /// What was started, as a path.
    pub script: String,
    /// The same as it is told apart from others: within its package, if it has one.
    pub entry: String,
    /// Whether the parent leads the run: the primary of a cluster, or who else forked this process.
    pub led: bool,
    pub node_version: String,
    pub platform: String,
    /// 0 for the main thread.
    pub thread: u32,
    pub methods: Vec<String>,
    pub full_urls: bool,
    pub probe: ProbeOptions,
    pub heap: HeapTruth,
    pub heap_options: HeapOptions,
    pub stats: Option<StatsFileOptions>,
    /// Whether it is watched if memory grows with requests.
    pub trend: bool,
    /// Whether it is looked for, by heap snapshots, what a leak is and what holds it.
    pub snapshots: bool,
}

#[napi(object)]
pub struct Started {
    /// The recorder's file; none if the record is in anonymous memory.
    pub path: Option<String>,
    pub warning: Option<String>,
    pub exact: bool,
    pub reason: Option<String>,
}

/// Starts recording in this environment. A second start changes nothing and tells how it was started.
#[napi(catch_unwind)]
pub fn start(env: Env, options: StartOptions) -> Result<Started> {
    if let Some(started) = with(|environment| environment.started()) {
        return Ok(started);
    }
    let environment = Environment::start(options);
    let started = environment.started();
    ENVIRONMENT.set(Some(environment));
    env.add_env_cleanup_hook((), |()| {
        // The thread's own storage may be gone when a thread is torn down the hard way.
        let environment = ENVIRONMENT.try_with(|environment| environment.try_borrow_mut().ok()?.take());
        if let Ok(Some(environment)) = environment {
            environment.close();
        }
    })?;
    Ok(started)
}

impl Environment {
    fn start(options: StartOptions) -> Self {
        let main_thread = options.thread == 0;
        let surroundings = Surroundings {
            boot_id: process::boot_id(),
            cgroup_oom_kills: Cgroup::of_self().and_then(|cgroup| cgroup.oom_kills()),
        };
        let identity = Identity {
            name: options.name.clone(),
            script: options.script,
            node_version: options.node_version.clone(),
            platform: options.platform,
            pid: std::process::id(),
            thread: u64::from(options.thread),
            process_start_ticks: process::start_ticks(),
            boot_id: surroundings.boot_id,
            cgroup_oom_kills: surroundings.cgroup_oom_kills,
            mirrored: false,
            entry: entry(&options.entry),
            run: run(options.led, surroundings.boot_id),
        };
        let places = files::Options {
            name: options.name.clone(),
            dir: options.dir.map(PathBuf::from),
            in_memory: options.in_memory,
            start_ticks_of: process::start_ticks_of,
            ..Default::default()
        };
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
        ledger.supply(figures(&options.heap));
        ledger.tick(0, 0.0);

        let recorder = Arc::new(recorder);
        let touched = Arc::clone(&recorder);
        let (unblocked, blocks) = channel();
        let on_unblocked = move |block: Block| drop(unblocked.send(block));
        let (news, leaks) = channel();
        let mut looks = options.trend.then(|| Looks::new(Arc::clone(recorder.map()), main_thread, news));
        let each_turn = move || {
            touched.touch();
            if let Some(looks) = &mut looks {
                looks.turn();
            }
        };
        let sampler = Sampler::start(Arc::clone(recorder.map()), ledger.last_tick(), each_turn, on_unblocked);
        if let Err(error) = &sampler {
            ledger.writer().event(EventKind::InternalError, None, &format!("no sampler thread: {error}"));
        }
        let (report, reports) = channel();
        let stats = options.stats.and_then(|stats| {
            let options = StatsFile {
                file: PathBuf::from(stats.file),
                interval: Duration::from_secs_f64(stats.interval_ms / 1e3),
                max_bytes: stats.max_bytes as u64,
                keep: stats.keep,
            };
            let on_trouble = report.clone();
            let started = StatsWriter::start(Arc::clone(recorder.map()), options, move |trouble: &str| {
                // Nobody listens any more when the environment has ended.
                let _ = on_trouble.send(trouble.to_owned());
            });
            started.inspect_err(|error| drop(report.send(format!("no thread for the statistics file: {error}")))).ok()
        });
        Self {
            ledger,
            recorder,
            service,
            // A record that is to be in memory alone is of no service's.
            bases: if options.in_memory { Vec::new() } else { places.bases() },
            reason,
            last_death: None,
            surroundings,
            places,
            served: false,
            pressure,
            blocks,
            leaks,
            leak: Leak::default(),
            search: Search::default(),
            cadence: options.trend.then(Cadence::default),
            paths: Paths::default(),
            snapshots: options.snapshots,
            main_thread,
            sampler: sampler.ok(),
            stats,
            reports,
        }
    }

    fn started(&self) -> Started {
        Started {
            path: self.recorder.path().map(|path| path.display().to_string()),
            warning: self.recorder.warning().map(str::to_owned),
            exact: self.ledger.meter().exact(),
            reason: self.reason.clone(),
        }
    }

    /// The process serves: from here on its end is a death, and that of the one before is its to report.
    fn serve(&mut self) {
        if std::mem::replace(&mut self.served, true) {
            return;
        }
        let writer = self.ledger.writer();
        writer.served();
        if self.main_thread {
            self.last_death = files::last_death(&self.bases, &self.service, &self.surroundings, true);
            files::prune(&self.bases, &self.service, &self.places);
        }
        if let Some(death) = &self.last_death {
            writer.event(EventKind::LastDeath, None, &death.evidence);
        }
        // A copy on a disk that does not say so yet would be taken for a script's.
        self.recorder.flush();
    }

    /// That which is this process's to report; of one that does not serve what a server would find, which is left to it.
    fn death(&self) -> Option<String> {
        let unserved = !self.served && self.main_thread;
        let found =
            unserved.then(|| files::last_death(&self.bases, &self.service, &self.surroundings, false)).flatten();
        serde_json::to_string(self.last_death.as_ref().or(found.as_ref())?).ok()
    }

    /// The next trouble that a thread of ours has reported.
    fn trouble(&self) -> Option<String> {
        let (kind, trouble) = match self.reports.try_recv() {
            Ok(trouble) => (EventKind::StatsFile, trouble),
            Err(_) => (EventKind::Recorder, self.recorder.take_write_warning()?),
        };
        self.ledger.writer().event(kind, None, &trouble);
        Some(trouble)
    }

    /// The last words: what is known is on file when this returns.
    fn finish(&mut self, kind: ExitKind, code: i64, detail: &str) {
        self.ledger.tick(0, 0.0);
        self.ledger.writer().exit(kind, code, detail);
        self.sampler = None;
        if let Some(stats) = self.stats.take() {
            stats.stop();
        }
        self.recorder.flush();
        let served = reader::read_head(&**self.recorder.map()).is_ok_and(|head| head.served);
        if self.main_thread && !served {
            self.recorder.discard();
        }
    }

    fn close(mut self) {
        let keep = self.main_thread;
        self.finish(if keep { ExitKind::Exit } else { ExitKind::WorkerEnd }, 0, "");
        let Self { ledger, pressure, recorder, .. } = self;
        // Removes V8's callbacks while the isolate still lives.
        drop((ledger, pressure));
        if let Ok(recorder) = Arc::try_unwrap(recorder) {
            recorder.close(keep);
        }
    }
}

/// What was started is one thing in a process, whatever file a worker thread runs.
fn entry(script: &str) -> u64 {
    static ENTRY: OnceLock<u64> = OnceLock::new();
    *ENTRY.get_or_init(|| files::entry_of(script))
}

/// Like the entry it is one for all threads: only the main thread knows who leads the process.
fn run(led: bool, boot_id: u128) -> Run {
    static LEADER: OnceLock<(u32, u64)> = OnceLock::new();
    let (pid, ticks) = *LEADER.get_or_init(|| {
        // The first process of a container sees no parent.
        let parent = process::parent_id().filter(|parent| led && *parent != 0);
        let pid = parent.unwrap_or_else(std::process::id);
        (pid, process::start_ticks_of(pid))
    });
    Run { pid, ticks, boot_id }
}

fn figures(truth: &HeapTruth) -> HeapFigures {
    let HeapStatistics { total, executable, physical, used, limit, malloced, external } = truth.statistics();
    HeapFigures { used, total, limit, external, malloced, executable, physical }
}

fn meter(probe: ProbeOptions, writer: &Writer, pressure: &Pressure) -> (Meter, Option<String>) {
    if probe.reason.is_some() {
        return (Meter::supplied(), probe.reason);
    }
    // The callback has a writer of its own: it runs inside collections, while the environment may be borrowed.
    let writer = writer.clone();
    let watch = Rc::clone(&pressure.watch);
    let on_collection = move |collection: &Collection| {
        let Some(kind) = GcKind::ALL.get(collection.kind as usize) else { return };
        let after = &collection.after;
        writer.collection(*kind, collection.pause_ns, collection.before, after.used, after.external);
        writer.heap(epoch_ms(), &crate::ledger::figures(after));
        // Nobody holds it across a call of V8's, so it is free.
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

impl HeapRound {
    fn round(&self) -> Round {
        Round {
            before: self.before.statistics(),
            read: self.read.statistics(),
            after: self.after.statistics(),
            others: self.others.iter().map(|other| *other as u64).collect(),
        }
    }
}

/// V8's figures as the probe reads them, not to be believed yet; nothing of a V8 that may not be called. `v8`: the text of
/// `process.versions.v8`; `wish`: the value of `PLIMSOLL_PROBE`.
#[napi(catch_unwind)]
pub fn read_heap(v8: String, wish: Option<String>) -> HeapReading {
    match versions::permit(&v8, wish.as_deref()).and_then(|()| unverified()) {
        Ok(read) => HeapReading { figures: Some(read.into()), reason: None },
        Err(error) => HeapReading { figures: None, reason: Some(error.to_string()) },
    }
}

/// Whether V8's functions may be called in this environment: it has begun, and the probe has stood its tests.
pub fn trusts_v8() -> bool {
    with(|environment| environment.reason.is_none()).unwrap_or(false)
}

/// Bytes allocated on this heap since the start, as the exact probe counts them; none without it.
#[napi(catch_unwind)]
pub fn allocated() -> Option<f64> {
    with(|environment| {
        let meter = environment.ledger.meter();
        meter.exact().then(|| meter.read().allocated as f64)
    })
    .flatten()
}

/// Turns the exact probe off: its figures did not stand a test.
#[napi(catch_unwind)]
pub fn distrust(reason: String, heap: HeapTruth) {
    with(|environment| {
        environment.ledger.distrust(figures(&heap));
        environment.pressure.disarm(&reason);
        environment.reason = Some(reason);
    });
}

/// Without the exact probe: heap figures, before a span is entered or settled.
#[napi(catch_unwind)]
pub fn supply(heap: HeapTruth) {
    with(|environment| environment.ledger.supply(figures(&heap)));
}

/// The event loop has come round: how late the timer was, and the loop's utilisation (0 to 1) since the last tick. Returns
/// what the user must hear of: a file of ours that cannot be written.
#[napi(catch_unwind)]
pub fn tick(env: Env, lag_ms: f64, utilization: f64) -> Option<String> {
    with(|environment| {
        environment.ledger.tick((lag_ms.max(0.0) * 1e6) as u64, utilization);
        pressure::ticked(environment, lag_ms.max(0.0));
        trend::ticked(environment, &env);
        if environment.main_thread {
            stops::arm();
        }
        environment.trouble()
    })
    .flatten()
}

/// The process (or worker) is ending: `exit`, `uncaught-exception` or `worker-end`.
#[napi(catch_unwind)]
pub fn finish(kind: String, code: i32, detail: String) -> Result<()> {
    let kind = match kind.as_str() {
        "exit" => ExitKind::Exit,
        "uncaught-exception" => ExitKind::UncaughtException,
        "worker-end" => ExitKind::WorkerEnd,
        other => {
            return Err(Error::from_reason(format!("unknown end {other:?}: exit, uncaught-exception, worker-end")));
        }
    };
    with(|environment| environment.finish(kind, i64::from(code), &detail));
    Ok(())
}

/// The process listens, or has had a request: its record is a server's. JSON of the newest death of its service that no server has reported; none if
/// there is none. The same at each further call.
#[napi(catch_unwind)]
pub fn serve() -> Option<String> {
    with(|environment| {
        environment.serve();
        environment.death()
    })
    .flatten()
}

/// The process ends as a server that had no time yet to ask for the last death: that is left to the next one.
#[napi(catch_unwind)]
pub fn served() {
    with(|environment| environment.ledger.writer().served());
}

/// Whether there has been a request.
#[napi(catch_unwind)]
pub fn has_requests() -> bool {
    with(|environment| reader::requests(&**environment.recorder.map()) > 0).unwrap_or(false)
}

/// The same without being a server: the death is left to the next one.
#[napi(catch_unwind)]
pub fn last_death() -> Option<String> {
    with(|environment| environment.death()).flatten()
}

/// A listener of a signal has gone: the signal's end is recorded again.
#[napi(catch_unwind)]
pub fn record_stops() {
    stops::arm();
}

/// Puts an event into the record; kinds are those of `EventKind`.
#[napi(catch_unwind)]
pub fn event(kind: String, route: Option<String>, detail: String) {
    with(|environment| {
        let kind = EventKind::from_name(&kind).unwrap_or(EventKind::InternalError);
        environment.ledger.writer().event(kind, route.as_deref(), &detail);
    });
}

/// Counts an internal error.
#[napi(catch_unwind)]
pub fn internal_error(detail: String) {
    with(|environment| {
        environment.ledger.writer().internal_error();
        environment.ledger.writer().event(EventKind::InternalError, None, &detail);
    });
}
