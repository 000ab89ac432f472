//! Where a record lies, whose it is, and whether its process lives.
//!
//! A record is one file in a private folder (`plimsoll-<uid>`, mode 0700) inside `PLIMSOLL_DIR` or the `recorder.dir` option, else
//! `/dev/shm`, else the temporary folder. Its owner holds a lock on it (`flock`) for as long as it lives, however it ends; a pid says
//! nothing, for containers use the same ones over and over. The name is random and appears when the record is whole.
//!
//! The file is allocated in full before it is used: a hole in a mapped file is a SIGBUS when the disk is full. On tmpfs it
//! is mapped; on a disk, where a page under write-back stalls its writer, it is a mirror of anonymous memory. Where there can be no
//! file the record is in memory alone, and everything but the post-mortem works.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::map::Map;
use super::record::Record;
use super::writer::{Identity, Run, Writer};

#[cfg(unix)]
mod dead;
#[cfg(unix)]
mod held;
#[cfg(unix)]
mod mirror;
mod reading;
#[cfg(test)]
mod tests;
#[cfg(unix)]
mod totals;
#[cfg(unix)]
mod unix;
#[cfg(not(unix))]
mod unsupported;

#[cfg(unix)]
use unix as system;
#[cfg(not(unix))]
use unsupported as system;

#[cfg(unix)]
pub use dead::{last_death, prune};
pub use reading::{FindError, Found, Members, find, members, open};
#[cfg(not(unix))]
pub use unsupported::{last_death, prune};

#[cfg(unix)]
use held::Held;
#[cfg(not(unix))]
use unsupported::Held;

#[derive(Clone, Debug)]
pub struct Options {
    /// Of the service: records of one name belong together.
    pub name: String,
    /// The folder that the user asked for; then no other is tried.
    pub dir: Option<PathBuf>,
    /// No file is wanted.
    pub in_memory: bool,
    /// Dead records of the folder are removed beyond this, oldest first; 32 MiB by default.
    pub max_dead_bytes: u64,
    /// When the process of a pid was started, in clock ticks since boot; 0 where there is none.
    pub start_ticks_of: fn(u32) -> u64,
}

impl Options {
    /// Where a writer of these options may have written: readers look there.
    pub fn bases(&self) -> Vec<PathBuf> {
        match &self.dir {
            Some(dir) => vec![dir.clone()],
            None => readable_folders(),
        }
    }
}

/// Whose records belong together: those of one name that were started from the same script.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub entry: u64,
    /// The one that the asking process belongs to.
    pub run: Run,
    start_ticks_of: fn(u32) -> u64,
}

impl Service {
    pub fn new(options: &Options, identity: &Identity) -> Self {
        let (name, start_ticks_of) = (options.name.clone(), options.start_ticks_of);
        Self { name, entry: identity.entry, run: identity.run, start_ticks_of }
    }

    fn owns(&self, record: &Record) -> bool {
        record.entry == self.entry && reading::is_named(record, &self.name)
    }

    /// Whether the run may get new members: its leader lives. A leader in another container is not seen.
    fn goes_on(&self, run: &Run) -> bool {
        let here = run.boot_id == self.run.boot_id && run.ticks != 0;
        *run == self.run || here && (self.start_ticks_of)(run.pid) == run.ticks
    }
}

/// A short name for a script: FNV-1a, the same in each process and version.
pub fn entry_of(script: &str) -> u64 {
    script.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Default for Options {
    fn default() -> Self {
        Self { name: String::new(), dir: None, in_memory: false, max_dead_bytes: 32 << 20, start_ticks_of: |_| 0 }
    }
}

/// The open record of this environment. Dropping it is closing it, with its file kept.
pub struct Recorder {
    map: Arc<Map>,
    held: Option<Held>,
    warning: Option<String>,
}

impl Recorder {
    /// Opens a new record under the options' name and writes its header. Where no folder will have it, the record is in memory
    /// alone, and [`Recorder::warning`] says why.
    ///
    /// # Panics
    /// There is no memory for it either.
    pub fn create(options: &Options, identity: Identity) -> (Self, Writer) {
        let folders = match &options.dir {
            _ if options.in_memory => Vec::new(),
            Some(dir) => vec![dir.clone()],
            None => default_folders(),
        };
        Self::create_in(&folders, options, identity)
    }

    fn create_in(folders: &[PathBuf], options: &Options, identity: Identity) -> (Self, Writer) {
        // The folder's records are told apart by the name in their header.
        let identity = Identity { name: options.name.clone(), mirrored: false, ..identity };
        let mut tried = String::new();
        for folder in folders {
            match Held::create(folder, options, &identity) {
                Ok((held, map, writer)) => return (Self { map, held: Some(held), warning: None }, writer),
                Err(error) => {
                    let separator = if tried.is_empty() { "" } else { "; " };
                    let _ = write!(tried, "{separator}{}: {error}", folder.display());
                }
            }
        }
        let map = Arc::new(Map::anonymous(false).expect("memory for the recorder"));
        let writer = Writer::new(Arc::clone(&map), &identity);
        let warning = (!tried.is_empty()).then(|| format!(
            "The record is in memory only, because no file could be created ({tried}). Set PLIMSOLL_DIR or recorder.dir to an \
             existing folder that this user can write to, with 8 MiB free. Without a file there is no post-mortem if this \
             process is killed."
        ));
        (Self { map, held: None, warning }, writer)
    }

    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// None if the record is in memory alone.
    pub fn path(&self) -> Option<&Path> {
        self.held.as_ref().map(Held::path)
    }

    /// The private folder that the file is in.
    pub fn folder(&self) -> Option<&Path> {
        self.held.as_ref().map(Held::folder)
    }

    /// Why there is no file, in one sentence for the user.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Tells cleaners that delete by age that the file is in use; to be called at any interval, acts once a minute.
    /// A file that is gone stays gone.
    pub fn touch(&self) {
        if let Some(held) = &self.held {
            held.touch();
        }
    }

    /// On return all that was written before the call is in the file. Does nothing where the map is the file. What fails is counted.
    pub fn flush(&self) {
        if let Some(held) = &self.held {
            held.flush();
        }
    }

    /// How often writing to the file failed; it is tried again each time, at growing intervals.
    pub fn write_errors(&self) -> u64 {
        self.held.as_ref().map_or(0, Held::mirror_errors)
    }

    /// The first time that writing to the file failed, in one sentence for the user; told once.
    pub fn take_write_warning(&self) -> Option<String> {
        let held = self.held.as_ref()?;
        let error = held.take_mirror_error()?;
        Some(format!(
            "The record cannot be written to {} ({error}). Until that works again, a post-mortem is out of date.",
            held.path().display()
        ))
    }

    /// From here on the signal of an ordinary stop is written to the file. What fails is an end that is not recorded.
    pub fn record_stops(&self) {
        #[cfg(unix)]
        if let Some(held) = &self.held {
            let _ = held.record_stops();
        }
    }

    /// Removes the file: the record goes on in memory.
    pub fn discard(&self) {
        if let Some(held) = &self.held {
            held.discard();
        }
    }

    /// Flushes, stops the thread that mirrors, and gives up the lock: from then on the record is a dead one. Without `keep` the
    /// file is removed, and what a server's thread has counted is added to its run's totals. Maps that others still hold stay valid.
    pub fn close(mut self, keep: bool) {
        self.shut(keep);
    }

    fn shut(&mut self, keep: bool) {
        if let Some(held) = self.held.take() {
            held.close(keep);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shut(true);
    }
}

/// Where records are if nobody says otherwise, best first.
fn default_folders() -> Vec<PathBuf> {
    let memory = cfg!(target_os = "linux").then(|| PathBuf::from("/dev/shm"));
    memory.into_iter().chain([std::env::temp_dir()]).collect()
}

/// Where records may be if nobody says otherwise: the temporary folder of another process is `/tmp`, if it is not this one's.
fn readable_folders() -> Vec<PathBuf> {
    let mut folders = default_folders();
    if cfg!(unix) {
        folders.push("/tmp".into());
    }
    // By what they are: a folder that is read twice counts twice.
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    folders
}
