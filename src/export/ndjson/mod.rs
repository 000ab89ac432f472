//! The heap statistics file: one JSON object on each line, appended at an interval by a thread of its own. The event
//! loop does no I/O for it, and trouble with the disk affects that thread only.
//!
//! A line that cannot be written is dropped, so that memory stays constant. The next line that can be written has the
//! number of missing lines in `dropped`. While the file does not work, the time between tries grows to a minute.

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::recorder::map::Map;
use crate::recorder::reader;
use crate::recorder::record::{Native, Record};
use crate::recorder::writer::epoch_ms;

/// Longest time between two tries of a file that does not work.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The most that an exiting process waits for its last line, since the disk may hang.
const EXIT_WAIT: Duration = Duration::from_secs(1);
/// The thread needs room for a line of some 700 bytes and the calls that write it.
const STACK_BYTES: usize = 256 << 10;

/// Where to write, and how many files to keep.
#[derive(Clone, Debug)]
pub struct StatsFile {
    pub file: PathBuf,
    pub interval: Duration,
    /// A line that would exceed this goes to a new file. A file has at least one line.
    pub max_bytes: u64,
    /// Number of full files that are kept, as `file.1` (the newest) to `file.<keep>`. With 0 a full file is removed.
    pub keep: u32,
}

/// One line. Sizes are bytes, `*Ms` milliseconds, times epoch milliseconds. Counts and pauses are since the start.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    at: u64,
    pid: u32,
    /// 0 for the main thread.
    thread: u64,
    name: &'a str,
    rss_bytes: u64,
    heap: Heap,
    /// The addon's own allocator. Null if it is not in use.
    native: Option<&'a Native>,
    /// By kind of collection.
    gc: BTreeMap<&'static str, Gc>,
    event_loop: EventLoop,
    requests: Requests,
    /// Lines that could not be written since the previous one.
    dropped: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Heap {
    /// When the JS thread published these figures. It is older than the line's time while the event loop is blocked.
    at: u64,
    used_bytes: u64,
    total_bytes: u64,
    /// After the last major collection. Null before the first.
    live_bytes: Option<u64>,
    limit_bytes: u64,
    external_bytes: u64,
    malloced_bytes: u64,
    allocated_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Gc {
    count: u64,
    pause_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLoop {
    lag_ms: f64,
    /// 0 to 1.
    utilization: f64,
    /// How long the loop has been blocked. 0 if it is not.
    blocked_ms: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests {
    total: u64,
    in_flight: u64,
    limited: u64,
    shed: u64,
}

fn line(record: &Record, at: u64, dropped: u64) -> Vec<u8> {
    let heap = &record.heap;
    let line = Line {
        at,
        pid: record.pid,
        thread: record.thread,
        name: &record.name,
        rss_bytes: record.process.rss_bytes,
        heap: Heap {
            at: heap.at,
            used_bytes: heap.used_bytes,
            total_bytes: heap.total_bytes,
            live_bytes: heap.live_bytes,
            limit_bytes: heap.limit_bytes,
            external_bytes: heap.external_bytes,
            malloced_bytes: heap.malloced_bytes,
            allocated_bytes: heap.allocated_bytes,
        },
        native: record.native.supported.then_some(&record.native),
        gc: record.gc.iter().map(|gc| (gc.kind, Gc { count: gc.count, pause_ms: gc.pause_ms })).collect(),
        event_loop: EventLoop {
            lag_ms: record.event_loop.lag_ms,
            utilization: record.event_loop.utilization,
            blocked_ms: record.blocked_ms,
        },
        requests: Requests {
            total: record.requests.total,
            in_flight: record.requests.in_flight,
            limited: record.requests.limited,
            shed: record.requests.shed,
        },
        dropped,
    };
    let mut bytes = serde_json::to_vec(&line).expect("plain data under string keys is always JSON");
    bytes.push(b'\n');
    bytes
}

/// The target of lines: a file, except in tests.
trait Sink: Send {
    /// Appends `line` with its newline, completely or not at all.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
}

enum Command {
    /// Write a line now, and report when that is done.
    Flush(SyncSender<()>),
    /// The same, and then end.
    Stop(SyncSender<()>),
}

/// The thread that writes. Dropping it ends the thread after a last line, without waiting.
pub struct StatsWriter {
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl StatsWriter {
    /// Starts the thread, which writes a first line at once. `report` is called on that thread, once for each kind of
    /// error until a line can be written again. It must not block.
    ///
    /// # Errors
    /// If the thread cannot be started. Problems of the file are reported, not returned.
    pub fn start(map: Arc<Map>, options: StatsFile, report: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let name = options.file.display().to_string();
        let interval = options.interval;
        let report = move |error: &io::Error| {
            report(&format!(
                "{name}: {error}. Until the file can be written again, statistics are dropped and counted"
            ));
        };
        Self::with_sink(map, interval, file::Appender::new(options), report)
    }

    fn with_sink(
        map: Arc<Map>,
        interval: Duration,
        sink: impl Sink + 'static,
        report: impl Fn(&io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let (commands, inbox) = sync_channel(8);
        // A wrong value must cause neither a busy loop nor an overflow.
        let interval = interval.clamp(Duration::from_millis(1), Duration::from_secs(365 * 86_400));
        let mut lines =
            Lines { map, sink, interval, report, dropped: 0, failures: 0, retry_at: None, reported: vec![] };
        let thread = std::thread::Builder::new()
            .name("plimsoll-stats".into())
            .stack_size(STACK_BYTES)
            .spawn(move || lines.run(&inbox))?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Writes a line now. False if that took longer than a second: it may be written later, but is not waited for.
    pub fn flush(&self) -> bool {
        self.send(Command::Flush)
    }

    /// Writes a last line and ends the thread. False if that took longer than a second: the thread is then abandoned.
    pub fn stop(mut self) -> bool {
        let done = self.send(Command::Stop);
        if done && let Some(thread) = self.thread.take() {
            // It has reported that it is done, so it is about to return.
            let _ = thread.join();
        }
        done
    }

    fn send(&self, command: impl FnOnce(SyncSender<()>) -> Command) -> bool {
        let (done, wait) = sync_channel(1);
        // try_send, because a full inbox means that the thread hangs.
        self.commands.try_send(command(done)).is_ok() && wait.recv_timeout(EXIT_WAIT).is_ok()
    }
}

struct Lines<S, R> {
    map: Arc<Map>,
    sink: S,
    interval: Duration,
    report: R,
    /// Lines that were not written since the last one that was.
    dropped: u64,
    failures: u32,
    /// After a failure, the earliest time of the next try.
    retry_at: Option<Instant>,
    /// Kinds of error that were reported since the file last worked.
    reported: Vec<(io::ErrorKind, Option<i32>)>,
}

impl<S: Sink, R: Fn(&io::Error)> Lines<S, R> {
    fn run(&mut self, inbox: &Receiver<Command>) {
        let mut due = Instant::now();
        loop {
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => {
                    self.tick();
                    // If a slow disk took several intervals, only one missed line is written afterwards.
                    due = (due + self.interval).max(Instant::now());
                }
                Ok(Command::Flush(done)) => {
                    self.write();
                    let _ = done.try_send(());
                }
                Ok(Command::Stop(done)) => {
                    self.write();
                    let _ = done.try_send(());
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return self.write(),
            }
        }
    }

    fn tick(&mut self) {
        match self.retry_at {
            Some(at) if Instant::now() < at => self.dropped += 1,
            _ => self.write(),
        }
    }

    fn write(&mut self) {
        let line = reader::read_head(&*self.map).map(|record| line(&record, epoch_ms(), self.dropped));
        match line.map_err(io::Error::other).and_then(|line| self.sink.append(&line)) {
            Ok(()) => {
                self.dropped = 0;
                self.failures = 0;
                self.retry_at = None;
                self.reported.clear();
            }
            Err(error) => {
                self.dropped += 1;
                self.retry_at = Some(Instant::now() + retry_after(self.interval, self.failures));
                self.failures = self.failures.saturating_add(1);
                let kind = (error.kind(), error.raw_os_error());
                if !self.reported.contains(&kind) {
                    self.reported.push(kind);
                    (self.report)(&error);
                }
            }
        }
    }
}

/// The pause after a file has failed `failures` times. It doubles each time, up to a minute (or to the interval, if
/// that is longer).
fn retry_after(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(2u32.saturating_pow(failures)).min(RETRY_MAX.max(interval))
}
