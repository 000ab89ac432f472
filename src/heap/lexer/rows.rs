//! The two lists that nearly all of a file is: rows of unsigned integers. One thread reads chunks and cuts them between rows, which takes no
//! more than counting commas; others make columns of them, each in a part of the columns that is its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::cursor::Cursor;
use super::number::{Numbers, Unexpected};
use crate::heap::error::{Error, Result};
use crate::heap::threads;

/// Chunks that wait for a thread: enough that none is idle while the next is read.
const QUEUE: usize = 4;

/// A stretch of columns to be filled.
pub trait Part: Sized + Send {
    /// What is learnt on the way.
    type Found: Default + Send;

    fn rows(&self) -> usize;
    /// Its first `rows` rows; the others stay.
    fn split(&mut self, rows: usize) -> Self;
    /// Fills all rows; `offset` is where the numbers begin in the content.
    fn read(self, numbers: &mut Numbers<'_>, offset: u64) -> std::result::Result<Self::Found, Unexpected>;
    fn merge(into: &mut Self::Found, found: Self::Found);
}

struct Job<P> {
    bytes: Vec<u8>,
    /// Of the first byte.
    offset: u64,
    part: P,
}

struct Outcome<P: Part> {
    found: P::Found,
    error: Option<Error>,
}

/// Fills `part` from rows of `fields` numbers; the list's bracket is taken already, and its end is left.
pub fn read<P: Part>(cursor: &mut Cursor<'_>, mut part: P, fields: usize) -> Result<P::Found> {
    if part.rows() == 0 {
        return Ok(P::Found::default());
    }
    let outcome = Mutex::new(Outcome::<P> { found: P::Found::default(), error: None });
    let failed = AtomicBool::new(false);
    let (jobs, queue) = sync_channel::<Job<P>>(QUEUE);
    let queue = Mutex::new(queue);
    // Chunks go round: allocating and faulting in each anew would cost as much as parsing it.
    let (give_back, spare) = sync_channel::<Vec<u8>>(2 * QUEUE + threads::count());
    let cut = thread::scope(|scope| {
        for _ in 0..threads::count() {
            scope.spawn(|| work(&queue, &give_back, &outcome, &failed));
        }
        let cut = cut(cursor, &mut part, fields, &jobs, &spare, &failed);
        drop(jobs);
        cut
    });
    let outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    // A row that is wrong comes before the end that was missed because of it.
    match outcome.error {
        Some(error) => Err(error),
        None => cut.map(|()| outcome.found),
    }
}

fn work<P: Part>(
    queue: &Mutex<Receiver<Job<P>>>,
    give_back: &SyncSender<Vec<u8>>,
    outcome: &Mutex<Outcome<P>>,
    failed: &AtomicBool,
) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(Job { bytes, offset, part }) = next() {
        // A thread that panicked would leave the one that cuts waiting for ever.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut numbers = Numbers::new(&bytes);
            let read = part.read(&mut numbers, offset);
            // A number that cannot be read comes before what was made of it.
            numbers.wrong().and(read).and_then(|found| numbers.finish().map(|()| found))
        }));
        let error = match read {
            Ok(Ok(found)) => {
                P::merge(&mut outcome.lock().unwrap_or_else(PoisonError::into_inner).found, found);
                None
            }
            Ok(Err(Unexpected { what, at })) => Some(Error::malformed(what, offset + at as u64)),
            Err(_) => Some(Error::Fault("a thread that reads has panicked")),
        };
        if let Some(error) = error {
            let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
            if outcome.error.as_ref().is_none_or(|before| error.offset() < before.offset()) {
                outcome.error = Some(error);
            }
            failed.store(true, Ordering::Relaxed);
        }
        // With nobody to take it, it is freed.
        let _ = give_back.try_send(bytes);
    }
}

/// Cuts the list into jobs until `part` is full.
fn cut<P: Part>(
    cursor: &mut Cursor<'_>,
    part: &mut P,
    fields: usize,
    jobs: &SyncSender<Job<P>>,
    spare: &Receiver<Vec<u8>>,
    failed: &AtomicBool,
) -> Result<()> {
    // What the last chunk had behind its last whole row.
    let mut carried = Vec::new();
    while part.rows() > 0 && !failed.load(Ordering::Relaxed) {
        let mut bytes = spare.try_recv().unwrap_or_default();
        bytes.clear();
        bytes.append(&mut carried);
        let held = bytes.len();
        let more = cursor.fill(&mut bytes)?;
        let offset = cursor.offset() - bytes.len() as u64;
        let end = memchr::memchr(b']', &bytes[held..]).map(|at| held + at);
        let (rows, length) = whole_rows(&bytes[..end.unwrap_or(bytes.len())], end.is_some(), fields, part.rows())
            .map_err(|(what, at)| Error::malformed(what, offset + at as u64))?;
        if rows == 0 {
            match end {
                Some(end) => {
                    let missing = format!("the list ends {} rows before what the header says", part.rows());
                    return Err(Error::malformed(missing, offset + end as u64));
                }
                None if !more => return Err(cursor.unexpected("the file ends too early (is it cut off?)")),
                None if bytes.len() > 2 * super::cursor::CHUNK_BYTES => {
                    return Err(Error::malformed("no row of numbers", offset));
                }
                None => {}
            }
        }
        carried.extend_from_slice(&bytes[length..]);
        if rows > 0 {
            bytes.truncate(length);
            let job = Job { bytes, offset, part: part.split(rows) };
            jobs.send(job).map_err(|_| Error::Fault("the threads that read have ended"))?;
        }
        if end.is_some() {
            break;
        }
    }
    if part.rows() > 0 && !failed.load(Ordering::Relaxed) {
        let missing = format!("the list ends {} rows before what the header says", part.rows());
        return Err(Error::malformed(missing, cursor.offset() - carried.len() as u64));
    }
    cursor.put_back(&carried);
    Ok(())
}

/// How many whole rows `bytes` begin with, at most `most`, and how long they are. The comma behind the last row is part of it, but
/// for the last one of the list, behind which there is none: with `ended` all of `bytes` must be rows.
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
