//! Reads the lists that are nearly all of a file: rows of unsigned integers. Several threads alternate. One thread at a
//! time has the file: it reads a chunk and cuts it between rows, which only needs counting commas. Then it converts the
//! chunk to columns while the next thread reads. Each thread has its own part of the columns. So a chunk stays in the
//! cache of one core, and nothing is copied between threads.

use std::sync::{Mutex, PoisonError};
use std::thread;

use super::cursor::{CHUNK_BYTES, Chunk, Cursor};
use super::number::{Numbers, Unexpected};
use crate::error::{Error, Result};
use crate::threads;

/// A part of columns to be filled.
pub trait Part: Sized + Send {
    /// What reading finds in addition.
    type Found: Default + Send;

    /// `usize::MAX` if the number is unknown.
    fn rows(&self) -> usize;
    /// Splits off its first `rows` rows.
    fn split(&mut self, rows: usize) -> Self;
    /// Fills all rows. `offset` is where the numbers begin in the content.
    fn read(self, numbers: &mut Numbers<'_>, offset: u64) -> std::result::Result<Self::Found, Unexpected>;
    fn merge(into: &mut Self::Found, found: Self::Found);
}

/// The state that the threads share.
struct Rows<'a, 'b, P> {
    cursor: &'a mut Cursor<'b>,
    part: P,
    fields: usize,
    /// Bytes of the last chunk after its last complete row.
    carried: Vec<u8>,
    /// Whether the list's bracket was seen.
    ended: bool,
    /// Whether there is nothing more to read.
    is_over: bool,
}

/// Fills `part` from rows of `fields` numbers. The list's opening bracket is consumed already, and its closing one is
/// left.
pub fn read<P: Part>(cursor: &mut Cursor<'_>, part: P, fields: usize) -> Result<P::Found> {
    let rows = Mutex::new(Rows { cursor, part, fields, carried: Vec::new(), ended: false, is_over: false });
    let ends: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads::count()).map(|_| scope.spawn(|| work(&rows))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut found = P::Found::default();
    let mut first: Option<Error> = None;
    for end in ends {
        match end.unwrap_or(Err(Error::Internal("a reading thread panicked"))) {
            Ok(more) => P::merge(&mut found, more),
            // An invalid row comes before the missing end that it has caused.
            Err(error) if first.as_ref().is_none_or(|first| error.offset() < first.offset()) => first = Some(error),
            Err(_) => {}
        }
    }
    first.map_or(Ok(found), Err)
}

fn work<P: Part>(rows: &Mutex<Rows<'_, '_, P>>) -> Result<P::Found> {
    let rows = || rows.lock().unwrap_or_else(PoisonError::into_inner);
    let mut chunk = Chunk::default();
    let mut found = P::Found::default();
    loop {
        let next = rows().next(&mut chunk);
        let Some((part, offset)) = next.inspect_err(|_| rows().is_over = true)? else { return Ok(found) };
        let mut numbers = Numbers::new(chunk.bytes());
        let read = part.read(&mut numbers, offset);
        // A number that cannot be read comes before the row that contains it.
        let read = numbers.wrong().and(read).and_then(|found| numbers.finish().map(|()| found));
        match read {
            Ok(more) => P::merge(&mut found, more),
            Err(Unexpected { what, at }) => {
                rows().is_over = true;
                return Err(Error::malformed(what, offset + at as u64));
            }
        }
    }
}

impl<P: Part> Rows<'_, '_, P> {
    /// Reads a chunk of complete rows. Returns the part that they fill, and where they begin. None if there are no
    /// more.
    fn next(&mut self, chunk: &mut Chunk) -> Result<Option<(P, u64)>> {
        loop {
            let is_open = self.part.rows() == usize::MAX;
            if self.is_over {
                return Ok(None);
            }
            if self.part.rows() == 0 || self.ended && is_open {
                self.is_over = true;
                self.cursor.put_back(&self.carried);
                return Ok(None);
            }
            if self.ended {
                let missing =
                    format!("the list ends {} rows before the count that the header declares", self.part.rows());
                return Err(Error::malformed(missing, self.cursor.offset() - self.carried.len() as u64));
            }
            chunk.truncate(0);
            chunk.append(&self.carried);
            let held = self.carried.len();
            self.carried.clear();
            let more = self.cursor.fill(chunk)?;
            let bytes = chunk.bytes();
            let offset = self.cursor.offset() - bytes.len() as u64;
            let end = memchr::memchr(b']', &bytes[held..]).map(|at| held + at);
            self.ended = end.is_some();
            let numbers = &bytes[..end.unwrap_or(bytes.len())];
            let (rows, length) = whole_rows(numbers, self.ended, self.fields, self.part.rows())
                .map_err(|(what, at)| Error::malformed(what, offset + at as u64))?;
            self.carried.extend_from_slice(&bytes[length..]);
            if rows > 0 {
                chunk.truncate(length);
                return Ok(Some((self.part.split(rows), offset)));
            }
            if !self.ended && !more {
                return Err(self.cursor.unexpected("the file ends too early (is it cut off?)"));
            }
            if !self.ended && bytes.len() > 2 * CHUNK_BYTES {
                return Err(Error::malformed("not a row of numbers", offset));
            }
        }
    }
}

/// The number of complete rows at the start of `bytes`, at most `most`, and their length. A row includes the comma
/// after it. The last row of the list has none: with `ended`, all of `bytes` must be rows.
fn whole_rows(
    bytes: &[u8],
    ended: bool,
    fields: usize,
    most: usize,
) -> std::result::Result<(usize, usize), (String, usize)> {
    let commas = memchr::memchr_iter(b',', bytes).count();
    let numbers = match ended {
        true if commas > 0 || bytes.iter().any(u8::is_ascii_digit) => commas + 1,
        _ => commas,
    };
    if ended && numbers % fields != 0 {
        return Err((format!("the list ends within a row of {fields} numbers"), bytes.len()));
    }
    let rows = numbers / fields;
    if rows == 0 {
        return Ok((0, 0));
    }
    if rows > most {
        let last = memchr::memchr_iter(b',', bytes).nth(most * fields - 1);
        return Ok((most, last.map_or(bytes.len(), |at| at + 1)));
    }
    if ended {
        return Ok((rows, bytes.len()));
    }
    let last = memchr::memrchr_iter(b',', bytes).nth(commas - rows * fields);
    Ok((rows, last.map_or(bytes.len(), |at| at + 1)))
}
