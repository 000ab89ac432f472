//! What of a URL may be recorded before its route is known.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMode {
    /// Without the query string, and with segments that look like secrets or identities replaced by `*`.
    Masked,
    /// The whole URL.
    Full,
}

/// Longer segments are masked whatever they hold.
const LONGEST: usize = 32;
/// Segments of at least this length that mix digits and letters look like tokens.
const TOKEN: usize = 12;

/// The path as the recorder may hold it.
pub fn shown_path(url: &str, mode: PathMode) -> Cow<'_, str> {
    if mode == PathMode::Full {
        return Cow::Borrowed(url);
    }
    let path = &url[..url.find(['?', '#', ';']).unwrap_or(url.len())];
    if !path.split('/').any(looks_secret) {
        return Cow::Borrowed(path);
    }
    let masked: Vec<&str> = path.split('/').map(|segment| if looks_secret(segment) { "*" } else { segment }).collect();
    Cow::Owned(masked.join("/"))
}

fn looks_secret(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().any(u8::is_ascii_digit);
    let letters = bytes.iter().any(u8::is_ascii_alphabetic);
    // Percent-encoded and dotted things may be names or addresses of people.
    bytes.len() > LONGEST
        || bytes.contains(&b'@')
        || segment.contains("%40")
        || bytes.len() >= TOKEN && digits && letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_looks_like_a_secret_and_keeps_the_rest() {
        for (url, shown) in [
            ("/users/42", "/users/42"),
            ("/users/42?token=abc", "/users/42"),
            ("/reset/9f86d081884c7d65", "/reset/*"),
            ("/o/123e4567-e89b-12d3-a456-426614174000/x", "/o/*/x"),
            ("/mail/ann@example.com", "/mail/*"),
            ("/mail/ann%40example.com", "/mail/*"),
            ("/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/a/*"),
            ("/matrix;jsessionid=1A2B", "/matrix"),
            ("/assets/application.css", "/assets/application.css"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(shown_path(url, PathMode::Masked), shown, "{url}");
        }
        assert_eq!(shown_path("/users/42?token=abc", PathMode::Full), "/users/42?token=abc");
    }
}
