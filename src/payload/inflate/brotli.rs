//! br (RFC 7932).
//!
//! The decoder writes to its window before it returns output, and may fill the whole window in one call. So the window
//! is mapped memory, which is committed as it is written and returned to the system at once. (malloc would zero and
//! hand out memory that others have committed.) During a call the whole window is charged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut,
};
use memmap2::MmapMut;

use super::{Fault, Inflater, MAX_WINDOW_BITS, Progress};

type Decoder = BrotliState<Bytes, Tables, Tables>;

/// Bytes from this size on are mapped.
const MAPPED_BYTES: usize = 256 << 10;

#[derive(Default)]
pub struct Brotli {
    /// None before the first byte, and after the end.
    decoder: Option<Box<Decoder>>,
    allocated: Allocated,
    ended: bool,
}

/// Bytes that a decoder has allocated, without mapped memory.
#[derive(Clone, Default)]
struct Allocated(Arc<AtomicUsize>);

impl Allocated {
    // Relaxed: only one thread at a time runs the decoder.
    fn add<T>(&self, cells: &[T]) {
        self.0.fetch_add(size_of_val(cells), Ordering::Relaxed);
    }

    fn remove<T>(&self, cells: &[T]) {
        self.0.fetch_sub(size_of_val(cells), Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The decoder's tables.
struct Tables(Allocated);

#[derive(Default)]
struct Table<T>(Vec<T>);

impl<T: Clone + Default> Allocator<T> for Tables {
    type AllocatedMemory = Table<T>;

    fn alloc_cell(&mut self, length: usize) -> Table<T> {
        let table = vec![T::default(); length];
        self.0.add(&table);
        Table(table)
    }

    fn free_cell(&mut self, table: Table<T>) {
        self.0.remove(&table.0);
    }
}

impl<T> SliceWrapper<T> for Table<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Table<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

/// The decoder's window, and other bytes.
struct Bytes(Allocated);

enum Memory {
    Allocated(Vec<u8>),
    Mapped(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Allocated(Vec::new())
    }
}

impl Allocator<u8> for Bytes {
    type AllocatedMemory = Memory;

    fn alloc_cell(&mut self, length: usize) -> Memory {
        if length < MAPPED_BYTES {
            let bytes = vec![0; length];
            self.0.add(&bytes);
            return Memory::Allocated(bytes);
        }
        // The decoder reports an error if it gets no bytes.
        MmapMut::map_anon(length).map(Memory::Mapped).unwrap_or_default()
    }

    fn free_cell(&mut self, memory: Memory) {
        if let Memory::Allocated(bytes) = memory {
            self.0.remove(&bytes);
        }
    }
}

impl SliceWrapper<u8> for Memory {
    fn slice(&self) -> &[u8] {
        match self {
            Self::Allocated(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl SliceWrapperMut<u8> for Memory {
    fn slice_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Allocated(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// Bytes of a decoder's mapped window that have been written.
fn committed(decoder: &Decoder) -> usize {
    match &decoder.ringbuffer {
        Memory::Allocated(_) => 0,
        Memory::Mapped(map) if decoder.rb_roundtrips > 0 => map.len(),
        Memory::Mapped(map) => usize::try_from(decoder.pos).unwrap_or(0).min(map.len()),
    }
}

/// The window's bits (RFC 7932, 9.1). None for the large windows that the RFC does not define.
fn window_bits(first: u8) -> Option<u32> {
    Some(match u32::from(first) {
        byte if byte & 1 == 0 => 16,
        byte if byte >> 1 & 7 != 0 => 17 + (byte >> 1 & 7),
        byte => match byte >> 4 & 7 {
            0 => 17,
            1 => return None,
            bits => 8 + bits,
        },
    })
}

impl Inflater for Brotli {
    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Fault> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let Some(&first) = input.first() else { return Ok(Progress::default()) };
                if self.ended {
                    return Err(Fault::Trailing);
                }
                if window_bits(first).is_none_or(|bits| bits > MAX_WINDOW_BITS) {
                    return Err(Fault::Window);
                }
                let own = || self.allocated.clone();
                none.insert(Box::new(Decoder::new_strict(Bytes(own()), Tables(own()), Tables(own()))))
            }
        };
        let (mut available_in, mut read) = (input.len(), 0);
        let (mut available_out, mut written) = (output.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut read,
            input,
            &mut available_out,
            &mut written,
            output,
            &mut 0,
            decoder,
        );
        match result {
            BrotliResult::ResultFailure => return Err(Fault::Corrupt),
            BrotliResult::ResultSuccess => {
                self.decoder = None;
                self.allocated = Allocated::default();
                self.ended = true;
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Progress { read, written })
    }

    fn is_whole(&self) -> bool {
        self.ended
    }

    fn memory(&self) -> u64 {
        let Some(decoder) = &self.decoder else { return 0 };
        (size_of::<Decoder>() + self.allocated.bytes() + committed(decoder)) as u64
    }

    fn ahead(&self, input: &[u8]) -> u64 {
        match (&self.decoder, input.first()) {
            (None, None) => 0,
            (None, Some(&first)) => window_bits(first).map_or(0, |bits| 1 << bits),
            // Before its window is created, the decoder knows how large it may be.
            (Some(decoder), _) if decoder.ringbuffer.slice().is_empty() => {
                1 << MAX_WINDOW_BITS.min(decoder.window_bits)
            }
            (Some(decoder), _) => (decoder.ringbuffer.slice().len() - committed(decoder)) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference encoder writes it (encode.c, EncodeWindowBits), with any following bytes.
    #[test]
    fn reads_every_window() {
        for bits in 10u8..=24 {
            let (code, length) = match bits {
                16 => (0, 1),
                17 => (1, 7),
                18.. => ((bits - 17) << 1 | 1, 4),
                _ => ((bits - 8) << 4 | 1, 7),
            };
            for rest in 0..=u8::MAX >> length {
                assert_eq!(window_bits(rest << length | code), Some(u32::from(bits)));
            }
        }
        assert_eq!(window_bits(0x11), None);
    }
}
