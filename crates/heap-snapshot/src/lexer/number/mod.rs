//! Numbers: nine tenths of a snapshot. They are short unsigned integers, a hundred million of them in 500 MB.
//!
//! A loop over digits spends its time on mispredicted ends. A reader that finds one end before it can start with the next number makes each
//! number wait for the one before. So this module first finds ends, 64 bytes at a time, and then makes each number of the bytes before its
//! end, independently of all others. Langdale and Lemire do the same with all of JSON ("Parsing Gigabytes of JSON per Second", 2019).
//!
//! [`avx2`] makes four numbers at once, where the processor has it and the text is as V8 writes it. [`scalar`] reads the rest: everything
//! on other processors, the beginning of a chunk, and whatever is unusual or wrong. Both read the same blocks ([`block`]), and a property
//! test compares them.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod block;
mod scalar;

use block::{BLOCK_BYTES, BLOCKS, UNASKED};
use scalar::{between, commas, digit_by_digit, is_space};

/// On other processors nothing is read by vectors.
#[cfg(not(target_arch = "x86_64"))]
mod avx2 {
    pub fn is_supported() -> bool {
        false
    }

    pub fn read(_bytes: &[u8], _from: usize, _ends: &mut [u32], _values: &mut [u64]) -> Option<usize> {
        None
    }
}

/// The most numbers in all blocks, with the rest of a row before them and places that are noted in vain.
const ROOM: usize = BLOCKS * BLOCK_BYTES + super::meta::MOST_FIELDS + UNASKED;

/// Why no number could be read. `at` is an index into the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpected {
    pub what: &'static str,
    pub at: usize,
}

/// Reads lists of unsigned integers that are separated by commas and white space. An error is stored until the end, so
/// that no check is needed after each number: after it, all numbers are 0.
pub struct Numbers<'a> {
    bytes: &'a [u8],
    /// The next numbers, and which of them are not used yet.
    values: [u64; ROOM],
    next: usize,
    found: usize,
    /// Where each of them ends, before its comma or at it. The entry before the first is the end of the previous
    /// number.
    ends: [u32; ROOM + 1],
    /// The end of the part in which ends were searched. It is after the bytes once the last one is found.
    searched: usize,
    is_wide: bool,
    /// Why there is no number after those that are found.
    stopped: Option<Unexpected>,
    /// Whether one of those was requested.
    failed: bool,
}

/// The end before the first number.
const NOWHERE: u32 = u32::MAX;

impl<'a> Numbers<'a> {
    /// # Panics
    /// With more than 4 GiB.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::with(bytes, avx2::is_supported())
    }

    fn with(bytes: &'a [u8], is_wide: bool) -> Self {
        assert!(u32::try_from(bytes.len()).is_ok_and(|length| length < NOWHERE), "a chunk of more than 4 GiB");
        let (values, ends) = ([0; ROOM], [NOWHERE; ROOM + 1]);
        Self { bytes, values, next: 0, found: 0, ends, searched: 0, is_wide, stopped: None, failed: false }
    }

    /// The end of the number before the next one, for [`Self::behind`].
    #[inline(always)]
    pub fn end(&self) -> u32 {
        self.ends[self.next]
    }

    /// Where the number after this end begins.
    pub fn behind(&self, end: u32) -> usize {
        if end == NOWHERE {
            return 0;
        }
        let rest = self.bytes.get(end as usize..).unwrap_or_default();
        memchr::memchr(b',', rest).map_or(self.bytes.len(), |comma| end as usize + comma + 1)
    }

    fn at(&self) -> usize {
        self.behind(self.end())
    }

    /// The next numbers. Whether all of them exist is not checked: see [`Self::wrong`].
    #[inline(always)]
    pub fn row<const F: usize>(&mut self) -> [u64; F] {
        if self.found - self.next < F {
            self.fill(F);
        }
        let row = self.values[self.next..].first_chunk().copied().unwrap_or([0; F]);
        self.next += F;
        row
    }

    pub fn next(&mut self) -> u64 {
        let [next] = self.row();
        next
    }

    /// Computes at least `count` numbers, and zeros if there are no more.
    #[inline(never)]
    fn fill(&mut self, count: usize) {
        self.values.copy_within(self.next..self.found, 0);
        self.ends.copy_within(self.next..=self.found, 0);
        (self.next, self.found) = (0, self.found - self.next);
        while self.found < count {
            if self.stopped.is_some() {
                self.failed = true;
                self.push(0, self.bytes.len());
                continue;
            }
            let found = match self.is_wide {
                true => {
                    avx2::read(self.bytes, self.searched, &mut self.ends[self.found..], &mut self.values[self.found..])
                }
                false => None,
            };
            match found {
                Some(found) => {
                    self.found += found;
                    self.searched += BLOCKS * BLOCK_BYTES;
                }
                None => self.fill_slowly(),
            }
        }
    }

    fn push(&mut self, value: u64, end: usize) {
        self.values[self.found] = value;
        self.found += 1;
        self.ends[self.found] = end as u32;
    }

    /// The numbers whose commas are in the next blocks, or the last one, which needs no comma.
    fn fill_slowly(&mut self) {
        let began = self.behind(self.ends[self.found]);
        let (mut start, most) = (began, self.searched + BLOCKS * BLOCK_BYTES);
        while self.searched < most || start == began {
            let rest = self.bytes.get(self.searched..).unwrap_or_default();
            let mut commas = match rest.first_chunk::<BLOCK_BYTES>() {
                Some(block) => commas(block),
                None => {
                    let mut block = [0; BLOCK_BYTES];
                    block[..rest.len()].copy_from_slice(rest);
                    commas(&block)
                }
            };
            while commas != 0 {
                let comma = self.searched + commas.trailing_zeros() as usize;
                commas &= commas - 1;
                // The comma of a line end in the previous block.
                if comma < start {
                    continue;
                }
                if !self.number(start, comma) {
                    return;
                }
                start = comma + 1;
            }
            self.searched += BLOCK_BYTES;
            if self.searched > self.bytes.len() {
                if self.bytes[start..].iter().all(|byte| is_space(*byte)) {
                    self.stopped = Some(Unexpected { what: "a number was expected", at: self.bytes.len() });
                } else {
                    self.number(start, self.bytes.len());
                }
                return;
            }
        }
        // What comes next begins with a number.
        self.searched = start;
    }

    /// The number from `start` to the comma at `end`. False if there is none.
    fn number(&mut self, start: usize, end: usize) -> bool {
        // Up to Node 22 each row is a line, and the comma begins the next one.
        let digits_end = end - usize::from(end > start && self.bytes[end - 1] == b'\n');
        let read = match between(self.bytes, start, digits_end) {
            Some(value) => Ok(value),
            None => digit_by_digit(self.bytes, start, end),
        };
        match read {
            Ok(value) => self.push(value, end),
            Err(unexpected) => self.stopped = Some(unexpected),
        }
        self.stopped.is_none()
    }

    /// Where the remaining text that is not white space begins.
    fn left(&self) -> usize {
        let at = self.at();
        let rest = &self.bytes[at..];
        at + rest.iter().take_while(|byte| is_space(**byte)).count()
    }

    /// The error in the requested numbers, if any.
    pub fn wrong(&self) -> Result<(), Unexpected> {
        match &self.stopped {
            Some(unexpected) if self.failed => Err(unexpected.clone()),
            _ => Ok(()),
        }
    }

    /// Checks that all was right, and only white space is left.
    pub fn finish(&self) -> Result<(), Unexpected> {
        self.wrong()?;
        let at = self.left();
        if at < self.bytes.len() { Err(Unexpected { what: "the list should end", at }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn finds_commas_and_nothing_else() {
        let mut block = [b'7'; BLOCK_BYTES];
        for at in [0, 1, 7, 8, 15, 16, 30, 31, 32, 33, 62, 63] {
            block[at] = b',';
            block[at ^ 5] = b',' ^ 0x80;
            let expected = block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(*byte == b','));
            assert_eq!(commas(&block), expected);
        }
    }

    /// Lists in V8's form: `fields` numbers on each line or all on one, mostly short numbers, with up to two bytes
    /// changed.
    fn lists() -> impl Strategy<Value = Vec<u8>> {
        let number =
            prop_oneof![20 => 0..10u64, 20 => 0..100_000_000u64, 1 => 0..10_000_000_000_000_000u64, 1 => any::<u64>()];
        let change = (any::<prop::sample::Index>(), prop::sample::select(b"09,\n\r -.:/\"\xff".to_vec()));
        (prop::collection::vec(number, 1..1500), 1..8usize, prop::collection::vec(change, 0..3), any::<bool>())
            .prop_map(|(numbers, fields, changes, lines)| {
                let row = |row: &[u64]| row.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
                let separator = if lines { "\n," } else { "," };
                let mut text = numbers.chunks(fields).map(row).collect::<Vec<_>>().join(separator).into_bytes();
                for (at, byte) in changes {
                    let at = at.index(text.len());
                    text[at] = byte;
                }
                text
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn vectors_read_what_is_read_without_them(text in lists(), fewer in 0..3usize) {
            let count = (text.iter().filter(|byte| **byte == b',').count() + 1).saturating_sub(fewer);
            let [slowly, quickly] = [false, avx2::is_supported()].map(|is_wide| {
                let mut numbers = Numbers::with(&text, is_wide);
                let mut read = Vec::new();
                while read.len() < count {
                    read.push((numbers.behind(numbers.end()), numbers.next()));
                }
                (numbers.finish(), read)
            });
            prop_assert_eq!(slowly, quickly);
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
