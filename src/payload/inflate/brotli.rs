//! br (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{Fault, Inflater, MAX_WINDOW_BITS, Progress};

type Decoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

#[derive(Default)]
pub struct Brotli {
    /// None before the first byte, and after the end.
    decoder: Option<Box<Decoder>>,
    ended: bool,
}

/// The window's bits (RFC 7932, 9.1); none for the large windows that the RFC does not know.
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
                let heap = StandardAlloc::default;
                none.insert(Box::new(Decoder::new_strict(heap(), heap(), heap())))
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
                self.ended = true;
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Progress { read, written })
    }

    fn is_whole(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference encoder writes it (encode.c, EncodeWindowBits), whatever follows.
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
