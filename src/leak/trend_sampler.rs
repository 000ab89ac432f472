//! The trend, judged on the sampler thread after each major collection. The verdicts go into the record, the events to the JavaScript
//! thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::quantities::{Quantities, TrendEvent};
use crate::recorder::map::Map;
use crate::recorder::record::Trend;
use crate::recorder::writer::SamplerWriter;
use crate::recorder::{Quantity, reader};

/// Reads the record's points, and writes its trends.
pub struct TrendSampler {
    map: Arc<Map>,
    writer: SamplerWriter,
    quantities: Quantities,
    points: Option<u64>,
    main_thread: bool,
    events: Sender<(Quantity, TrendEvent)>,
}

impl TrendSampler {
    pub fn new(map: Arc<Map>, main_thread: bool, events: Sender<(Quantity, TrendEvent)>) -> Self {
        let writer = SamplerWriter::new(Arc::clone(&map));
        Self { map, writer, quantities: Quantities::default(), points: None, main_thread, events }
    }

    /// Call this at each tick of the sampler thread. It does nothing without a new point.
    pub fn tick(&mut self) {
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
                let _ = self.events.send((seen.quantity, event));
            }
        }
    }
}
