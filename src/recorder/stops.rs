//! Ordinary stops: SIGTERM, SIGINT and SIGHUP, as every deployment, restart and Ctrl-C sends them. A process that dies of one can say nothing
//! in JavaScript, and its record would look like that of a crash. So a signal handler writes one word into the record.
//!
//! Why it harms nobody:
//!
//! * It is installed only where the process would die of the signal anyway: where the disposition is the default, or a handler that runs once
//!   (`SA_RESETHAND`), which is how Node restores the terminal before it dies. An ignored signal stays ignored (`nohup`), and a handler of the app's
//!   stays alone: libuv's replaces ours when the app listens, and ours comes back when libuv has put the default back (`arm`).
//! * It puts the former disposition back and raises the signal again, so the exit status, Node's own cleaning up and core dumps are as without it.
//! * Programs that the process starts begin with the default, for `exec` resets handlers; libuv resets them in the child before. In a
//!   child that was forked and not executed the handler writes nothing: the pid is another one.
//! * All that it calls is async-signal-safe: `getpid`, `fstat`, `clock_gettime`, `pwrite`, `sigaction`, `raise`. No lock, no allocation, no `errno`.
//!
//! Why a `pwrite` and not a store into the mapped record: a record on a disk is anonymous memory, mirrored by a thread that dies with the
//! process. And a page of a file that somebody has cut short is a SIGBUS; a write that fails is only an end that is not recorded. The file is
//! compared with the one that was meant first: some programs close descriptors that they do not own, and the number could be another file's.
//! The word lies in a block that the mirror never writes.
//!
//! Rejected: `signalfd` and a thread in `sigwait` (both need the signal blocked, in all threads, which children inherit), and listeners in
//! JavaScript (they keep the process alive, and the app would see them).

#[cfg(unix)]
mod handler;

#[cfg(unix)]
pub use handler::{arm, record_to};

/// A process that shows life this long after the signal has not died of it.
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

/// What stands in the record: the signal, and when it came, epoch milliseconds.
pub fn word(signal: i32, at_ms: u64) -> u64 {
    at_ms << 8 | (signal & 0xff) as u64
}

pub fn read(word: u64) -> Option<(Stop, u64)> {
    let stop = Stop::ALL.into_iter().find(|stop| stop.number() as u64 == word & 0xff)?;
    Some((stop, word >> 8))
}

/// Nothing is recorded here.
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
