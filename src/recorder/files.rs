//! Where a record is stored, which service it belongs to, and whether its process is alive.
//!
//! A record is one file in a private folder (`plimsoll-<uid>`, mode 0700). The folder is inside `PLIMSOLL_DIR` or the
//! `recorder.dir` option, otherwise in `/dev/shm`, otherwise in the temporary folder. Its owner holds a lock (`flock`)
//! on it until the process ends in any way. A pid is not enough, because containers reuse the same ones. The name is
//! random, and appears when the record is complete.
//!
//! The file is allocated in full before it is used: a hole in a mapped file is a SIGBUS when the disk is full. On tmpfs
//! it is mapped. On a disk, a page under write-back blocks its writer, so there the file mirrors anonymous memory. If
//! no file is possible the record is in memory only, and everything but the post-mortem works.

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
    /// Name of the service. Records of one name belong together.
    pub name: String,
    /// The folder that the user has set. No other is tried then.
    pub dir: Option<PathBuf>,
    /// Create no file.
    pub in_memory: bool,
    /// Dead records of the folder beyond this are removed, oldest first. 32 MiB by default.
    pub max_dead_bytes: u64,
    /// Returns the start of a process by pid, in clock ticks since boot. 0 if there is none.
    pub start_ticks_of: fn(u32) -> u64,
}

impl Options {
    /// Folders that a writer with these options may have used. Readers search them.
    pub fn bases(&self) -> Vec<PathBuf> {
        match &self.dir {
            Some(dir) => vec![dir.clone()],
            None => readable_folders(),
        }
    }
}

/// Records that belong together: those of one name that were started from the same script.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub entry: u64,
    /// The run of the calling process.
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

    /// Whether the run may get new members: its leader is alive. A leader in another container is not visible.
    fn goes_on(&self, run: &Run) -> bool {
        let here = run.boot_id == self.run.boot_id && run.ticks != 0;
        *run == self.run || here && (self.start_ticks_of)(run.pid) == run.ticks
    }
}

/// A hash of a script: FNV-1a, the same in each process and version.
pub fn entry_of(script: &str) -> u64 {
    script.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Default for Options {
    fn default() -> Self {
        Self { name: String::new(), dir: None, in_memory: false, max_dead_bytes: 32 << 20, start_ticks_of: |_| 0 }
    }
}

/// The open record of this environment. Dropping it closes it and keeps its file.
pub struct Recorder {
    map: Arc<Map>,
    held: Option<Held>,
    warning: Option<String>,
}

impl Recorder {
    /// Opens a new record under the options' name and writes its header. If no folder is usable, the record is in
    /// memory only, and [`Recorder::warning`] returns the reason.
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
        // Records in the folder are distinguished by the name in their header.
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

    /// None if the record is in memory only.
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

    /// Updates the file's time, for cleaners that delete by age. It may be called at any interval, and acts once a
    /// minute. A deleted file is not created again.
    pub fn touch(&self) {
        if let Some(held) = &self.held {
            held.touch();
        }
    }

    /// On return, all that was written before the call is in the file. Does nothing if the file is mapped. Failures are
    /// counted.
    pub fn flush(&self) {
        if let Some(held) = &self.held {
            held.flush();
        }
    }

    /// How often writing to the file failed. It is tried again each time, at growing intervals.
    pub fn write_errors(&self) -> u64 {
        self.held.as_ref().map_or(0, Held::mirror_errors)
    }

    /// The first failure to write to the file, in one sentence for the user. Returned once.
    pub fn take_write_warning(&self) -> Option<String> {
        let held = self.held.as_ref()?;
        let error = held.take_mirror_error()?;
        Some(format!(
            "The record cannot be written to {} ({error}). Until that works again, a post-mortem is out of date.",
            held.path().display()
        ))
    }

    /// From now on the signal of an ordinary stop is written to the file. If that fails, the end is not recorded.
    pub fn record_stops(&self) {
        #[cfg(unix)]
        if let Some(held) = &self.held {
            let _ = held.record_stops();
        }
    }

    /// Removes the file. The record continues in memory.
    pub fn discard(&self) {
        if let Some(held) = &self.held {
            held.discard();
        }
    }

    /// Flushes, stops the thread that mirrors, and releases the lock: from then on the record is a dead one. Without
    /// `keep` the file is removed, and the counts of a server's thread are added to its run's totals. Maps that are
    /// still referenced stay valid.
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

/// The default folders for records, best first.
fn default_folders() -> Vec<PathBuf> {
    let memory = cfg!(target_os = "linux").then(|| PathBuf::from("/dev/shm"));
    memory.into_iter().chain([std::env::temp_dir()]).collect()
}

/// All folders that may contain records by default. Another process may use `/tmp` as its temporary folder, even if
/// this one does not.
fn readable_folders() -> Vec<PathBuf> {
    let mut folders = default_folders();
    if cfg!(unix) {
        folders.push("/tmp".into());
    }
    // By canonical path: a folder that is read twice would count twice.
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    folders
}
