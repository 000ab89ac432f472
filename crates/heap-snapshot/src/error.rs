//! The errors of a snapshot.

use std::io;

/// Why a snapshot cannot be read, or why a question about it has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or inflated.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The content is not a valid snapshot.
    #[error("not a heap snapshot, or a damaged one: {what}, at byte {offset}")]
    Malformed {
        /// What is wrong.
        what: String,
        /// Where, in bytes from the beginning of the content, after decompression.
        offset: u64,
    },
    /// Valid, but larger than the maximum.
    #[error("the snapshot is too large: {0}")]
    TooLarge(&'static str),
    /// No object has this id.
    #[error("the snapshot has no object with the id @{0}")]
    NoSuchObject(u32),
    /// A diff of snapshots that are not of one process.
    #[error("the snapshots have no object in common: they are of different processes")]
    Unrelated,
    /// A diff of two forked children's snapshots reads the earlier one twice, and standard input can be read once only. The reader never
    /// returns this; its caller may.
    #[error(
        "the snapshots have the ids of two processes, so the earlier one must be read twice. Give it as a file, not on standard input"
    )]
    NotTwice,
    /// A thread panicked or could not be started.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// The result of reading a snapshot or of a question about it.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn malformed(what: impl Into<String>, offset: u64) -> Self {
        Self::Malformed { what: what.into(), offset }
    }

    /// The offset of the error. Errors without one come last.
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::Malformed { offset, .. } => *offset,
            _ => u64::MAX,
        }
    }
}
