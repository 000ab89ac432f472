//! The strings of a snapshot in the form of the file. They are compared in that form, and decoded when one is shown.

use std::fmt::Write;

use super::memory;

/// Escaped, one after the other.
#[derive(Default)]
pub struct Strings {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u64>,
}

impl Strings {
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Adds bytes to the present string.
    pub fn extend(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
    }

    pub fn end(&mut self) {
        self.ends.push(self.bytes.len() as u64);
    }

    /// Reserves room for this many bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes = memory::room(bytes);
    }

    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// The form in the file, without quotes and with escapes. Empty for a number without a string.
    pub fn raw(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start as usize..*end as usize]
    }

    /// The numbers of a text: usually one or none, but that is not guaranteed.
    pub fn numbers_of(&self, raw: &[u8]) -> Vec<u32> {
        (0..self.count() as u32).filter(|index| self.raw(*index) == raw).collect()
    }

    /// The decoded text. V8 cuts strings at 1,024 characters, possibly within a surrogate pair, so invalid sequences
    /// are accepted.
    pub fn text(&self, index: u32) -> String {
        decode(self.raw(index))
    }
}

fn decode(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if !raw.contains(&b'\\') {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    // The first half of a pair.
    let mut high: Option<u32> = None;
    while let Some(c) = rest.next() {
        let unit = match c {
            '\\' => match rest.next() {
                Some('u') => hex(&mut rest),
                Some('n') => Some(0x0a),
                Some('r') => Some(0x0d),
                Some('t') => Some(0x09),
                Some('b') => Some(0x08),
                Some('f') => Some(0x0c),
                Some(other) => Some(u32::from(other)),
                None => None,
            },
            other => Some(u32::from(other)),
        };
        let unit = unit.unwrap_or(0xfffd);
        let (before, pair) = (high.take(), (0xdc00..0xe000).contains(&unit));
        match before {
            Some(before) if pair => {
                let code: u32 = 0x1_0000 + ((before - 0xd800) << 10) + (unit - 0xdc00);
                out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
                continue;
            }
            Some(_) => out.push('\u{fffd}'),
            None => {}
        }
        if (0xd800..0xdc00).contains(&unit) {
            high = Some(unit);
        } else {
            let _ = out.write_char(char::from_u32(unit).unwrap_or('\u{fffd}'));
        }
    }
    if high.is_some() {
        out.push('\u{fffd}');
    }
    out
}

fn hex(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    let digits = rest.as_str().get(..4)?;
    let unit = u32::from_str_radix(digits, 16).ok()?;
    *rest = rest.as_str()[4..].chars();
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_v8_writes_and_forgives_what_it_cuts() {
        assert_eq!(decode(br#"plain"#), "plain");
        assert_eq!(decode(br#"a\"b\\c\n\t\u00e4\/"#), "a\"b\\c\n\tä/");
        assert_eq!(decode(br"\uD83D\uDE00!"), "😀!");
        assert_eq!(decode(br"cut \uD83D"), "cut \u{fffd}");
        assert_eq!(decode(br"\uDE00\uD83Dx"), "\u{fffd}\u{fffd}x");
        assert_eq!(decode(br"\u12"), "\u{fffd}12");
        assert_eq!(decode(b"\xff"), "\u{fffd}");
        assert_eq!(decode(b"end\\"), "end\u{fffd}");
    }

    #[test]
    fn knows_its_strings_by_number() {
        let mut strings = Strings::default();
        for text in ["", "one", "", "two"] {
            strings.extend(text.as_bytes());
            strings.end();
        }
        assert_eq!([0, 1, 2, 3, 4].map(|index| strings.text(index)), ["", "one", "", "two", ""]);
    }
}
