//! zstd (RFC 8878): several frames, including skippable ones.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{Fault, Inflater, MAX_WINDOW_BITS, Progress};

// From zstd_errors.h. zstd returns an error as the negative number.
const PREFIX_UNKNOWN: usize = 10;
const WINDOW_TOO_LARGE: usize = 16;
/// Fewer bytes than any frame has. zstd decodes a frame that it gets in one piece, with room for all output, without a
/// window, and does not check the window's size. Whether a body is accepted would then depend on how it was split.
const BEGINNING: usize = 6;

#[derive(Default)]
pub struct Zstd {
    decoder: Option<DCtx<'static>>,
    begun: bool,
    /// A frame has ended, and its content is written.
    between: bool,
    ended: bool,
}

impl Inflater for Zstd {
    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Fault> {
        // If called after a frame, zstd would begin the next one.
        if input.is_empty() && (self.between || self.decoder.is_none()) {
            return Ok(Progress::default());
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            none => {
                let mut decoder = DCtx::try_create().ok_or(Fault::Corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_BITS)).map_err(|_| Fault::Corrupt)?;
                none.insert(decoder)
            }
        };
        let at_start = self.between || !self.begun;
        let input = if at_start { &input[..input.len().min(BEGINNING)] } else { input };
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(output));
        let hint = decoder.decompress_stream(&mut to, &mut from).map_err(|code| match code.wrapping_neg() {
            WINDOW_TOO_LARGE => Fault::Window,
            PREFIX_UNKNOWN if self.ended => Fault::Trailing,
            _ => Fault::Corrupt,
        })?;
        let progress = Progress { read: from.pos(), written: to.pos() };
        self.begun = true;
        self.between = hint == 0;
        self.ended |= self.between;
        Ok(progress)
    }

    fn is_whole(&self) -> bool {
        self.between
    }

    /// All that zstd has allocated. It takes its window, of the declared size, from malloc, whose memory may be
    /// committed already.
    fn memory(&self) -> u64 {
        self.decoder.as_ref().map_or(0, |decoder| decoder.sizeof() as u64)
    }
}
