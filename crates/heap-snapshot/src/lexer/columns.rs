//! Converts rows of nodes and of edges to columns.

use super::cursor::Cursor;
use super::meta::{EdgeFields, MOST_FIELDS, Meta, NodeFields};
use super::number::{Numbers, Unexpected};
use super::rows::{self, Part};
use crate::error::{Error, Result};
use crate::memory;
use crate::snapshot::{Edges, Nodes, Sizes};

/// Rows by which columns grow if the length of the content is unknown. A header may promise any number. For a
/// compressed file or a stream it cannot be checked in advance.
const GROWTH_ROWS: usize = 4 << 20;
/// The upper bit of a node's number is free for other use. The last number of an edge means none.
const MOST_NODES: u64 = u32::MAX as u64 >> 1;
const MOST_EDGES: u64 = u32::MAX as u64 - 1;
/// Sizes are summed in 64 bits and shown as JavaScript's numbers.
const MOST_BYTES: u64 = 1 << 53;

/// The numbers of a row. `F` is their number if it is known at compile time, otherwise 0. With the usual fields in the
/// usual order, a row never leaves the registers.
#[inline(always)]
pub fn row<const F: usize>(numbers: &mut Numbers<'_>, fields: usize) -> [u64; MOST_FIELDS] {
    let mut row = [0; MOST_FIELDS];
    match F {
        0 => row[..fields].iter_mut().for_each(|field| *field = numbers.next()),
        _ => row[..F].copy_from_slice(&numbers.row::<F>()),
    }
    row
}

/// The number of rows, if it is possible: a number takes a digit and a comma.
fn count(cursor: &Cursor<'_>, rows: u64, fields: usize, most: u64, what: &str) -> Result<usize> {
    if cursor.left().is_some_and(|left| rows > (left + 2) / (2 * fields as u64)) {
        return Err(cursor.unexpected(format!("the header declares {rows} {what}, but the file is too short for them")));
    }
    if rows > most {
        return Err(Error::TooLarge("more than 2,147,483,647 nodes or 4,294,967,294 edges"));
    }
    Ok(rows as usize)
}

/// The ranges in which `count` rows are read. If the length is known, columns get their size at once. Otherwise they
/// grow with the content.
fn stretches(cursor: &Cursor<'_>, count: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let step = if cursor.left().is_some() { count.max(1) } else { GROWTH_ROWS };
    (0..count).step_by(step).map(move |from| (from, count.min(from + step)))
}

/// Consumes the bracket after `count` rows.
fn finish(cursor: &mut Cursor<'_>, count: usize) -> Result<()> {
    if cursor.peek()? != b']' {
        return Err(
            cursor.unexpected(format!("the list should end here, after the {count} rows that the header declares"))
        );
    }
    cursor.expect(b']')
}

/// The highest number of a string, and the place of its row.
#[derive(Clone, Copy, Default)]
pub struct Highest {
    pub name: u64,
    pub offset: u64,
}

impl Highest {
    #[inline]
    fn see(&mut self, name: u64, offset: impl FnOnce() -> u64) {
        if name > self.name {
            *self = Self { name, offset: offset() };
        }
    }
}

#[derive(Default)]
pub struct NodesFound {
    large: Vec<(u32, u64)>,
    highest: Highest,
    bytes: u64,
}

struct NodePart<'a> {
    fields: NodeFields,
    kinds: u64,
    /// Index of its first row.
    first: usize,
    kind: &'a mut [u8],
    name: &'a mut [u32],
    id: &'a mut [u32],
    size: &'a mut [u32],
    edge_count: &'a mut [u32],
    detached: &'a mut [u8],
}

impl Part for NodePart<'_> {
    type Found = NodesFound;

    fn rows(&self) -> usize {
        self.kind.len()
    }

    fn split(&mut self, rows: usize) -> Self {
        let first = self.first;
        self.first += rows;
        Self {
            fields: self.fields,
            kinds: self.kinds,
            first,
            kind: front(&mut self.kind, rows),
            name: front(&mut self.name, rows),
            id: front(&mut self.id, rows),
            size: front(&mut self.size, rows),
            edge_count: front(&mut self.edge_count, rows),
            detached: front(&mut self.detached, rows),
        }
    }

    fn read(self, numbers: &mut Numbers<'_>, offset: u64) -> std::result::Result<NodesFound, Unexpected> {
        match self.fields {
            fields if fields == NodeFields::usual(6) => self.rows_of::<6>(numbers, offset),
            fields if fields == NodeFields::usual(7) => self.rows_of::<7>(numbers, offset),
            _ => self.rows_of::<0>(numbers, offset),
        }
    }

    fn merge(into: &mut NodesFound, found: NodesFound) {
        into.large.extend(found.large);
        into.highest.see(found.highest.name, || found.highest.offset);
        into.bytes = into.bytes.saturating_add(found.bytes);
    }
}

impl NodePart<'_> {
    fn rows_of<const F: usize>(
        self,
        numbers: &mut Numbers<'_>,
        offset: u64,
    ) -> std::result::Result<NodesFound, Unexpected> {
        let fields = if F == 0 { self.fields } else { const { NodeFields::usual(F) } };
        let mut found = NodesFound::default();
        for at in 0..self.kind.len() {
            let end = numbers.end();
            let values = row::<F>(numbers, fields.count);
            let wrong = |what| Unexpected { what, at: numbers.behind(end) };
            if values[fields.kind] >= self.kinds {
                return Err(wrong("a node of a type that the header does not define"));
            }
            self.kind[at] = values[fields.kind] as u8;
            self.name[at] =
                narrow(values[fields.name]).ok_or_else(|| wrong("a node's name is not an index of a string"))?;
            self.id[at] = narrow(values[fields.id]).ok_or_else(|| wrong("a node's id has more than 32 bits"))?;
            let edges = narrow(values[fields.edge_count]);
            self.edge_count[at] = edges.ok_or_else(|| wrong("a node's edge count has more than 32 bits"))?;
            // Outside of browsers it is always unknown, and the column's memory is never touched.
            if let Some(state) = fields.detachedness.map(|field| values[field]).filter(|state| *state != 0) {
                self.detached[at] = state.min(3) as u8;
            }
            let size = values[fields.self_size];
            self.size[at] = narrow(size).unwrap_or_else(|| {
                found.large.push(((self.first + at) as u32, size));
                u32::MAX
            });
            found.bytes = found.bytes.saturating_add(size);
            if found.bytes > MOST_BYTES {
                return Err(wrong("sizes that add up to more than 2^53 bytes"));
            }
            found.highest.see(values[fields.name], || offset + numbers.behind(end) as u64);
        }
        Ok(found)
    }
}

pub fn nodes(cursor: &mut Cursor<'_>, meta: &Meta) -> Result<(Nodes, Highest)> {
    let start = cursor.offset();
    let fields = meta.node_fields;
    let count = count(cursor, meta.node_count, fields.count, MOST_NODES, "nodes")?;
    if count == 0 {
        return Err(cursor.unexpected("a snapshot without nodes"));
    }
    let mut nodes = Nodes::default();
    let mut sizes = Vec::new();
    let kinds = meta.node_types.len() as u64;
    let mut found = NodesFound::default();
    for (from, to) in stretches(cursor, count) {
        grow(&mut nodes.kind, to);
        grow(&mut nodes.name, to);
        grow(&mut nodes.id, to);
        grow(&mut sizes, to);
        grow(&mut nodes.first_edge, to + 1);
        grow(&mut nodes.detached, if fields.detachedness.is_some() { to } else { 0 });
        let part = NodePart {
            fields,
            kinds,
            first: from,
            kind: &mut nodes.kind[from..],
            name: &mut nodes.name[from..],
            id: &mut nodes.id[from..],
            size: &mut sizes[from..],
            edge_count: &mut nodes.first_edge[from + 1..],
            detached: nodes.detached.get_mut(from..).unwrap_or_default(),
        };
        NodePart::merge(&mut found, rows::read(cursor, part, fields.count)?);
    }
    finish(cursor, count)?;
    if found.bytes > MOST_BYTES {
        return Err(Error::malformed("sizes that add up to more than 2^53 bytes", start));
    }
    nodes.size = Sizes::new(sizes, found.large.into_iter().collect());
    sum_up(&mut nodes.first_edge, meta.edge_count, start)?;
    Ok((nodes, found.highest))
}

/// Converts the counts of edges to the places where they begin.
fn sum_up(first_edge: &mut [u32], edges: u64, offset: u64) -> Result<()> {
    let mut sum = 0u64;
    for first in first_edge {
        sum += u64::from(*first);
        if sum > edges {
            break;
        }
        *first = sum as u32;
    }
    if sum == edges && edges < u64::from(u32::MAX) {
        return Ok(());
    }
    let what = format!("the nodes' edge counts do not add up to the {edges} edges that the header declares");
    Err(Error::malformed(what, offset))
}

#[derive(Default)]
pub struct EdgesFound {
    highest: Highest,
}

struct EdgePart<'a> {
    fields: EdgeFields,
    kinds: u64,
    /// One bit for each kind whose name is an index.
    indexed: u128,
    node_fields: u64,
    nodes: u64,
    kind: &'a mut [u8],
    name: &'a mut [u32],
    to: &'a mut [u32],
}

impl Part for EdgePart<'_> {
    type Found = EdgesFound;

    fn rows(&self) -> usize {
        self.kind.len()
    }

    fn split(&mut self, rows: usize) -> Self {
        Self {
            kind: front(&mut self.kind, rows),
            name: front(&mut self.name, rows),
            to: front(&mut self.to, rows),
            ..*self
        }
    }

    fn read(self, numbers: &mut Numbers<'_>, offset: u64) -> std::result::Result<EdgesFound, Unexpected> {
        match self.fields {
            EdgeFields::USUAL => self.rows_of::<3>(numbers, offset),
            _ => self.rows_of::<0>(numbers, offset),
        }
    }

    fn merge(into: &mut EdgesFound, found: EdgesFound) {
        into.highest.see(found.highest.name, || found.highest.offset);
    }
}

impl EdgePart<'_> {
    fn rows_of<const F: usize>(
        self,
        numbers: &mut Numbers<'_>,
        offset: u64,
    ) -> std::result::Result<EdgesFound, Unexpected> {
        let fields = if F == 0 { self.fields } else { EdgeFields::USUAL };
        let mut found = EdgesFound::default();
        // Saves twenty million divisions. With the reciprocal, the upper half of the product is the quotient for every
        // possible number of nodes (Granlund and Montgomery, "Division by Invariant Integers using Multiplication",
        // 1994). The remainder is checked below.
        let reciprocal = u64::MAX / self.node_fields + 1;
        for at in 0..self.kind.len() {
            let end = numbers.end();
            let values = row::<F>(numbers, fields.count);
            let wrong = |what| Unexpected { what, at: numbers.behind(end) };
            let (kind, name, to) = (values[fields.kind], values[fields.name], values[fields.to]);
            if kind >= self.kinds {
                return Err(wrong("an edge of a type that the header does not define"));
            }
            self.kind[at] = kind as u8;
            self.name[at] = narrow(name).ok_or_else(|| wrong("an edge's name has more than 32 bits"))?;
            let node = ((u128::from(to) * u128::from(reciprocal)) >> 64) as u64;
            if node >= self.nodes || node * self.node_fields != to {
                return Err(wrong("an edge leads to no node"));
            }
            self.to[at] = node as u32;
            if self.indexed >> kind & 1 == 0 {
                found.highest.see(name, || offset + numbers.behind(end) as u64);
            }
        }
        Ok(found)
    }
}

pub fn edges(cursor: &mut Cursor<'_>, meta: &Meta) -> Result<(Edges, Highest)> {
    let fields = meta.edge_fields;
    let count = count(cursor, meta.edge_count, fields.count, MOST_EDGES, "edges")?;
    let indexed = (0..meta.edge_types.len() as u8).filter(|kind| meta.edge_kinds.is_indexed(*kind));
    let indexed = indexed.fold(0u128, |bits, kind| bits | 1 << kind);
    let (mut kinds, mut names, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = EdgesFound::default();
    for (from, to) in stretches(cursor, count) {
        grow(&mut kinds, to);
        grow(&mut names, to);
        grow(&mut targets, to);
        let part = EdgePart {
            fields,
            kinds: meta.edge_types.len() as u64,
            indexed,
            node_fields: meta.node_fields.count as u64,
            nodes: meta.node_count,
            kind: &mut kinds[from..],
            name: &mut names[from..],
            to: &mut targets[from..],
        };
        EdgePart::merge(&mut found, rows::read(cursor, part, fields.count)?);
    }
    finish(cursor, count)?;
    Ok((Edges::new(kinds, names, targets), found.highest))
}

#[inline]
fn narrow(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

/// The first `rows` of a slice, which keeps the rest.
fn front<'a, T>(slice: &mut &'a mut [T], rows: usize) -> &'a mut [T] {
    let whole = std::mem::take(slice);
    // The column of an absent field has no rows.
    let (front, rest) = whole.split_at_mut(rows.min(whole.len()));
    *slice = rest;
    front
}

/// Zeros up to `length`. The first time they come zeroed from the system and are not touched.
fn grow<T: Clone + Default>(column: &mut Vec<T>, length: usize) {
    if column.is_empty() {
        *column = memory::zeros(length);
    } else {
        column.resize(length, T::default());
    }
}
