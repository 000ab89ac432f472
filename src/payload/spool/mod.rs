//! Bodies that are read whatever their size: small ones stay in native memory, larger ones go to a file without a name.
//!
//! A body is stored in blocks of 64 KiB. Once there are more of them than may stay in memory, each full block goes to
//! the threads of [`pool`], which write it at its offset. So blocks need no order, and several threads may write one
//! file.
//!
//! The thread that brings the body never waits. It gets [`Flow::Wait`] while 256 KiB of its body, or 8 MiB of all
//! bodies, are not written yet, and is woken when there is room. So the memory of one body is limited by `memory` and
//! then by some 320 KiB, for any size and any speed of the disk.
//!
//! Rejected:
//!
//! - One bounded queue on which the thread waits: it is the event loop.
//! - The kernel's own asynchronous writes: io_uring is switched off in many containers.
//! - `sendfile` from the socket: the bytes are in JavaScript's memory by then.

mod copy;
#[cfg(not(unix))]
#[path = "unsupported.rs"]
mod file;
#[cfg(unix)]
mod file;
mod pool;
#[cfg(all(test, unix))]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

pub use file::{Folder, is_full};
pub use pool::Pool;

/// Large enough for an efficient system call, small enough for thousands of bodies to have one each.
const BLOCK: usize = 64 << 10;
/// A body with this many queued bytes pauses…
const HIGH_WATER: u64 = 4 * BLOCK as u64;
/// …and continues from here.
const LOW_WATER: u64 = 2 * BLOCK as u64;
/// Queued bytes of all bodies. Above this, each body continues only when it has none.
const QUEUED_IN_ALL: u64 = 8 << 20;
/// Bytes of all bodies that stay in memory. Above this, a body of any size goes to its file.
const HELD_IN_ALL: u64 = 64 << 20;

/// Creates files without a name.
pub trait Disk: Send + Sync {
    /// # Errors
    /// The folder is gone or cannot be written, no descriptor, no space.
    fn create(&self) -> io::Result<Arc<dyn BodyFile>>;
}

/// A file that is deleted when the last reference is dropped.
pub trait BodyFile: Send + Sync {
    /// # Errors
    /// No space, quota or size limit reached, an I/O error.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `bytes`.
    ///
    /// # Errors
    /// An I/O error, or fewer bytes in the file.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Gives the file a name. False if it must be copied instead (another file system, or it has a name already).
    ///
    /// # Errors
    /// `path` exists and must not be overwritten, or cannot be.
    fn link(&self, _path: &Path, _overwrite: bool) -> io::Result<bool> {
        Ok(false)
    }
}

/// What the producer of the body must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Bring more. After `finish`: the body is complete.
    Go,
    /// Bring nothing more until woken, then call [`Spool::poll`].
    Wait,
    /// Writing failed, see [`Spool::failure`].
    Failed,
}

/// A body while it arrives, and then until its request ends. Dropping it frees its memory at once, and its descriptor
/// when the threads have finished with it.
pub struct Spool {
    shared: Arc<Shared>,
    memory: u64,
    /// What has not been passed to the threads: the whole body while it is in memory, otherwise the last block.
    blocks: Vec<Vec<u8>>,
    size: u64,
    /// Bytes of this body in `Pool::held`.
    held: u64,
    spilled: bool,
    content: Option<Content>,
}

/// A complete body.
#[derive(Clone)]
pub enum Content {
    /// Blocks, all full but the last.
    Memory(Arc<Vec<Vec<u8>>>),
    File(Arc<dyn BodyFile>),
}

struct Shared {
    disk: Arc<dyn Disk>,
    pool: &'static Pool,
    /// Created for the first block that is written.
    file: Mutex<Option<Arc<dyn BodyFile>>>,
    /// Bytes that were passed to the threads and are not written yet.
    queued: AtomicU64,
    waiting: AtomicBool,
    finishing: AtomicBool,
    /// The body is not needed any more: queued blocks need not be written.
    over: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<io::Error>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Shared {
    fn file(&self) -> io::Result<Arc<dyn BodyFile>> {
        let mut file = locked(&self.file);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let opened = self.disk.create()?;
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Writes a block on one of the threads, frees it, and wakes a waiting producer.
    fn write(&self, block: Vec<u8>, offset: u64) {
        let wanted = !self.over.load(Ordering::SeqCst) && !self.failed.load(Ordering::SeqCst);
        if wanted && let Err(error) = self.file().and_then(|file| file.write_at(&block, offset)) {
            locked(&self.failure).get_or_insert(error);
            self.failed.store(true, Ordering::SeqCst);
        }
        let bytes = block.len() as u64;
        drop(block);
        self.pool.wrote(bytes);
        self.queued.fetch_sub(bytes, Ordering::SeqCst);
        if self.has_room() && self.waiting.swap(false, Ordering::SeqCst) {
            (self.wake)();
        }
    }

    /// Whether a waiting producer may continue. One without queued blocks always may: no block of its own would wake
    /// it.
    fn has_room(&self) -> bool {
        let queued = self.queued.load(Ordering::SeqCst);
        self.failed.load(Ordering::SeqCst)
            || queued == 0
            || !self.finishing.load(Ordering::SeqCst) && queued <= LOW_WATER && self.pool.queued() < QUEUED_IN_ALL
    }
}

impl Spool {
    /// `wake` is called, on any thread, once after each [`Flow::Wait`], and sometimes without a change.
    pub fn new(disk: Arc<dyn Disk>, memory: u64, pool: &'static Pool, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Shared {
            disk,
            pool,
            file: Mutex::new(None),
            queued: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            finishing: AtomicBool::new(false),
            over: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            wake: Box::new(wake),
        };
        Self { shared: Arc::new(shared), memory, blocks: Vec::new(), size: 0, held: 0, spilled: false, content: None }
    }

    /// Takes a copy of the next bytes, with any result.
    pub fn write(&mut self, mut chunk: &[u8]) -> Flow {
        self.size += chunk.len() as u64;
        if !self.spilled {
            let bytes = chunk.len() as u64;
            self.held += bytes;
            let held = self.shared.pool.held.fetch_add(bytes, Ordering::SeqCst) + bytes;
            // A user who allows one body more than that has done so on purpose.
            if self.size > self.memory || held > HELD_IN_ALL.max(self.memory) {
                self.release_held();
                self.spilled = true;
            }
        }
        while !chunk.is_empty() {
            let block = self.block_for(chunk.len());
            let (now, rest) = chunk.split_at(chunk.len().min(BLOCK - block.len()));
            block.extend_from_slice(now);
            chunk = rest;
        }
        if self.spilled {
            self.hand_over(false);
        }
        let queued = self.shared.queued.load(Ordering::SeqCst);
        if queued >= HIGH_WATER || queued > 0 && self.shared.pool.queued() >= QUEUED_IN_ALL {
            self.poll()
        } else if self.shared.failed.load(Ordering::SeqCst) {
            Flow::Failed
        } else {
            Flow::Go
        }
    }

    /// The block for the next bytes. The first one grows with a small body. Later ones are allocated in full.
    fn block_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            let small = self.blocks.is_empty() && !self.spilled;
            self.blocks.push(Vec::with_capacity(if small { bytes.min(BLOCK) } else { BLOCK }));
        }
        let last = self.blocks.len() - 1;
        let block = &mut self.blocks[last];
        let wanted = (block.len() + bytes).min(BLOCK);
        if wanted > block.capacity() {
            block.reserve_exact(wanted.max((2 * block.capacity()).min(BLOCK)) - block.len());
        }
        block
    }

    /// Passes full blocks to the threads, and with `all` the last one too.
    fn hand_over(&mut self, all: bool) {
        let waiting: usize = self.blocks.iter().map(Vec::len).sum();
        let mut offset = self.size - waiting as u64;
        let count = self.blocks.iter().filter(|block| block.len() == BLOCK || all).count();
        for block in self.blocks.drain(..count) {
            let bytes = block.len() as u64;
            self.shared.queued.fetch_add(bytes, Ordering::SeqCst);
            self.shared.pool.queue(bytes);
            let shared = Arc::clone(&self.shared);
            self.shared.pool.run(move || shared.write(block, offset));
            offset += bytes;
        }
    }

    /// The body has ended. When this, or [`Spool::poll`] after a wait, returns [`Flow::Go`], it has a content.
    pub fn finish(&mut self) -> Flow {
        if self.spilled {
            self.hand_over(true);
        } else if let Some(last) = self.blocks.last_mut() {
            last.shrink_to_fit();
        }
        self.shared.finishing.store(true, Ordering::SeqCst);
        self.poll()
    }

    /// What to do after a wait.
    pub fn poll(&mut self) -> Flow {
        if !self.shared.has_room() {
            self.shared.waiting.store(true, Ordering::SeqCst);
            // The last block may have been written before the waiting flag was set.
            if !self.shared.has_room() {
                return Flow::Wait;
            }
            self.shared.waiting.store(false, Ordering::SeqCst);
        }
        if self.shared.failed.load(Ordering::SeqCst) {
            return Flow::Failed;
        }
        if self.shared.finishing.load(Ordering::SeqCst) && self.content.is_none() {
            self.content = match &*locked(&self.shared.file) {
                Some(file) => Some(Content::File(Arc::clone(file))),
                None => Some(Content::Memory(Arc::new(std::mem::take(&mut self.blocks)))),
            };
        }
        Flow::Go
    }

    /// The reason of the failure. It can be taken once.
    pub fn failure(&self) -> Option<io::Error> {
        locked(&self.shared.failure).take()
    }

    /// Bytes that have arrived.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The complete body. None before that.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    fn release_held(&mut self) {
        self.shared.pool.held.fetch_sub(self.held, Ordering::SeqCst);
        self.held = 0;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.release_held();
        self.shared.over.store(true, Ordering::SeqCst);
        if self.spilled {
            self.content = None;
            // Closing a large file without a name deletes it, which takes time.
            let shared = Arc::clone(&self.shared);
            self.shared.pool.run(move || drop(locked(&shared.file).take()));
        }
    }
}

impl Content {
    /// Fills `into` from a body in memory. False if the body is in a file, see [`Content::read`]. Bytes after the
    /// body's end are zero.
    pub fn copy_at_hand(&self, offset: u64, into: &mut [u8]) -> bool {
        let Self::Memory(blocks) = self else { return false };
        let mut filled = 0;
        let mut skip = offset as usize % BLOCK;
        for block in blocks.iter().skip(offset as usize / BLOCK) {
            if filled == into.len() {
                break;
            }
            let rest = &block[skip.min(block.len())..];
            let bytes = rest.len().min(into.len() - filled);
            into[filled..filled + bytes].copy_from_slice(&rest[..bytes]);
            filled += bytes;
            skip = 0;
        }
        into[filled..].fill(0);
        true
    }

    /// Reads a part of the body, on the calling thread.
    ///
    /// # Errors
    /// An I/O error, a part that exceeds the file, or not enough memory.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut part = Vec::new();
        part.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        part.resize(length, 0);
        match self {
            Self::Memory(_) => {
                self.copy_at_hand(offset, &mut part);
            }
            Self::File(file) => file.read_at(&mut part, offset)?,
        }
        Ok(part)
    }

    /// Moves the body to `path`: by a link if possible, otherwise by a copy, a step at a time on the pool's threads.
    /// `done` is called there. A move that has begun is completed, even if the spool is dropped.
    pub fn move_to(
        self,
        size: u64,
        path: &Path,
        overwrite: bool,
        pool: &'static Pool,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let path = path.to_owned();
        pool.run(move || {
            let linked = match &self {
                Self::File(file) => file.link(&path, overwrite),
                Self::Memory(_) => Ok(false),
            };
            match linked {
                Ok(true) => done(Ok(())),
                Ok(false) => copy::start(self, size, path, overwrite, pool, done),
                Err(error) => done(Err(error)),
            }
        });
    }
}
