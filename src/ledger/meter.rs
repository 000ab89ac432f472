//! One reading of all quantities that are charged to spans.

use std::cell::Cell;
use std::time::Duration;

use crate::probe::jemalloc::ThreadBytes;
use crate::probe::v8::{HeapStatistics, Probe};
use crate::recorder::writer::HeapFigures;

#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Bytes allocated on the V8 heap since the start. With the probe it is exact, otherwise the heap's used size.
    pub allocated: i64,
    pub external: u64,
    /// Bytes that this thread holds in the addon's allocator, and all that it has ever allocated there.
    pub native: i64,
    pub native_total: u64,
    /// Collections so far. A difference of `external` across one has no meaning.
    pub collections: u64,
    pub heap: HeapFigures,
}

/// The source of heap figures.
pub enum Meter {
    Exact {
        probe: Probe,
        native: ThreadBytes,
    },
    /// JS supplies the result of `v8.getHeapStatistics()` before each switch.
    Supplied {
        figures: Cell<HeapFigures>,
        native: ThreadBytes,
    },
}

impl Meter {
    pub fn exact_with(probe: Probe) -> Self {
        Self::Exact { probe, native: ThreadBytes::of_this_thread() }
    }

    pub fn supplied() -> Self {
        Self::Supplied { figures: Cell::default(), native: ThreadBytes::of_this_thread() }
    }

    pub fn exact(&self) -> bool {
        matches!(self, Self::Exact { .. })
    }

    /// Asks V8 for a collection that reduces memory. Must not be called within a collection.
    pub fn reduce_memory(&self) -> bool {
        match self {
            Self::Exact { probe, .. } => probe.reduce_memory(),
            Self::Supplied { .. } => false,
        }
    }

    /// Time since a major collection was last running, if known.
    pub fn since_major(&self) -> Option<Duration> {
        match self {
            Self::Exact { probe, .. } => Some(probe.since_major()),
            Self::Supplied { .. } => None,
        }
    }

    /// Panics that the probe has caught inside collections.
    pub fn internal_errors(&self) -> u64 {
        match self {
            Self::Exact { probe, .. } => probe.internal_errors(),
            Self::Supplied { .. } => 0,
        }
    }

    pub fn supply(&self, supplied: HeapFigures) {
        if let Self::Supplied { figures, .. } = self {
            figures.set(supplied);
        }
    }

    pub fn read(&self) -> Reading {
        match self {
            Self::Exact { probe, native } => {
                let statistics = probe.statistics();
                let (held, native_total) = native.read();
                Reading {
                    allocated: probe.allocated(&statistics),
                    external: statistics.external,
                    native: held,
                    native_total,
                    collections: probe.collections(),
                    heap: figures(&statistics),
                }
            }
            Self::Supplied { figures, native } => {
                let heap = figures.get();
                let (held, native_total) = native.read();
                Reading {
                    allocated: heap.used as i64,
                    external: heap.external,
                    native: held,
                    native_total,
                    collections: 0,
                    heap,
                }
            }
        }
    }
}

pub fn figures(statistics: &HeapStatistics) -> HeapFigures {
    HeapFigures {
        used: statistics.used,
        total: statistics.total,
        limit: statistics.limit,
        external: statistics.external,
        malloced: statistics.malloced,
        executable: statistics.executable,
        physical: statistics.physical,
    }
}
