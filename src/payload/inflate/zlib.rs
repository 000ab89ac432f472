//! gzip (RFC 1952) and deflate (RFC 1950, and raw RFC 1951, which many clients send under that name).

use flate2::{Decompress, FlushDecompress, Status};

use super::{Fault, Inflater, Progress};

const WINDOW_BITS: u8 = 15;
const GZIP_MAGIC: u8 = 0x1f;
/// A window of 32 KiB and zlib-rs's other memory.
const DECODER_BYTES: u64 = 64 << 10;

/// Progress of `inner`, and whether its stream has ended.
fn run(inner: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<(Progress, bool), Fault> {
    let (read, written) = (inner.total_in(), inner.total_out());
    // A preset dictionary is an error too.
    let status = inner.decompress(input, output, FlushDecompress::None).map_err(|_| Fault::Corrupt)?;
    let progress =
        Progress { read: (inner.total_in() - read) as usize, written: (inner.total_out() - written) as usize };
    Ok((progress, status == Status::StreamEnd))
}

/// Several members, and zeros after the last one, as Node's zlib accepts them. Unlike in Node, data after the zeros is
/// an error.
#[derive(Default)]
pub struct Gzip {
    member: Option<Decompress>,
    /// A member has ended.
    ended: bool,
    padding: bool,
}

impl Inflater for Gzip {
    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Fault> {
        let member = match &mut self.member {
            Some(member) => member,
            none => {
                let Some(&first) = input.first() else { return Ok(Progress::default()) };
                if self.ended && (self.padding || first == 0) {
                    self.padding = true;
                    let all_zeros = input.iter().all(|&byte| byte == 0);
                    return if all_zeros {
                        Ok(Progress { read: input.len(), written: 0 })
                    } else {
                        Err(Fault::Trailing)
                    };
                }
                if self.ended && first != GZIP_MAGIC {
                    return Err(Fault::Trailing);
                }
                none.insert(Decompress::new_gzip(WINDOW_BITS))
            }
        };
        let (progress, ended) = run(member, input, output)?;
        if ended {
            self.member = None;
            self.ended = true;
        }
        Ok(progress)
    }

    fn is_whole(&self) -> bool {
        self.ended && self.member.is_none()
    }

    fn memory(&self) -> u64 {
        if self.member.is_some() { DECODER_BYTES } else { 0 }
    }
}

/// With or without zlib's header, which the first two bytes show. A raw stream with these bytes would begin with a
/// stored block whose padding is not zero, which no encoder writes.
#[derive(Default)]
pub struct Deflate {
    /// The first byte, if it arrived alone.
    first: Option<u8>,
    stream: Option<Decompress>,
    ended: bool,
}

impl Deflate {
    fn begin(&mut self, first: u8, second: u8) -> &mut Decompress {
        let zlib = first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31);
        self.stream.insert(Decompress::new(zlib))
    }
}

impl Inflater for Deflate {
    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Fault> {
        if self.ended {
            return if input.is_empty() { Ok(Progress::default()) } else { Err(Fault::Trailing) };
        }
        if self.stream.is_none() {
            match (self.first, input) {
                (_, []) => return Ok(Progress::default()),
                (None, &[first]) => {
                    self.first = Some(first);
                    return Ok(Progress { read: 1, written: 0 });
                }
                (None, &[first, second, ..]) => {
                    self.begin(first, second);
                }
                (Some(first), &[second, ..]) => {
                    // A single byte makes no output.
                    let (progress, ended) = run(self.begin(first, second), &[first], output)?;
                    if ended || progress != (Progress { read: 1, written: 0 }) {
                        return Err(Fault::Corrupt);
                    }
                }
            }
        }
        let stream = self.stream.as_mut().expect("it has begun");
        let (progress, ended) = run(stream, input, output)?;
        if ended {
            self.ended = true;
            // It will not be called again, so its window is freed.
            self.stream = None;
        }
        Ok(progress)
    }

    fn is_whole(&self) -> bool {
        self.ended
    }

    fn memory(&self) -> u64 {
        if self.stream.is_some() { DECODER_BYTES } else { 0 }
    }
}
