//! The sampler thread. It writes the heartbeat, the operating system's figures and what the JS thread has published. It
//! continues while the event loop is blocked, and records for how long it has been, and on which request.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::blocked::{self, Listener, Search};
use crate::probe::v8::stack::Interrupts;
use crate::probe::{jemalloc, process};
use crate::recorder::EventKind;
use crate::recorder::map::Map;
use crate::recorder::record::BlockedBy;
use crate::recorder::writer::{ProcessFigures, SamplerWriter};

/// Two samples a second: even on a busy machine, the last one before a death is at most a second old.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// Interval of the JS thread's timer.
pub const LOOP_TICK: Duration = Duration::from_millis(250);
/// With a smaller delay the loop is busy, not blocked.
const BLOCKED_AFTER: Duration = Duration::from_millis(250);
/// From this duration on, a block is an event.
const EVENT_AFTER: Duration = Duration::from_secs(1);
/// With a larger delay of the sampler itself, the whole process was paused: SIGSTOP, a frozen container, a starved
/// machine.
const PAUSED_AFTER: Duration = Duration::from_secs(3);
/// Counting descriptors lists a directory, so it is not done at every tick.
const FDS_EVERY: u32 = 10;
/// The same near their limit.
const FDS_EVERY_URGENT: u32 = 2;

/// A block of the event loop that has ended.
#[derive(Clone, Debug)]
pub struct Block {
    pub blocked: Duration,
    /// The request whose synchronous code was on the stack, if any.
    pub method: Option<String>,
    pub path: Option<String>,
    pub route: Option<String>,
    /// The code that has blocked it, if its stack was captured.
    pub by: Option<BlockedBy>,
    /// Time of collections in it.
    pub gc_pause: Duration,
}

/// What the sampler needs to capture the stack of a blocked loop.
pub struct Capturing {
    /// Opened once V8's functions are verified.
    pub interrupts: Interrupts,
    /// The folder of Plimsoll's own scripts.
    pub own: String,
}

enum Wake {
    /// A stack was captured.
    Captured,
    Stop,
}

/// Time of the event loop's last tick, monotonic clock. The JS thread sets it, the sampler reads it. The wall clock may
/// be changed at any time, by an hour and more. The record's `LOOP_TICK_AT` has it for readers in other processes.
#[derive(Clone, Debug)]
pub struct LastTick {
    origin: Instant,
    nanos: Arc<AtomicU64>,
}

impl LastTick {
    pub fn new(now: Instant) -> Self {
        Self { origin: now, nanos: Arc::default() }
    }

    pub fn set(&self, now: Instant) {
        self.nanos.store(now.saturating_duration_since(self.origin).as_nanos() as u64, Relaxed);
    }

    fn get(&self) -> Instant {
        self.origin + Duration::from_nanos(self.nanos.load(Relaxed))
    }
}

/// Runs until dropped.
pub struct Sampler {
    wake: Sender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// `each_turn` is called at each tick. It keeps the record's file fresh, and does other cheap work. `on_unblocked`
    /// is called when the loop ticks again after a long block. The listener is for the isolate's thread.
    pub fn start(
        map: Arc<Map>,
        last_tick: LastTick,
        capturing: Capturing,
        mut each_turn: impl FnMut() + Send + 'static,
        on_unblocked: impl Fn(Block) + Send + 'static,
    ) -> io::Result<(Self, Listener)> {
        let (wake, woken) = channel();
        let captured = wake.clone();
        let Capturing { interrupts, own } = capturing;
        let (search, listener) = blocked::search(interrupts, own, move || drop(captured.send(Wake::Captured)));
        // The first sample exists before the first reader.
        let mut turn = Turn::new(SamplerWriter::new(map), last_tick, search, Instant::now());
        turn.run(Instant::now());
        each_turn();
        let thread = Builder::new().name("plimsoll-sample".into()).stack_size(256 << 10).spawn(move || {
            let mut due = Instant::now() + INTERVAL;
            loop {
                match woken.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(Wake::Captured) => turn.locate(),
                    Err(RecvTimeoutError::Timeout) => {
                        turn.run(Instant::now()).into_iter().for_each(&on_unblocked);
                        each_turn();
                        due = Instant::now() + INTERVAL;
                    }
                    Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            turn.run(Instant::now());
        })?;
        Ok((Self { wake, thread: Some(thread) }, listener))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // It fails if the thread has ended.
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            // The panic hook has printed a panic of the thread. There is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Turn {
    writer: SamplerWriter,
    last_tick: LastTick,
    last_run: Instant,
    /// When the process last continued after a pause. Nothing was blocked before that.
    resumed: Instant,
    cgroup: Option<process::Cgroup>,
    turns: u32,
    fds: (u64, u64),
    /// Longest duration of the present block. Zero while the loop is not blocked.
    blocked: Duration,
    announced: Option<Block>,
    search: Search,
    /// Time of all collections when the loop was last not blocked.
    gc_pause: Duration,
}

impl Turn {
    fn new(writer: SamplerWriter, last_tick: LastTick, search: Search, now: Instant) -> Self {
        Self {
            writer,
            last_tick,
            last_run: now,
            resumed: now,
            cgroup: process::Cgroup::of_self(),
            turns: 0,
            fds: (0, 0),
            blocked: Duration::ZERO,
            announced: None,
            search,
            gc_pause: Duration::ZERO,
        }
    }

    fn run(&mut self, now: Instant) -> Option<Block> {
        let urgent = process::is_urgent(self.fds.0, self.fds.1) && self.turns > 0;
        if self.turns.is_multiple_of(if urgent { FDS_EVERY_URGENT } else { FDS_EVERY }) {
            self.fds = process::fds();
        }
        self.turns = self.turns.wrapping_add(1);
        let blocked = self.blocked(now);
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
        // A stack is captured before the loop ticks, so that of a block which has ended by now is here.
        self.locate();
        self.announce(blocked, now)
    }

    fn blocked(&mut self, now: Instant) -> Duration {
        if now.saturating_duration_since(self.last_run) > PAUSED_AFTER {
            self.resumed = now;
        }
        self.last_run = now;
        let since = self.last_tick.get().max(self.resumed);
        let late = now.saturating_duration_since(since).saturating_sub(LOOP_TICK);
        if late > BLOCKED_AFTER { late } else { Duration::ZERO }
    }

    /// Records the code that blocks the loop, if its stack has been captured.
    fn locate(&mut self) {
        let Some(by) = self.search.take() else { return };
        let Some(block) = &mut self.announced else { return };
        let detail = match by.native {
            true => format!("native code blocked the event loop; it has returned to {}", by.place()),
            false => format!("the event loop is blocked in {}", by.place()),
        };
        self.writer.blocked_by(&by);
        self.writer.event(EventKind::Blocked, block.route.as_deref(), &detail);
        block.by = Some(by);
    }

    /// Records the beginning and the end of a long block. Returns the block at its end.
    fn announce(&mut self, blocked: Duration, now: Instant) -> Option<Block> {
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
            self.announced = Some(Block { blocked, method, path, route, by: None, gc_pause: Duration::ZERO });
            self.search.ask(now);
        }
        let over = if blocked.is_zero() { self.announced.take() } else { None };
        let in_collections = self.writer.gc_pause().saturating_sub(self.gc_pause);
        let over = over.map(|block| Block { blocked: self.blocked, gc_pause: in_collections, ..block });
        if blocked.is_zero() {
            self.gc_pause += in_collections;
        }
        if let Some(block) = &over {
            self.search.drop();
            let detail = format!("event loop no longer blocked after {:.1} s", block.blocked.as_secs_f64());
            self.writer.event(EventKind::Blocked, None, &detail);
        }
        self.blocked = blocked;
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::reader;
    use crate::recorder::record::Record;
    use crate::recorder::writer::{Identity, Writer};

    /// Runs a sampler's ticks with a clock of the test.
    struct Clocked {
        map: Arc<Map>,
        writer: Writer,
        tick: LastTick,
        turn: Turn,
        start: Instant,
    }

    impl Clocked {
        fn new() -> Self {
            let map = Arc::new(Map::anonymous(false).unwrap());
            let writer = Writer::new(Arc::clone(&map), &Identity::default());
            let start = Instant::now();
            let tick = LastTick::new(start);
            let turn = {
                let (search, _) = blocked::search(Interrupts::default(), String::new(), || ());
                Turn::new(SamplerWriter::new(Arc::clone(&map)), tick.clone(), search, start)
            };
            Self { map, writer, tick, turn, start }
        }

        /// The loop ticks. Its wall clock has `wall_ms`.
        fn tick(&self, at_ms: u64, wall_ms: u64) {
            self.tick.set(self.start + Duration::from_millis(at_ms));
            self.writer.loop_tick(wall_ms, 0, 0.0);
        }

        fn run(&mut self, at_ms: u64) -> Option<Block> {
            self.turn.run(self.start + Duration::from_millis(at_ms))
        }

        fn record(&self) -> Record {
            reader::read(&*self.map).unwrap()
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_no_block() {
        // Forward: the tick's wall clock is an hour late. Backward: it is an hour early.
        for wall_ms in [0, u64::MAX / 2] {
            let mut clocked = Clocked::new();
            for turn in 1..10 {
                clocked.tick(turn * 500 - 100, wall_ms);
                assert!(clocked.run(turn * 500).is_none());
                assert_eq!(clocked.record().blocked_ms, 0.0);
            }
            assert_eq!((clocked.record().event_loop.longest_block_ms, clocked.record().events.len()), (0.0, 0));
        }
    }

    #[test]
    fn a_block_lasts_from_the_tick_that_was_due_to_the_next_tick() {
        let mut clocked = Clocked::new();
        // The wall clock is set back in between, which hides nothing.
        clocked.tick(500, u64::MAX / 2);
        let blocked = [1000, 1500, 2000, 2500].map(|at| {
            assert!(clocked.run(at).is_none());
            clocked.record().blocked_ms
        });
        assert_eq!(blocked, [0.0, 750.0, 1250.0, 1750.0]);
        clocked.tick(2600, 0);
        assert_eq!(clocked.run(3000).map(|block| block.blocked), Some(Duration::from_millis(1750)));
        assert_eq!(clocked.record().blocked_ms, 0.0);
        assert_eq!(clocked.record().event_loop.longest_block_ms, 1750.0);
    }

    #[test]
    fn a_process_that_was_stopped_was_not_blocked() {
        const HOUR: u64 = 3_600_000;
        let mut clocked = Clocked::new();
        clocked.tick(400, 0);
        assert!(clocked.run(500).is_none());
        // SIGSTOP. The sampler continues first, then the loop is really blocked.
        for (at, blocked) in [(HOUR, 0.0), (HOUR + 500, 0.0), (HOUR + 1000, 750.0)] {
            assert!(clocked.run(at).is_none());
            assert_eq!(clocked.record().blocked_ms, blocked, "{at}");
        }
        clocked.tick(HOUR + 1100, 0);
        assert!(clocked.run(HOUR + 1500).is_none());
        assert_eq!(clocked.record().event_loop.longest_block_ms, 750.0);
    }
}
