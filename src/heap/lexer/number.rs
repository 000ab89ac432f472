//! Numbers, eight digits at a time: nine tenths of a snapshot are short unsigned integers, and a loop over digits spends most of its time on
//! mispredicted ends.

/// Bytes that must follow what is read: eight digits and what comes behind them are looked at together.
pub const PADDING: usize = 10;
/// 19 digits fit into 64 bits, whatever they are.
const MOST_DIGITS: usize = 19;

/// Why no number could be read; `at` is a place in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Unexpected {
    pub what: &'static str,
    pub at: usize,
}

/// Reads lists of unsigned integers that are separated by commas and white space. What is wrong is kept until the end, so that nothing needs
/// to be asked after each number: behind it all numbers are 0.
pub struct Numbers<'a> {
    /// With [`PADDING`] behind the end.
    bytes: &'a [u8],
    end: usize,
    at: usize,
    wrong: Option<Unexpected>,
}

impl<'a> Numbers<'a> {
    /// `bytes` with `PADDING` bytes behind what counts, none of which is a digit.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, end: bytes.len() - PADDING, at: 0, wrong: None }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// The next number, with the comma behind it, if there is one: at the end there need be none.
    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        if let Some(window) = self.bytes[self.at..].first_chunk::<PADDING>() {
            let (value, digits) = leading(window);
            // Up to Node 22 each row is a line, and the comma begins the next.
            let behind = usize::from(window[digits] == b'\n');
            if digits > 0 && window[digits + behind] == b',' {
                self.at += digits + behind + 1;
                return value;
            }
        }
        self.slow().unwrap_or_else(|wrong| {
            self.wrong.get_or_insert(wrong);
            0
        })
    }

    #[cold]
    fn slow(&mut self) -> Result<u64, Unexpected> {
        self.skip_space();
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit) = self.digit() {
            if self.at - start >= MOST_DIGITS {
                return Err(Unexpected { what: "a number of more than 19 digits", at: start });
            }
            value = value * 10 + u64::from(digit);
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a number was expected"));
        }
        self.skip_space();
        match self.bytes[self.at] {
            _ if self.at == self.end => Ok(value),
            b',' => {
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.unexpected("a comma was expected")),
        }
    }

    fn digit(&self) -> Option<u8> {
        let digit = self.bytes[self.at].wrapping_sub(b'0');
        (self.at < self.end && digit < 10).then_some(digit)
    }

    fn skip_space(&mut self) {
        while self.at < self.end && matches!(self.bytes[self.at], b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn unexpected(&self, what: &'static str) -> Unexpected {
        Unexpected { what, at: self.at }
    }

    /// Whether nothing but white space is left.
    pub fn is_empty(&mut self) -> bool {
        self.skip_space();
        self.at == self.end
    }

    /// What is wrong, if anything is.
    pub fn wrong(&mut self) -> Result<(), Unexpected> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    /// That all was right, and nothing but white space is left.
    pub fn finish(&mut self) -> Result<(), Unexpected> {
        self.wrong()?;
        self.skip_space();
        if self.at < self.end { Err(self.unexpected("the list should end")) } else { Ok(()) }
    }
}

/// The value of the digits that eight bytes begin with, and how many they are.
#[inline(always)]
fn leading(window: &[u8; PADDING]) -> (u64, usize) {
    let [a, b, c, d, e, f, g, h, ..] = *window;
    let nibbles = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ 0x3030_3030_3030_3030;
    // A byte over nine sets its high bit, here or by its carry; what comes before the first such is untouched by it.
    let others = (nibbles.wrapping_add(0x7676_7676_7676_7676) | nibbles) & 0x8080_8080_8080_8080;
    let digits = others.trailing_zeros() / 8;
    // Leading zeros, then pairs, fours, eight: Lemire, "Quickly parsing eight digits". Without digits the shift is by all bits.
    let value = nibbles.checked_shl(64 - 8 * digits).unwrap_or(0);
    let value = value.wrapping_mul(10).wrapping_add(value >> 8);
    let low = (value & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((value >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (low.wrapping_add(high) >> 32, digits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, count: usize) -> Result<Vec<u64>, Unexpected> {
        let bytes = [text.as_bytes(), &[0; PADDING]].concat();
        let mut numbers = Numbers::new(&bytes);
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
    fn agrees_with_the_standard_library() {
        let numbers: Vec<u64> =
            (0..64).flat_map(|bits| [1u64 << bits >> 1, (1u64 << bits >> 1).wrapping_mul(7) >> 4]).collect();
        let text = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(read(&text, numbers.len()), Ok(numbers));
    }
}
