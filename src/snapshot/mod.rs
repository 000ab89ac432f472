//! A heap snapshot without stopping the server: a child made by `fork` takes it, of memory that stands still, while the server goes on.
//! Linux with glibc only. The server stands for the fork alone (13 to 62 ms at 150 to 900 MB; measured).
//!
//! What follows was found by trying:
//!
//! - V8 keeps its heap out of children (`MADV_DONTFORK`): it is let in for the length of the fork (`mappings`).
//! - Only the forking thread lives on in the child. V8 does without its workers, but waking them would wait forever (`child`).
//! - A fork while V8 marks beside the program hangs the child (8 of 8, Node 20 and 24), one in the sweeping behind that may. So the caller
//!   waits for a quiet moment, a watchdog looks at the child's CPU time and output (`watchdog`), and who failed so may try again.
//! - The child needs memory of its own for the graph it makes, and must be the one that the kernel takes if it runs short (`memory_budget`).

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

/// What the pipe holds at most, so that the child rarely waits for the disk.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// A child at work.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    /// What it writes.
    pub output: OwnedFd,
    /// For how long the forking thread stood.
    pub pause: Duration,
}

/// On which side of the fork we are.
pub enum Side {
    Server(Child),
    /// The child: everything but writing the snapshot and `_exit` is forbidden.
    Guest(Guest),
}

/// Forks. To be called on the thread of the isolate, at a moment without a major collection.
pub fn fork(ahead: &Ahead) -> io::Result<Side> {
    let (output, input) = pipe()?;
    let server = getpid();
    let began = Instant::now();
    let open = ahead.let_in()?;
    // SAFETY: fork has no preconditions; what the child may do is kept in `Guest`.
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

/// A pipe that no program that is started meanwhile inherits: (to read, to write).
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` is room for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just opened and are nobody else's.
    let (output, input) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: a descriptor of ours; a smaller pipe, where that is not allowed, works as well.
    unsafe { libc::fcntl(input.as_raw_fd(), libc::F_SETPIPE_SZ, PIPE_BYTES) };
    Ok((output, input))
}
