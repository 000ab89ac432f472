//! Reads JSON by bytes, with at most a chunk of it in memory. Nothing here recurses, because the author of a file
//! controls its depth.

use crate::error::{Error, Result};
use crate::source::Source;

/// Bytes that are read at once: they should fit into a core's cache together with the columns.
pub const CHUNK_BYTES: usize = 512 << 10;
/// The longest key. Keys of a snapshot are words.
const KEY_BYTES: usize = 256;

/// A buffer that is reused, and so zeroed only once.
#[derive(Default)]
pub struct Chunk {
    memory: Vec<u8>,
    length: usize,
}

impl Chunk {
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.length]
    }

    pub fn truncate(&mut self, length: usize) {
        self.length = length.min(self.length);
    }

    /// Room for `bytes` more.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.length + bytes;
        if self.memory.len() < end {
            self.memory.resize(end.next_multiple_of(4096), 0);
        }
        &mut self.memory[self.length..end]
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn read(&mut self, source: &mut Source) -> Result<usize> {
        let read = source.fill(self.room(CHUNK_BYTES))?;
        self.length += read;
        Ok(read)
    }
}

/// A position in the content.
pub struct Cursor<'a> {
    source: &'a mut Source,
    buffer: Chunk,
    /// Offset of the buffer's first byte.
    base: u64,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(source: &'a mut Source) -> Self {
        Self { source, buffer: Chunk::default(), base: 0, at: 0 }
    }

    pub fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Bytes of content left, if known.
    pub fn left(&self) -> Option<u64> {
        self.source.length().map(|length| length.saturating_sub(self.offset()))
    }

    pub fn unexpected(&self, what: impl Into<String>) -> Error {
        Error::malformed(what, self.offset())
    }

    fn ended(&self) -> Error {
        let what = if self.offset() == 0 { "the file is empty" } else { "the file ends too early (is it cut off?)" };
        self.unexpected(what)
    }

    /// What is read and not yet consumed. Empty only at the end.
    pub fn rest(&mut self) -> Result<&[u8]> {
        if self.at == self.buffer.length {
            self.base += self.at as u64;
            self.at = 0;
            self.buffer.truncate(0);
            self.buffer.read(self.source)?;
        }
        Ok(&self.buffer.bytes()[self.at..])
    }

    pub fn take(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Passes on what is read and continues to read into `chunk`, until that has `CHUNK_BYTES` more or the content
    /// ends. Returns whether there was any.
    pub fn fill(&mut self, chunk: &mut Chunk) -> Result<bool> {
        let held = chunk.length;
        chunk.append(&self.buffer.bytes()[self.at..]);
        self.base += self.buffer.length as u64;
        self.at = 0;
        self.buffer.truncate(0);
        self.base += chunk.read(self.source)? as u64;
        Ok(chunk.length > held)
    }

    /// Returns the end of what [`Self::fill`] passed on.
    pub fn put_back(&mut self, rest: &[u8]) {
        debug_assert!(self.at == self.buffer.length);
        self.base = self.offset() - rest.len() as u64;
        self.at = 0;
        self.buffer.truncate(0);
        self.buffer.append(rest);
    }

    /// The next byte that is not white space, without consuming it.
    pub fn peek(&mut self) -> Result<u8> {
        loop {
            let rest = self.rest()?;
            let Some(found) = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) else {
                let blank = rest.len();
                if blank == 0 {
                    return Err(self.ended());
                }
                self.take(blank);
                continue;
            };
            let byte = rest[found];
            self.take(found);
            return Ok(byte);
        }
    }

    /// Consumes `byte`, which must come next.
    pub fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take_if(byte)? { Ok(()) } else { Err(self.unexpected(format!("'{}' was expected", char::from(byte)))) }
    }

    pub fn take_if(&mut self, byte: u8) -> Result<bool> {
        let found = self.peek()? == byte;
        self.take(usize::from(found));
        Ok(found)
    }

    /// A key of an object, without its quotes, and the colon after it.
    pub fn key(&mut self) -> Result<String> {
        let offset = self.offset();
        let mut key = Vec::new();
        self.expect(b'"')?;
        self.string(&mut |part| {
            key.extend_from_slice(part);
            key.len() <= KEY_BYTES
        })?
        .then_some(())
        .ok_or_else(|| Error::malformed(format!("a key of more than {KEY_BYTES} bytes"), offset))?;
        self.expect(b':')?;
        Ok(String::from_utf8_lossy(&key).into_owned())
    }

    /// The text between quotes, the first of which is consumed already. It is passed in parts, with its escapes. Ends
    /// after the closing quote or, with false, when `sink` returns false.
    pub fn string(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        loop {
            let rest = self.rest()?;
            let found = memchr::memchr2(b'"', b'\\', rest);
            let plain = found.unwrap_or(rest.len());
            if rest.is_empty() {
                return Err(self.ended());
            }
            if !sink(&rest[..plain]) {
                return Ok(false);
            }
            let quote = found.map(|found| rest[found]);
            self.take(plain);
            match quote {
                None => {}
                Some(b'"') => {
                    self.take(1);
                    return Ok(true);
                }
                Some(_) => {
                    self.take(1);
                    let escaped = self.rest()?.first().copied();
                    let escaped = escaped.ok_or_else(|| self.ended())?;
                    self.take(1);
                    if !sink(&[b'\\', escaped]) {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Skips a value of any kind, and passes its bytes to `sink`, which may reject them.
    pub fn value(&mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        let start = self.offset();
        let refused = || Error::malformed("too long a value", start);
        let mut depth = 0u64;
        loop {
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    self.take(1);
                    let whole = sink(b"\"") && self.string(sink)? && sink(b"\"");
                    whole.then_some(()).ok_or_else(refused)?;
                }
                b'}' | b']' if depth == 0 => return Err(self.unexpected("a value was expected")),
                _ => {
                    self.take(1);
                    depth = match byte {
                        b'{' | b'[' => depth + 1,
                        b'}' | b']' => depth - 1,
                        _ => depth,
                    };
                    sink(&[byte]).then_some(()).ok_or_else(refused)?;
                }
            }
            let container = matches!(byte, b'{' | b'}' | b'[' | b']' | b'"');
            if depth == 0 && (container || matches!(self.peek()?, b',' | b'}' | b']')) {
                return Ok(());
            }
        }
    }
}
