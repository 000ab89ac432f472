//! Converts the bytes of a `.heapsnapshot` to columns. The file is one JSON object, and consists almost entirely of two
//! lists of integers, of nodes and of edges. So this is not a general JSON parser: it knows the keys, and skips what it
//! does not know.
//!
//! Node 20 and 22 write one row on each line. From Node 24 on there are no line ends within the lists. Both are white
//! space here. All offsets and types come from the header ([`meta`]). A count is checked against the size of the file
//! before memory is allocated.

mod columns;
mod cursor;
mod locations;
pub mod meta;
mod number;
mod rows;

use columns::Highest;
use cursor::Cursor;
use meta::Meta;

use super::error::{Error, Result};
use super::snapshot::{Edges, Location, Nodes, Ordinal, Snapshot};
use super::source::Source;
use super::strings::Strings;
use super::threads;

/// Reads a whole snapshot.
///
/// # Errors
/// The source cannot be read, or contains no valid snapshot. The error has the offset.
pub fn read(source: &mut Source) -> Result<Snapshot> {
    let mut cursor = Cursor::new(source);
    let mut parts = Parts::default();
    cursor.expect(b'{')?;
    if cursor.peek()? != b'}' {
        loop {
            let key = cursor.key()?;
            parts.read(&key, &mut cursor)?;
            if !cursor.take_if(b',')? {
                break;
            }
        }
    }
    cursor.expect(b'}')?;
    parts.finish(&cursor)
}

#[derive(Default)]
struct Parts {
    meta: Option<Meta>,
    nodes: Option<(Nodes, Highest)>,
    edges: Option<(Edges, Highest)>,
    /// Unsorted. They are sorted while the strings are read.
    locations: locations::Found,
    sorted: Vec<(Ordinal, Location)>,
    strings: Option<Strings>,
}

impl Parts {
    fn read(&mut self, key: &str, cursor: &mut Cursor<'_>) -> Result<()> {
        let twice = match key {
            "snapshot" => self.meta.is_some(),
            "nodes" => self.nodes.is_some(),
            "edges" => self.edges.is_some(),
            "strings" => self.strings.is_some(),
            _ => false,
        };
        if twice {
            return Err(cursor.unexpected(format!("{key:?} occurs twice")));
        }
        match key {
            "snapshot" => self.meta = Some(header(cursor)?),
            "nodes" => {
                let meta = list(cursor, self.meta.as_ref())?;
                self.nodes = Some(columns::nodes(cursor, meta)?);
            }
            "edges" => {
                let meta = list(cursor, self.meta.as_ref())?;
                self.edges = Some(columns::edges(cursor, meta)?);
            }
            "locations" => {
                let meta = self.meta.as_ref();
                match meta.and_then(|meta| meta.location_fields) {
                    Some(fields) => {
                        let meta = list(cursor, meta)?;
                        self.locations = locations::read(cursor, meta, fields)?;
                    }
                    None => cursor.value(&mut |_| true)?,
                }
            }
            "strings" => {
                let locations = std::mem::take(&mut self.locations);
                let (sorted, strings) = threads::both(|| locations::sort(locations), || strings(cursor));
                self.sorted = sorted;
                self.strings = Some(strings?);
            }
            _ => cursor.value(&mut |_| true)?,
        }
        Ok(())
    }

    fn finish(mut self, cursor: &Cursor<'_>) -> Result<Snapshot> {
        if !self.locations.is_empty() {
            self.sorted = locations::sort(self.locations);
        }
        let missing = |key: &str| cursor.unexpected(format!("there is no {key:?}"));
        let meta = self.meta.ok_or_else(|| missing("snapshot"))?;
        let (nodes, of_nodes) = self.nodes.ok_or_else(|| missing("nodes"))?;
        let (edges, of_edges) = self.edges.ok_or_else(|| missing("edges"))?;
        let strings = self.strings.ok_or_else(|| missing("strings"))?;
        for (what, highest) in [("a node", of_nodes), ("an edge", of_edges)] {
            // In a snapshot without strings, only the names of edges may all be indices.
            if highest.name >= strings.count() as u64 && highest.name > 0 {
                let what = format!("{what} with the name {}, of {} strings", highest.name, strings.count());
                return Err(Error::malformed(what, highest.offset));
            }
        }
        let root = meta.root_index / meta.node_fields.count as u64;
        if root >= nodes.kind.len() as u64 || root * meta.node_fields.count as u64 != meta.root_index {
            return Err(missing("root_index's node"));
        }
        Ok(Snapshot { root: root as Ordinal, meta, nodes, edges, strings, locations: self.sorted })
    }
}

fn header(cursor: &mut Cursor<'_>) -> Result<Meta> {
    cursor.peek()?;
    let offset = cursor.offset();
    let mut json = Vec::new();
    cursor.value(&mut |part| {
        json.extend_from_slice(part);
        json.len() <= meta::HEADER_BYTES
    })?;
    Meta::parse(&json, offset)
}

/// Consumes the bracket of a list whose rows the header describes.
fn list<'a>(cursor: &mut Cursor<'_>, meta: Option<&'a Meta>) -> Result<&'a Meta> {
    let meta = meta.ok_or_else(|| cursor.unexpected("a list before the header \"snapshot\" that explains it"))?;
    cursor.expect(b'[')?;
    Ok(meta)
}

/// Consumes strings in the usual form: one on each line, without escapes, followed by another one. Returns their length
/// in bytes.
fn usual_strings(bytes: &[u8], strings: &mut Strings) -> usize {
    let mut at = 0;
    loop {
        let rest = bytes[at..].strip_prefix(b"\n").unwrap_or(&bytes[at..]);
        let Some(rest) = rest.strip_prefix(b"\"") else { break };
        let Some(end) = memchr::memchr2(b'"', b'\\', rest) else { break };
        let Some(behind) = rest[end..].strip_prefix(b"\",") else { break };
        strings.extend(&rest[..end]);
        strings.end();
        at = bytes.len() - behind.len();
    }
    at
}

fn strings(cursor: &mut Cursor<'_>) -> Result<Strings> {
    let mut strings = Strings::default();
    // They are usually the last list. Excess room is never touched, and given back.
    strings.reserve(cursor.left().map_or(0, |left| left as usize));
    cursor.expect(b'[')?;
    if !cursor.take_if(b']')? {
        loop {
            let usual = usual_strings(cursor.rest()?, &mut strings);
            cursor.take(usual);
            cursor.expect(b'"')?;
            cursor.string(&mut |part| {
                strings.extend(part);
                true
            })?;
            strings.end();
            if !cursor.take_if(b',')? {
                break;
            }
        }
        cursor.expect(b']')?;
    }
    strings.shrink();
    Ok(strings)
}
