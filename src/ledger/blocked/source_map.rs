//! Source maps (revision 3): which line of the source a line of a script was made from.
//!
//! The sampler thread reads them, because no JavaScript can run while the event loop is blocked. It reads the map of
//! one script when a blocked line is found. Maps with sections are not read.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// A larger map is not read.
pub const BYTES_MAX: u64 = 32 << 20;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A position in a script or a source. Both numbers are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub script: String,
    pub line: u32,
    pub column: u32,
}

/// The map of one script.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceMap {
    source_root: Option<String>,
    sources: Vec<Option<String>>,
    mappings: String,
    /// The folder that paths of sources are relative to.
    #[serde(skip)]
    folder: PathBuf,
}

impl SourceMap {
    /// The map that `url` names: a `data:` URL, or a path beside the script. None if there is none.
    pub fn load(url: &str, script: &str) -> Option<Self> {
        if url.is_empty() {
            return None;
        }
        let (text, folder) = load(url, path_of(script)?.parent()?)?;
        // Some tools put this before a map, against its use as a script.
        let text = text.strip_prefix(")]}'").map_or(&*text, |rest| rest.trim_start_matches(|c| c != '{'));
        Some(Self { folder, ..serde_json::from_str(text).ok()? })
    }

    /// The position in the source. None if the map does not have it.
    pub fn original(&self, line: u32, column: u32) -> Option<Position> {
        let (source, line, column) = find(&self.mappings, line.checked_sub(1)?, column.checked_sub(1)?)?;
        let source = self.sources.get(source)?.as_deref()?;
        let script = match self.source_root.as_deref() {
            Some(root) if !root.is_empty() => {
                located(&self.folder, &format!("{}/{source}", root.trim_end_matches('/')))
            }
            _ => located(&self.folder, source),
        };
        Some(Position { script, line: line.saturating_add(1), column: column.saturating_add(1) })
    }
}

/// The path of a script, given as path or as `file:` URL. None for other URLs and names that are not paths.
pub fn path_of(script: &str) -> Option<PathBuf> {
    let path = match script.strip_prefix("file://") {
        Some(encoded) => PathBuf::from(String::from_utf8(percent_decoded(encoded)).ok()?),
        None => PathBuf::from(script),
    };
    path.is_absolute().then_some(path)
}

fn load(url: &str, folder: &Path) -> Option<(String, PathBuf)> {
    if let Some(data) = url.strip_prefix("data:") {
        let (kind, content) = data.split_once(',')?;
        let bytes = if kind.ends_with(";base64") { base64_decoded(content)? } else { percent_decoded(content) };
        return Some((String::from_utf8(bytes).ok()?, folder.to_owned()));
    }
    let path = match path_of(url) {
        Some(path) => path,
        None if url.contains("://") => return None,
        None => normal(&folder.join(String::from_utf8(percent_decoded(url)).ok()?)),
    };
    let facts = fs::metadata(&path).ok()?;
    if !facts.is_file() || facts.len() > BYTES_MAX {
        return None;
    }
    Some((fs::read_to_string(&path).ok()?, path.parent()?.to_owned()))
}

/// Absolute where it is a path. `webpack://app/src/x.ts` and the like stay as they are.
fn located(folder: &Path, source: &str) -> String {
    match path_of(source) {
        Some(path) => normal(&path).display().to_string(),
        None if source.contains("://") => source.to_owned(),
        None => normal(&folder.join(source)).display().to_string(),
    }
}

/// Without `.` and `..`. Links are not followed.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

/// Source, line and column of the last mapping at or before a position, on the same line. All are counted from 0.
fn find(mappings: &str, line: u32, column: u32) -> Option<(usize, u32, u32)> {
    let (mut source, mut source_line, mut source_column) = (0i64, 0i64, 0i64);
    for (index, segments) in mappings.split(';').enumerate() {
        let wanted = index == line as usize;
        let (mut at, mut found) = (0i64, None);
        for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
            let fields = vlq(segment)?;
            at += fields.first()?;
            if wanted && at > i64::from(column) {
                break;
            }
            found = None;
            if let [_, of, line, column, ..] = fields[..] {
                source += of;
                source_line += line;
                source_column += column;
                found = Some((source, source_line, source_column));
            }
        }
        if wanted {
            let (source, line, column) = found?;
            return Some((source.try_into().ok()?, line.try_into().ok()?, column.try_into().ok()?));
        }
    }
    None
}

/// The numbers of a segment: groups of five bits, the lowest first, in base64.
fn vlq(segment: &str) -> Option<Vec<i64>> {
    let (mut numbers, mut value, mut shift) = (Vec::with_capacity(5), 0i64, 0u32);
    for byte in segment.bytes() {
        let digit = sextet(byte)?;
        // A number of a map has 32 bits.
        if shift > 30 {
            return None;
        }
        value |= i64::from(digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            numbers.push(if value & 1 == 0 { value >> 1 } else { -(value >> 1) });
            (value, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(numbers)
}

fn sextet(byte: u8) -> Option<u8> {
    BASE64.iter().position(|digit| *digit == byte).map(|at| at as u8)
}

fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(sextet(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let code = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        decoded.push(code.unwrap_or(*byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(script: &str, line: u32, column: u32) -> Position {
        Position { script: script.into(), line, column }
    }

    fn base64(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let mut word = [0; 4];
            word[1..=chunk.len()].copy_from_slice(chunk);
            let bits = u32::from_be_bytes(word);
            for index in 0..=chunk.len() {
                text.push(BASE64[(bits >> (18 - 6 * index) & 63) as usize] as char);
            }
        }
        text.push_str(["", "==", "="][bytes.len() % 3]);
        text
    }

    fn encoded(number: i64) -> String {
        let mut rest = if number < 0 { -number << 1 | 1 } else { number << 1 };
        let mut text = String::new();
        loop {
            let more = if rest > 31 { 32 } else { 0 };
            text.push(BASE64[(rest & 31 | more) as usize] as char);
            rest >>= 5;
            if more == 0 {
                return text;
            }
        }
    }

    #[test]
    fn finds_the_source_beside_the_script_and_inside_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("dist").join("report.js");
        fs::create_dir(folder.path().join("dist")).unwrap();
        // Line 2: column 0 is line 1 of the first source, column 4 is line 8, column 3 of the second.
        let map = r#"{"version":3,"sources":["../src/a.ts","../src/b.ts"],"names":[],"mappings":";AAAA,ICOG","sourcesContent":["x"]}"#;
        fs::write(folder.path().join("dist").join("report.js.map"), map).unwrap();
        let source = |name: &str| folder.path().join("src").join(name).display().to_string();
        let script = script.display().to_string();
        let inline = format!("data:application/json;charset=utf-8;base64,{}", base64(map.as_bytes()));
        for url in ["report.js.map", inline.as_str()] {
            let find = |script: &str, line, column| SourceMap::load(url, script)?.original(line, column);
            assert_eq!(find(&script, 2, 3), Some(at(&source("a.ts"), 1, 1)));
            assert_eq!(find(&script, 2, 5), Some(at(&source("b.ts"), 8, 4)));
            assert_eq!(find(&format!("file://{script}"), 2, 900), Some(at(&source("b.ts"), 8, 4)));
            assert_eq!(find(&script, 1, 1), None, "a line without a mapping");
            assert_eq!(find(&script, 9, 1), None, "beyond the map");
            assert_eq!(find("evalmachine.<anonymous>", 2, 1), None);
        }
        for url in
            ["none.map", "https://example.com/report.js.map", "data:application/json,{}", "", "/dev/zero", "data:"]
        {
            assert!(SourceMap::load(url, &script).is_none(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn decodes_what_an_encoder_writes(
            numbers in prop::collection::vec(-(1i64 << 30)..1 << 30, 1..6),
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let text: String = numbers.iter().map(|number| encoded(*number)).collect();
            prop_assert_eq!(vlq(&text), Some(numbers));
            prop_assert_eq!(base64_decoded(&base64(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_without_a_panic(mappings in "[A-Za-z0-9+/,;]{0,80}", url in ".{0,40}", line in any::<u32>(), column in any::<u32>()) {
            find(&mappings, line, column);
            SourceMap::load(&url, "/app/report.js");
            let data = format!(r#"data:application/json,{{"sources":[null,"a"],"mappings":"{mappings}"}}"#);
            SourceMap::load(&data, "/app/report.js").and_then(|map| map.original(line, column));
        }
    }
}
