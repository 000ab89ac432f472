//! From the bytes of a `.heapsnapshot` to columns. The file is one JSON object, and nearly all of it are two lists of integers, of nodes
//! and of edges, so this is no JSON parser: it knows the keys, and passes over what it does not know.
//!
//! Node 20 and 22 write a row a line, 24 and later no line ends within the lists; both are white space here. All offsets and types come
//! from the header ([`meta`]). Whatever is promised by a count is checked against what the file has room for before memory is taken.

mod columns;
mod cursor;
pub mod meta;
mod number;
mod rows;

use columns::Highest;
use cursor::{CHUNK_BYTES, Cursor};
use meta::{LocationFields, MOST_FIELDS, Meta};
use number::Numbers;

use super::error::{Error, Result};
use super::snapshot::{Edges, Location, Nodes, Ordinal, Snapshot};
use super::source::Source;
use super::strings::Strings;

/// Reads a whole snapshot.
///
/// # Errors
/// The source cannot be read, or has no valid snapshot; the error has the place.
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
    locations: Vec<(Ordinal, Location)>,
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
            return Err(cursor.unexpected(format!("{key:?} for the second time")));
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
                let meta = list(cursor, self.meta.as_ref())?;
                match meta.location_fields {
                    Some(fields) => self.locations = locations(cursor, meta, fields)?,
                    None => numbers(cursor, |_, _| Ok(()))?,
                }
            }
            "strings" => self.strings = Some(strings(cursor)?),
            _ => cursor.value(&mut |_| true)?,
        }
        Ok(())
    }

    fn finish(self, cursor: &Cursor<'_>) -> Result<Snapshot> {
        let missing = |key: &str| cursor.unexpected(format!("there is no {key:?}"));
        let meta = self.meta.ok_or_else(|| missing("snapshot"))?;
        let (nodes, of_nodes) = self.nodes.ok_or_else(|| missing("nodes"))?;
        let (edges, of_edges) = self.edges.ok_or_else(|| missing("edges"))?;
        let strings = self.strings.ok_or_else(|| missing("strings"))?;
        for (what, highest) in [("a node", of_nodes), ("an edge", of_edges)] {
            // In a snapshot without any, the names of edges alone may all be indices.
            if highest.name >= strings.count() as u64 && highest.name > 0 {
                let what = format!("{what} with the name {}, of {} strings", highest.name, strings.count());
                return Err(Error::malformed(what, highest.offset));
            }
        }
        let root = meta.root_index / meta.node_fields.count as u64;
        if root >= nodes.kind.len() as u64 || root * meta.node_fields.count as u64 != meta.root_index {
            return Err(missing("root_index's node"));
        }
        let mut locations = self.locations;
        if !locations.is_sorted_by_key(|(node, _)| *node) {
            locations.sort_by_key(|(node, _)| *node);
        }
        // As in DevTools' map, the last of several counts.
        locations.reverse();
        locations.dedup_by_key(|(node, _)| *node);
        locations.reverse();
        Ok(Snapshot { root: root as Ordinal, meta, nodes, edges, strings, locations })
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

/// Takes the bracket of a list whose rows the header explains.
fn list<'a>(cursor: &mut Cursor<'_>, meta: Option<&'a Meta>) -> Result<&'a Meta> {
    let meta = meta.ok_or_else(|| cursor.unexpected("a list before the header \"snapshot\" that explains it"))?;
    cursor.expect(b'[')?;
    Ok(meta)
}

/// Numbers whose count nobody says, to the end of their list: each with where it was.
fn numbers(cursor: &mut Cursor<'_>, mut sink: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
    let mut bytes = Vec::new();
    loop {
        let more = cursor.fill(&mut bytes)?;
        let offset = cursor.offset() - bytes.len() as u64;
        let end = memchr::memchr(b']', &bytes);
        // Up to the last comma, or to the end; what is behind it waits for the next chunk.
        let length = end.or_else(|| memchr::memrchr(b',', &bytes).map(|at| at + 1)).unwrap_or(0);
        if length == 0 && end.is_none() && (!more || bytes.len() > 2 * CHUNK_BYTES) {
            return Err(cursor.unexpected("a list of numbers does not end"));
        }
        let rest = bytes.split_off(length);
        let mut numbers = Numbers::new(&bytes);
        while !numbers.is_empty() {
            let at = offset + numbers.at() as u64;
            let value = numbers.next();
            numbers.wrong().map_err(|wrong| Error::malformed(wrong.what, offset + wrong.at as u64))?;
            sink(value, at)?;
        }
        bytes = rest;
        if end.is_some() {
            cursor.put_back(&bytes);
            return cursor.expect(b']');
        }
    }
}

fn locations(cursor: &mut Cursor<'_>, meta: &Meta, fields: LocationFields) -> Result<Vec<(Ordinal, Location)>> {
    let mut rows = Vec::new();
    let mut row = [0u64; MOST_FIELDS];
    let mut at = 0;
    let per_node = meta.node_fields.count as u64;
    numbers(cursor, |value, offset| {
        row[at] = value;
        at += 1;
        if at < fields.count {
            return Ok(());
        }
        at = 0;
        let (node, narrow) = (row[fields.object] / per_node, |value| u32::try_from(value).unwrap_or(u32::MAX));
        if node >= meta.node_count || node * per_node != row[fields.object] {
            return Err(Error::malformed("a location of no node", offset));
        }
        let location = Location {
            script: narrow(row[fields.script]),
            line: narrow(row[fields.line]),
            column: narrow(row[fields.column]),
        };
        rows.push((node as Ordinal, location));
        Ok(())
    })?;
    match at {
        0 => Ok(rows),
        _ => Err(cursor.unexpected(format!("the list ends within a row of {} numbers", fields.count))),
    }
}

fn strings(cursor: &mut Cursor<'_>) -> Result<Strings> {
    let mut strings = Strings::default();
    cursor.expect(b'[')?;
    if !cursor.take_if(b']')? {
        loop {
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
