//! Platforms without Unix files: bodies stay in memory within their limits, and are copied to their target.

use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::{BodyFile, Disk};

pub struct Folder;

impl Folder {
    pub fn new(_: PathBuf) -> Self {
        Self
    }

    pub fn try_out(&self) -> io::Result<bool> {
        self.create().map(|_| false)
    }
}

impl Disk for Folder {
    fn create(&self) -> io::Result<Arc<dyn BodyFile>> {
        Err(io::Error::new(ErrorKind::Unsupported, "bodies cannot be spooled to disk on this platform"))
    }
}

pub struct Target {
    file: File,
    path: PathBuf,
    beside: PathBuf,
    placed: bool,
}

impl Target {
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let beside = path.with_extension("plimsoll-part");
        let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        Ok(Self { file, path, beside, placed: false })
    }

    pub fn restart_named(&mut self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    pub fn place(&mut self, overwrite: bool) -> io::Result<bool> {
        if !overwrite && self.path.exists() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        rename(&self.beside, &self.path)?;
        self.placed = true;
        Ok(true)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.placed {
            let _ = remove_file(&self.beside);
        }
    }
}

pub fn is_full(error: &io::Error) -> bool {
    [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge].contains(&error.kind())
}
