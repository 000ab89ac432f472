//! Fits lines to the terminal: a line that is too long is broken between words. A word is broken only if it alone is
//! too long.

use std::io::{self, Write};

use textwrap::core::{Word, display_width};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// A longer word may be broken after a `/`.
const LONG_WORD: usize = 30;

/// Marks where the continuation lines of a line begin. Text from outside never contains it: [`super::units::plain`]
/// makes it visible.
pub const HANG: char = '\t';

/// `line` without its mark, in lines of at most `width` columns. Without a mark, continuation lines are indented by two
/// more columns.
pub fn fit(line: &str, width: usize) -> String {
    let width = width.max(10);
    let (head, text) = match line.split_once(HANG) {
        Some((head, text)) if display_width(head) <= width * 2 / 3 => (head.to_owned(), text.to_owned()),
        _ => {
            let line = line.replace(HANG, "");
            let text = line.trim_start_matches(' ');
            (" ".repeat((line.len() - text.len()).min(width / 2)), text.to_owned())
        }
    };
    if display_width(&head) + display_width(&text) <= width {
        return head + &text;
    }
    let more = if line.contains(HANG) { 0 } else { 2 };
    let indent = " ".repeat((display_width(&head) + more).min(width * 2 / 3));
    let options = Options::new(width)
        .initial_indent(&head)
        .subsequent_indent(&indent)
        .word_separator(WordSeparator::Custom(words))
        // The default depends on the features of textwrap that some crate asks for.
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&text, options)
}

/// Words, and the parts of long paths: `/dev/shm/` `plimsoll-0/` `2ee0b2e963390079.plimsoll`.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let parts = line.split_inclusive(' ').flat_map(|word| {
        let long = display_width(word) > LONG_WORD;
        word.split_inclusive(move |c: char| long && c == '/')
    });
    Box::new(parts.map(Word::from))
}

/// The same for several lines.
pub fn fit_all(text: &str, width: usize) -> String {
    text.split('\n').map(|line| fit(line, width)).collect::<Vec<_>>().join("\n")
}

/// Passes on whole lines, fitted to the width.
pub struct Fitting<'a> {
    out: &'a mut dyn Write,
    /// None: lines are passed on unchanged.
    width: Option<usize>,
    line: Vec<u8>,
}

impl<'a> Fitting<'a> {
    pub fn new(out: &'a mut dyn Write, width: Option<usize>) -> Self {
        Self { out, width, line: Vec::new() }
    }
}

impl Write for Fitting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(width) = self.width else { return self.out.write(bytes) };
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            writeln!(self.out, "{}", fit(&String::from_utf8_lossy(&line[..end]), width))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(width) = self.width.filter(|_| !self.line.is_empty()) {
            let line = std::mem::take(&mut self.line);
            write!(self.out, "{}", fit(&String::from_utf8_lossy(&line), width))?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_that_fits_stays_and_a_longer_one_is_broken_between_words() {
        assert_eq!(fit("  a  b", 20), "  a  b");
        assert_eq!(fit("  one two three four", 14), "  one two\n    three four");
        assert_eq!(fit("  name  \tone two three", 16), "  name  one two\n        three");
        assert_eq!(fit("a --max-old-space-size=3072 b", 27), "a --max-old-space-size=3072\n  b");
        let path = "/dev/shm/plimsoll-1000/2ee0b2e963390079.plimsoll";
        assert_eq!(fit(path, 40), "/dev/shm/plimsoll-1000/\n  2ee0b2e963390079.plimsoll");
        assert_eq!(fit("so and/or b", 10), "so and/or\n  b");
    }

    #[test]
    fn wide_characters_and_colours_count_as_they_are_shown() {
        assert_eq!(fit("日本語 日本語", 13), "日本語 日本語");
        assert_eq!(fit("日本語 日本語", 12), "日本語\n  日本語");
        assert_eq!(fit("\u{1b}[1mone two\u{1b}[0m 34", 10), "\u{1b}[1mone two\u{1b}[0m 34");
    }

    #[test]
    fn lines_pass_in_whatever_pieces_they_come() {
        let mut out = Vec::new();
        let mut fitting = Fitting::new(&mut out, Some(10));
        for piece in ["ein", "s zwei", " dr\u{e4}i\n\nvier"] {
            fitting.write_all(piece.as_bytes()).unwrap();
        }
        fitting.flush().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "eins zwei\n  dr\u{e4}i\n\nvier");
    }

    proptest! {
        #[test]
        fn every_line_fits_and_no_word_is_lost(line in "( {0,30}[a-z日\u{301}]{0,40} ?\t?){0,20}", width in 10..130usize) {
            let fitted = fit(&line, width);
            for line in fitted.lines() {
                prop_assert!(display_width(line) <= width, "{}: {:?}", width, line);
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&fitted), letters(&line));
        }
    }
}
