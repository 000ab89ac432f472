//! Positions in the source that a file was compiled from: TypeScript, or what a bundler has joined.
//!
//! The file names its map in its last lines, as a file beside it or as a data URL. What cannot be read or decoded is no map, and positions
//! are then those of the compiled file.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// What precedes the address of a map.
const MARKS: [&str; 2] = ["//# sourceMappingURL=", "//@ sourceMappingURL="];
/// Maps that are read, at most; bytes. A map is some times as long as its file.
const MOST_BYTES: u64 = 16 << 20;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The map of a compiled file.
pub struct SourceMap {
    /// In order of their position in the compiled file.
    mappings: Vec<Mapping>,
    sources: Vec<PathBuf>,
}

/// A position of the compiled file, and where its code is from. Lines and columns count from 0.
struct Mapping {
    at: (u32, u32),
    /// None where the code is the compiler's own.
    origin: Option<Origin>,
}

#[derive(Clone, Copy)]
struct Origin {
    source: usize,
    line: u32,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Json {
    mappings: String,
    source_root: Option<String>,
    sources: Vec<Option<String>>,
}

impl SourceMap {
    /// The map that the text of `file` names.
    pub fn of(text: &str, file: &Path) -> Option<Self> {
        let (at, mark) = MARKS.iter().filter_map(|mark| Some((text.rfind(mark)?, mark))).max()?;
        let url = text[at + mark.len()..].lines().next()?.trim();
        let (json, folder) = match url.strip_prefix("data:") {
            Some(data) => (of_data_url(data)?, file.parent()?.to_owned()),
            None => {
                let path = on_disk(url, file.parent()?);
                let is_small = fs::metadata(&path).is_ok_and(|known| known.is_file() && known.len() <= MOST_BYTES);
                (is_small.then(|| fs::read(&path).ok())??, path.parent()?.to_owned())
            }
        };
        Self::read(&json, &folder)
    }

    fn read(json: &[u8], folder: &Path) -> Option<Self> {
        let Json { mappings, source_root, sources } = serde_json::from_slice(json).ok()?;
        let root = source_root.filter(|root| !root.is_empty()).map(|root| format!("{}/", root.trim_end_matches('/')));
        let path = |source: Option<String>| {
            on_disk(&format!("{}{}", root.as_deref().unwrap_or(""), source.unwrap_or_default()), folder)
        };
        let sources: Vec<PathBuf> = sources.into_iter().map(path).collect();
        Some(Self { mappings: decoded(&mappings, sources.len())?, sources })
    }

    /// File and line of the source, for a position in the compiled file. Lines count from 1, columns from 0 in UTF-16 units.
    pub fn original(&self, line: u32, column: u32) -> Option<(&Path, u32)> {
        let at = (line.checked_sub(1)?, column);
        let next = self.mappings.partition_point(|mapping| mapping.at <= at);
        let mapping = self.mappings[..next].last().filter(|mapping| mapping.at.0 == at.0)?;
        let Origin { source, line } = mapping.origin?;
        Some((self.sources.get(source)?, line + 1))
    }

    /// The source, if there is only one.
    pub fn only_source(&self) -> Option<&Path> {
        match &self.sources[..] {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// The bytes of a data URL, without its `data:`.
fn of_data_url(data: &str) -> Option<Vec<u8>> {
    let (kind, text) = data.split_once(',')?;
    if !kind.ends_with(";base64") {
        return Some(percent_decoded(text));
    }
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | value_of(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| str::from_utf8(after.get(..2)?).ok()).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]),
            None => (bytes.push(*first), rest = after),
        };
    }
    bytes
}

/// The path of a map or a source, relative to `folder` unless it is absolute. Of a bundler's URL (`webpack://app/./src/a.ts`) the path in it.
fn on_disk(url: &str, folder: &Path) -> PathBuf {
    let path = match url.split_once("://") {
        Some(("file", path)) => PathBuf::from(String::from_utf8_lossy(&percent_decoded(path)).into_owned()),
        Some((_, rest)) => return plain(Path::new(rest.split_once('/').map_or(rest, |(_, path)| path))),
        None => folder.join(url),
    };
    plain(&path)
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if parts.file_name().is_some() => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts
}

fn value_of(digit: u8) -> Option<u32> {
    BASE64.iter().position(|each| *each == digit).map(|value| value as u32)
}

/// All mappings of the format's `mappings`. None if they are malformed.
fn decoded(text: &str, sources: usize) -> Option<Vec<Mapping>> {
    let mut mappings = Vec::new();
    let (mut source, mut line) = (0i64, 0i64);
    for (row, segments) in (0u32..).zip(text.split(';')) {
        let mut column = 0i64;
        for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
            let numbers = numbers_of(segment.as_bytes())?;
            column += numbers.first()?;
            let origin = match numbers[..] {
                [_] => None,
                [_, of_source, of_line, ..] => {
                    (source, line) = (source + of_source, line + of_line);
                    let known = usize::try_from(source).ok().filter(|source| *source < sources)?;
                    Some(Origin { source: known, line: u32::try_from(line).ok()? })
                }
                _ => return None,
            };
            mappings.push(Mapping { at: (row, u32::try_from(column).ok()?), origin });
        }
    }
    // The format allows no other order, but a compiler may be wrong.
    mappings.sort_by_key(|mapping| mapping.at);
    Some(mappings)
}

/// The numbers of a segment: five bits in each digit, the lowest first, the sign in the lowest of all.
fn numbers_of(segment: &[u8]) -> Option<Vec<i64>> {
    let mut numbers = Vec::with_capacity(5);
    let (mut value, mut shift) = (0u64, 0);
    for digit in segment {
        let bits = value_of(*digit)?;
        // A number of the format has 32 bits.
        value |= u64::from(bits & 31).checked_shl(shift).filter(|_| shift <= 30)?;
        shift += 5;
        if bits & 32 == 0 {
            let magnitude = i64::try_from(value >> 1).ok()?;
            numbers.push(if value & 1 == 1 { -magnitude } else { magnitude });
            (value, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = r#"{"version":3,"sources":["../src/audit.ts"],"names":[],"mappings":"AAGA;EACE,C,eAEmB"}"#;

    fn found(map: &SourceMap, line: u32, column: u32) -> Option<(String, u32)> {
        map.original(line, column).map(|(file, line)| (file.display().to_string(), line))
    }

    #[test]
    fn a_position_in_the_source() {
        let map = SourceMap::read(MAP.as_bytes(), Path::new("/srv/dist")).unwrap();
        let at = |line| Some(("/srv/src/audit.ts".to_owned(), line));
        assert_eq!(found(&map, 1, 0), at(4));
        assert_eq!(found(&map, 1, 400), at(4));
        assert_eq!(found(&map, 2, 0), None, "before the first mapping of the line");
        assert_eq!(found(&map, 2, 2), at(5));
        assert_eq!(found(&map, 2, 3), None, "of the compiler");
        assert_eq!(found(&map, 2, 99), at(7));
        assert_eq!([found(&map, 3, 0), found(&map, 0, 0)], [None, None]);
        assert_eq!(map.only_source(), Some(Path::new("/srv/src/audit.ts")));
    }

    #[test]
    fn a_map_beside_the_file_or_within_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let of = |text: &str| SourceMap::of(text, &root.join("dist/audit.js"));
        fs::create_dir(root.join("dist")).unwrap();
        fs::write(root.join("dist/audit.js.map"), MAP).unwrap();
        let source = root.join("src/audit.ts").display().to_string();
        let map = of("a()\n//# sourceMappingURL=audit.js.map\n").unwrap();
        assert_eq!(found(&map, 1, 0), Some((source.clone(), 4)));
        let base64 = "eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbIi4uL3NyYy9hdWRpdC50cyJdLCJtYXBwaW5ncyI6IkFBR0EifQ==";
        for within in [
            format!("data:application/json;charset=utf-8;base64,{base64}"),
            "data:application/json,%7B%22sources%22:[%22../src/audit.ts%22],%22mappings%22:%22AAGA%22%7D".to_owned(),
        ] {
            let map = of(&format!("a()\n//# sourceMappingURL={within}")).unwrap();
            assert_eq!(found(&map, 1, 0), Some((source.clone(), 4)));
        }
        for none in
            ["", "a()", "//# sourceMappingURL=", "//# sourceMappingURL=absent.map", "//# sourceMappingURL=data:x"]
        {
            assert!(of(none).is_none(), "{none}");
        }
    }

    #[test]
    fn sources_of_bundlers() {
        let path = |url: &str| on_disk(url, Path::new("/srv/dist")).display().to_string();
        assert_eq!(path("webpack://app/./src/audit.ts"), "src/audit.ts");
        assert_eq!(path("file:///srv/my%20app/audit.ts"), "/srv/my app/audit.ts");
        assert_eq!(path("/abs/./a/../audit.ts"), "/abs/audit.ts");
        let rooted = r#"{"sourceRoot":"../lib/","sources":["a.ts",null],"mappings":"AAAA,CCAA"}"#;
        let map = SourceMap::read(rooted.as_bytes(), Path::new("/srv/dist")).unwrap();
        assert_eq!(found(&map, 1, 0), Some(("/srv/lib/a.ts".to_owned(), 1)));
        assert_eq!(map.only_source(), None);
    }

    #[test]
    fn what_is_malformed_is_no_map() {
        for mappings in ["AA", "A*", "g", "AAAAAA;gggggggggggggggA", "ADAA", "ACAA", "D", "AADA"] {
            let json = format!(r#"{{"sources":["a.ts"],"mappings":"{mappings}"}}"#);
            assert!(SourceMap::read(json.as_bytes(), Path::new("/")).is_none(), "{mappings}");
        }
        for json in ["", "[1]", "{\"sources\":1}", "{\"mappings\":null}"] {
            assert!(SourceMap::read(json.as_bytes(), Path::new("/")).is_none(), "{json}");
        }
    }
}
