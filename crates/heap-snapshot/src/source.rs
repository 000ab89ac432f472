//! Where a snapshot comes from: a file or a stream, plain, gzip or zstd. The first bytes decide which, not the name.
//!
//! It is read in chunks and never mapped: a mapped file counts against the memory bound of a container once it is touched, and one that is
//! truncated meanwhile is a SIGBUS.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use zstd_safe::{DCtx, InBuffer, OutBuffer};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes that a decoder takes at once.
const INPUT_BYTES: usize = 256 << 10;

/// How much has been read. It can be read from another thread.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes of the file that have been read, before decompression.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The bytes of a snapshot, decompressed.
pub struct Source {
    reader: Box<dyn Read + Send>,
    /// Length of the content. None if it is not known in advance: compressed, or from a stream.
    length: Option<u64>,
    /// Length of the file.
    file_bytes: Option<u64>,
    progress: Progress,
    compressed: bool,
}

impl Source {
    /// Opens a file or a named pipe.
    ///
    /// # Errors
    /// The file cannot be opened or read, or it is a folder.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let kind = file.metadata()?;
        if kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        }
        // A pipe has no length.
        Self::new(file, kind.is_file().then_some(kind.len()))
    }

    /// Reads standard input.
    ///
    /// # Errors
    /// Standard input cannot be read.
    pub fn stdin() -> io::Result<Self> {
        Self::new(io::stdin(), None)
    }

    /// Reads any reader. `length` is the number of bytes it gives, if known. With it, memory for all columns is allocated at once.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(reader: impl Read + Send + 'static, length: Option<u64>) -> io::Result<Self> {
        let progress = Progress::default();
        let mut reader = Counted { reader, progress: progress.clone() };
        let mut magic = Vec::with_capacity(ZSTD.len());
        reader.by_ref().take(ZSTD.len() as u64).read_to_end(&mut magic)?;
        let (gzip, zstd) = (magic.starts_with(&GZIP), magic == ZSTD);
        let whole = Cursor::new(magic).chain(reader);
        let reader: Box<dyn Read + Send> = match (gzip, zstd) {
            (true, _) => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(INPUT_BYTES, whole))),
            (_, true) => Box::new(Zstd::new(whole)?),
            _ => Box::new(whole),
        };
        let compressed = gzip || zstd;
        Ok(Self { reader, length: length.filter(|_| !compressed), file_bytes: length, progress, compressed })
    }

    /// The length of the content in bytes. None for compressed data and for streams.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The length of the file in bytes. None for streams.
    pub fn file_bytes(&self) -> Option<u64> {
        self.file_bytes
    }

    /// A counter that another thread can read meanwhile.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Fills `buffer`. Returns how many bytes that were: fewer than its length only at the end of the content.
    ///
    /// # Errors
    /// Reading or inflating fails.
    pub fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.compressed => {
                    let what = format!("the compressed data is damaged or cut off: {error}");
                    return Err(io::Error::new(error.kind(), what));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

struct Counted<R> {
    reader: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.progress.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Consecutive frames of zstd.
struct Zstd<R> {
    reader: R,
    context: DCtx<'static>,
    input: Box<[u8]>,
    filled: usize,
    taken: usize,
    /// Whether a frame has begun and not ended.
    inside: bool,
}

impl<R: Read> Zstd<R> {
    fn new(reader: R) -> io::Result<Self> {
        let context = DCtx::try_create().ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { reader, context, input: vec![0; INPUT_BYTES].into(), filled: 0, taken: 0, inside: false })
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let more = self.taken == self.filled;
            if more {
                self.filled = self.reader.read(&mut self.input)?;
                self.taken = 0;
            }
            let ended = more && self.filled == 0;
            let mut output = OutBuffer::around(&mut *buffer);
            let mut input = InBuffer::around(&self.input[self.taken..self.filled]);
            let before = input.pos;
            let hint = self
                .context
                .decompress_stream(&mut output, &mut input)
                .map_err(|code| io::Error::new(io::ErrorKind::InvalidData, zstd_safe::get_error_name(code)))?;
            let (took, made) = (input.pos - before, output.pos());
            self.taken += took;
            // At the end, a call without progress requests the next frame's header.
            if took > 0 || made > 0 {
                self.inside = hint != 0;
            }
            match (made, ended, self.inside) {
                (0, true, true) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete zstd frame"));
                }
                (0, true, false) => return Ok(0),
                (0, false, _) => {}
                (made, ..) => return Ok(made),
            }
        }
    }
}
