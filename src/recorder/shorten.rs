//! Shortens text to a number of bytes.

use std::borrow::Cow;

const MARK: &str = "…";

/// `text` in at most `bytes` bytes. It is cut between words, with a mark. A word is cut only if it alone is too long.
pub fn shortened(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    let room = text.floor_char_boundary(bytes.saturating_sub(MARK.len() + 1));
    // Includes a space at `room` itself, because the word before it is complete.
    let end = text[..text.floor_char_boundary(room + 1)].rfind(' ').filter(|end| *end > 0);
    match end {
        Some(end) => format!("{} {MARK}", text[..end].trim_end()),
        None => format!("{}{MARK}", &text[..room]),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cuts_between_words() {
        assert_eq!(shortened("one two", 7), "one two");
        assert_eq!(shortened("one two three", 12), "one two …");
        assert_eq!(shortened("one two three", 11), "one two …");
        assert_eq!(shortened("one two three", 10), "one …");
        assert_eq!(shortened("onetwothree", 8), "onet…");
    }

    proptest! {
        #[test]
        fn whole_words_are_left_in_the_room_there_is(words in prop::collection::vec("[a-zé日]{1,9}", 0..60), bytes in 64..300usize) {
            let text = words.join(" ");
            let short = shortened(&text, bytes);
            prop_assert!(short.len() <= bytes);
            let left: Vec<&str> = short.split(' ').filter(|word| !word.is_empty()).collect();
            match left.strip_suffix(&["…"]) {
                Some(left) => prop_assert!(left.len() < words.len() && words.iter().zip(left).all(|(a, b)| a == b)),
                None => prop_assert_eq!(short.as_ref(), text.as_str()),
            }
            // No more is cut than needed.
            prop_assert!(short.len() == text.len() || short.len() + 40 > bytes);
        }
    }
}
