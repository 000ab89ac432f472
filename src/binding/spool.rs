//! Bodies in native memory or on disk. JavaScript refers to each by a handle and passes its chunks. Results of the
//! threads arrive through one function, called on the environment's own thread. Works without a started environment,
//! like `limit()`.
//!
//! A body is read into memory that JavaScript has allocated, which V8 collects in time. Rejected: handing out native
//! memory as external Buffers, which V8 does not count when it decides on a scavenge. Fifty readers left 300 MiB of
//! them uncollected.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::take;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use napi::bindgen_prelude::{ArrayBuffer, BufferSlice, FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status};
use napi_derive::napi;

use crate::payload::spool::{Content, Disk, Flow, Folder, Pool, Spool, is_full};

/// An error of a file.
#[napi(object)]
pub struct SpoolFailure {
    /// The system's error number, or 0 for other errors.
    pub errno: i32,
    pub message: String,
    /// Whether the reason is lack of space: disk, quota, size limit.
    pub full: bool,
}

impl From<io::Error> for SpoolFailure {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(0), message: error.to_string(), full: is_full(&error) }
    }
}

/// Parts of bodies that are read at a time, which limits their memory. It is enough for the disk's threads never to
/// wait for JavaScript. Further reads wait. If each of fifty readers had a part of its own, that would dirty ten times
/// the memory.
const READS: usize = 8;

/// Handle, ticket (0: a body may continue, otherwise the finished read or move), and the error, if any.
type Said = (u32, u32, Option<SpoolFailure>);
type Listener = ThreadsafeFunction<Event, (), FnArgs<Said>, Status, false, true>;

struct Event {
    handle: u32,
    ticket: u32,
    result: Happened,
}

enum Happened {
    /// A body may continue, or was moved.
    Done(io::Result<()>),
    Read(io::Result<Vec<u8>>),
}

/// A part of a body that is to be read.
struct Read {
    handle: u32,
    ticket: u32,
    content: Content,
    offset: u64,
    length: usize,
}

impl Read {
    fn start(self, listener: Arc<Listener>) {
        Pool::of_process().run(move || {
            let Self { handle, ticket, content, offset, length } = self;
            let part = content.read(offset, length);
            // The descriptor is closed before the listener is called.
            drop(content);
            tell(&listener, handle, ticket, Happened::Read(part));
        });
    }
}

/// The spools of one environment.
#[derive(Default)]
struct Spools {
    listener: Option<Arc<Listener>>,
    places: Vec<(Arc<dyn Disk>, u64)>,
    open: HashMap<u32, Spool>,
    last: u32,
    /// The result of the read for which the listener is being called. There is at most one, which the next event
    /// replaces.
    arrived: Option<Vec<u8>>,
    /// Number of reads that have begun and are not delivered yet, at most `READS`.
    reading: usize,
    waiting: VecDeque<Read>,
}

impl Spools {
    /// Begins the read, or queues it until the next one is delivered.
    fn read(&mut self, read: Read) {
        match &self.listener {
            Some(listener) if self.reading < READS => {
                self.reading += 1;
                read.start(Arc::clone(listener));
            }
            _ => self.waiting.push_back(read),
        }
    }

    fn delivered(&mut self) {
        self.reading = self.reading.saturating_sub(1);
        if let Some(next) = self.waiting.pop_front() {
            self.read(next);
        }
    }
}

thread_local! {
    static SPOOLS: RefCell<Spools> = RefCell::default();
}

fn with<T>(handle: u32, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
    SPOOLS.with_borrow_mut(|spools| spools.open.get_mut(&handle).map(work))
}

fn tell(listener: &Listener, handle: u32, ticket: u32, result: Happened) {
    // If the environment has ended, there is no listener any more.
    listener.call(Event { handle, ticket, result }, ThreadsafeFunctionCallMode::NonBlocking);
}

/// Sets the function that is called with the threads' results: once, before anything else here. It does not keep the
/// process alive.
#[napi(catch_unwind)]
pub fn spool_listen(env: Env, listener: Function<'_, FnArgs<Said>, ()>) -> Result<()> {
    let listener =
        listener.build_threadsafe_function::<Event>().callee_handled::<false>().weak::<true>().build_callback(
            |context| {
                let Event { handle, ticket, result } = context.value;
                let failure = SPOOLS.with_borrow_mut(|spools| {
                    spools.arrived = None;
                    match result {
                        Happened::Done(done) => done.err(),
                        Happened::Read(part) => {
                            spools.delivered();
                            part.map(|part| spools.arrived = Some(part)).err()
                        }
                    }
                });
                Ok(FnArgs::from((handle, ticket, failure.map(SpoolFailure::from))))
            },
        )?;
    SPOOLS.with_borrow_mut(|spools| spools.listener = Some(Arc::new(listener)));
    env.add_env_cleanup_hook((), |()| {
        // The thread's local storage may be gone when a thread is terminated.
        let _ = SPOOLS.try_with(|spools| spools.try_borrow_mut().map(|mut spools| take(&mut *spools)));
    })?;
    Ok(())
}

#[napi(object)]
pub struct SpoolPlace {
    pub place: u32,
    /// Whether files there are in memory.
    pub in_memory: bool,
    /// Why no file can be created there.
    pub failure: Option<SpoolFailure>,
}

/// Sets a folder and how much of a body stays in memory, and creates a file there as a test.
#[napi(catch_unwind)]
pub fn spool_place(dir: String, memory: f64) -> SpoolPlace {
    let folder = Folder::new(PathBuf::from(dir));
    let (in_memory, failure) = match folder.try_out() {
        Ok(in_memory) => (in_memory, None),
        Err(error) => (false, Some(error.into())),
    };
    SPOOLS.with_borrow_mut(|spools| {
        spools.places.push((Arc::new(folder), memory.max(0.0) as u64));
        SpoolPlace { place: spools.places.len() as u32 - 1, in_memory, failure }
    })
}

/// Begins a body. Returns 0 without a listener, or for an unknown place.
#[napi(catch_unwind)]
pub fn spool_open(place: u32) -> u32 {
    SPOOLS.with_borrow_mut(|spools| {
        let (Some(listener), Some((disk, memory))) = (&spools.listener, spools.places.get(place as usize)) else {
            return 0;
        };
        let mut handle = spools.last;
        loop {
            handle = handle.wrapping_add(1);
            if handle != 0 && !spools.open.contains_key(&handle) {
                break;
            }
        }
        let listener = Arc::clone(listener);
        let wake = move || tell(&listener, handle, 0, Happened::Done(Ok(())));
        spools.open.insert(handle, Spool::new(Arc::clone(disk), *memory, Pool::of_process(), wake));
        spools.last = handle;
        handle
    })
}

fn code(flow: Option<Flow>) -> u32 {
    match flow {
        Some(Flow::Go) => 0,
        Some(Flow::Wait) => 1,
        Some(Flow::Failed) | None => 2,
    }
}

/// Takes a copy of a chunk. Returns 0: continue, 1: bring nothing more until the listener is called, 2: it failed. The
/// next two functions return the same.
#[napi(catch_unwind)]
pub fn spool_write(handle: u32, chunk: &[u8]) -> u32 {
    code(with(handle, |spool| spool.write(chunk)))
}

/// Frees the memory of a copied chunk, which must not be read any more.
#[napi(catch_unwind)]
pub fn let_go(buffer: ArrayBuffer) -> Result<()> {
    buffer.detach()
}

/// The body has ended. 0: it is complete.
#[napi(catch_unwind)]
pub fn spool_finish(handle: u32) -> u32 {
    code(with(handle, Spool::finish))
}

/// What to do after the listener was called.
#[napi(catch_unwind)]
pub fn spool_poll(handle: u32) -> u32 {
    code(with(handle, Spool::poll))
}

/// The reason of the failure, once.
#[napi(catch_unwind)]
pub fn spool_failure(handle: u32) -> Option<SpoolFailure> {
    with(handle, |spool| spool.failure()).flatten().map(SpoolFailure::from)
}

/// Bytes that have arrived.
#[napi(catch_unwind)]
pub fn spool_size(handle: u32) -> f64 {
    with(handle, |spool| spool.size()).unwrap_or(0) as f64
}

fn whole(handle: u32) -> Option<(Arc<Listener>, Content, u64)> {
    SPOOLS.with_borrow(|spools| {
        let spool = spools.open.get(&handle)?;
        Some((Arc::clone(spools.listener.as_ref()?), spool.content()?.clone(), spool.size()))
    })
}

/// Reads a part of the body. True if the body is in memory: `spool_copy` can return the part now. Otherwise the
/// listener gets the ticket when the part has been read, and calls `spool_take`. JavaScript allocates only then: a
/// Buffer that waits for its bytes would survive scavenges, and accumulate in V8's old generation.
#[napi(catch_unwind)]
pub fn spool_read(handle: u32, ticket: u32, offset: f64, length: f64) -> bool {
    let Some((_, content, _)) = whole(handle) else { return false };
    if matches!(content, Content::Memory(_)) {
        return true;
    }
    let (offset, length) = (offset.max(0.0) as u64, length.max(0.0) as usize);
    SPOOLS.with_borrow_mut(|spools| spools.read(Read { handle, ticket, content, offset, length }));
    false
}

/// Fills `into` with the part at `offset` of a body in memory. False if the body is not in memory.
#[napi(catch_unwind)]
pub fn spool_copy(handle: u32, offset: f64, mut into: BufferSlice) -> bool {
    whole(handle).is_some_and(|(_, content, _)| content.copy_at_hand(offset.max(0.0) as u64, &mut into))
}

/// Fills `into` with the result of the read for which the listener is being called, and frees it. False if it has
/// another length.
#[napi(catch_unwind)]
pub fn spool_take(mut into: BufferSlice) -> bool {
    let Some(part) = SPOOLS.with_borrow_mut(|spools| spools.arrived.take()) else { return false };
    if part.len() != into.len() {
        return false;
    }
    into.copy_from_slice(&part);
    true
}

/// Moves a body to a path. The listener is called with the ticket.
#[napi(catch_unwind)]
pub fn spool_move(handle: u32, ticket: u32, path: String, overwrite: bool) {
    let Some((listener, content, size)) = whole(handle) else { return };
    content.move_to(size, Path::new(&path), overwrite, Pool::of_process(), move |moved| {
        tell(&listener, handle, ticket, Happened::Done(moved));
    });
}

/// The body is not needed any more: its memory is freed now, its descriptor when the threads have finished with it.
#[napi(catch_unwind)]
pub fn spool_close(handle: u32) {
    let (spool, unread): (_, VecDeque<Read>) = SPOOLS.with_borrow_mut(|spools| {
        let (unread, waiting) = take(&mut spools.waiting).into_iter().partition(|read| read.handle == handle);
        spools.waiting = waiting;
        (spools.open.remove(&handle), unread)
    });
    drop(spool);
    // They may have the last descriptor of a large file, which takes time to close.
    if !unread.is_empty() {
        Pool::of_process().run(move || drop(unread));
    }
}
