//! The trend, judged on the sampler thread after each major collection. The verdicts go into the record, the events to the JavaScript
//! thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::quantities::{Quantities, TrendEvent};
use super::resources::{Resource, ResourceEvent, Resources};
use crate::probe::process;
use crate::recorder::map::Map;
use crate::recorder::record::Trend;
use crate::recorder::writer::SamplerWriter;
use crate::recorder::{Quantity, reader};

/// Interval of the points of counts. The second one is for a process whose open descriptors are a quarter of its limit or
/// more.
const COUNTS_MS: u64 = 10_000;
const URGENT_MS: u64 = 2_000;

/// A trend has changed.
#[derive(Clone, Debug)]
pub enum SamplerEvent {
    Memory(Quantity, TrendEvent),
    Count(ResourceEvent),
}

/// Reads the record's points, and writes its trends.
pub struct TrendSampler {
    map: Arc<Map>,
    writer: SamplerWriter,
    quantities: Quantities,
    points: Option<u64>,
    resources: Resources,
    /// When the last point of the counts was taken, epoch milliseconds.
    counted_at: u64,
    main_thread: bool,
    events: Sender<SamplerEvent>,
}

impl TrendSampler {
    pub fn new(map: Arc<Map>, main_thread: bool, events: Sender<SamplerEvent>) -> Self {
        let writer = SamplerWriter::new(Arc::clone(&map));
        Self {
            map,
            writer,
            quantities: Quantities::default(),
            points: None,
            resources: Resources::default(),
            counted_at: 0,
            main_thread,
            events,
        }
    }

    /// Call this at each tick of the sampler thread. It does nothing without a new point.
    pub fn tick(&mut self) {
        // Descriptors and processes belong to the process, not to a worker thread.
        if self.main_thread {
            self.count();
        }
        self.judge();
    }

    fn count(&mut self) {
        let (open, limit) = reader::descriptors(&*self.map);
        let interval = if process::is_urgent(open, limit) { URGENT_MS } else { COUNTS_MS };
        let counts = reader::counts(&*self.map).filter(|counts| counts.at.abs_diff(self.counted_at) >= interval);
        let Some(counts) = counts else { return };
        self.counted_at = counts.at;
        for event in self.resources.see(counts) {
            let _ = self.events.send(SamplerEvent::Count(event));
        }
        let bits = Resource::ALL.map(|each| u64::from(self.resources.is_suspicious(each)) << each as u64);
        self.writer.suspicious_counts(bits.iter().sum());
    }

    fn judge(&mut self) {
        let points = reader::points(&*self.map).ok();
        if points == self.points {
            return;
        }
        self.points = points;
        let Ok(windows) = reader::windows(&*self.map) else { return };
        // The last point of a coarse window is a little older.
        let newest = windows.first().and_then(|finest| finest.last()).map(|live| live.at);
        for seen in self.quantities.see(&windows) {
            // Resident memory outside V8 belongs to the process, not to a worker thread.
            if seen.quantity == Quantity::Native && !self.main_thread {
                continue;
            }
            let trend = Trend { to: newest, ..Trend::from(&seen.verdict) };
            self.writer.trend(seen.quantity, &trend);
            if let Some(event) = seen.event {
                // The receiver is gone once the environment has ended.
                let _ = self.events.send(SamplerEvent::Memory(seen.quantity, event));
            }
        }
    }
}
