//! Files without a name on Unix, and how they get one.
//!
//! On Linux a file is created with `O_TMPFILE`: it never has a name, so it cannot be left over, and it can be linked
//! into place. It is created with mode 0666 less the umask, the mode that it needs once it has a name. Before that no
//! other process can open it.
//!
//! If the file system does not support that, a file for this user alone is created with a random name, which is removed
//! at once. There is a moment in which `SIGKILL` leaves an empty file. Such a file can only be copied into place.

use std::fs::{File, remove_file};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open, rename};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{BodyFile, Disk};

/// A file that is created with this has the mode that the umask leaves.
const EVERYBODY: Mode =
    Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::WGRP).union(Mode::ROTH).union(Mode::WOTH);
const NEW: OFlags =
    OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A folder in which files without a name are created.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Creates a file as a test. Returns whether the folder is in memory.
    ///
    /// # Errors
    /// The folder does not exist, or cannot be written.
    pub fn try_out(&self) -> io::Result<bool> {
        Ok(in_memory(&Nameless::create_in(&self.0)?.file))
    }
}

impl Disk for Folder {
    fn create(&self) -> io::Result<Arc<dyn BodyFile>> {
        Ok(Arc::new(Nameless::create_in(&self.0)?))
    }
}

struct Nameless {
    file: File,
    /// False if it must be copied into place, and once it has a name: a second name would be the same file, not a copy.
    linkable: AtomicBool,
}

impl Nameless {
    fn create_in(folder: &Path) -> io::Result<Self> {
        if let Some(file) = without_name(folder)? {
            return Ok(Self { file, linkable: AtomicBool::new(true) });
        }
        let (file, path) = with_random_name(folder, Mode::RUSR | Mode::WUSR)?;
        remove_file(path)?;
        Ok(Self { file, linkable: AtomicBool::new(false) })
    }
}

impl BodyFile for Nameless {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_at(&self.file, bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn link(&self, path: &Path, overwrite: bool) -> io::Result<bool> {
        if !self.linkable.swap(false, Ordering::SeqCst) {
            return Ok(false);
        }
        let linked = link(&self.file, path, overwrite);
        if !matches!(linked, Ok(true)) {
            self.linkable.store(true, Ordering::SeqCst);
        }
        linked
    }
}

/// None if the file system does not support files without a name.
#[cfg(target_os = "linux")]
fn without_name(folder: &Path) -> io::Result<Option<File>> {
    match open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, EVERYBODY) {
        Ok(file) => Ok(Some(file.into())),
        // A kernel without this flag tries to open the folder itself.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn without_name(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

fn with_random_name(folder: &Path, mode: Mode) -> io::Result<(File, PathBuf)> {
    loop {
        // The keys of std's hash maps are random. `EXCL` ensures safety, and a random name only saves retries.
        let path = folder.join(format!(".plimsoll-{:016x}", RandomState::new().build_hasher().finish()));
        match open(&path, NEW, mode) {
            Ok(file) => return Ok((file.into(), path)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Beyond `ulimit -f` the kernel sends SIGXFSZ, which would end the server.
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    if getrlimit(Resource::Fsize).current.is_some_and(|most| offset + bytes.len() as u64 > most) {
        return Err(Errno::FBIG.into());
    }
    file.write_all_at(bytes, offset)
}

/// Gives a name to a file without one. False if that is not possible there.
#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path, overwrite: bool) -> io::Result<bool> {
    use std::os::fd::AsRawFd;
    // An empty path with AT_EMPTY_PATH would need a capability.
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let link = |path: &Path| linkat(CWD, &own, CWD, path, AtFlags::SYMLINK_FOLLOW);
    match link(path) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) if overwrite => {
            let beside = loop {
                let name = format!(".plimsoll-{:016x}", RandomState::new().build_hasher().finish());
                let beside = folder_of(path).join(name);
                match link(&beside) {
                    Ok(()) => break beside,
                    Err(Errno::EXIST) => {}
                    Err(_) => return Ok(false),
                }
            };
            rename(&beside, path).inspect_err(|_| drop(remove_file(&beside)))?;
            Ok(true)
        }
        Err(Errno::EXIST) => Err(Errno::EXIST.into()),
        // Another file system, no /proc, a missing permission: for any reason, a copy is tried next.
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path, _: bool) -> io::Result<bool> {
    Ok(false)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The target of a copy: a file in the target's folder, which gets the target's name when it is complete.
pub struct Target {
    file: File,
    path: PathBuf,
    /// The name, if there are no files without one. It is removed unless the file is renamed.
    named: Option<PathBuf>,
}

impl Target {
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let folder = folder_of(&path);
        match without_name(folder)? {
            Some(file) => Ok(Self { file, path, named: None }),
            None => {
                let (file, named) = with_random_name(folder, EVERYBODY)?;
                Ok(Self { file, path, named: Some(named) })
            }
        }
    }

    /// Used after `place` has failed: there is no /proc to link from.
    pub fn restart_named(&mut self) -> io::Result<()> {
        let (file, named) = with_random_name(folder_of(&self.path), EVERYBODY)?;
        self.file = file;
        self.named = Some(named);
        Ok(())
    }

    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_at(&self.file, bytes, offset)
    }

    /// Gives the file its name. False if it must be created again with another name.
    pub fn place(&mut self, overwrite: bool) -> io::Result<bool> {
        let Some(named) = &self.named else { return link(&self.file, &self.path, overwrite) };
        if overwrite {
            rename(named, &self.path)?;
        } else {
            rename_to_nothing(named, &self.path)?;
        }
        self.named = None;
        Ok(true)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(named) = self.named.take() {
            let _ = remove_file(named);
        }
    }
}

/// Renames, and fails if the target exists.
fn rename_to_nothing(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    match rustix::fs::renameat_with(CWD, from, CWD, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        renamed => return Ok(renamed?),
    }
    linkat(CWD, from, CWD, to, AtFlags::empty())?;
    remove_file(from)
}

/// Whether the file's pages are in memory.
fn in_memory(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: u32 = 0x0102_1994;
        const RAMFS: u32 = 0x8584_58f6;
        // The field's type differs between architectures. The magic numbers have 32 bits on all.
        rustix::fs::fstatfs(file).is_ok_and(|fs| matches!(fs.f_type as u32, TMPFS | RAMFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Whether the reason is lack of space, not an I/O error.
pub fn is_full(error: &io::Error) -> bool {
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    full.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{read, read_dir, write};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    /// A file as it is created without `O_TMPFILE`.
    fn unlinked(folder: &Path) -> Nameless {
        let (file, path) = with_random_name(folder, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        remove_file(path).unwrap();
        Nameless { file, linkable: AtomicBool::new(false) }
    }

    #[test]
    fn a_file_has_no_name_until_it_is_linked_and_then_one() {
        let folder = tempfile::tempdir().unwrap();
        let made = Nameless::create_in(folder.path()).unwrap();
        made.write_at(b"body", 0).unwrap();
        assert_eq!(read_dir(folder.path()).unwrap().count(), 0);
        let path = folder.path().join("a");
        assert!(made.link(&path, false).unwrap(), "the folder of the tests is on a file system with O_TMPFILE");
        assert_eq!(path.metadata().unwrap().ino(), made.file.metadata().unwrap().ino());
        assert!(!made.link(&folder.path().join("b"), false).unwrap(), "the second is a copy");
        assert_eq!(read(path).unwrap(), b"body");
    }

    #[test]
    fn a_link_overwrites_nothing_unless_requested() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, "older").unwrap();
        let made = Nameless::create_in(folder.path()).unwrap();
        assert_eq!(made.link(&path, false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap(), b"older");
        assert!(made.link(&path, true).unwrap());
        assert_eq!(read(&path).unwrap(), b"");
        assert_eq!(read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn without_nameless_files_a_copy_is_renamed_into_place() {
        let folder = tempfile::tempdir().unwrap();
        let made = unlinked(folder.path());
        assert!(!made.link(&folder.path().join("a"), false).unwrap());
        let path = folder.path().join("a");
        for (overwrite, content) in [(false, "one"), (true, "two")] {
            let mut target = Target::create(path.clone()).unwrap();
            target.restart_named().unwrap();
            target.write_at(content.as_bytes(), 0).unwrap();
            assert!(target.place(overwrite).unwrap());
        }
        let mut target = Target::create(path.clone()).unwrap();
        target.restart_named().unwrap();
        assert_eq!(target.place(false).unwrap_err().kind(), ErrorKind::AlreadyExists);
        drop(target);
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(read_dir(folder.path()).unwrap().count(), 1, "what is not placed is removed");
    }

    #[test]
    fn a_missing_folder_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let error = Folder::new(folder.path().join("none")).try_out().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
