//! What `shed()` and the reserve near V8's heap limit write and read. All callers but that of [`Writer::near_limit`]
//! may be inside a collection. Nothing here allocates or locks.

use std::fmt::{self, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::{EventKind, SLOTS, Text, UNKNOWN, Writer, epoch_ms, gauge, set, slot};
use crate::recorder::layout::{LABEL_TEXT, LABELS, METHOD_TEXT, METHODS};

/// Number of requests in flight that a near-limit event names. Its text has room for no more.
const HEAVIEST: usize = 3;
const PATH_BYTES: usize = 48;

/// The last figures of the sampler thread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surroundings {
    pub rss: u64,
    pub cgroup_limit: Option<u64>,
    pub native_allocated: Option<u64>,
}

impl Writer {
    pub fn surroundings(&self) -> Surroundings {
        let known = |word| Some(self.gauge(word)).filter(|value| *value != UNKNOWN);
        Surroundings {
            rss: self.gauge(gauge::RSS),
            cgroup_limit: known(gauge::CGROUP_LIMIT),
            native_allocated: known(gauge::NATIVE_ALLOCATED),
        }
    }

    /// The level of `shed()`, parts per million.
    pub fn shed_level(&self, ppm: u64) {
        set(&self.map, gauge::SHED_PPM, ppm);
    }

    pub fn request_shed(&self) {
        self.add_gauge(gauge::REQUESTS_SHED, 1);
    }

    /// `shed()` would have refused a request, but only reports.
    pub fn shed_reported(&self) {
        self.add_gauge(gauge::SHED_REPORTED, 1);
    }

    /// The same for `limit()`.
    pub fn limit_reported(&self) {
        self.add_gauge(gauge::LIMIT_REPORTED, 1);
    }

    pub fn semi_space_max(&self, bytes: u64) {
        set(&self.map, gauge::SEMI_SPACE_MAX, bytes);
    }

    /// V8 was granted `reserve` bytes over its `limit`. Counts it, and records it with the heaviest requests in flight.
    /// This runs within V8's allocator, so the text is built on the stack.
    pub fn near_limit(&self, limit: u64, reserve: u64) {
        self.add_gauge(gauge::NEAR_LIMIT_GRANTS, 1);
        set(&self.map, gauge::NEAR_LIMIT_AT, epoch_ms());
        let mut detail = StackText::<272>::default();
        // The text on the stack takes what fits and never fails.
        let _ = write!(
            detail,
            "the old generation reached its limit of {} MiB, {:.1} MiB more granted; {} in flight",
            limit >> 20,
            reserve as f64 / f64::from(1 << 20),
            self.gauge(gauge::REQUESTS_IN_FLIGHT)
        );
        for (index, (bytes, row)) in self.heaviest().into_iter().flatten().enumerate() {
            let before = if index == 0 { ", the heaviest" } else { "," };
            let _ = write!(detail, "{before} ");
            self.write_request(&mut detail, row);
            let _ = write!(detail, " {:.1} MiB", bytes as f64 / f64::from(1 << 20));
        }
        self.event(EventKind::NearLimit, None, detail.as_str());
    }

    /// Slots by their heap bytes, most first.
    fn heaviest(&self) -> [Option<(i64, usize)>; HEAVIEST] {
        let mut heaviest = [None; HEAVIEST];
        for index in 0..(self.gauge(gauge::SLOTS_USED) as usize).min(SLOTS.rows) {
            let row = SLOTS.row(index);
            if self.gauge(row + slot::HANDLE) == 0 {
                continue;
            }
            let mut candidate = Some((self.gauge(row + slot::HEAP) as i64, row));
            for place in &mut heaviest {
                if candidate.map(|(bytes, _)| bytes) > place.map(|(bytes, _)| bytes) {
                    std::mem::swap(place, &mut candidate);
                }
            }
        }
        heaviest
    }

    fn write_request(&self, out: &mut impl Write, row: usize) {
        let mut buffer = [0; PATH_BYTES];
        let method = self.gauge(row + slot::METHOD) as usize;
        if method < METHODS.rows {
            let _ = write!(out, "{} ", self.read_text(METHODS.row(method), METHOD_TEXT, &mut buffer));
        }
        let label = self.gauge(row + slot::LABEL) as usize;
        let text = match label.checked_sub(1) {
            Some(label) if label < LABELS.rows => self.read_text(LABELS.row(label), LABEL_TEXT, &mut buffer),
            _ => self.read_text(row, slot::PATH, &mut buffer),
        };
        let _ = out.write_str(text);
    }

    /// The part of a text that fits into `buffer`.
    fn read_text<'a>(&self, row: usize, text: Text, buffer: &'a mut [u8; PATH_BYTES]) -> &'a str {
        let words = self.map.words();
        let length = (words[row + text.offset].load(Relaxed) as usize).min(text.max_bytes()).min(PATH_BYTES);
        let bytes = words[row + text.offset + 1..row + text.offset + text.words].iter();
        for (bytes, word) in buffer.chunks_exact_mut(8).zip(bytes) {
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        let bytes = &buffer[..length];
        // A character that was cut is left out.
        let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        std::str::from_utf8(&bytes[..valid]).unwrap_or("")
    }
}

/// A text on the stack. What does not fit is left out.
struct StackText<const BYTES: usize> {
    bytes: [u8; BYTES],
    length: usize,
}

impl<const BYTES: usize> Default for StackText<BYTES> {
    fn default() -> Self {
        Self { bytes: [0; BYTES], length: 0 }
    }
}

impl<const BYTES: usize> StackText<BYTES> {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl<const BYTES: usize> Write for StackText<BYTES> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = &text[..text.floor_char_boundary(BYTES - self.length)];
        self.bytes[self.length..self.length + fits.len()].copy_from_slice(fits.as_bytes());
        self.length += fits.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::map::Map;
    use crate::recorder::reader;
    use crate::recorder::writer::Identity;

    #[test]
    fn a_near_limit_event_names_the_heaviest_requests() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        writer.methods(["GET", "POST"].into_iter());
        writer.label(0, "/report/:id");
        for (index, mib) in [1, 7, 3, 5, 2].into_iter().enumerate() {
            writer.open_slot(
                index,
                4096 + index as u32,
                index % 2,
                "/füllen/und/mehr/als/das/was/hier/hineinpasst/ä/ä/ä",
                0,
            );
            writer.slot_bytes(index, mib << 20, 0, 0, 1);
        }
        writer.slot_label(1, 0);
        writer.free_slot(3);
        writer.in_flight(4);
        writer.near_limit(200 << 20, 10 << 20);
        let record = reader::read(&**writer.map()).unwrap();
        let event = &record.events[0];
        assert_eq!(event.kind, "near-limit");
        assert!(
            event.detail.starts_with(
                "the old generation reached its limit of 200 MiB, 10.0 MiB more granted; 4 in flight, the heaviest POST /report/:id 7.0 MiB, GET /füllen/"
            ),
            "{}",
            event.detail
        );
        assert_eq!((record.near_limit.grants, record.near_limit.at > Some(0)), (1, true));
    }

    #[test]
    fn a_text_on_the_stack_takes_what_fits() {
        let mut text = StackText::<8>::default();
        text.write_str("äöüäöü").unwrap();
        assert_eq!(text.as_str(), "äöüä");
        text.write_str("more").unwrap();
        assert_eq!(text.as_str(), "äöüä");
    }
}
