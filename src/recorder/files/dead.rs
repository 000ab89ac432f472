//! Records of dead processes: reporting each death once, and limiting their size.
//!
//! Both happen under the lock of the folder, not under the records' own locks. Only living owners hold those, so a
//! process that reads a record never looks like its owner.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::super::death::{Death, Surroundings, is_ordinary, last_sign_of_life};
use super::super::layout::header;
use super::super::reader;
use super::super::record::Record;
use super::super::writer::Run;
use super::reading::read_opened;
use super::totals;
use super::unix::{self, Folder};
use super::{Options, Service};

/// A file that cannot be read (of another version, truncated) may be needed as evidence for this long.
const UNREADABLE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// A new temporary file has no lock for an instant.
const TEMPORARY_FOR: Duration = Duration::from_secs(60);
/// The dead records of a folder take at most one part in this many of its file system.
const SHARE: u64 = 4;

/// The newest unreported death of `service`, in any folder that its processes may have used. With `consume` it is
/// marked as reported, together with all older ones: only one of several callers gets it. An ordinary stop hides no
/// death. Waits at most half a second for another caller.
pub fn last_death(bases: &[PathBuf], service: &Service, now: &Surroundings, consume: bool) -> Option<Death> {
    let folders: Vec<Folder> = bases.iter().filter_map(|base| Folder::private(&unix::private(base)).ok()).collect();
    // In the same order in each process, which avoids a deadlock.
    let locks: Vec<_> = folders.iter().map(|folder| Some((folder, folder.lock()?))).collect();
    let locked = locks.iter().flatten().map(|(folder, _)| *folder);
    let mut unreported: Vec<(&Folder, Dead)> =
        locked.flat_map(|folder| dead(folder, consume).into_iter().map(move |dead| (folder, dead))).collect();
    unreported.retain(|(_, dead)| service.owns(&dead.head) && dead.head.served && !dead.head.reported);
    unreported.sort_by_key(|(_, dead)| rank(&dead.head));
    let mut newest = None;
    for (folder, dead) in unreported {
        let marked = !consume || dead.file.write_all_at(&1u64.to_le_bytes(), header::REPORTED as u64 * 8).is_ok();
        // The end of a worker thread is not the process's end. A record that cannot be marked would be reported again
        // and again.
        let ended_worker = dead.head.exit.as_ref().is_some_and(|exit| exit.kind == "worker-end");
        if marked && !ended_worker {
            newest = Some((folder, dead));
        }
    }
    let (folder, newest) = newest?;
    let record = read_opened(&newest.file, &folder.path().join(&newest.file_name)).ok()?;
    drop(locks);
    Some(Death::new(Box::new(record), now))
}

/// The order in which deaths are reported, the greatest first. An ordinary stop hides no other death. Of one process,
/// the main thread's record says more than its workers'.
fn rank(head: &Record) -> (bool, u64, Reverse<u64>) {
    (!is_ordinary(head), last_sign_of_life(head), Reverse(head.thread))
}

/// Removes dead records from the folders, ordinary stops first, then the oldest. Those left in each take at most
/// `options.max_dead_bytes` and a quarter of the file system. Also removed are unfinished files of earlier creators,
/// and files with a record's name that could not be read for a day.
///
/// The newest unreported death of `service` always stays, because the next start reports it. Members of a run that
/// continues leave their totals.
pub fn prune(bases: &[PathBuf], service: &Service, options: &Options) {
    for base in bases {
        if let Ok(folder) = Folder::private(&unix::private(base)) {
            prune_in(&folder, service, options);
        }
    }
}

pub(super) fn prune_in(folder: &Folder, service: &Service, options: &Options) {
    let Some(_lock) = folder.lock() else { return };
    let share = folder.file_system_bytes().map_or(u64::MAX, |bytes| bytes / SHARE);
    let bound = options.max_dead_bytes.min(share);
    let (mut left, of_scripts): (Vec<Dead>, Vec<Dead>) =
        dead(folder, false).into_iter().partition(|dead| dead.head.served);
    let spared = order(&mut left, service);
    let runs = living_runs(folder);
    let mut kept = totals::bytes(folder);
    for (index, dead) in left.iter().enumerate() {
        let bytes = dead.file.metadata().map_or(0, |file| file.len());
        if kept.saturating_add(bytes) <= bound || spared && index == 0 {
            kept = kept.saturating_add(bytes);
            continue;
        }
        let goes_on = runs.contains(&dead.head.run) || service.goes_on(&dead.head.run);
        let alone =
            || !left.iter().any(|other| other.file_name != dead.file_name && same_process(&other.head, &dead.head));
        let counted = !goes_on || totals::keep(folder, &dead.file, dead.head.thread == 0 || alone()).is_ok();
        if !counted || folder.remove(&dead.file_name).is_err() {
            kept = kept.saturating_add(bytes);
        }
    }
    // A script's death is not reported.
    of_scripts.iter().for_each(|dead| drop(folder.remove(&dead.file_name)));
    totals::prune(folder, |run| runs.contains(run) || service.goes_on(run));
    remove_unfinished(folder, bound.saturating_sub(kept));
}

/// Orders records by what must stay first: the death of the service that would be reported (true if there is one), that
/// of each other service, then the others, ordinary stops last.
fn order(dead: &mut [Dead], service: &Service) -> bool {
    dead.sort_by_key(|dead| Reverse(rank(&dead.head)));
    let mut services = HashSet::new();
    let ranks: Vec<(String, u8)> = dead
        .iter()
        .map(|dead| {
            let awaited = !dead.head.reported && services.insert((dead.head.name.clone(), dead.head.entry));
            (dead.file_name.clone(), if !awaited { 2 } else { u8::from(!service.owns(&dead.head)) })
        })
        .collect();
    let rank_of = |dead: &Dead| ranks.iter().find(|(name, _)| *name == dead.file_name).map_or(2, |(_, rank)| *rank);
    dead.sort_by_key(rank_of);
    dead.first().is_some_and(|dead| rank_of(dead) == 0)
}

fn same_process(one: &Record, other: &Record) -> bool {
    (one.pid, one.process_start_ticks, &one.boot_id) == (other.pid, other.process_start_ticks, &other.boot_id)
}

/// Runs with a living record.
fn living_runs(folder: &Folder) -> HashSet<Run> {
    let names = folder.names().unwrap_or_default();
    let records = names.into_iter().filter(|name| unix::is_ours(name, "plimsoll"));
    let living = records.filter_map(|name| {
        let file = folder.open(&name, false).ok()?;
        unix::is_held(&file).unwrap_or(true).then(|| reader::read_head(&file).ok()).flatten()
    });
    living.map(|head| head.run).collect()
}

/// Removes temporary files of creators that are gone, and unreadable files with a record's name. These are removed if
/// they are old, and the oldest if together they exceed `room` bytes.
fn remove_unfinished(folder: &Folder, room: u64) {
    let names = folder.names().unwrap_or_default();
    let mut unfinished: Vec<Unfinished> = names.into_iter().filter_map(|name| Unfinished::read(folder, name)).collect();
    unfinished.sort_by_key(|file| file.age);
    let mut left = 0u64;
    for Unfinished { file_name, age, bytes, unreadable } in unfinished {
        left = left.saturating_add(if unreadable { bytes } else { 0 });
        if age > if unreadable { UNREADABLE_FOR } else { TEMPORARY_FOR } || unreadable && left > room {
            let _ = folder.remove(&file_name);
        }
    }
}

/// A file without an owner that is not a record.
struct Unfinished {
    file_name: String,
    age: Duration,
    bytes: u64,
    /// Whether it has a record's name.
    unreadable: bool,
}

impl Unfinished {
    fn read(folder: &Folder, file_name: String) -> Option<Self> {
        let unreadable = unix::is_ours(&file_name, "plimsoll");
        if !unreadable && !unix::is_ours(&file_name, "tmp") {
            return None;
        }
        let file = folder.open(&file_name, false).ok()?;
        if unix::is_held(&file).unwrap_or(true) || unreadable && reader::read_head(&file).is_ok() {
            return None;
        }
        let metadata = file.metadata().ok()?;
        // A time in the future counts as new.
        let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
        Some(Self { file_name, age, bytes: metadata.len(), unreadable })
    }
}

struct Dead {
    file_name: String,
    file: File,
    head: Record,
}

/// Readable records whose owner is certainly gone.
fn dead(folder: &Folder, write: bool) -> Vec<Dead> {
    let names = folder.names().unwrap_or_default();
    let ours = names.into_iter().filter(|name| unix::is_ours(name, "plimsoll"));
    ours.filter_map(|file_name| {
        let file = folder.open(&file_name, write).ok()?;
        if unix::is_held(&file).unwrap_or(true) {
            return None;
        }
        let head = reader::read_head(&file).ok()?;
        Some(Dead { file_name, file, head })
    })
    .collect()
}
