//! The recorder's memory, as words that any thread may access.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::*};

use memmap2::{MmapMut, MmapOptions, MmapRaw};

use super::layout::{FILE_BYTES, WORDS};

/// Bytes that are mirrored as a unit.
pub const BLOCK_BYTES: usize = 4096;
const BLOCK_WORDS: usize = BLOCK_BYTES / 8;

/// `WORDS` words, initially zero: the pages of a file, or anonymous memory.
pub struct Map {
    raw: MmapRaw,
    /// A flag for each block, set by writers and cleared by the mirror. None without a mirror.
    dirty: Option<Box<[AtomicU8]>>,
}

impl Map {
    /// Memory of this process alone. With `mirrored`, written blocks are noted for [`Map::take_dirty`].
    pub fn anonymous(mirrored: bool) -> io::Result<Self> {
        let dirty = mirrored.then(|| (0..FILE_BYTES / BLOCK_BYTES).map(|_| AtomicU8::new(0)).collect());
        Ok(Self { raw: MmapMut::map_anon(FILE_BYTES)?.into(), dirty })
    }

    /// The pages of `file`, which must be preallocated: a hole would be a SIGBUS on a full disk.
    pub fn of_file(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() < FILE_BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the record's file is not preallocated"));
        }
        Ok(Self { raw: MmapOptions::new().len(FILE_BYTES).map_raw(file)?, dirty: None })
    }

    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, readable and writable, at least FILE_BYTES ≥ WORDS * 8 long (both
        // constructors ensure that), and lives as long as `self`. It is accessed through these atomics only, whose bit
        // patterns are all valid. Another process can change a mapped file, which atomics allow. Truncating it needs
        // its owner, and it is in a private folder under a random name.
        unsafe { std::slice::from_raw_parts(self.raw.as_mut_ptr().cast::<AtomicU64>(), WORDS) }
    }

    /// For a child made by `fork`: from now on its writes are visible to no other process. The words keep their values.
    #[cfg(target_os = "linux")]
    pub fn part(&self) -> io::Result<()> {
        let mut own = MmapMut::map_anon(FILE_BYTES)?;
        for (word, own) in self.words().iter().zip(own.chunks_exact_mut(8)) {
            own.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        let own = std::mem::ManuallyDrop::new(own);
        let place = self.raw.as_mut_ptr().cast();
        // SAFETY: replaces this map's pages by pages of the same size and content, mapped, readable and writable. The
        // mapping at `own` moves, and no code unmaps it there.
        unsafe {
            let flags = rustix::mm::MremapFlags::MAYMOVE;
            rustix::mm::mremap_fixed(own.as_ptr().cast_mut().cast(), FILE_BYTES, FILE_BYTES, flags, place)?;
        }
        Ok(())
    }

    /// Notes that these words changed.
    pub fn touch(&self, first_word: usize, words: usize) {
        if let Some(dirty) = &self.dirty {
            for block in first_word / BLOCK_WORDS..=(first_word + words.max(1) - 1) / BLOCK_WORDS {
                // Release, with the Acquire below: a thread that takes the flag sees what was written before it was
                // set.
                dirty[block].store(1, Release);
            }
        }
    }

    /// Calls `write` with (offset in the file, bytes) of each block that changed since the last call. On an error, that
    /// block and those after it stay marked.
    pub fn take_dirty(&self, mut write: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(dirty) = &self.dirty else {
            return Ok(());
        };
        let words = self.words();
        let mut bytes = [0u8; BLOCK_BYTES];
        for (block, flag) in dirty.iter().enumerate() {
            if flag.swap(0, Acquire) == 0 {
                continue;
            }
            let first = block * BLOCK_WORDS;
            for (chunk, word) in bytes.chunks_exact_mut(8).zip(&words[first..words.len().min(first + BLOCK_WORDS)]) {
                chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
            }
            write((block * BLOCK_BYTES) as u64, &bytes).inspect_err(|_| flag.store(1, Relaxed))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_what_was_written_and_nothing_else() {
        let map = Map::anonymous(true).unwrap();
        map.words()[600].store(7, Relaxed);
        map.touch(600, 1);
        let mut seen = Vec::new();
        map.take_dirty(|offset, bytes| {
            seen.push((offset, bytes[(600 - BLOCK_WORDS) * 8]));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(BLOCK_BYTES as u64, 7)]);
        map.take_dirty(|_, _| panic!("nothing changed")).unwrap();
    }

    #[test]
    fn a_failed_write_is_tried_again() {
        let map = Map::anonymous(true).unwrap();
        map.touch(0, 1);
        assert!(map.take_dirty(|_, _| Err(io::ErrorKind::StorageFull.into())).is_err());
        let mut written = 0;
        map.take_dirty(|_, _| {
            written += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(written, 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn writes_reach_no_other_process_after_part() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(FILE_BYTES as u64).unwrap();
        let (one, other) = (Map::of_file(&file).unwrap(), Map::of_file(&file).unwrap());
        one.words()[5].store(1, Relaxed);
        one.part().unwrap();
        assert_eq!(one.words()[5].load(Relaxed), 1);
        one.words()[5].store(2, Relaxed);
        assert_eq!(other.words()[5].load(Relaxed), 1);
    }

    #[test]
    fn refuses_a_file_that_is_too_short() {
        let file = tempfile::tempfile().unwrap();
        assert!(Map::of_file(&file).is_err());
    }
}
