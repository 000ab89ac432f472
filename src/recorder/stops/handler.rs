//! The signal handler and its installation. The module above explains why it has no other effect.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering::*};

use libc::{SA_ONSTACK, SA_RESETHAND, SA_RESTART, SIG_DFL, SIG_IGN, c_int, sigaction};
use rustix::process::getpid;

use super::super::layout::STOP;
use super::{Stop, word};

/// The record's file, or -1. It is never closed, so the number is not reused.
static FILE: AtomicI32 = AtomicI32::new(-1);
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);
static PID: AtomicI32 = AtomicI32::new(0);

/// The disposition that the handler has replaced, by signal.
struct Former {
    handler: AtomicUsize,
    flags: AtomicI32,
}

static FORMER: [Former; Stop::ALL.len()] =
    [const { Former { handler: AtomicUsize::new(SIG_DFL), flags: AtomicI32::new(0) } }; Stop::ALL.len()];

/// From now on an ordinary stop of this process is written to `file`, a record. The first file stays if there are
/// several.
///
/// # Errors
/// No descriptor is left.
pub fn record_to(file: &File) -> io::Result<()> {
    if FILE.load(Relaxed) < 0 {
        let meta = file.metadata()?;
        DEVICE.store(meta.dev(), Relaxed);
        INODE.store(meta.ino(), Relaxed);
        PID.store(getpid().as_raw_nonzero().get(), Relaxed);
        // A descriptor of its own, because the record may be closed before the process ends.
        FILE.store(file.try_clone()?.into_raw_fd(), Release);
    }
    arm();
    Ok(())
}

/// Installs the handler if it is not installed and the process would die of the signal. Call this again when a handler
/// of the app was removed.
pub fn arm() {
    if FILE.load(Acquire) < 0 {
        return;
    }
    for (stop, former) in Stop::ALL.into_iter().zip(&FORMER) {
        arm_for(stop.number(), former);
    }
}

fn arm_for(signal: c_int, former: &Former) {
    let Some(now) = exchange(signal, None) else { return };
    let dies = now.sa_sigaction == SIG_DFL || now.sa_flags & SA_RESETHAND != 0;
    if !dies || now.sa_sigaction == SIG_IGN || now.sa_sigaction == ours() {
        return;
    }
    // Stored before the handler can run.
    former.handler.store(now.sa_sigaction, Relaxed);
    former.flags.store(now.sa_flags, Relaxed);
    let replaced = exchange(signal, Some(&action(ours(), SA_ONSTACK | SA_RESTART)));
    // Another thread has installed a handler in between, which stays.
    if let Some(replaced) = replaced.filter(|replaced| replaced.sa_sigaction != now.sa_sigaction) {
        exchange(signal, Some(&replaced));
    }
}

fn ours() -> usize {
    on_signal as extern "C" fn(c_int) as usize
}

/// All signals are blocked while such a handler runs.
fn action(handler: usize, flags: c_int) -> sigaction {
    // SAFETY: a `sigaction` consists of integers and, on some platforms, an optional function, so all zeros is a valid
    // value. `sigfillset` fills in an existing mask.
    unsafe {
        let mut action: sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigfillset(&raw mut action.sa_mask);
        action
    }
}

/// The present disposition of a signal, replaced by `new` if there is one.
fn exchange(signal: c_int, new: Option<&sigaction>) -> Option<sigaction> {
    let mut now = MaybeUninit::<sigaction>::zeroed();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a valid action. Its handler is ours, which lives as long as the process (the addon is
    // never unloaded), or the one that was installed before. `now` has room for an action, and zeroed it is a valid
    // value (see `action`).
    unsafe { (libc::sigaction(signal, new, now.as_mut_ptr()) == 0).then(|| now.assume_init()) }
}

/// Async-signal-safe, on any thread.
extern "C" fn on_signal(signal: c_int) {
    record(signal);
    let Some(former) = Stop::ALL.iter().zip(&FORMER).find(|(stop, _)| stop.number() == signal).map(|found| found.1)
    else {
        return;
    };
    exchange(signal, Some(&action(former.handler.load(Relaxed), former.flags.load(Relaxed))));
    // SAFETY: the signal is blocked until this handler returns. Then it is delivered to this thread, with the former
    // disposition.
    unsafe { libc::raise(signal) };
}

// Device numbers are signed on macOS.
#[allow(clippy::unnecessary_cast)]
fn record(signal: c_int) {
    let file = FILE.load(Acquire);
    if file < 0 || getpid().as_raw_nonzero().get() != PID.load(Relaxed) {
        return;
    }
    // SAFETY: `record_to` made the descriptor, and we never close it. If other code has closed it, the comparison below
    // or the write fails.
    let file = unsafe { BorrowedFd::borrow_raw(file) };
    let same = rustix::fs::fstat(file)
        .is_ok_and(|stat| stat.st_dev as u64 == DEVICE.load(Relaxed) && stat.st_ino as u64 == INODE.load(Relaxed));
    if same {
        let _ = rustix::io::pwrite(file, &word(signal, now_ms()).to_le_bytes(), STOP as u64 * 8);
    }
}

fn now_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` has room for a time.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
    now.tv_sec.max(0) as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}
