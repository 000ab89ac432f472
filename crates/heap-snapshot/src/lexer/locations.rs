//! Where constructors of objects, and functions, are defined: a list of unknown length.

use super::columns::row;
use super::cursor::Cursor;
use super::meta::{LocationFields, Meta};
use super::number::{Numbers, Unexpected};
use super::rows::{self, Part};
use crate::error::Result;
use crate::memory;
use crate::snapshot::{Location, Ordinal};

type Row = (Ordinal, Location);

/// The rows of each chunk, and its offset.
pub type Found = Vec<(u64, Vec<Row>)>;

struct LocationPart {
    fields: LocationFields,
    node_fields: u64,
    nodes: u64,
    rows: usize,
}

impl Part for LocationPart {
    type Found = Found;

    fn rows(&self) -> usize {
        self.rows
    }

    fn split(&mut self, rows: usize) -> Self {
        Self { rows, ..*self }
    }

    fn read(self, numbers: &mut Numbers<'_>, offset: u64) -> std::result::Result<Found, Unexpected> {
        let rows = match self.fields.count {
            4 => self.rows_of::<4>(numbers),
            _ => self.rows_of::<0>(numbers),
        }?;
        Ok(vec![(offset, rows)])
    }

    fn merge(into: &mut Found, found: Found) {
        into.extend(found);
    }
}

impl LocationPart {
    fn rows_of<const F: usize>(&self, numbers: &mut Numbers<'_>) -> std::result::Result<Vec<Row>, Unexpected> {
        let narrow = |value| u32::try_from(value).unwrap_or(u32::MAX);
        let mut rows = Vec::with_capacity(self.rows);
        for _ in 0..self.rows {
            let end = numbers.end();
            let row = row::<F>(numbers, self.fields.count);
            let node = row[self.fields.object] / self.node_fields;
            if node >= self.nodes || node * self.node_fields != row[self.fields.object] {
                return Err(Unexpected { what: "a location of no node", at: numbers.behind(end) });
            }
            let location = Location {
                script: narrow(row[self.fields.script]),
                line: narrow(row[self.fields.line]),
                column: narrow(row[self.fields.column]),
            };
            rows.push((node as Ordinal, location));
        }
        Ok(rows)
    }
}

/// Reads the list, whose bracket is consumed already. Returns the rows of its chunks, in no order.
pub fn read(cursor: &mut Cursor<'_>, meta: &Meta, fields: LocationFields) -> Result<Found> {
    let part =
        LocationPart { fields, node_fields: meta.node_fields.count as u64, nodes: meta.node_count, rows: usize::MAX };
    let found = rows::read(cursor, part, fields.count)?;
    cursor.expect(b']')?;
    Ok(found)
}

/// By node, each at most once.
pub fn sort(mut found: Found) -> Vec<Row> {
    found.sort_unstable_by_key(|(offset, _)| *offset);
    let mut rows = memory::room(found.iter().map(|(_, rows)| rows.len()).sum());
    rows.extend(found.into_iter().flat_map(|(_, rows)| rows));
    if !rows.is_sorted_by_key(|(node, _)| *node) {
        rows.sort_by_key(|(node, _)| *node);
    }
    // As in DevTools' map, the last of several counts.
    rows.reverse();
    rows.dedup_by_key(|(node, _)| *node);
    rows.reverse();
    rows
}
