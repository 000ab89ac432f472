//! Where objects' constructors are, and functions: a list of which nobody says how long it is.

use super::columns::row;
use super::cursor::Cursor;
use super::meta::{LocationFields, Meta};
use super::number::Numbers;
use crate::heap::error::{Error, Result};
use crate::heap::snapshot::{Location, Ordinal};

/// The list as it stands in the file, so that it can be made rows of beside what comes next.
pub struct Raw {
    bytes: Vec<u8>,
    offset: u64,
}

impl Raw {
    /// Takes the list, whose bracket is taken already.
    pub fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let offset = cursor.offset();
        let mut bytes = Vec::new();
        loop {
            let rest = cursor.rest()?;
            let end = memchr::memchr(b']', rest);
            let length = end.unwrap_or(rest.len());
            bytes.extend_from_slice(&rest[..length]);
            cursor.take(length);
            match end {
                Some(_) => break,
                None if length == 0 => return Err(cursor.unexpected("a list of numbers does not end")),
                None => {}
            }
        }
        cursor.expect(b']')?;
        Ok(Self { bytes, offset })
    }

    /// By node, each at most once.
    pub fn rows(&self, meta: &Meta) -> Result<Vec<(Ordinal, Location)>> {
        let Some(fields) = meta.location_fields else { return Ok(Vec::new()) };
        if u32::try_from(self.bytes.len()).is_err() {
            return Err(Error::TooLarge("more than 4 GiB of locations"));
        }
        let mut rows = match fields.count {
            4 => self.rows_of::<4>(meta, fields),
            _ => self.rows_of::<0>(meta, fields),
        }?;
        if !rows.is_sorted_by_key(|(node, _)| *node) {
            rows.sort_by_key(|(node, _)| *node);
        }
        // As in DevTools' map, the last of several counts.
        rows.reverse();
        rows.dedup_by_key(|(node, _)| *node);
        rows.reverse();
        Ok(rows)
    }

    fn rows_of<const F: usize>(&self, meta: &Meta, fields: LocationFields) -> Result<Vec<(Ordinal, Location)>> {
        let mut rows = Vec::new();
        let mut numbers = Numbers::new(&self.bytes);
        let malformed = |what, at: usize| Error::malformed(what, self.offset + at as u64);
        let per_node = meta.node_fields.count as u64;
        let narrow = |value| u32::try_from(value).unwrap_or(u32::MAX);
        while !numbers.is_empty() {
            let at = numbers.at();
            let row = row::<F>(&mut numbers, fields.count);
            numbers.wrong().map_err(|wrong| malformed(wrong.what, wrong.at))?;
            let node = row[fields.object] / per_node;
            if node >= meta.node_count || node * per_node != row[fields.object] {
                return Err(malformed("a location of no node", at));
            }
            let location = Location {
                script: narrow(row[fields.script]),
                line: narrow(row[fields.line]),
                column: narrow(row[fields.column]),
            };
            rows.push((node as Ordinal, location));
        }
        Ok(rows)
    }
}
