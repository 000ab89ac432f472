//! WeakMap entries. V8 writes each as two edges of the same name, from the table and from the key, and only the name
//! shows it: `42 / part of key (Session @7) -> value (Object @9) pair in WeakMap (table @5)`. The value is alive only
//! if both are. So one of the two is ignored for retaining, and the nearer one for distances.

use std::collections::HashMap;

use crate::bits::Bits;
use crate::strings::Strings;

#[derive(Default)]
pub struct Ephemerons {
    /// The strings that are such names.
    names: Bits,
    entries: HashMap<u32, Entry>,
}

#[derive(Clone, Copy)]
pub struct Entry {
    /// The id of the WeakMap's table.
    pub table: u64,
    /// The same for both edges of a pair.
    pub pair: u32,
}

impl Ephemerons {
    pub fn of(strings: &Strings) -> Self {
        let mut names = Bits::new(strings.count());
        let mut entries = HashMap::new();
        let mut pairs: HashMap<&[u8], u32> = HashMap::new();
        for index in 0..strings.count() as u32 {
            if let Some((table, rest)) = parse(strings.raw(index)) {
                let next = pairs.len() as u32;
                let pair = *pairs.entry(rest).or_insert(next);
                names.set(index);
                entries.insert(index, Entry { table, pair });
            }
        }
        Self { names, entries }
    }

    #[inline]
    pub fn get(&self, name: u32) -> Option<Entry> {
        if self.names.get(name) { self.entries.get(&name).copied() } else { None }
    }
}

/// The table's id, and the common part of both edges.
fn parse(name: &[u8]) -> Option<(u64, &[u8])> {
    let space = name.iter().position(|byte| !byte.is_ascii_digit()).filter(|at| *at > 0)?;
    let rest = &name[space..];
    let inner = rest.strip_prefix(b" / part of key (")?.strip_suffix(b")")?;
    let table = inner.iter().rposition(|byte| *byte == b'@').map(|at| at + 1)?;
    if !inner[..table].ends_with(b" pair in WeakMap (table @") || memchr::memmem::find(inner, b") -> value (").is_none()
    {
        return None;
    }
    let digits =
        std::str::from_utf8(&inner[table..]).ok().filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_edges_of_an_entry_have_one_pair() {
        let mut strings = Strings::default();
        for text in [
            "4 / part of key (A @7) -> value (B (x) @9) pair in WeakMap (table @5)",
            "table",
            "11 / part of key (A @7) -> value (B (x) @9) pair in WeakMap (table @5)",
            "4 / part of key (A @7) -> value (C @13) pair in WeakMap (table @55)",
            "/ part of key (A @7) -> value (C @13) pair in WeakMap (table @55)",
            "4 / part of key (A @7) -> value (C @13) pair in WeakMap (table @x)",
            "4",
            "",
        ] {
            strings.extend(text.as_bytes());
            strings.end();
        }
        let found = Ephemerons::of(&strings);
        let entry = |name| found.get(name).map(|entry| (entry.table, entry.pair));
        assert_eq!([0, 1, 2, 3].map(entry), [Some((5, 0)), None, Some((5, 0)), Some((55, 1))]);
        assert_eq!([4, 5, 6, 7].map(entry), [None; 4]);
    }
}
