//! A file to which lines are appended, with rotation by size. Several processes may write to the same file: lines stay
//! complete, and one of the processes rotates.
//!
//! Each append locks the file and then checks whether the path still names the open file. Another process may have
//! rotated it, or it may have been deleted, with its folder or alone. Only the process that has locked the file at the
//! path may rename. So only one process at a time does the chain of renames.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Sink, StatsFile};

/// How often the file may turn out to be replaced or full while one line is being written.
const ATTEMPTS: usize = 16;

pub struct Appender {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    /// Kept open. A check of the path shows whether it is still the same file.
    file: Option<File>,
}

impl Appender {
    pub fn new(StatsFile { file, max_bytes, keep, .. }: StatsFile) -> Self {
        Self { path: file, max_bytes, keep, file: None }
    }

    fn try_append(&mut self, line: &[u8]) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let file = match self.file.take() {
                Some(file) => file,
                None => open(&self.path)?,
            };
            let locked = Locked::new(file)?;
            if !is_at(&locked.file, &self.path)? {
                continue;
            }
            let size = locked.file.metadata()?.len();
            // A process that was killed during a write leaves half a line. This line must not be appended to it.
            let mend: &[u8] = if size > 0 && last_byte(&locked.file, size)? != b'\n' { b"\n" } else { b"" };
            let bytes = [mend, line].concat();
            if size > 0 && size.saturating_add(bytes.len() as u64) > self.max_bytes {
                self.rotate()?;
                continue;
            }
            if let Err(error) = (&locked.file).write_all(&bytes) {
                // A full disk may have taken a part. Without a lock, what follows it may belong to another process.
                if locked.held {
                    locked.file.set_len(size)?;
                }
                return Err(error);
            }
            self.file = Some(locked.release());
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::WouldBlock, "another process keeps replacing it"))
    }

    fn rotate(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for index in (1..self.keep).rev() {
            match fs::rename(self.numbered(index), self.numbered(index + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, index: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{index}"));
        name.into()
    }
}

impl Sink for Appender {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.try_append(line).inspect_err(|_| self.file = None)
    }
}

fn last_byte(mut file: &File, size: u64) -> io::Result<u8> {
    let mut byte = [0];
    // A file that is open for appending ignores the position when it writes.
    file.seek(SeekFrom::Start(size - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Symbolic links are not followed, because another user may have created them. A pipe without a reader does not
        // block the thread.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    // Rotation renames what is at the path, which must not be a device or a pipe.
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file")),
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// On other platforms, other processes can neither rename nor remove an open file.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// A file with its lock. On a file system without locks it has none: there, appending alone keeps lines complete.
struct Locked {
    file: File,
    held: bool,
}

#[cfg(unix)]
impl Locked {
    fn new(file: File) -> io::Result<Self> {
        use rustix::fs::{FlockOperation::NonBlockingLockExclusive, flock};
        use rustix::io::Errno;
        // Other processes lock it for one write. One that locks it for longer must not block this thread.
        for _ in 0..100 {
            match flock(&file, NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { file, held: true }),
                Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL) => {
                    return Ok(Self { file, held: false });
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(std::time::Duration::from_millis(3)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(ErrorKind::WouldBlock, "another process holds its lock"))
    }

    fn release(self) -> File {
        // If it cannot be unlocked, it is not locked, or closing unlocks it.
        let _ = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock);
        self.file
    }
}

#[cfg(not(unix))]
impl Locked {
    fn new(file: File) -> io::Result<Self> {
        Ok(Self { file, held: false })
    }

    fn release(self) -> File {
        self.file
    }
}
