//! How text is displayed: what the terminal, or the output file, supports.

use super::units::plain;

/// Properties of the output.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// In columns.
    pub width: usize,
    pub color: bool,
    /// Whether it supports UTF-8.
    pub unicode: bool,
}

impl Look {
    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn alarm(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub fn arrow(self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// A mark for omitted text.
    pub fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    pub fn rule(self) -> char {
        if self.unicode { '─' } else { '-' }
    }

    /// Text from a file, made harmless and limited to characters that can be displayed.
    pub fn plain(self, text: &str) -> String {
        let text = plain(text);
        if self.unicode {
            text
        } else {
            text.replace('→', "->").replace('…', "...").replace(|c: char| !c.is_ascii(), "?")
        }
    }
}

/// Whether the terminal supports UTF-8, by the locale's rules. Without a locale, as in most containers, it is assumed:
/// the terminal is usually outside of the container.
pub fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(variable).find(|value| !value.is_empty());
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::is_unicode;

    #[test]
    fn the_locale_says_whether_the_terminal_takes_utf8() {
        let with = |values: &[(&str, &str)]| {
            is_unicode(|name| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert!(with(&[]) && with(&[("LANG", "C.UTF-8")]) && with(&[("LC_ALL", ""), ("LANG", "de_DE.utf8")]));
        assert!(!with(&[("LANG", "C")]) && !with(&[("LC_ALL", "POSIX"), ("LANG", "en_US.UTF-8")]));
    }
}
