//! Bodies in native memory or on disk. JavaScript names each by a handle and hands over its chunks; what the threads have to say comes back
//! through one function, called on the environment's own thread. Works without a started environment, as `limit()` does.
//!
//! A body is read into memory that JavaScript has allocated: V8 collects that before much of it has gathered. Rejected: to hand out native
//! memory as external Buffers, which V8 does not count when it decides on a scavenge. Fifty readers left 300 MiB of them uncollected.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use napi::bindgen_prelude::{ArrayBuffer, BufferSlice, FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Result, Status};
use napi_derive::napi;

use crate::payload::spool::{Content, Disk, Flow, Folder, Pool, Spool, is_full};

/// What went wrong with a file.
#[napi(object)]
pub struct SpoolFailure {
    /// The system's number; 0 where it is not the system's.
    pub errno: i32,
    pub message: String,
    /// Whether there is no room any more: disk, quota, size limit.
    pub full: bool,
}

impl From<io::Error> for SpoolFailure {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error().unwrap_or(0), message: error.to_string(), full: is_full(&error) }
    }
}

/// Handle, ticket (0: a body may go on; else that of a read or move that is done), and why it failed.
type Said = (u32, u32, Option<SpoolFailure>);
type Listener = ThreadsafeFunction<Event, (), FnArgs<Said>, Status, false, true>;

struct Event {
    handle: u32,
    ticket: u32,
    result: io::Result<Option<Vec<u8>>>,
}

/// The spools of one environment.
#[derive(Default)]
struct Spools {
    listener: Option<Arc<Listener>>,
    places: Vec<(Arc<dyn Disk>, u64)>,
    open: HashMap<u32, Spool>,
    last: u32,
    /// What the read was of which the listener hears now; at most one part, which the next event replaces.
    arrived: Option<Vec<u8>>,
}

thread_local! {
    static SPOOLS: RefCell<Spools> = RefCell::default();
}

fn with<T>(handle: u32, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
    SPOOLS.with_borrow_mut(|spools| spools.open.get_mut(&handle).map(work))
}

fn tell(listener: &Listener, handle: u32, ticket: u32, result: io::Result<Option<Vec<u8>>>) {
    // Where the environment has ended nobody listens any more.
    listener.call(Event { handle, ticket, result }, ThreadsafeFunctionCallMode::NonBlocking);
}

/// Sets what is called with what the threads have to say: once, before anything else here. It holds no process open.
#[napi(catch_unwind)]
pub fn spool_listen(env: Env, listener: Function<'_, FnArgs<Said>, ()>) -> Result<()> {
    let listener =
        listener.build_threadsafe_function::<Event>().callee_handled::<false>().weak::<true>().build_callback(
            |context| {
                let Event { handle, ticket, result } = context.value;
                let (arrived, failure) = match result {
                    Ok(bytes) => (bytes, None),
                    Err(error) => (None, Some(SpoolFailure::from(error))),
                };
                SPOOLS.with_borrow_mut(|spools| spools.arrived = arrived);
                Ok(FnArgs::from((handle, ticket, failure)))
            },
        )?;
    SPOOLS.with_borrow_mut(|spools| spools.listener = Some(Arc::new(listener)));
    env.add_env_cleanup_hook((), |()| {
        // The thread's own storage may be gone when a thread is torn down the hard way.
        let _ = SPOOLS.try_with(|spools| spools.try_borrow_mut().map(|mut spools| std::mem::take(&mut *spools)));
    })?;
    Ok(())
}

#[napi(object)]
pub struct SpoolPlace {
    pub place: u32,
    /// Whether files there are memory.
    pub in_memory: bool,
    /// Why no file can be made there.
    pub failure: Option<SpoolFailure>,
}

/// Names a folder and how much of a body stays in memory, and tries to make a file there.
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

/// Begins a body; 0 without a listener, or for a place that there is not.
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
        let wake = move || tell(&listener, handle, 0, Ok(None));
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

/// Takes a copy of a chunk. 0: go on; 1: bring nothing more until told; 2: it failed. So do the next two.
#[napi(catch_unwind)]
pub fn spool_write(handle: u32, chunk: &[u8]) -> u32 {
    code(with(handle, |spool| spool.write(chunk)))
}

/// Gives back the memory of what was copied, which nobody may look at any more.
#[napi(catch_unwind)]
pub fn let_go(buffer: ArrayBuffer) -> Result<()> {
    buffer.detach()
}

/// There is no more to come. 0: the body is whole.
#[napi(catch_unwind)]
pub fn spool_finish(handle: u32) -> u32 {
    code(with(handle, Spool::finish))
}

/// What to do now that one was told.
#[napi(catch_unwind)]
pub fn spool_poll(handle: u32) -> u32 {
    code(with(handle, Spool::poll))
}

/// Why it failed; once.
#[napi(catch_unwind)]
pub fn spool_failure(handle: u32) -> Option<SpoolFailure> {
    with(handle, |spool| spool.failure()).flatten().map(SpoolFailure::from)
}

/// Bytes that have come.
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

/// Reads a part of a body. True where the body is in memory: `spool_copy` has the part now. Else the listener gets the ticket when the part has
/// been read, and calls `spool_take`. JavaScript allocates only then: a Buffer that waits for its bytes would outlive scavenges, and gather in
/// V8's old generation.
#[napi(catch_unwind)]
pub fn spool_read(handle: u32, ticket: u32, offset: f64, length: f64) -> bool {
    let Some((listener, content, _)) = whole(handle) else { return false };
    if matches!(content, Content::Memory(_)) {
        return true;
    }
    let (offset, length) = (offset.max(0.0) as u64, length.max(0.0) as usize);
    Pool::of_process().run(move || {
        let part = content.read(offset, length);
        // The descriptor goes before anybody can think that it has gone.
        drop(content);
        tell(&listener, handle, ticket, part.map(Some));
    });
    false
}

/// Fills `into` with the part of a body in memory that begins at `offset`; false if the body is not in memory.
#[napi(catch_unwind)]
pub fn spool_copy(handle: u32, offset: f64, mut into: BufferSlice) -> bool {
    whole(handle).is_some_and(|(_, content, _)| content.copy_at_hand(offset.max(0.0) as u64, &mut into))
}

/// Fills `into` with what was read under the ticket of which the listener hears now, and frees that; false if it has another length.
#[napi(catch_unwind)]
pub fn spool_take(mut into: BufferSlice) -> bool {
    let Some(part) = SPOOLS.with_borrow_mut(|spools| spools.arrived.take()) else { return false };
    if part.len() != into.len() {
        return false;
    }
    into.copy_from_slice(&part);
    true
}

/// Puts a body at a path; the listener hears of it under the ticket.
#[napi(catch_unwind)]
pub fn spool_move(handle: u32, ticket: u32, path: String, overwrite: bool) {
    let Some((listener, content, size)) = whole(handle) else { return };
    content.move_to(size, Path::new(&path), overwrite, Pool::of_process(), move |moved| {
        tell(&listener, handle, ticket, moved.map(|()| None));
    });
}

/// Nobody wants the body any more: its memory goes now, its descriptor when the threads are done with it.
#[napi(catch_unwind)]
pub fn spool_close(handle: u32) {
    let spool = SPOOLS.with_borrow_mut(|spools| spools.open.remove(&handle));
    drop(spool);
}
