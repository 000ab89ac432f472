//! What can be wrong with a snapshot.

use std::io;

/// Why a snapshot cannot be read, or a question about it not be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or inflated.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// The content is not what it should be. `offset` counts bytes of the content, of what is inflated where it is compressed.
    #[error("not a heap snapshot, or a damaged one: {what}, at byte {offset}")]
    Malformed { what: String, offset: u64 },
    /// Valid, but larger than this code can hold.
    #[error("the snapshot is too large: {0}")]
    TooLarge(&'static str),
    #[error("the snapshot has no object with the id @{0}")]
    NoSuchObject(u32),
    /// A diff of snapshots that have nothing to do with each other.
    #[error("the snapshots have no object in common: they are of different processes")]
    Unrelated,
    /// Of two children of a process, the earlier snapshot is read a second time.
    #[error(
        "the snapshots have the ids of two processes, so the earlier one must be read twice. Give it as a file, not on standard input"
    )]
    NotTwice,
    /// A thread panicked or could not be started.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn malformed(what: impl Into<String>, offset: u64) -> Self {
        Self::Malformed { what: what.into(), offset }
    }

    /// Where it was found; what has no place comes last.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Malformed { offset, .. } => *offset,
            _ => u64::MAX,
        }
    }
}
