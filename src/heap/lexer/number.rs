//! Numbers, nine tenths of a snapshot: short unsigned integers, a hundred million of them in 500 MB. A loop over digits spends its time on
//! mispredicted ends, and looking for the end of one before the next can begin makes each wait for the one before. So commas are
//! looked for first, 64 bytes at a time, and then each number is made of the eight bytes before its comma, without regard to any other.
//! (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019, do the same with all of JSON.)

/// 19 digits fit into 64 bits, whatever they are.
const MOST_DIGITS: usize = 19;
/// Bytes that are searched for commas at once, and how often that is done before numbers are read.
const BLOCK_BYTES: usize = 64;
const BLOCKS: usize = 8;
/// Places that are noted without asking how many there are: mostly a block has no more than sixteen.
const UNASKED: usize = 8;

/// Why no number could be read; `at` is a place in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unexpected {
    pub what: &'static str,
    pub at: usize,
}

/// Reads lists of unsigned integers that are separated by commas and white space. What is wrong is kept until the end, so that nothing needs
/// to be asked after each number: behind it all numbers are 0.
pub struct Numbers<'a> {
    bytes: &'a [u8],
    /// Where the next number begins.
    at: usize,
    /// The commas behind the numbers that come next, and which of them are not used yet.
    commas: [u32; BLOCKS * BLOCK_BYTES + UNASKED],
    next: usize,
    found: usize,
    /// Up to where they are looked for.
    searched: usize,
    wrong: Option<Unexpected>,
}

impl<'a> Numbers<'a> {
    /// # Panics
    /// With more than 4 GiB.
    pub fn new(bytes: &'a [u8]) -> Self {
        assert!(u32::try_from(bytes.len()).is_ok(), "a chunk of more than 4 GiB");
        let commas = [0; BLOCKS * BLOCK_BYTES + UNASKED];
        Self { bytes, at: 0, commas, next: 0, found: 0, searched: 0, wrong: None }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The next numbers. That all are there is not asked: see [`Self::wrong`].
    #[inline(always)]
    pub fn row<const F: usize>(&mut self) -> [u64; F] {
        match self.short_row() {
            Some(row) => row,
            None => std::array::from_fn(|_| self.next()),
        }
    }

    /// A row as nearly all are: in the bytes that are searched already, of numbers of up to sixteen digits, at most with a line's end behind.
    #[inline(always)]
    fn short_row<const F: usize>(&mut self) -> Option<[u64; F]> {
        let commas: [u32; F] = *self.commas.get(self.next..self.found)?.first_chunk()?;
        let mut row = [0; F];
        let mut start = self.at;
        for (at, comma) in commas.into_iter().enumerate() {
            let comma = comma as usize;
            let end = if at + 1 == F { self.before(comma) } else { comma };
            row[at] = between(self.bytes, start, end)?;
            start = comma + 1;
        }
        self.at = start;
        self.next += F;
        Some(row)
    }

    /// Where the number before a comma ends: up to Node 22 each row is a line, and the comma begins the next.
    #[inline(always)]
    fn before(&self, comma: usize) -> usize {
        comma - usize::from(comma > 0 && self.bytes[comma - 1] == b'\n')
    }

    /// The next number, and takes the comma behind it, if there is one: at the end there need be none.
    pub fn next(&mut self) -> u64 {
        if self.next == self.found {
            self.search();
        }
        let comma = self.commas[self.next] as usize;
        self.next += 1;
        let start = std::mem::replace(&mut self.at, comma + 1);
        between(self.bytes, start, self.before(comma)).unwrap_or_else(|| {
            self.slow(start).unwrap_or_else(|wrong| {
                self.wrong.get_or_insert(wrong);
                0
            })
        })
    }

    /// Notes the commas of the next blocks; where there is none any more, the end.
    #[inline(never)]
    fn search(&mut self) {
        (self.next, self.found) = (0, 0);
        while self.found == 0 && self.searched < self.bytes.len() {
            for _ in 0..BLOCKS {
                let rest = &self.bytes[self.searched.min(self.bytes.len())..];
                let mut commas = match rest.first_chunk::<BLOCK_BYTES>() {
                    Some(block) => commas(block),
                    None => {
                        let mut block = [0; BLOCK_BYTES];
                        block[..rest.len()].copy_from_slice(rest);
                        commas(&block)
                    }
                };
                let count = commas.count_ones() as usize;
                let base = self.searched as u32;
                let mut noted = 0;
                while noted < count {
                    for place in &mut self.commas[self.found + noted..][..UNASKED] {
                        *place = base + commas.trailing_zeros();
                        commas &= commas.wrapping_sub(1);
                    }
                    noted += UNASKED;
                }
                self.found += count;
                self.searched += BLOCK_BYTES;
            }
        }
        if self.found == 0 {
            self.commas[0] = self.bytes.len() as u32;
            self.found = 1;
        }
    }

    /// What stands between `start` and the next comma, byte by byte.
    #[inline(never)]
    fn slow(&self, start: usize) -> Result<u64, Unexpected> {
        let end = self.at.saturating_sub(1).min(self.bytes.len());
        let text = self.bytes.get(start..end).unwrap_or_default();
        let blank = text.iter().take_while(|byte| is_space(**byte)).count();
        let digits = text[blank..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let behind = &text[blank + digits..];
        let unexpected = |what, at| Err(Unexpected { what, at });
        if digits == 0 {
            return unexpected("a number was expected", start.min(self.bytes.len()) + blank);
        }
        if digits > MOST_DIGITS {
            return unexpected("a number of more than 19 digits", start + blank);
        }
        if let Some(other) = behind.iter().position(|byte| !is_space(*byte)) {
            return unexpected("a comma was expected", start + blank + digits + other);
        }
        Ok(text[blank..blank + digits].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
    }

    fn blank(&self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.iter().take_while(|byte| is_space(**byte)).count()
    }

    /// Whether nothing but white space is left.
    pub fn is_empty(&self) -> bool {
        self.at + self.blank() >= self.bytes.len()
    }

    /// What is wrong, if anything is.
    pub fn wrong(&mut self) -> Result<(), Unexpected> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// That all was right, and nothing but white space is left.
    pub fn finish(&mut self) -> Result<(), Unexpected> {
        self.wrong()?;
        let at = self.at + self.blank();
        if at < self.bytes.len() { Err(Unexpected { what: "the list should end", at }) } else { Ok(()) }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// A bit for each comma.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn commas(block: &[u8; BLOCK_BYTES]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let (words, _) = block.as_chunks::<16>();
    words.iter().enumerate().fold(0, |commas, (at, word)| {
        let half = |half: &[u8]| half.first_chunk().map_or(0, |half| i64::from_le_bytes(*half));
        // SAFETY: these need SSE2, which every x86-64 has, and touch no memory.
        let bits = unsafe {
            let word = _mm_set_epi64x(half(&word[8..]), half(&word[..8]));
            _mm_movemask_epi8(_mm_cmpeq_epi8(word, _mm_set1_epi8(b',' as i8)))
        };
        commas | u64::from(bits as u32) << (16 * at)
    })
}

/// A bit for each comma.
#[cfg(not(target_arch = "x86_64"))]
fn commas(block: &[u8; BLOCK_BYTES]) -> u64 {
    commas_by_words(block)
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[cfg(any(test, not(target_arch = "x86_64")))]
fn commas_by_words(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    words.iter().enumerate().fold(0, |commas, (at, word)| {
        let others = u64::from_le_bytes(*word) ^ (LOW * b',' as u64);
        // The high bit of each byte that is zero now, and of no other (Warren, "Hacker's Delight", 6-1).
        let zeros = !(((others & !HIGH) + !HIGH) | others | !HIGH);
        // Multiplied, the eight high bits come to lie side by side.
        let bits = (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        commas | bits << (8 * at)
    })
}

/// The number from `start` to `end`. None where that is not 1 to 16 digits, or what is before `end` is too short to be looked at at once.
#[inline(always)]
fn between(bytes: &[u8], start: usize, end: usize) -> Option<u64> {
    let digits = end.wrapping_sub(start);
    match digits {
        // A type, a flag, most counts: and in a row of a kind always the same ones.
        1 => Some(bytes[start].wrapping_sub(b'0')).filter(|digit| *digit < 10).map(u64::from),
        2..=8 => last_digits(&bytes[..end], digits),
        9..=16 => {
            let (low, high) = (last_digits(&bytes[..end], 8)?, last_digits(&bytes[..end - 8], digits - 8)?);
            Some(high * 100_000_000 + low)
        }
        _ => None,
    }
}

/// The number that the last bytes are, `digits` of them, 1 to 8; None if one is no digit, or fewer than eight bytes are there.
#[inline(always)]
fn last_digits(bytes: &[u8], digits: usize) -> Option<u64> {
    let window = u64::from_le_bytes(*bytes.last_chunk::<8>()?);
    // What comes before the number becomes zeros.
    let before = 64 - 8 * digits as u32;
    let nibbles = (window ^ (LOW * b'0' as u64)) >> before << before;
    // A byte over nine sets its high bit, here or by its carry.
    if (nibbles.wrapping_add(0x7676_7676_7676_7676) | nibbles) & HIGH != 0 {
        return None;
    }
    // Pairs, fours, eight: Lemire, "Quickly parsing eight digits".
    let value = nibbles.wrapping_mul(10).wrapping_add(nibbles >> 8);
    let low = (value & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((value >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, count: usize) -> Result<Vec<u64>, Unexpected> {
        let mut numbers = Numbers::new(text.as_bytes());
        let read = (0..count).map(|_| numbers.next()).collect();
        numbers.finish().map(|()| read)
    }

    #[test]
    fn reads_numbers_of_any_length_with_and_without_space() {
        let text = "0,7,12,345,6789,12345,654321,7654321,87654321,987654321,1234567890123456789";
        let expected: Vec<u64> = text.split(',').map(|each| each.parse().unwrap()).collect();
        assert_eq!(read(text, expected.len()).as_ref(), Ok(&expected));
        assert_eq!(read(&text.replace(',', "\n, "), expected.len()).as_ref(), Ok(&expected));
        assert_eq!(read("1\n,22\n,3\n", 3), Ok(vec![1, 22, 3]));
        assert_eq!(read(" 1 ,2,\n3\n", 3), Ok(vec![1, 2, 3]));
        assert_eq!(read("1,2,", 2), Ok(vec![1, 2]));
    }

    #[test]
    fn says_where_something_else_stands() {
        assert_eq!(read("1,-2", 2).unwrap_err().at, 2);
        assert_eq!(read("1,2x,3", 3).unwrap_err().at, 3);
        assert_eq!(read("1,,3", 3).unwrap_err().at, 2);
        assert_eq!(read("1 2", 2).unwrap_err().at, 2);
        assert_eq!(read("1", 2).unwrap_err().at, 1);
        assert_eq!(read("1,2,3", 2).unwrap_err().what, "the list should end");
        assert_eq!(read("12345678901234567890", 1).unwrap_err().what, "a number of more than 19 digits");
    }

    #[test]
    fn finds_commas_one_way_and_the_other() {
        let mut block = [b'7'; BLOCK_BYTES];
        for at in [0, 1, 7, 8, 15, 16, 30, 31, 32, 33, 62, 63] {
            block[at] = b',';
            block[at ^ 5] = b',' ^ 0x80;
            let expected = block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(*byte == b','));
            assert_eq!((commas(&block), commas_by_words(&block)), (expected, expected));
        }
    }

    #[test]
    fn agrees_with_the_standard_library() {
        let numbers: Vec<u64> =
            (0..64).flat_map(|bits| [1u64 << bits >> 1, (1u64 << bits >> 1).wrapping_mul(7) >> 4]).collect();
        let text = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(read(&text, numbers.len()), Ok(numbers));
    }
}
