//! Platforms without Unix files: records can be read, but not stored in a file.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::FILE_BYTES;
use super::super::death::{Death, Surroundings};
use super::super::map::Map;
use super::super::reader::{self, ReadError};
use super::super::record::Record;
use super::super::writer::{Identity, Run, Writer};
use super::{Options, Service};

pub struct Held(Infallible);

impl Held {
    pub fn create(_: &Path, _: &Options, _: &Identity) -> io::Result<(Self, Arc<Map>, Writer)> {
        Err(io::Error::new(ErrorKind::Unsupported, "record files are not supported on this platform"))
    }
    pub fn path(&self) -> &Path {
        match self.0 {}
    }
    pub fn folder(&self) -> &Path {
        match self.0 {}
    }
    pub fn touch(&self) {
        match self.0 {}
    }
    pub fn flush(&self) {
        match self.0 {}
    }
    pub fn mirror_errors(&self) -> u64 {
        match self.0 {}
    }
    pub fn take_mirror_error(&self) -> Option<io::Error> {
        match self.0 {}
    }
    pub fn discard(&self) {
        match self.0 {}
    }
    pub fn close(self, _: bool) {
        match self.0 {}
    }
}

/// There are no dead records here.
pub fn last_death(_: &[PathBuf], _: &Service, _: &Surroundings, _: bool) -> Option<Death> {
    None
}

/// There are no dead records here.
pub fn prune(_: &[PathBuf], _: &Service, _: &Options) {}

/// No process writes records on this platform.
pub fn totals(_: &Folder, _: &Service, _: impl Fn(&Run) -> bool) -> Vec<Record> {
    Vec::new()
}

/// The folder of records.
pub fn private(base: &Path) -> PathBuf {
    base.to_owned()
}

pub struct Folder(PathBuf);

impl Folder {
    pub fn any(path: &Path) -> io::Result<Self> {
        path.read_dir().map(|_| Self(path.to_owned()))
    }
    pub fn private(path: &Path) -> io::Result<Self> {
        Self::any(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// No process changes records on this platform.
    pub fn lock(&self) -> Option<()> {
        Some(())
    }
    pub fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.read_dir()?.flatten().flat_map(|entry| entry.file_name().into_string()).collect())
    }
    pub fn open(&self, name: &str, _: bool) -> io::Result<File> {
        open_named(&self.0.join(name))
    }
}

pub fn open_named(path: &Path) -> io::Result<File> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

pub fn private_folders(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// The owner of a record is on another machine.
pub fn is_held(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn bytes(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn read(file: &File) -> Result<Record, ReadError> {
    reader::read(bytes(file)?.as_slice())
}

pub fn read_head(file: &File) -> Result<Record, ReadError> {
    reader::read_head(bytes(file)?.as_slice())
}
