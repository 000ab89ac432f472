//! Heap snapshots by a child. For one attempt JavaScript calls, in this order: `snapshotPrepare`, `snapshotFork`, and
//! then `snapshotLeave` in the child and `snapshotWatch` in the server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};

use napi::bindgen_prelude::Object;
use napi::{Env, Result};
use napi_derive::napi;

#[napi(object)]
pub struct Forked {
    /// How long the event loop was blocked.
    pub pause_ms: f64,
    /// In the child: the path that it writes to. None in the server.
    pub path: Option<String>,
}

#[napi(object)]
pub struct SnapshotEnd {
    /// Size of the file. None if there is none.
    pub bytes: Option<f64>,
    /// Why there is none.
    pub failure: Option<String>,
    /// Whether another attempt may succeed.
    pub may_pass: bool,
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod work {
    use std::path::Path;
    use std::sync::{Mutex, MutexGuard};

    use super::{Forked, SnapshotEnd};
    use crate::binding::environment::with;
    use crate::probe::v8;
    use crate::snapshot::memory_budget::{Room, needed};
    use crate::snapshot::sink::Sink;
    use crate::snapshot::watchdog::{Failure, watch};
    use crate::snapshot::{self, Ahead, Child, Guest, Side};

    pub const UNSUPPORTED: Option<&str> = None;

    /// The snapshot in progress. A process has only one.
    struct Job {
        ahead: Ahead,
        sink: Sink,
        child: Option<Child>,
    }

    static JOB: Mutex<Option<Job>> = Mutex::new(None);

    fn job() -> MutexGuard<'static, Option<Job>> {
        JOB.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `times`: how many times the memory that a child is expected to need must be available.
    pub fn prepare(target: &str, compressed: bool, heap: u64, times: u64) -> Result<(), String> {
        let needed = needed(heap) * times;
        if let Some(available) = Room::now().map(|room| room.left).filter(|available| *available < needed) {
            let mib = |bytes: u64| bytes >> 20;
            return Err(format!(
                "not enough memory: a snapshot of a heap of {} MiB may need another {} MiB, and {} MiB are available",
                mib(heap),
                mib(needed),
                mib(available)
            ));
        }
        let sink = Sink::create(Path::new(target), compressed).map_err(|error| format!("{target}: {error}"))?;
        let ahead = Ahead::read().map_err(|error| format!("/proc/self/smaps: {error}"))?;
        *job() = Some(Job { ahead, sink, child: None });
        Ok(())
    }

    pub fn fork() -> Result<Forked, String> {
        let mut job = job();
        let job = job.as_mut().ok_or("no snapshot was prepared")?;
        match snapshot::fork(&job.ahead).map_err(|error| format!("fork failed: {error}"))? {
            Side::Server(child) => {
                let pause_ms = child.pause.as_secs_f64() * 1e3;
                job.child = Some(child);
                with(crate::binding::leak_snapshots::forked);
                Ok(Forked { pause_ms, path: None })
            }
            Side::Guest(guest) => Ok(Forked { pause_ms: 0.0, path: Some(settle(guest)) }),
        }
    }

    /// In the child. It may only end by returning the path, or with the process.
    fn settle(guest: Guest) -> String {
        v8::fall_silent();
        let parted = with(|environment| environment.recorder.map().part());
        match (parted.unwrap_or(Ok(())), guest.settle()) {
            (Ok(()), Ok(path)) => {
                // The pipe stays open until the process ends.
                std::mem::forget(guest);
                path
            }
            _ => snapshot::leave(snapshot::NOT_PREPARED),
        }
    }

    pub fn leave(written: bool) {
        snapshot::leave(if written { 0 } else { snapshot::NO_SNAPSHOT })
    }

    pub fn watch_child() -> SnapshotEnd {
        let taken = job().take();
        let Some(Job { mut sink, child: Some(child), .. }) = taken else {
            return failed("no child process was started", false);
        };
        match watch(child, &mut sink) {
            Ok(()) => match sink.finish() {
                Ok(bytes) => SnapshotEnd { bytes: Some(bytes as f64), failure: None, may_pass: false },
                Err(error) => failed(&error.to_string(), false),
            },
            Err(error) => {
                let may_pass = Failure::may_pass(&error);
                failed(&error.to_string(), may_pass)
            }
        }
    }

    fn failed(why: &str, may_pass: bool) -> SnapshotEnd {
        SnapshotEnd { bytes: None, failure: Some(why.to_owned()), may_pass }
    }

    pub fn pack(from: &str, target: &str) -> Result<f64, String> {
        let work = || {
            let mut file = std::fs::File::open(from)?;
            let mut sink = Sink::create(Path::new(target), true)?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                let bytes = std::io::Read::read(&mut file, &mut buffer)?;
                if bytes == 0 {
                    return sink.finish();
                }
                sink.write(&buffer[..bytes])?;
            }
        };
        work().map(|bytes| bytes as f64).map_err(|error: std::io::Error| format!("{target}: {error}"))
    }

    pub fn abandon() {
        *job() = None;
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod work {
    use super::{Forked, SnapshotEnd};

    const WHY: &str = "mode: 'fork' needs Linux with glibc, on x86_64 or arm64";
    pub const UNSUPPORTED: Option<&str> = Some(WHY);

    pub fn prepare(_target: &str, _compressed: bool, _heap: u64, _times: u64) -> Result<(), String> {
        Err(WHY.into())
    }

    pub fn fork() -> Result<Forked, String> {
        Err(WHY.into())
    }

    pub fn leave(_written: bool) {}

    pub fn watch_child() -> SnapshotEnd {
        SnapshotEnd { bytes: None, failure: Some(WHY.into()), may_pass: false }
    }

    pub fn pack(_from: &str, _target: &str) -> Result<f64, String> {
        Err("compress needs Linux with glibc".into())
    }

    pub fn abandon() {}
}

/// Why snapshots are not possible on this platform, or none.
#[napi(catch_unwind)]
pub fn snapshot_unsupported() -> Option<String> {
    work::UNSUPPORTED.map(str::to_owned)
}

/// Checks whether there is enough memory, creates the file, and reads what must be known before a fork. `heap` in
/// bytes.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn snapshot_prepare(env: &Env, target: String, compressed: bool, heap: f64) -> Result<Object<'_>> {
    super::beside::beside(env, "plimsoll-snapshot", move || work::prepare(&target, compressed, heap.max(0.0) as u64, 1))
}

/// The result of the thread of a snapshot without a waiting caller.
static QUIET: Mutex<Option<Receiver<SnapshotEnd>>> = Mutex::new(None);

/// Runs the work on a thread of its own, without a promise, which would keep the event loop alive. A server that is
/// about to end must not be delayed.
fn quietly(work: impl FnOnce() -> SnapshotEnd + Send + 'static) -> Result<()> {
    let (send, receive) = channel();
    let thread = move || {
        if let Ok(end) = catch_unwind(AssertUnwindSafe(work)) {
            // There is no receiver any more when the process ends.
            let _ = send.send(end);
        }
    };
    let started = std::thread::Builder::new().name("plimsoll-snapshot".into()).stack_size(512 << 10).spawn(thread);
    started.map_err(|error| napi::Error::from_reason(format!("plimsoll: no thread for a snapshot: {error}")))?;
    *QUIET.lock().unwrap_or_else(PoisonError::into_inner) = Some(receive);
    Ok(())
}

/// For a snapshot that no caller has asked for, this times the expected memory must be available.
const QUIET_TIMES: u64 = 2;
/// The part of the heap limit beyond which no such snapshot is taken.
const NEAR_LIMIT: f64 = 0.85;

/// Why now is no time for a snapshot that no caller has asked for.
fn pressure() -> Option<String> {
    super::environment::with(|environment| {
        let level = environment.pressure.watch.borrow().worst();
        let (used, limit) = (environment.ledger.in_flight_bytes().1, environment.ledger.heap_limit_bytes());
        if level > 0.0 {
            Some("the server is under pressure".to_owned())
        } else if used as f64 > NEAR_LIMIT * limit as f64 {
            Some(format!("the heap is near its limit: {} of {} MiB are used", used >> 20, limit >> 20))
        } else {
            None
        }
    })
    .flatten()
}

/// Like [`snapshot_prepare`], with the result from [`snapshot_quiet_end`]. It is refused under pressure, and without twice the memory.
#[napi(catch_unwind)]
pub fn snapshot_prepare_quietly(target: String, compressed: bool, heap: f64) -> Result<()> {
    let busy = pressure();
    quietly(move || {
        let failure = busy.or_else(|| work::prepare(&target, compressed, heap.max(0.0) as u64, QUIET_TIMES).err());
        SnapshotEnd { bytes: None, failure, may_pass: false }
    })
}

/// Like [`snapshot_watch`], with the result from [`snapshot_quiet_end`].
#[napi(catch_unwind)]
pub fn snapshot_watch_quietly() -> Result<()> {
    quietly(work::watch_child)
}

/// The result of what was begun quietly. None while it continues.
#[napi(catch_unwind)]
pub fn snapshot_quiet_end() -> Option<SnapshotEnd> {
    let quiet = QUIET.lock().unwrap_or_else(PoisonError::into_inner);
    match quiet.as_ref()?.try_recv() {
        Ok(end) => Some(end),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Disconnected) => {
            let failure = Some("internal error: the thread panicked".to_owned());
            Some(SnapshotEnd { bytes: None, failure, may_pass: false })
        }
    }
}

/// Milliseconds since a major collection was last running. Infinity if none is known.
#[napi(catch_unwind)]
pub fn since_major_ms() -> f64 {
    let since = super::environment::with(|environment| environment.ledger.meter().since_major());
    since.flatten().map_or(f64::INFINITY, |since| since.as_secs_f64() * 1e3)
}

/// Forks. Returns twice.
#[napi(catch_unwind)]
pub fn snapshot_fork() -> Result<Forked> {
    work::fork().map_err(napi::Error::from_reason)
}

/// Ends the child.
#[napi(catch_unwind)]
pub fn snapshot_leave(written: bool) {
    work::leave(written);
}

/// Copies what the child writes, until it has ended.
#[napi(catch_unwind, ts_return_type = "Promise<SnapshotEnd>")]
pub fn snapshot_watch(env: &Env) -> Result<Object<'_>> {
    super::beside::beside(env, "plimsoll-snapshot", || Ok(work::watch_child()))
}

/// Compresses a file to another one. Returns its size.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn snapshot_pack(env: &Env, from: String, target: String) -> Result<Object<'_>> {
    super::beside::beside(env, "plimsoll-snapshot", move || work::pack(&from, &target))
}

/// Drops what was prepared.
#[napi(catch_unwind)]
pub fn snapshot_abandon() {
    work::abandon();
}
