//! The file of a snapshot, which gets its name when it is complete.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD};
use zstd_safe::zstd_sys::ZSTD_EndDirective::{self, ZSTD_e_continue, ZSTD_e_end};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

const LEVEL: i32 = 3;

/// A file that is removed when this is dropped, unless it was [`finished`](Sink::finish).
pub struct Sink {
    file: File,
    /// None for a file without a name, which is removed even if the process is killed.
    partial: Option<Partial>,
    target: PathBuf,
    encoder: Option<Encoder>,
    written: u64,
}

#[cfg(test)]
impl Sink {
    /// A sink without any space.
    pub fn full() -> Self {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        Self { file, partial: None, target: PathBuf::new(), encoder: None, written: 0 }
    }
}

/// A temporary name of a file.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // It does not exist any more after a rename.
        let _ = fs::remove_file(&self.0);
    }
}

impl Sink {
    /// Creates a file next to `target` that only its owner can read: a snapshot contains secrets.
    pub fn create(target: &Path, compressed: bool) -> io::Result<Self> {
        let name =
            target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"))?;
        let encoder = if compressed { Some(Encoder::new()?) } else { None };
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let nameless = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(folder);
        let (file, partial) = match nameless {
            Ok(file) => (file, None),
            // The file system does not support files without a name.
            Err(_) => {
                let path = target.with_file_name(partial_name(name));
                (OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?, Some(Partial(path)))
            }
        };
        Ok(Self { file, partial, target: target.to_owned(), encoder, written: 0 })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.encoder {
            Some(encoder) => self.written += encoder.encode(bytes, ZSTD_e_continue, &mut self.file)?,
            None => {
                self.file.write_all(bytes)?;
                self.written += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Gives the file its name, and returns its size.
    pub fn finish(mut self) -> io::Result<u64> {
        if let Some(encoder) = &mut self.encoder {
            self.written += encoder.encode(&[], ZSTD_e_end, &mut self.file)?;
        }
        let partial = match self.partial {
            Some(partial) => partial,
            None => {
                // A link does not replace an existing file, a rename does.
                let name = self.target.file_name().unwrap_or_default();
                let path = self.target.with_file_name(partial_name(name));
                let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                rustix::fs::linkat(CWD, own, CWD, &path, AtFlags::SYMLINK_FOLLOW)?;
                Partial(path)
            }
        };
        fs::rename(&partial.0, &self.target)?;
        Ok(self.written)
    }
}

/// Contains the pid and the time, so an existing file belongs to another process.
fn partial_name(name: &OsStr) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!(".{}.{}-{now:x}.partial", name.to_string_lossy(), std::process::id())
}

struct Encoder {
    context: CCtx<'static>,
    output: Vec<u8>,
}

impl Encoder {
    fn new() -> io::Result<Self> {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(broken)?;
        context.set_parameter(CParameter::ChecksumFlag(true)).map_err(broken)?;
        Ok(Self { context, output: vec![0; CCtx::out_size()] })
    }

    /// Returns the number of bytes written to `file`.
    fn encode(&mut self, bytes: &[u8], directive: ZSTD_EndDirective, file: &mut File) -> io::Result<u64> {
        let mut input = InBuffer::around(bytes);
        let mut written = 0;
        loop {
            let mut output = OutBuffer::around(&mut self.output[..]);
            let left = self.context.compress_stream2(&mut output, &mut input, directive).map_err(broken)?;
            let made = output.pos();
            file.write_all(&self.output[..made])?;
            written += made as u64;
            let done = match directive {
                ZSTD_e_end => left == 0,
                _ => input.pos() == bytes.len(),
            };
            if done {
                return Ok(written);
            }
        }
    }
}

fn broken(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_whole_and_its_owners_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.heapsnapshot");
        let mut sink = Sink::create(&target, false).unwrap();
        sink.write(b"{}").unwrap();
        assert!(!target.exists());
        assert_eq!(sink.finish().unwrap(), 2);
        assert_eq!(fs::read(&target).unwrap(), b"{}");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        let mut dropped = Sink::create(&folder.path().join("b"), true).unwrap();
        dropped.write(b"{").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.heapsnapshot.zst");
        let text: Vec<u8> = (0..3_000_000u32).flat_map(|i| i.wrapping_mul(i).to_le_bytes()).collect();
        let mut sink = Sink::create(&target, true).unwrap();
        for piece in text.chunks(100_000) {
            sink.write(piece).unwrap();
        }
        let bytes = sink.finish().unwrap();
        let file = fs::read(&target).unwrap();
        assert_eq!(bytes, file.len() as u64);
        let mut back = vec![0; text.len() + 1];
        let length = zstd_safe::decompress(&mut back[..], &file).unwrap();
        assert!(back[..length] == text);
    }
}
