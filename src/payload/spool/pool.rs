//! The threads that access the disk for all spools of the process. They are started when they are needed, and then wait
//! for work until the process ends: no body delays the exit.
//!
//! libuv's pool is not used: its four threads are for the application (`fs`, `dns`, `crypto`), and a slow disk would
//! block those.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::Builder;

use crate::probe::jemalloc;

type Job = Box<dyn FnOnce() + Send>;

/// One thread keeps one disk busy. A few more prevent another disk, or a read, from waiting for a slow write.
const THREADS: usize = 4;
/// Queued bytes that count as a burst.
const BURST: u64 = 4 << 20;

pub struct Pool {
    queue: Mutex<Queue>,
    ready: Condvar,
    most: usize,
    /// Queued bytes of all spools that are not written yet, and their maximum since memory was last returned.
    queued: AtomicU64,
    most_queued: AtomicU64,
    /// Bytes of the bodies that stay in memory, of all spools.
    pub held: AtomicU64,
}

struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Pool = Pool::new(THREADS);

impl Pool {
    pub const fn new(most: usize) -> Self {
        Self {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), threads: 0, idle: 0 }),
            ready: Condvar::new(),
            most,
            queued: AtomicU64::new(0),
            most_queued: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    pub fn of_process() -> &'static Self {
        &POOL
    }

    /// Runs `job` on one of the threads, in the order of the calls but concurrently with others. Callers limit the
    /// queue's length: they pass bytes, and stop when there are too many.
    pub fn run(&'static self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.lock();
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() > queue.idle && queue.threads < self.most {
            // A job needs stack for a path or two.
            let thread = Builder::new().name("plimsoll-spool".into()).stack_size(256 << 10);
            match thread.spawn(move || self.work()) {
                Ok(_) => queue.threads += 1,
                // There is no thread, and none can be started, so the caller waits for the disk.
                Err(_) if queue.threads == 0 => {
                    let job = queue.jobs.pop_back();
                    drop(queue);
                    job.into_iter().for_each(perform);
                    return;
                }
                Err(_) => {}
            }
        }
        self.ready.notify_one();
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                perform(job);
                queue = self.lock();
            } else {
                queue.idle += 1;
                queue = self.ready.wait(queue).unwrap_or_else(|poisoned| poisoned.into_inner());
                queue.idle -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No job runs under the lock, so a panic cannot leave the queue inconsistent.
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// `bytes` were queued.
    pub fn queue(&self, bytes: u64) {
        let queued = self.queued.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most_queued.fetch_max(queued, Ordering::SeqCst);
    }

    /// `bytes` are written or dropped, and their memory is free. After a burst the allocator would retain it for
    /// seconds. It is returned to the system now, on this thread. Returns true if so.
    pub fn wrote(&self, bytes: u64) -> bool {
        let left = self.queued.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        let most = || self.most_queued.load(Ordering::SeqCst);
        let burst = left == 0 && most() >= BURST && self.most_queued.swap(0, Ordering::SeqCst) >= BURST;
        if burst {
            jemalloc::purge();
        }
        burst
    }

    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::SeqCst)
    }
}

/// A panic of a job must not end the thread.
fn perform(job: Job) {
    let _ = catch_unwind(AssertUnwindSafe(job));
}
