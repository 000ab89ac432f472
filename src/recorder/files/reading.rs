//! Finds and reads records, of this and other users. Read-only. Their content is not trusted, see `reader`.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::death::last_sign_of_life;
use super::super::layout::header;
use super::super::reader::ReadError;
use super::super::record::Record;
use super::super::writer::Run;
use super::super::writer::epoch_ms;
use super::Service;
use super::readable_folders;
use super::system::{self, Folder};

const EXTENSION: &str = ".plimsoll";

/// The record in the file at `path`, which may be a symbolic link. It is alive if its owner holds its lock,
/// independently of its pid. Ages of requests in flight count up to now if it is alive, otherwise to its recorded end
/// or last sign of life.
///
/// # Errors
/// It is not a regular file, not this user's (root may read all), or not a record of this version.
pub fn open(path: &Path) -> Result<Record, ReadError> {
    read_opened(&system::open_named(path)?, path)
}

pub(super) fn read_opened(file: &File, path: &Path) -> Result<Record, ReadError> {
    // Checked before the record is read: if the process dies in between, the record may be incomplete.
    let alive = system::is_held(file).unwrap_or(false);
    let mut record = system::read(file)?;
    record.alive = alive;
    record.path = Some(path.display().to_string());
    let now = epoch_ms();
    let as_of = if alive { now } else { last_sign_of_life(&record).min(now) };
    for request in &mut record.in_flight {
        request.age_ms = as_of.saturating_sub(request.started_at) as f64;
    }
    Ok(record)
}

/// A file with a record's name, and its content.
#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    pub record: Result<Box<Record>, ReadError>,
}

#[derive(Debug, Error)]
pub enum FindError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("no record in {}", Places(places))]
    Nothing { places: Vec<PathBuf> },
    #[error("no record named \"{name}\" in {}{}", Places(places), Names(names))]
    NoSuchName { name: String, places: Vec<PathBuf>, names: Vec<String> },
}

struct Places<'a>(&'a [PathBuf]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, place) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, place.display())?;
        }
        Ok(())
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (there are: {})", self.0.join(", ")) }
    }
}

/// Resolves `target`: a file, a folder (itself, and the private folders in it), or the name of records in the default
/// folders (`PLIMSOLL_DIR`, otherwise `/dev/shm` and the temporary folder). Without a target: all records there. Living
/// ones come first, then the newest. Unreadable files come last.
///
/// # Errors
/// Nothing was found. The error names the folders that were searched.
pub fn find(target: Option<&str>) -> Result<Vec<Found>, FindError> {
    let folder = std::env::var_os("PLIMSOLL_DIR").filter(|folder| !folder.is_empty());
    find_in(target, &folder.map_or_else(readable_folders, |folder| vec![folder.into()]))
}

pub(super) fn find_in(target: Option<&str>, bases: &[PathBuf]) -> Result<Vec<Found>, FindError> {
    let mut places = Vec::new();
    let mut unreadable = None;
    if let Some(target) = target {
        let path = Path::new(target);
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                places.push(path.to_owned());
                places.extend(system::private_folders(path));
                let found = records(&places);
                if !found.is_empty() {
                    return Ok(found);
                }
            }
            Ok(_) => return Ok(vec![Found { path: path.to_owned(), record: open(path).map(Box::new) }]),
            Err(source) => unreadable = Some(FindError::Unreadable { path: path.to_owned(), source }),
        }
        if unreadable.is_none() && names_a_path(target) {
            return Err(FindError::Nothing { places });
        }
    }
    let defaults: Vec<PathBuf> = bases.iter().flat_map(|base| system::private_folders(base)).collect();
    let mut found = records(&defaults);
    // If root finds no private folder, the error names the folders that were searched.
    places.extend(if defaults.is_empty() { bases.to_vec() } else { defaults });
    if let Some(target) = target {
        let mut names: Vec<String> =
            found.iter().flat_map(|found| found.record.as_ref().ok()).map(|r| r.name.clone()).collect();
        found.retain(|found| found.record.as_ref().is_ok_and(|record| is_named(record, target)));
        // Names of packages may contain a slash.
        if let Some(unreadable) = unreadable.filter(|_| found.is_empty() && names_a_path(target)) {
            return Err(unreadable);
        }
        if found.is_empty() {
            names.sort();
            names.dedup();
            return Err(FindError::NoSuchName { name: target.to_owned(), places, names });
        }
    }
    if found.is_empty() { Err(FindError::Nothing { places }) } else { Ok(found) }
}

fn names_a_path(target: &str) -> bool {
    target.contains(std::path::is_separator) || target == "." || target == ".." || target.ends_with(EXTENSION)
}

fn records(places: &[PathBuf]) -> Vec<Found> {
    let mut found = Vec::new();
    for place in places {
        let Ok(folder) = Folder::any(place) else { continue };
        for name in folder.names().unwrap_or_default().into_iter().filter(|name| name.ends_with(EXTENSION)) {
            let path = place.join(&name);
            let record = folder.open(&name, false).map_err(ReadError::from).and_then(|file| read_opened(&file, &path));
            found.push(Found { path, record: record.map(Box::new) });
        }
    }
    found.sort_by_key(|found| match &found.record {
        Ok(record) => (false, !record.alive, std::cmp::Reverse(record.started_at)),
        Err(_) => (true, true, std::cmp::Reverse(0)),
    });
    found
}

/// The records that metrics are computed from.
#[derive(Debug, Default)]
pub struct Members {
    /// Of living servers, newest first.
    pub living: Vec<Record>,
    /// Of ended members of runs that continue: their counts stay in the sums.
    pub past: Vec<Record>,
}

/// The records of `service` in all folders that its processes may have used, except the one at `except`.
pub fn members(bases: &[PathBuf], service: &Service, except: Option<&Path>) -> Members {
    // Another user's folder under this user's name is not used.
    let folders: Vec<Folder> = bases.iter().flat_map(|base| Folder::private(&system::private(base))).collect();
    // Locked, so that no record becomes a part of the totals between two readings.
    let locks: Vec<_> = folders.iter().map(Folder::lock).collect();
    let mut found = Members::default();
    let mut ended = Vec::new();
    // Names are random, so the last part of the path is enough, however the folder is written.
    let except = except.and_then(Path::file_name);
    for folder in &folders {
        let names = folder.names().unwrap_or_default().into_iter();
        for file_name in names.filter(|name| name.ends_with(EXTENSION) && Some(name.as_ref()) != except) {
            let Ok(file) = folder.open(&file_name, false) else { continue };
            let head = system::read_head(&file).ok().filter(|head| head.served && service.owns(head));
            let Some(head) = head else { continue };
            let path = folder.path().join(file_name);
            match system::is_held(&file).unwrap_or(false) {
                true => found.living.extend(read_opened(&file, &path)),
                false => ended.push((head.run, file, path)),
            }
        }
    }
    let goes_on = |run: &Run| *run == service.run || found.living.iter().any(|record| record.run == *run);
    let ended = ended.iter().filter(|(run, ..)| goes_on(run));
    found.past = ended.filter_map(|(_, file, path)| read_opened(file, path).ok()).collect();
    found.past.extend(folders.iter().flat_map(|folder| system::totals(folder, service, goes_on)));
    drop(locks);
    found.living.sort_by_key(|record| std::cmp::Reverse(record.started_at));
    found
}

/// Names are cut to their field when they are written, and control characters are replaced when they are read.
pub(super) fn is_named(record: &Record, name: &str) -> bool {
    let fits = name.len().min(header::NAME.max_bytes());
    let end = (0..=fits).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    let end = name[..end].find('\0').unwrap_or(end);
    record.name == name[..end].replace(|c: char| c.is_control(), "\u{fffd}")
}
