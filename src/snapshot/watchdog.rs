//! Watches the child on a thread of the server: copies its output to the file, and kills it if it hangs or memory runs
//! short.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::memory_budget::Room;
use super::sink::Sink;
use super::{Child, child};
use crate::probe::process;

/// The longest and the shortest interval between checks. The less memory is free, the shorter it is.
const CHECK_EVERY: Duration = Duration::from_millis(100);
const CHECK_AGAIN: Duration = Duration::from_millis(2);
/// Bytes a second, faster than any child grows. V8's graph took up to 2.4 GiB/s of new pages (measured over 5 ms). With
/// checks 100 ms apart it took all of 30 MiB in between, and the kernel killed first.
const FASTEST: f64 = 4.0 * (1 << 30) as f64;
/// Without output and without any CPU time, despite its low priority: it waits for a thread that does not exist.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// In total. Ten times the duration for the largest heap that was tested (888 MB).
const GIVE_UP_AFTER: Duration = Duration::from_secs(30 * 60);
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, Error)]
pub enum Failure {
    #[error("the child process made no progress")]
    Stuck,
    #[error("signal {0} ended the child process")]
    Signal(i32),
    #[error("the child process could not be isolated, and exited")]
    NotPrepared,
    #[error("V8 could not write the snapshot")]
    NoSnapshot,
    #[error("the child process exited with code {0}")]
    Code(i32),
    #[error("the snapshot file is not complete")]
    Torn,
    #[error(
        "memory ran short: {left} of {whole} MiB were available. The child process was killed to protect the server from the OOM killer"
    )]
    Memory { left: u64, whole: u64 },
    #[error("the child process took longer than {} minutes", GIVE_UP_AFTER.as_secs() / 60)]
    TooLong,
    #[error("{0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Whether a fork at another moment may succeed.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Stuck | Self::Signal(_) | Self::Torn)
    }
}

/// Watches a child until its end. It does not exist any more when this returns.
pub fn watch(child: Child, sink: &mut Sink) -> Result<(), Failure> {
    let Child { pid, output, .. } = child;
    let mut reaper = Reaper { pid: Some(pid) };
    let last = take_over(pid, &output, sink)?;
    match reaper.wait()? {
        Ended::Code(0) if last == Some(b'}') => Ok(()),
        Ended::Code(0) => Err(Failure::Torn),
        Ended::Code(child::NOT_PREPARED) => Err(Failure::NotPrepared),
        Ended::Code(child::NO_SNAPSHOT) => Err(Failure::NoSnapshot),
        Ended::Code(code) => Err(Failure::Code(code)),
        Ended::Signal(signal) => Err(Failure::Signal(signal)),
    }
}

/// Copies until the child has closed its end. Returns the last byte that is not a space.
fn take_over(pid: i32, output: &OwnedFd, sink: &mut Sink) -> Result<Option<u8>, Failure> {
    let began = Instant::now();
    let (mut looked, mut moved, mut cpu, mut wait) = (began, began, 0, Duration::ZERO);
    let mut buffer = vec![0; READ_BYTES];
    let mut last = None;
    loop {
        if readable(output, wait)? {
            let bytes = rustix::io::read(output, &mut buffer[..]).map_err(io::Error::from)?;
            if bytes == 0 {
                return Ok(last);
            }
            let piece = &buffer[..bytes];
            last = piece.iter().rev().find(|byte| !byte.is_ascii_whitespace()).copied().or(last);
            sink.write(piece)?;
            moved = Instant::now();
        }
        if looked.elapsed() < wait {
            continue;
        }
        looked = Instant::now();
        let ticks = process::cpu_ticks_of(pid.unsigned_abs());
        if ticks != cpu {
            (cpu, moved) = (ticks, looked);
        }
        let room = Room::now();
        if let Some(room) = room.filter(Room::is_tight) {
            return Err(Failure::Memory { left: room.left >> 20, whole: room.whole >> 20 });
        }
        wait = until_next_check(room);
        if moved.elapsed() > STUCK_AFTER {
            return Err(Failure::Stuck);
        }
        if began.elapsed() > GIVE_UP_AFTER {
            return Err(Failure::TooLong);
        }
    }
}

/// So soon that the child cannot have used all the spare memory before.
fn until_next_check(room: Option<Room>) -> Duration {
    room.map_or(CHECK_EVERY, |room| {
        Duration::from_secs_f64(room.spare() as f64 / FASTEST).clamp(CHECK_AGAIN, CHECK_EVERY)
    })
}

/// Waits until there is something to read, but at most for this time.
fn readable(output: &OwnedFd, wait: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one pollfd.
    match unsafe { libc::poll(&raw mut poll, 1, wait.as_millis() as i32) } {
        -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(false),
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

enum Ended {
    Code(i32),
    Signal(i32),
}

/// Kills a child that is no longer waited for, and reaps it.
struct Reaper {
    pid: Option<i32>,
}

impl Reaper {
    fn wait(&mut self) -> io::Result<Ended> {
        let Some(pid) = self.pid.take() else { return Err(io::Error::other("there is no child process")) };
        let mut status = 0;
        // SAFETY: `status` is an int. The pid is our child's, and no other code waits for it (libuv waits for its own
        // by their pids).
        while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        if libc::WIFSIGNALED(status) {
            return Ok(Ended::Signal(libc::WTERMSIG(status)));
        }
        Ok(Ended::Code(libc::WEXITSTATUS(status)))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            // SAFETY: our child, which was not waited for, so its pid is not reused.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            let _ = self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use super::*;

    /// Another kind of child: a shell that writes.
    // `watch` waits for it.
    #[allow(clippy::zombie_processes)]
    fn shell(script: &str) -> Child {
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let output = OwnedFd::from(child.stdout.take().unwrap());
        Child { pid: child.id() as i32, output, pause: Duration::ZERO }
    }

    fn watched(script: &str) -> (Result<(), Failure>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let mut sink = Sink::create(&target, false).unwrap();
        let result = watch(shell(script), &mut sink);
        if result.is_ok() {
            sink.finish().unwrap();
        } else {
            drop(sink);
        }
        (result, fs::read_dir(folder.path()).unwrap().count())
    }

    #[test]
    fn only_a_complete_snapshot_is_kept() {
        assert!(matches!(watched("echo '{}'"), (Ok(()), 1)));
        assert!(matches!(watched("echo '{'"), (Err(Failure::Torn), 0)));
        assert!(matches!(watched("echo '{}'; exit 71"), (Err(Failure::NoSnapshot), 0)));
        assert!(matches!(watched("exit 3"), (Err(Failure::Code(3)), 0)));
        assert!(matches!(watched("echo '{'; kill -9 $$"), (Err(Failure::Signal(9)), 0)));
    }

    #[test]
    fn checks_are_closer_together_with_less_room() {
        let after = |left: u64| until_next_check(Some(Room { left: left << 20, whole: 1000 << 20 }));
        assert_eq!(until_next_check(None), CHECK_EVERY);
        assert_eq!(after(900), CHECK_EVERY);
        assert_eq!(after(80), CHECK_AGAIN);
        assert!((19..=20).contains(&after(160).as_millis()), "80 MiB may go in 19.5 ms: {:?}", after(160));
    }

    #[test]
    fn a_full_disk_ends_the_child() {
        let child = shell("while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done");
        let pid = child.pid;
        let mut sink = Sink::full();
        let result = watch(child, &mut sink);
        assert!(matches!(result, Err(Failure::Output(_))), "{result:?}");
        // SAFETY: only checks whether there is such a process.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }
}
