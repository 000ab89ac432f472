//! The records of the dead: telling each death once, and keeping them bounded.
//!
//! Both happen under the lock of the folder, not under the records' own: those are only ever held by the living, so that nobody who
//! looks is taken for an owner.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::super::death::{Death, Surroundings, last_sign_of_life};
use super::super::layout::header;
use super::super::reader;
use super::super::record::Record;
use super::reading::{head, read_opened};
use super::unix::{self, Folder};

/// A file that nobody can read (of another version, cut short) may be someone's evidence for this long.
const UNREADABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// A temporary file is without its lock for an instant after it is made.
const TEMPORARY_FOR: Duration = Duration::from_secs(60);

/// The newest death of `name` in the private folder `folder` that has not been reported, marked as reported together with all older ones:
/// of all processes that ask, one gets it. Waits at most half a second for another that is asking.
pub fn last_death(folder: &Path, name: &str, now: &Surroundings) -> Option<Death> {
    let folder = Folder::private(folder).ok()?;
    let lock = folder.lock()?;
    let mut unreported = dead(&folder, name, true);
    unreported.retain(|dead| !dead.head.reported);
    // Of one process, the main thread's record tells more than its workers'.
    unreported.sort_by_key(|dead| (last_sign_of_life(&dead.head), std::cmp::Reverse(dead.head.thread)));
    let mut newest = None;
    for dead in unreported {
        let marked = dead.file.write_all_at(&1u64.to_le_bytes(), header::REPORTED as u64 * 8).is_ok();
        // A worker thread that ended is not the process's end; and what cannot be marked would be told again and again.
        let ended_worker = dead.head.exit.as_ref().is_some_and(|exit| exit.kind == "worker-end");
        if marked && !ended_worker {
            newest = Some(dead);
        }
    }
    drop(lock);
    let newest = newest?;
    let record = read_opened(&newest.file, &folder.path().join(&newest.file_name)).ok()?;
    Some(Death::new(Box::new(record), now))
}

/// Removes dead records of `name` from the private folder `folder`, oldest first, until those left have at most `max_bytes` together;
/// also what creators left behind unfinished, and files of a record's name that nobody could read for a day. The newest that
/// has not been reported stays whatever the bound: it is the next start's last death.
pub fn prune(folder: &Path, name: &str, max_bytes: u64) {
    if let Ok(folder) = Folder::private(folder) {
        prune_in(&folder, name, max_bytes);
    }
}

pub(super) fn prune_in(folder: &Folder, name: &str, max_bytes: u64) {
    let Some(_lock) = folder.lock() else { return };
    let mut dead = dead(folder, name, false);
    dead.sort_by_key(|dead| std::cmp::Reverse(last_sign_of_life(&dead.head)));
    let mut kept = 0u64;
    let mut spared = false;
    for dead in dead {
        let spare = !dead.head.reported && !std::mem::replace(&mut spared, true);
        kept = kept.saturating_add(dead.file.metadata().map_or(0, |file| file.len()));
        if kept > max_bytes && !spare {
            let _ = folder.remove(&dead.file_name);
        }
    }
    for name in folder.names().unwrap_or_default() {
        let unreadable = unix::is_ours(&name, "plimsoll");
        if !unreadable && !unix::is_ours(&name, "tmp") {
            continue;
        }
        let Ok(file) = folder.open(&name, false) else { continue };
        let age = file.metadata().and_then(|file| file.modified()).ok().and_then(|modified| modified.elapsed().ok());
        let long = if unreadable { UNREADABLE_FOR } else { TEMPORARY_FOR };
        let stale = age.is_some_and(|age| age > long) && !unix::is_held(&file).unwrap_or(true);
        if stale && !(unreadable && reader::read_head(&file).is_ok()) {
            let _ = folder.remove(&name);
        }
    }
}

struct Dead {
    file_name: String,
    file: File,
    head: Record,
}

/// Readable records of `name` whose owner is certainly gone.
fn dead(folder: &Folder, name: &str, write: bool) -> Vec<Dead> {
    let names = folder.names().unwrap_or_default();
    let ours = names.into_iter().filter(|name| unix::is_ours(name, "plimsoll"));
    ours.filter_map(|file_name| {
        let file = folder.open(&file_name, write).ok()?;
        if unix::is_held(&file).unwrap_or(true) {
            return None;
        }
        let head = head(&file, name)?;
        Some(Dead { file_name, file, head })
    })
    .collect()
}
