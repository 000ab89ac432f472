//! Ordinary stops: SIGTERM, SIGINT and SIGHUP, as every deployment, restart and Ctrl-C sends them. JavaScript does not
//! run when a process dies of one, and its record would look like that of a crash. So a signal handler writes one word
//! into the record.
//!
//! Why it has no other effect:
//!
//! * It is installed only if the process would die of the signal anyway: the disposition is the default, or a handler
//!   that
//!   runs once (`SA_RESETHAND`). Node has one that restores the terminal before the process dies.
//! * An ignored signal stays ignored (`nohup`). A handler of the app is not changed: libuv's replaces ours when the app
//!   listens, and ours is installed again when libuv has restored the default (`arm`).
//! * It restores the former disposition and raises the signal again. So the exit status, Node's own cleanup and core
//!   dumps
//!   are as without it.
//! * Programs that the process starts begin with the default, because `exec` resets handlers, and libuv resets them in
//!   the
//!   child before. In a child that was forked without `exec` the handler writes nothing, because its pid differs.
//! * All its calls are async-signal-safe: `getpid`, `fstat`, `clock_gettime`, `pwrite`, `sigaction`, `raise`. It uses
//!   no
//!   lock, no allocation, no `errno`.
//!
//! Why it uses `pwrite` and not a store into the mapped record: a record on a disk is anonymous memory, mirrored by a
//! thread that dies with the process. And a store into a page of a truncated file is a SIGBUS, while a failed write
//! only leaves the end unrecorded. The file is first compared with the intended one: some programs close descriptors
//! that they do not own, and the number could be another file's. The word is in a block that the mirror never writes.
//!
//! Rejected: `signalfd`, and a thread in `sigwait` (both need the signal blocked in all threads, which children
//! inherit). Listeners in JavaScript (they keep the process alive, and the app would see them).

#[cfg(unix)]
mod handler;

#[cfg(unix)]
pub use handler::{arm, record_to};

/// A process that is active this long after the signal has survived it.
pub const SURVIVED_MS: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Hangup = 1,
    Interrupt = 2,
    Terminate = 15,
}

impl Stop {
    pub const ALL: [Stop; 3] = [Self::Hangup, Self::Interrupt, Self::Terminate];

    pub fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// The same on every Unix.
    pub fn number(self) -> i32 {
        self as i32
    }
}

/// The recorded word: the signal, and its time, epoch milliseconds.
pub fn word(signal: i32, at_ms: u64) -> u64 {
    at_ms << 8 | (signal & 0xff) as u64
}

pub fn read(word: u64) -> Option<(Stop, u64)> {
    let stop = Stop::ALL.into_iter().find(|stop| stop.number() as u64 == word & 0xff)?;
    Some((stop, word >> 8))
}

/// Nothing is recorded on this platform.
#[cfg(not(unix))]
pub fn arm() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_the_signal_and_its_time() {
        for stop in Stop::ALL {
            assert_eq!(read(word(stop.number(), 1_764_000_000_123)), Some((stop, 1_764_000_000_123)));
        }
        assert_eq!([0, word(9, 5), u64::MAX].map(read), [None; 3]);
    }
}
