//! The thread that keeps the heartbeat. It reads the operating system's figures and what the JS thread has published, so it goes
//! on when the event loop is stuck, and says for how long it has been, and on which request.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::probe::{jemalloc, process};
use crate::recorder::EventKind;
use crate::recorder::map::Map;
use crate::recorder::writer::{ProcessFigures, SamplerWriter, epoch_ms};

/// Two samples a second, so that the last one before a death is at most a second old on a busy machine too.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// The JS thread's timer ticks this often.
pub const LOOP_TICK: Duration = Duration::from_millis(250);
/// A tick that is late by less is a busy loop, not a blocked one.
const BLOCKED_AFTER: Duration = Duration::from_millis(250);
/// From here on being blocked is an event.
const EVENT_AFTER: Duration = Duration::from_secs(1);
/// Counting descriptors lists a directory: not every turn.
const FDS_EVERY: u32 = 10;

/// A block of the event loop that is over.
#[derive(Clone, Debug)]
pub struct Block {
    pub blocked: Duration,
    /// The request whose synchronous code was on the stack; none where none was.
    pub method: Option<String>,
    pub path: Option<String>,
    pub route: Option<String>,
}

/// Runs until dropped.
pub struct Sampler {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// `each_turn` keeps the record's file looking alive, and does what else is cheap enough; `on_unblocked` is called when the loop turns again after
    /// it was blocked for long.
    pub fn start(
        map: Arc<Map>,
        mut each_turn: impl FnMut() + Send + 'static,
        on_unblocked: impl Fn(Block) + Send + 'static,
    ) -> io::Result<Self> {
        // The first sample is there before anybody asks.
        let mut turn = Turn::new(SamplerWriter::new(map));
        turn.run();
        each_turn();
        let (stop, stopped) = channel();
        let thread = Builder::new().name("plimsoll-sample".into()).stack_size(256 << 10).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(INTERVAL) {
                turn.run().into_iter().for_each(&on_unblocked);
                each_turn();
            }
            turn.run();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed by its hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Turn {
    writer: SamplerWriter,
    cgroup: Option<process::Cgroup>,
    turns: u32,
    fds: (u64, u64),
    /// Longest block of the one going on; zero while the loop turns.
    blocked: Duration,
    announced: Option<Block>,
}

impl Turn {
    fn new(writer: SamplerWriter) -> Self {
        Self {
            writer,
            cgroup: process::Cgroup::of_self(),
            turns: 0,
            fds: (0, 0),
            blocked: Duration::ZERO,
            announced: None,
        }
    }

    fn run(&mut self) -> Option<Block> {
        if self.turns.is_multiple_of(FDS_EVERY) {
            self.fds = process::fds();
        }
        self.turns = self.turns.wrapping_add(1);
        let blocked = self.blocked();
        let (cpu_user_us, cpu_system_us) = process::cpu_us();
        self.writer.sample(&ProcessFigures {
            rss: process::rss_bytes(),
            cpu_user_us,
            cpu_system_us,
            open_fds: self.fds.0,
            max_fds: self.fds.1,
            cgroup_limit: self.cgroup.as_ref().and_then(process::Cgroup::limit_bytes),
            cgroup_used: self.cgroup.as_ref().and_then(process::Cgroup::used_bytes),
            native: jemalloc::figures(),
            blocked_ns: blocked.as_nanos() as u64,
        });
        self.announce(blocked)
    }

    fn blocked(&self) -> Duration {
        let since_tick = Duration::from_millis(epoch_ms().saturating_sub(self.writer.loop_tick_at()));
        let late = since_tick.saturating_sub(LOOP_TICK);
        if late > BLOCKED_AFTER { late } else { Duration::ZERO }
    }

    /// Records the beginning and the end of a long block; returns it at its end.
    fn announce(&mut self, blocked: Duration) -> Option<Block> {
        if blocked >= EVENT_AFTER && self.announced.is_none() {
            let (method, path, route) = match self.writer.running_request() {
                Some(request) => (Some(request.method), Some(request.path), request.route),
                None => (None, None, None),
            };
            let by = match (&method, &path) {
                (Some(method), Some(path)) => format!(" by {method} {path}"),
                _ => String::new(),
            };
            self.writer.event(
                EventKind::Blocked,
                route.as_deref(),
                &format!("event loop blocked for {:.1} s{by}", blocked.as_secs_f64()),
            );
            self.announced = Some(Block { blocked, method, path, route });
        }
        let over = if blocked.is_zero() { self.announced.take() } else { None };
        let over = over.map(|block| Block { blocked: self.blocked, ..block });
        if let Some(block) = &over {
            let detail = format!("event loop turns again after {:.1} s", block.blocked.as_secs_f64());
            self.writer.event(EventKind::Blocked, None, &detail);
        }
        self.blocked = blocked;
        over
    }
}
