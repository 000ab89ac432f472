//! The first actions of the child. It is a copy of the server with one thread, and must not touch anything of the
//! server.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use libc::{c_int, c_void};
use rustix::process::{Pid, getppid};

/// Exit codes of a child that could not do its work.
pub const NOT_PREPARED: i32 = 70;
pub const NO_SNAPSHOT: i32 = 71;

/// The child, with the pipe that it writes to, and the pid of the server.
pub struct Guest {
    input: OwnedFd,
    server: Pid,
}

impl Guest {
    pub(super) fn new(input: OwnedFd, server: Pid) -> Self {
        Self { input, server }
    }

    /// Isolates the child from the server. Returns the path to which it may write. On an error it must [`leave`] at
    /// once.
    pub fn settle(&self) -> io::Result<String> {
        self.die_with_server()?;
        go_last();
        silence_wakers()?;
        self.let_go_of_descriptors()?;
        Ok(format!("/proc/self/fd/{}", self.input.as_raw_fd()))
    }

    /// A snapshot is useless without its server, and its memory is needed. If the server has ended already, no signal
    /// is sent.
    fn die_with_server(&self) -> io::Result<()> {
        // SAFETY: sets the signal that is sent when the parent ends.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        if getppid() != Some(self.server) {
            return Err(io::Error::other("the server has ended"));
        }
        Ok(())
    }

    /// Replaces every descriptor but the pipe's by `/dev/null`. Open ones would keep the server's port and its
    /// connections open. Closed ones make libuv abort.
    fn let_go_of_descriptors(&self) -> io::Result<()> {
        let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let open: Vec<c_int> = fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|fd| *fd != self.input.as_raw_fd() && *fd != null.as_raw_fd())
            .collect();
        for fd in open {
            // SAFETY: the owner of `fd` still owns a descriptor, and this process uses none of them. The listing's own
            // descriptor is closed by now, and becomes `/dev/null` too.
            unsafe { libc::dup2(null.as_raw_fd(), fd) };
        }
        Ok(())
    }
}

/// Ends the child: no handlers run, nothing is flushed.
pub fn leave(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Lowest priority for the processor, and the first to be killed when memory runs short. Both may be denied, without
/// harm.
fn go_last() {
    // SAFETY: changes this process's own priority.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
}

/// `xor eax, eax; ret` and `mov w0, #0; ret`.
#[cfg(target_arch = "x86_64")]
const RETURN_ZERO: &[u8] = &[0x31, 0xc0, 0xc3];
#[cfg(target_arch = "aarch64")]
const RETURN_ZERO: &[u8] = &[0x00, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];

/// Makes `pthread_cond_signal` and `pthread_cond_broadcast` do nothing. V8 wakes worker threads that the child does not
/// have, and glibc then waits for them forever (tested with Node 24 and 26).
fn silence_wakers() -> io::Result<()> {
    for name in [c"pthread_cond_signal", c"pthread_cond_broadcast"] {
        let code = find(name).ok_or_else(|| io::Error::other(format!("{} was not found", name.to_string_lossy())))?;
        // SAFETY: `code` is a function of at least this many bytes, which is not executing: this process has one
        // thread, which is here.
        unsafe { overwrite(code as usize, RETURN_ZERO)? };
    }
    Ok(())
}

fn find(name: &CStr) -> Option<*mut c_void> {
    // The version that programs are linked with today. The older one of x86_64 is another function. SAFETY: both names
    // end with a zero byte.
    let versioned = unsafe { libc::dlvsym(libc::RTLD_DEFAULT, name.as_ptr(), c"GLIBC_2.3.2".as_ptr()) };
    // SAFETY: likewise.
    let found = if versioned.is_null() { unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) } } else { versioned };
    (!found.is_null()).then_some(found)
}

/// Writes over code without a page that is ever writable and executable at the same time: a copy is written, made
/// executable and mapped over the original.
///
/// # Safety
///
/// No thread may execute those bytes meanwhile, and they must be code that may be replaced.
unsafe fn overwrite(address: usize, bytes: &[u8]) -> io::Result<()> {
    let page = rustix::param::page_size();
    let start = address & !(page - 1);
    let length = (address + bytes.len()).next_multiple_of(page) - start;
    let check = |done: bool| if done { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: new memory, then a copy of pages that are mapped and readable, since they contain a function. Then both
    // may be changed, which the caller ensures.
    unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let copy = libc::mmap(ptr::null_mut(), length, rights, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        check(copy != libc::MAP_FAILED)?;
        ptr::copy_nonoverlapping(start as *const u8, copy.cast::<u8>(), length);
        ptr::copy_nonoverlapping(bytes.as_ptr(), copy.cast::<u8>().add(address - start), bytes.len());
        check(libc::mprotect(copy, length, libc::PROT_READ | libc::PROT_EXEC) == 0)?;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        check(libc::mremap(copy, length, length, flags, start as *mut c_void) != libc::MAP_FAILED)
    }
}
