//! Finding and reading records, one's own and others'. Read-only, and of anyone's making: `reader` trusts nothing in them.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::death::last_sign_of_life;
use super::super::layout::header;
use super::super::reader::ReadError;
use super::super::record::Record;
use super::super::writer::epoch_ms;
use super::default_folders;
use super::system::{self, Folder};

const EXTENSION: &str = ".plimsoll";

/// The record in the file at `path`, which may be a symbolic link. It is alive if its owner holds its lock, whatever process has its pid.
/// Ages of requests in flight count up to now if it is alive, else to its recorded end or last sign of life.
///
/// # Errors
/// It is not a regular file, not this user's (root may read all), or not a record of this version.
pub fn open(path: &Path) -> Result<Record, ReadError> {
    read_opened(&system::open_named(path)?, path)
}

pub(super) fn read_opened(file: &File, path: &Path) -> Result<Record, ReadError> {
    // Before it is read: of one that dies meanwhile, not everything has been seen.
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

/// A file of a record's name, and what is in it.
#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    pub record: Result<Box<Record>, ReadError>,
}

#[derive(Debug, Error)]
pub enum FindError {
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("no recorder in {}", Places(places))]
    Nothing { places: Vec<PathBuf> },
    #[error("no recorder named \"{name}\" in {}{}", Places(places), Names(names))]
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

/// What `target` means: a file; a folder (itself, and the private folders in it); else the name of recorders, looked up where
/// they are by default (`PLIMSOLL_DIR`, else `/dev/shm` and the temporary folder). Without one: all that are there.
/// The living come first, then the newest; what cannot be read comes last.
///
/// # Errors
/// Nothing was found; it says where that was looked for.
pub fn find(target: Option<&str>) -> Result<Vec<Found>, FindError> {
    let folder = std::env::var_os("PLIMSOLL_DIR").filter(|folder| !folder.is_empty());
    find_in(target, &folder.map_or_else(default_folders, |folder| vec![folder.into()]))
}

pub(super) fn find_in(target: Option<&str>, bases: &[PathBuf]) -> Result<Vec<Found>, FindError> {
    let mut places = Vec::new();
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
            Err(source) if names_a_path(target) => return Err(FindError::Unreadable { path: path.to_owned(), source }),
            Err(_) => {}
        }
        if names_a_path(target) {
            return Err(FindError::Nothing { places });
        }
    }
    let defaults: Vec<PathBuf> = bases.iter().flat_map(|base| system::private_folders(base)).collect();
    let mut found = records(&defaults);
    // Where root finds no private folder, the folders it was looked for in say more than nothing.
    places.extend(if defaults.is_empty() { bases.to_vec() } else { defaults });
    if let Some(target) = target {
        let mut names: Vec<String> =
            found.iter().flat_map(|found| found.record.as_ref().ok()).map(|r| r.name.clone()).collect();
        found.retain(|found| found.record.as_ref().is_ok_and(|record| is_named(record, target)));
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

/// The living records of `name` in the private folder `folder`, newest first, but for the one at `except`.
pub fn live(folder: &Path, name: &str, except: Option<&Path>) -> Vec<Record> {
    let Ok(folder) = Folder::any(folder) else { return Vec::new() };
    let names = folder.names().unwrap_or_default().into_iter();
    // Names are random: the last part of the path is enough, however the folder is written.
    let except = except.and_then(Path::file_name);
    let others = names.filter(|name| name.ends_with(EXTENSION) && Some(name.as_ref()) != except);
    let mut records: Vec<Record> = others
        .filter_map(|file_name| {
            let file = folder.open(&file_name, false).ok()?;
            if !system::is_held(&file).unwrap_or(false) {
                return None;
            }
            head(&file, name)?;
            read_opened(&file, &folder.path().join(file_name)).ok()
        })
        .collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.started_at));
    records
}

/// The head of a record of this name; its lists are not read.
pub(super) fn head(file: &File, name: &str) -> Option<Record> {
    system::read_head(file).ok().filter(|record| is_named(record, name))
}

/// Names are cut to their field when they are written, and cleared of control characters when they are read.
fn is_named(record: &Record, name: &str) -> bool {
    let fits = name.len().min(header::NAME.max_bytes());
    let end = (0..=fits).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    let end = name[..end].find('\0').unwrap_or(end);
    record.name == name[..end].replace(|c: char| c.is_control(), "\u{fffd}")
}
