//! Heap snapshots without blocking the server: a child made by `fork` takes one of its copy of the memory, while the
//! server continues. Linux with glibc only. Only the fork blocks the server (13 to 62 ms at 150 to 900 MB, measured).
//!
//! The following was found by experiment:
//!
//! - V8 excludes its heap from children (`MADV_DONTFORK`). It is included for the time of the fork (`mappings`).
//! - Only the forking thread exists in the child. V8 works without its workers, but waking them would wait forever
//!   (`child`).
//! - A fork during concurrent marking hangs the child (8 of 8, Node 20 and 24). One during the sweeping after it may.
//!   So the caller waits for a quiet moment, a watchdog checks the child's CPU time and output (`watchdog`), and a
//!   failed snapshot may be tried again.
//! - The child needs memory of its own for the graph. If memory runs short, the kernel must kill the child first
//!   (`memory_budget`).

mod child;
pub mod compare;
mod mappings;
pub mod memory_budget;
pub mod sink;
pub mod watchdog;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::getpid;

pub use child::{Guest, NO_SNAPSHOT, NOT_PREPARED, leave};
pub use mappings::Ahead;

/// Size of the pipe's buffer, so that the child rarely waits for the disk.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// A child at work.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    /// The snapshot that it writes.
    pub output: OwnedFd,
    /// How long the forking thread was blocked.
    pub pause: Duration,
}

/// The process after the fork.
pub enum Side {
    Server(Child),
    /// The child: it may only write the snapshot and call `_exit`.
    Guest(Guest),
}

/// Forks. Call this on the thread of the isolate, at a moment without a major collection.
pub fn fork(ahead: &Ahead) -> io::Result<Side> {
    let (output, input) = pipe()?;
    let server = getpid();
    let began = Instant::now();
    let open = ahead.let_in()?;
    // SAFETY: fork has no preconditions. `Guest` restricts what the child does.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Side::Guest(Guest::new(input, server))),
        -1 => {
            let error = io::Error::last_os_error();
            open.keep_out();
            Err(error)
        }
        pid => {
            open.keep_out();
            Ok(Side::Server(Child { pid, output, pause: began.elapsed() }))
        }
    }
}

/// A pipe that programs started meanwhile do not inherit: (to read, to write).
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened and have no other owner.
    let (output, input) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: our own descriptor. If it is not permitted, the smaller pipe works as well.
    unsafe { libc::fcntl(input.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
    Ok((output, input))
}
