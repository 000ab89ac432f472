//! The file of an open recorder: created, locked, mapped or mirrored, named.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime};

use super::super::FILE_BYTES;
use super::super::map::Map;
use super::super::stops;
use super::super::writer::{Identity, Writer};
use super::mirror::Mirror;
use super::unix::{self, Folder, doing};
use super::{Options, Service, dead, system, totals};

/// Cleaners of temporary folders delete files by age, from days on.
const TOUCH_EVERY_S: u64 = 60;

pub struct Held {
    folder: Folder,
    file: Arc<File>,
    name: String,
    path: PathBuf,
    /// None if the file is mapped.
    mirror: Option<Mirror>,
    since: Instant,
    touched_s: AtomicU64,
}

impl Held {
    /// Creates a record in the private folder inside `base`. Dead records there are pruned first.
    pub fn create(base: &Path, options: &Options, identity: &Identity) -> io::Result<(Self, Arc<Map>, Writer)> {
        let folder = Folder::private_in(base)?;
        dead::prune_in(&folder, &Service::new(options, identity), options);
        let id = unix::random();
        let [temporary, name] = ["tmp", "plimsoll"].map(|extension| format!("{id:016x}.{extension}"));
        let file = Arc::new(folder.create(&temporary).map_err(doing("making a file"))?);
        let filled = fill(&file, identity).and_then(|filled| {
            // Renamed last, so that a process that finds the name finds a complete record with a living owner.
            folder.rename(&temporary, &name).map_err(doing("naming the file"))?;
            Ok(filled)
        });
        let (map, writer, mirror) = filled.inspect_err(|_| drop(folder.remove(&temporary)))?;
        let path = folder.path().join(&name);
        let touched_s = AtomicU64::new(0);
        Ok((Self { folder, file, name, path, mirror, since: Instant::now(), touched_s }, map, writer))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn flush(&self) {
        if let Some(mirror) = &self.mirror {
            mirror.flush();
        }
    }

    pub fn mirror_errors(&self) -> u64 {
        self.mirror.as_ref().map_or(0, Mirror::errors)
    }

    pub fn take_mirror_error(&self) -> Option<io::Error> {
        self.mirror.as_ref()?.take_error()
    }

    pub fn touch(&self) {
        self.touch_at(self.since.elapsed().as_secs());
    }

    pub(super) fn touch_at(&self, now_s: u64) {
        let last = self.touched_s.load(Relaxed);
        if now_s - last.min(now_s) >= TOUCH_EVERY_S
            && self.touched_s.compare_exchange(last, now_s, Relaxed, Relaxed).is_ok()
        {
            // Fails on file systems that store no times, without harm.
            let _ = self.file.set_modified(SystemTime::now());
        }
    }

    pub fn record_stops(&self) -> io::Result<()> {
        stops::record_to(&self.file)
    }

    pub fn discard(&self) {
        let _ = self.folder.remove(&self.name);
    }

    pub fn close(mut self, keep: bool) {
        // Dropping it flushes a last time.
        drop(self.mirror.take());
        if !keep {
            // Before the lock is released, so that it never looks dead.
            self.retire();
        }
        unix::release(&self.file);
    }

    /// Removes the file of a thread that has ended. Its counts stay in the totals of its run.
    fn retire(&self) {
        // Without the lock another process may write the same totals. Then the file stays as a dead record, and the
        // next process that prunes adds it.
        let Some(lock) = self.folder.lock() else { return };
        // Not with the function that checks the lock: on this descriptor it would release the lock.
        let kept = match system::read(&self.file).ok().filter(|record| record.served) {
            // The process continues, and counts its own CPU time.
            Some(record) => totals::add(&self.folder, &record, false),
            None => Ok(()),
        };
        // If it could not be added, it stays as a dead record until there is room.
        if kept.is_ok() {
            self.discard();
        }
        drop(lock);
    }
}

fn fill(file: &Arc<File>, identity: &Identity) -> io::Result<(Arc<Map>, Writer, Option<Mirror>)> {
    unix::hold(file).map_err(doing("locking the file"))?;
    let size = FILE_BYTES as f64 / f64::from(1 << 20);
    unix::preallocate(file).map_err(doing(format_args!("reserving {size:.1} MiB")))?;
    let direct = unix::in_memory(file);
    let map = if direct { Map::of_file(file) } else { Map::anonymous(true) };
    let map = Arc::new(map.map_err(doing("mapping it"))?);
    let writer = Writer::new(Arc::clone(&map), &Identity { mirrored: !direct, ..identity.clone() });
    let mirror = if direct {
        None
    } else {
        Some(Mirror::start(Arc::clone(&map), Arc::clone(file)).map_err(doing("mirroring to it"))?)
    };
    Ok((map, writer, mirror))
}
