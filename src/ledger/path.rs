//! The part of a URL that may be recorded before its route is known.
//!
//! A segment stays only if it looks like a word of a route. Any other becomes `*`. A list of secrets to mask would miss
//! new kinds of secrets. `lib/express/route-word.js` has the same rule, for labels that come from a URL.

use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMode {
    /// Without the query string, and with each segment that does not look like a word of a route replaced by `*`.
    Masked,
    /// The whole URL.
    Full,
}

/// Bytes of a segment: `reset-password-confirmation` has 27.
const LONGEST_SEGMENT: usize = 32;
/// Letters of a word: `responsibilities` has 16. Random tokens of lower-case letters are mostly longer.
const MOST_LETTERS: usize = 16;
/// Digits of a segment: `oauth2`, `v1.12`, `sha256`. Codes and numbers of people have more.
const MOST_DIGITS: usize = 3;

/// The path in the form in which the record may contain it.
pub fn shown_path(url: &str, mode: PathMode) -> Cow<'_, str> {
    if mode == PathMode::Full {
        return Cow::Borrowed(url);
    }
    let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    if path.split('/').all(is_route_word) {
        return Cow::Borrowed(path);
    }
    let masked: Vec<&str> = path.split('/').map(|segment| if is_route_word(segment) { segment } else { "*" }).collect();
    Cow::Owned(masked.join("/"))
}

/// Words of lower-case ASCII letters, joined by `-`, `_` and `.`. Each has digits at one end at most.
fn is_route_word(segment: &str) -> bool {
    segment.len() <= LONGEST_SEGMENT
        && segment.bytes().filter(u8::is_ascii_digit).count() <= MOST_DIGITS
        && segment.split(['-', '_', '.']).all(is_word)
}

fn is_word(word: &str) -> bool {
    let letters = word.trim_matches(|character: char| character.is_ascii_digit());
    let one_end = word.starts_with(letters) || word.ends_with(letters);
    one_end && letters.len() <= MOST_LETTERS && letters.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keeps_words_of_routes() {
        for segment in [
            "users",
            "api",
            "v2",
            "v1.12",
            "oauth2",
            "well-known",
            ".well-known",
            "health-check",
            "index.html",
            "favicon.ico",
            "webhooks_stripe",
            "_next",
            "__webpack_hmr",
            "wp-login.php",
            "robots.txt",
            "sha256",
            "2fa",
            "s3",
            "graphql",
            "42",
            "me",
            "apple-app-site-association",
            "reset-password-confirmation",
            "responsibilities",
            "socket.io",
            "app.min.js",
            "",
        ] {
            let url = format!("/api/{segment}/list");
            assert_eq!(shown_path(&url, PathMode::Masked), url);
        }
    }

    #[test]
    fn masks_everything_else() {
        for (url, shown) in [
            ("/users/42?token=abc", "/users/42"),
            ("/users/4242", "/users/*"),
            ("/users/#token", "/users/"),
            ("/reset/9f86d081884c7d65", "/reset/*"),
            ("/o/123e4567-e89b-12d3-a456-426614174000/x", "/o/*/x"),
            ("/mail/ann@example.com", "/mail/*"),
            ("/mail/ann%40example.com", "/mail/*"),
            ("/mail/ann%2540example.com", "/mail/*"),
            ("/%75sers", "/*"),
            ("/caf\u{e9}/\u{661}\u{662}\u{663}", "/*/*"),
            ("/a/aaaaaaaaaaaaaaaaa", "/a/*"),
            ("/matrix;jsessionid=1A2B/x", "/*/x"),
            ("/login/bob:hunter2", "/login/*"),
            ("/t/key=value", "/t/*"),
            ("/Admin/a+b/a,b/~bob/$x/a b", "/*/*/*/*/*/*"),
            ("http://bob:secret@example.com/users", "*//*/users"),
            ("example.com:443", "*"),
            ("/a1b2/x7k9", "/*/*"),
            ("/back\\slash", "/*"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(shown_path(url, PathMode::Masked), shown, "{url}");
        }
        assert_eq!(shown_path("/users/42?token=abc", PathMode::Full), "/users/42?token=abc");
    }

    /// Each kind of secret, long enough that it is not a word by chance.
    fn secret() -> impl Strategy<Value = String> {
        let separated = |digits: usize| {
            prop::collection::vec("[0-9]", digits).prop_flat_map(|digits| {
                ("", "[-._ ]", 1usize..6).prop_map(move |(none, separator, every)| {
                    let groups: Vec<String> = digits.chunks(every).map(|group| group.concat()).collect();
                    groups.join(if every == 5 { &none } else { &separator })
                })
            })
        };
        let mixed_case = ("[A-Za-z0-9]{0,15}", "[A-Z]", "[A-Za-z0-9]{5,16}").prop_map(|(a, b, c)| a + &b + &c);
        prop_oneof![
            "eyJ[A-Za-z0-9_-]{10,40}\\.[A-Za-z0-9_-]{10,60}\\.[A-Za-z0-9_-]{10,43}",
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[0-9a-f]{20,64}",
            "[0-9A-F]{20,64}",
            "[A-Za-z0-9_-]{24,86}",
            "[A-Za-z0-9+]{24,86}={1,2}",
            "[0-9A-HJKMNP-TV-Z]{26}",
            "[0-9a-hjkmnp-tv-z]{26}",
            "[a-z]{17,40}",
            mixed_case,
            separated(16),
            separated(9),
            "[+][0-9]{6,14}",
            "[a-z.]{1,12}@[a-z]{2,10}\\.(com|org)",
            "[a-z.]{1,12}%40[a-z]{2,10}\\.(com|org)",
            "[a-z]{2,10}:[a-z0-9]{1,12}",
            "[a-z]{2,10}%3[aA][a-z0-9]{1,12}",
            "[a-z_]{2,10}=[a-z0-9]{1,12}",
            "[a-z]{2,10};[a-z]{2,10}=[a-z0-9]{1,12}",
            "[a-z]{0,5}[\u{80}-\u{2000}]{1,5}[a-z]{0,5}",
            "(sk|pk|ghp)_(live|test)_[A-Za-z0-9]{24}",
        ]
    }

    proptest! {
        #[test]
        fn no_secret_stays(secret in secret(), after in "(/[a-z]{1,9}){0,2}(\\?[a-z=]{0,9})?") {
            let url = format!("/reset/{secret}{after}");
            let shown = shown_path(&url, PathMode::Masked);
            prop_assert!(!shown.contains(&secret), "{url} is shown as {shown}");
            prop_assert!(shown.starts_with("/reset/*"), "{url} is shown as {shown}");
        }

        #[test]
        fn what_stays_is_made_of_words(url in "\\PC{0,60}") {
            for segment in shown_path(&url, PathMode::Masked).split('/') {
                prop_assert!(
                    segment == "*" || segment.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')),
                    "{segment}"
                );
            }
        }
    }
}
