//! The state of one environment (the main thread, each worker). It is accessed only through this module.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::pressure::Pressure;
use crate::export::ndjson::StatsWriter;
use crate::leak::monitor::{Announcement, Monitor};
use crate::leak::trend_sampler::SamplerEvent;
use crate::ledger::Ledger;
use crate::ledger::blocked::Listener;
use crate::ledger::sampler::{Block, Sampler};
use crate::probe::v8::sample_counter::CounterSearch;
use crate::probe::v8::stack::Interrupts;
use crate::recorder::death::{Death, Surroundings};
use crate::recorder::files::{self, Recorder, Service};
use crate::recorder::writer::ExitKind;
use crate::recorder::{EventKind, reader};

/// The state of one environment.
pub struct Environment {
    pub ledger: Ledger,
    pub recorder: Arc<Recorder>,
    /// The service whose records are read together with this one, and their folders.
    pub service: Service,
    pub bases: Vec<PathBuf>,
    /// Why the exact probe is off.
    pub reason: Option<String>,
    /// None before the process serves.
    pub last_death: Option<Death>,
    pub surroundings: Surroundings,
    pub places: files::Options,
    pub served: bool,
    pub pressure: Pressure,
    /// Blocks of the event loop that have ended, from the sampler thread.
    pub blocks: Receiver<Block>,
    /// Asks V8 for the stack of a blocked loop. Open while stacks are captured.
    pub interrupts: Interrupts,
    /// None once the callback of interrupts has it.
    pub listener: Option<Listener>,
    /// Changes of a trend, from the sampler thread.
    pub trends: Receiver<SamplerEvent>,
    pub monitor: Monitor,
    /// The next announcements.
    pub announced: Vec<Announcement>,
    /// Where V8 counts the samples of its heap profiler.
    pub samples: CounterSearch,
    pub main_thread: bool,
    /// Both threads end when these are dropped.
    pub sampler: Option<Sampler>,
    pub stats: Option<StatsWriter>,
    /// Problems of the statistics file. Each ring of events has one writer, which is the JS thread here.
    pub reports: Receiver<String>,
}

thread_local! {
    static ENVIRONMENT: RefCell<Option<Environment>> = const { RefCell::new(None) };
}

/// Runs `work` on this thread's environment, if it was started. `work` must not call into JS. A collection may run,
/// whose callback does not access the environment, but no other function of the binding may.
pub fn with<T>(work: impl FnOnce(&mut Environment) -> T) -> Option<T> {
    ENVIRONMENT.with_borrow_mut(|environment| environment.as_mut().map(work))
}

/// From now on this is the thread's environment.
pub fn set(environment: Environment) {
    ENVIRONMENT.set(Some(environment));
}

/// Ends the thread's environment, if there is one.
pub fn close() {
    super::blocked::forget();
    // The thread's local storage may be gone when a thread is terminated.
    let environment = ENVIRONMENT.try_with(|environment| environment.try_borrow_mut().ok()?.take());
    if let Ok(Some(environment)) = environment {
        environment.close();
    }
}

/// Whether V8's functions may be called in this environment: it was started, and the probe has passed its tests.
pub fn trusts_v8() -> bool {
    with(|environment| environment.reason.is_none()).unwrap_or(false)
}

impl Environment {
    /// The process serves: from now on its end is a death, and it reports that of the previous process.
    pub fn serve(&mut self) {
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
        // Flushed, because without this flag the copy on a disk would look like a script's record.
        self.recorder.flush();
    }

    /// The death for this process to report. In a process that does not serve, it is what a server would find, and
    /// remains unreported.
    pub fn death(&self) -> Option<String> {
        let unserved = !self.served && self.main_thread;
        let found =
            unserved.then(|| files::last_death(&self.bases, &self.service, &self.surroundings, false)).flatten();
        serde_json::to_string(self.last_death.as_ref().or(found.as_ref())?).ok()
    }

    /// The next problem that one of our threads has reported.
    pub fn trouble(&self) -> Option<String> {
        let (kind, trouble) = match self.reports.try_recv() {
            Ok(trouble) => (EventKind::StatsFile, trouble),
            Err(_) => (EventKind::Recorder, self.recorder.take_write_warning()?),
        };
        self.ledger.writer().event(kind, None, &trouble);
        Some(trouble)
    }

    /// Records the end. What is known is in the file when this returns.
    pub fn finish(&mut self, kind: ExitKind, code: i64, detail: &str) {
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
        // From now on no interrupt is asked for.
        self.interrupts.close();
        let keep = self.main_thread;
        self.finish(if keep { ExitKind::Exit } else { ExitKind::WorkerEnd }, 0, "");
        let Self { ledger, pressure, recorder, .. } = self;
        // Removes V8's callbacks while the isolate is alive.
        drop((ledger, pressure));
        if let Ok(recorder) = Arc::try_unwrap(recorder) {
            recorder.close(keep);
        }
    }
}
