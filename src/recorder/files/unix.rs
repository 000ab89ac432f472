//! Folders, files and locks, by descriptors: what is used is what was checked.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use super::super::FILE_BYTES;
use super::super::reader::{self, ReadError};
use super::super::record::Record;
use super::super::writer::Run;
use super::{Service, totals};

const PREFIX: &str = "plimsoll-";
/// Non-blocking, so that opening a FIFO with a record's name does not block.
const ENTRY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Prefixes an error with what was being done.
pub fn doing(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn private_name() -> String {
    format!("{PREFIX}{}", geteuid().as_raw())
}

/// The folder of the effective user's records in `base`.
pub fn private(base: &Path) -> PathBuf {
    base.join(private_name())
}

pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// The private folder of the effective user inside `base`, created if needed.
    ///
    /// # Errors
    /// `base` is missing or read-only. Or the private folder's name belongs to a symbolic link, to another user, or to
    /// a folder that is open to others.
    pub fn private_in(base: &Path) -> io::Result<Self> {
        let base_fd =
            open(base, FOLDER, Mode::empty()).map_err(io::Error::from).map_err(doing("opening the folder"))?;
        let name = private_name();
        match mkdirat(&base_fd, &name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(doing(format_args!("making {name} in it"))(error.into())),
        }
        let fd = openat(&base_fd, &name, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => refused(format!("{name} in it is a symbolic link or not a folder")),
            other => doing(format_args!("opening {name} in it"))(other.into()),
        })?;
        // Absolute, because the process may change its working directory.
        let path = std::path::absolute(base)?.join(name);
        Self { fd, path }.checked()
    }

    /// Size of its file system. None if unknown.
    pub fn file_system_bytes(&self) -> Option<u64> {
        let fs = rustix::fs::fstatvfs(&self.fd).ok()?;
        Some(fs.f_blocks.saturating_mul(fs.f_frsize)).filter(|bytes| *bytes > 0)
    }

    /// Opens a private folder whose files are to be changed.
    pub fn private(path: &Path) -> io::Result<Self> {
        let fd = open(path, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        Self { fd, path: path.to_owned() }.checked()
    }

    /// Opens any folder for reading.
    pub fn any(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: open(path, FOLDER, Mode::empty())?, path: path.to_owned() })
    }

    fn checked(self) -> io::Result<Self> {
        let folder = File::from(self.fd.try_clone()?).metadata()?;
        let path = self.path.display();
        if folder.uid() != geteuid().as_raw() {
            return Err(refused(format!("{path} belongs to uid {}", folder.uid())));
        }
        if folder.mode() & 0o077 != 0 {
            return Err(refused(format!(
                "{path} is open to other users (mode {:03o}, not 700)",
                folder.mode() & 0o777
            )));
        }
        Ok(self)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of its entries, in no order. Names that are not UTF-8 are not ours.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            names.extend(entry?.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// Opens one of its regular files that this user may read, and change with `write`. Symbolic links are not
    /// followed.
    pub fn open(&self, name: &str, write: bool) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let file = openat(&self.fd, name, access | ENTRY, Mode::empty()).map_err(|error| match error {
            Errno::LOOP => refused("a symbolic link".into()),
            other => other.into(),
        })?;
        checked_file(file.into())
    }

    /// Creates a file that only this user can access.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Only one process at a time may judge and remove the files of a folder. None if another one takes longer than
    /// half a second. If a folder cannot be locked (NFS), there is no waiting, and two starts at once may report the
    /// same death.
    pub fn lock(&self) -> Option<FolderLock<'_>> {
        for _ in 0..50 {
            match flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(Duration::from_millis(10)),
                _ => return Some(FolderLock(&self.fd)),
            }
        }
        None
    }
}

pub struct FolderLock<'a>(&'a OwnedFd);

impl Drop for FolderLock<'_> {
    fn drop(&mut self) {
        // The descriptor may also be open in a forked child, so closing it would not be enough.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

/// A file that the user named. Symbolic links are followed here.
pub fn open_named(path: &Path) -> io::Result<File> {
    // Checked before it is opened too: opening some devices has an effect.
    let before = path.metadata()?;
    checked(&before)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    checked_file(open(path, flags, Mode::empty())?.into())
}

fn checked_file(file: File) -> io::Result<File> {
    checked(&file.metadata()?)?;
    Ok(file)
}

fn checked(file: &Metadata) -> io::Result<()> {
    let kind = file.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a folder"
        } else if kind.is_fifo() {
            "a FIFO"
        } else if kind.is_socket() {
            "a socket"
        } else {
            "a device"
        };
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{what}, not a regular file")));
    }
    let user = geteuid();
    if !user.is_root() && file.uid() != user.as_raw() {
        return Err(refused(format!("it belongs to uid {}: only that user and root may read it", file.uid())));
    }
    Ok(())
}

/// The private folders inside `base` that this user may read: its own, and for root all.
pub fn private_folders(base: &Path) -> Vec<PathBuf> {
    let user = geteuid();
    if !user.is_root() {
        return vec![private(base)];
    }
    let Ok(names) = Folder::any(base).and_then(|folder| folder.names()) else { return Vec::new() };
    let is_its_owners = |name: &String| {
        let owner = name.strip_prefix(PREFIX).and_then(|uid| uid.parse().ok());
        base.join(name).symlink_metadata().is_ok_and(|folder| folder.is_dir() && Some(folder.uid()) == owner)
    };
    names.into_iter().filter(is_its_owners).map(|name| base.join(name)).collect()
}

/// Takes the lock that shows that the owner is alive. It ends with the process, in any case.
pub fn hold(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::NonBlockingLockExclusive)?)
}

/// Explicit, because the map keeps the open file and its lock.
pub fn release(file: &File) {
    let _ = flock(file, FlockOperation::Unlock);
}

/// Whether the owner is alive. This takes a shared lock, so that several readers do not look like an owner.
///
/// # Errors
/// The file system has no locks.
pub fn is_held(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            release(file);
            Ok(false)
        }
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Gives the file its full length with every block allocated.
///
/// # Errors
/// No space, or a file size limit below a record's size. The file may then have any length.
pub fn preallocate(file: &File) -> io::Result<()> {
    // Beyond `ulimit -f` the kernel sends SIGXFSZ, which would end the server.
    if getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < FILE_BYTES as u64) {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "the file size limit (ulimit -f) is too low"));
    }
    #[cfg(target_os = "linux")]
    // Interrupted by a signal, tmpfs releases what it had allocated. The number of tries is limited, because a
    // profiler's timer could interrupt each.
    for _ in 0..100 {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, FILE_BYTES as u64) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let zeros = [0; 16 << 10];
    let mut written = 0;
    while written < FILE_BYTES {
        let chunk = &zeros[..zeros.len().min(FILE_BYTES - written)];
        file.write_all_at(chunk, written as u64)?;
        written += chunk.len();
    }
    Ok(())
}

/// Whether the file's pages are in memory anyway. Accessing its mapping then neither causes a SIGBUS nor waits for a
/// disk.
pub fn in_memory(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        const TMPFS: u32 = 0x0102_1994;
        const RAMFS: u32 = 0x8584_58f6;
        // The field's type differs between architectures. The magic numbers have 32 bits on all.
        rustix::fs::fstatfs(file.as_fd()).is_ok_and(|fs| matches!(fs.f_type as u32, TMPFS | RAMFS))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file.as_fd();
        false
    }
}

/// Whether `name` was created by Plimsoll: 16 hexadecimal digits and `extension`.
pub fn is_ours(name: &str, extension: &str) -> bool {
    let stem = name.strip_suffix(extension).and_then(|name| name.strip_suffix('.'));
    stem.is_some_and(|stem| stem.len() == 16 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A number that another user cannot guess.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    use std::io::Read;
    let mut bytes = [0; 8];
    match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // Without /dev, the keys of std's hash maps are random as well.
        Err(_) => std::hash::RandomState::new().build_hasher().finish(),
    }
}

pub fn read(file: &File) -> Result<Record, ReadError> {
    reader::read(file)
}

pub fn read_head(file: &File) -> Result<Record, ReadError> {
    reader::read_head(file)
}

/// Totals of the ended members of runs that continue.
pub fn totals(folder: &Folder, service: &Service, goes_on: impl Fn(&Run) -> bool) -> Vec<Record> {
    totals::of(folder, service, goes_on)
}
