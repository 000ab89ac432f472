//! Inflates a body as it arrives, within limits.
//!
//! Each encoding is an [`Inflater`]: it turns input into output and detects its end. [`Inflation`] enforces the limits
//! for all of them. A step takes and makes a bounded number of bytes, so that the caller decides where a step runs and
//! whether there is another one. The output is at most one step ahead of its reader, and at most one byte over the
//! limit.
//!
//! A decoder's memory is limited too, since 53 bytes of br create a window of 8 MiB. What a decoder has committed, and
//! what its next call may commit, is charged to a limit that all decoders share ([`Charge`]). A decoder without room
//! fails.
//!
//! Rejected: the crates' own `Read` and `Write` adapters. A writer outputs all that a chunk contains, possibly a
//! gigabyte, before it returns. A reader blocks for input, or interprets missing input as the end.

mod brotli;
#[cfg(test)]
mod tests;
mod zlib;
mod zstd;

use thiserror::Error;

use super::budget::Charge;

/// For br and zstd, as RFC 9659 requires for zstd. A window is allocated before much of a body has arrived.
pub const MAX_WINDOW_BITS: u32 = 23;
/// How often a step may continue with a new unit. Members of twenty bytes without content make no output that could end
/// the step.
const MAX_TURNS: usize = 64;

/// The result of a call to an inflater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub read: usize,
    pub written: usize,
}

/// One encoding's decoder.
pub trait Inflater: Send {
    /// Reads some of `input` and fills some of `output`. If input and room are both left, a unit (a member, a frame)
    /// has ended.
    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Fault>;

    /// Whether a body may end here.
    fn is_whole(&self) -> bool;

    /// Bytes of memory that it has committed: the written part of windows, tables, buffers.
    fn memory(&self) -> u64;

    /// Additional bytes that the next call may commit, independently of its output.
    fn ahead(&self, _input: &[u8]) -> u64 {
        0
    }
}

/// Why a body cannot be inflated.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    #[error("corrupt")]
    Corrupt,
    /// It ends too early.
    #[error("truncated")]
    Truncated,
    /// There is data after its end.
    #[error("trailing")]
    Trailing,
    /// It needs a larger window than the maximum.
    #[error("window")]
    Window,
    /// All decoders together would use too much memory.
    #[error("memory")]
    Memory,
}

/// The encodings of RFC 9110 and 8878.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Encoding {
    /// By its name in `Content-Encoding`, in lower case. `x-gzip` is gzip (RFC 9110, 8.4.1.3).
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// Whether a call makes much more than it returns. A br decoder fills its window first: 4 MiB, and 15 ms, for the
    /// first byte of a bomb.
    pub fn works_ahead(self) -> bool {
        self == Self::Brotli
    }

    fn inflater(self) -> Box<dyn Inflater> {
        match self {
            Self::Gzip => Box::new(zlib::Gzip::default()),
            Self::Deflate => Box::new(zlib::Deflate::default()),
            Self::Brotli => Box::new(brotli::Brotli::default()),
            Self::Zstd => Box::new(zstd::Zstd::default()),
        }
    }
}

/// How much a body may grow.
#[derive(Clone, Copy, Debug)]
pub struct Ratio {
    /// Bytes of output for each byte of input.
    pub max: f64,
    /// Output up to which the ratio is not checked.
    pub threshold: u64,
}

/// How a step has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All input is used up.
    Hungry,
    /// More output can be made from the present input.
    More,
    /// The output exceeds the limit, by one byte.
    OverLimit,
    OverRatio,
}

/// One body.
pub struct Inflation {
    inflater: Box<dyn Inflater>,
    /// Holds the decoder's memory.
    charge: Charge<'static>,
    ratio: Ratio,
    /// The chunk that is being read, and the position in it.
    input: Vec<u8>,
    at: usize,
    taken: u64,
    made: u64,
    /// The last step filled its output, so the inflater may have more.
    full: bool,
}

impl Inflation {
    pub fn new(encoding: Encoding, ratio: Ratio, charge: Charge<'static>) -> Self {
        let inflater = encoding.inflater();
        Self { inflater, charge, ratio, input: Vec::new(), at: 0, taken: 0, made: 0, full: false }
    }

    /// Bytes read so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of memory that the decoder has committed.
    pub fn memory(&self) -> u64 {
        self.inflater.memory()
    }

    /// Bytes made so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Bytes that have arrived and are not read yet.
    pub fn waiting(&self) -> usize {
        self.input.len() - self.at
    }

    /// Takes a chunk of the body. The caller waits until the last one is used up.
    pub fn take_in(&mut self, chunk: &[u8]) {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(chunk);
    }

    /// From now on the ratio is not checked.
    pub fn lift_ratio(&mut self) {
        self.ratio.max = f64::INFINITY;
    }

    /// Fills `output` within `limit` (for the whole body). Returns the number of bytes, and the state. Over a limit,
    /// the output contains what was made up to it.
    pub fn step(&mut self, limit: u64, output: &mut [u8]) -> Result<(usize, State), Fault> {
        if self.made > limit {
            return Ok((0, State::OverLimit));
        }
        let room = usize::try_from(limit - self.made).unwrap_or(usize::MAX).saturating_add(1).min(output.len());
        let mut written = 0;
        for _ in 0..MAX_TURNS {
            if written == room || (self.waiting() == 0 && !self.full) {
                break;
            }
            let progress = self.feed(&mut output[written..room])?;
            self.at += progress.read;
            self.taken += progress.read as u64;
            written += progress.written;
            self.full = written == room;
            if progress == Progress::default() && self.waiting() > 0 {
                // It has room and input and makes no progress.
                return Err(Fault::Corrupt);
            }
        }
        self.made += written as u64;
        if self.waiting() == 0 {
            self.input = Vec::new();
            self.at = 0;
        }
        Ok((written, self.state(limit)))
    }

    fn feed(&mut self, output: &mut [u8]) -> Result<Progress, Fault> {
        let input = &self.input[self.at..];
        let most = self.inflater.memory() + self.inflater.ahead(input);
        if !self.charge.ever_holds(most) {
            return Err(Fault::Window);
        }
        if !self.charge.hold(most) {
            return Err(Fault::Memory);
        }
        let progress = self.inflater.feed(input, output)?;
        if self.charge.hold(self.inflater.memory()) { Ok(progress) } else { Err(Fault::Memory) }
    }

    fn state(&self, limit: u64) -> State {
        if self.made > limit {
            State::OverLimit
        } else if self.made > self.ratio.threshold && self.made as f64 > self.ratio.max * self.taken as f64 {
            State::OverRatio
        } else if self.full || self.waiting() > 0 {
            State::More
        } else {
            State::Hungry
        }
    }

    /// Call this when all input is used up and no more will arrive. A body without any bytes is an empty one.
    pub fn finish(&self) -> Result<(), Fault> {
        if self.taken == 0 || self.inflater.is_whole() { Ok(()) } else { Err(Fault::Truncated) }
    }
}
