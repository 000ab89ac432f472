//! The record's series, watched: the JavaScript heap, the external memory that its objects hold, and what is resident beside both. A leak shows
//! in one of them, and by which one it is told where to look for it.

use super::detector::{Change, Detector, Verdict};
use super::series::growth::{Point, Thresholds};
use super::series::{Look, judge};
use crate::recorder::Quantity;
use crate::recorder::record::{Live, Trend};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// Until a server has been asked so often, what V8 and Node make as they warm up grows like a leak: 0.7 MiB over the first 1,600 requests of an app with
/// aborted downloads, which then bent (Node 20 and 24); and 303 B a request, 1.1 MiB in all, behind a fall of its heap by 1.5 MB after 1,700 (Node 24).
const WARM_REQUESTS: f64 = 3000.0;

/// Below which growth is not spoken of. Of the heap it is twice next-leak's, for the same reason; external memory is freed a little after the collection that
/// found it dead, and what is beside V8 comes and goes in arenas of megabytes.
pub(super) const fn gate(quantity: Quantity) -> Thresholds {
    let bytes = match quantity {
        Quantity::Heap => 512.0 * KIB,
        Quantity::External => MIB,
        Quantity::Native => 8.0 * MIB,
    };
    Thresholds { requests: WARM_REQUESTS, straight: true, ..Thresholds::of_bytes(bytes) }
}

/// One quantity's verdict after a look, and what changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub quantity: Quantity,
    pub verdict: Verdict,
    pub event: Option<TrendEvent>,
}

/// For the finding.
#[derive(Clone, Debug, PartialEq)]
pub enum TrendEvent {
    /// It leaks, as this says; told again when it has grown by a tenth more.
    Leaks(Verdict),
    /// It does no longer: as it was, and since when (epoch milliseconds) it is not.
    Stopped(Verdict, u64),
}

const TENTH_MORE: f64 = 1.1;

/// Watches the quantities of one record.
#[derive(Default)]
pub struct Quantities {
    watches: [Detector; 3],
    told_bytes: [f64; 3],
}

impl Quantities {
    /// `windows` as [`crate::recorder::reader::windows`] reads them, once for each new point.
    pub fn see(&mut self, windows: &[Vec<Live>]) -> [Seen; 3] {
        Quantity::ALL.map(|quantity| {
            let series: Vec<Vec<Point>> =
                windows.iter().map(|lives| lives.iter().filter_map(|live| point(quantity, live)).collect()).collect();
            self.look(quantity, &judge(&series, &gate(quantity)))
        })
    }

    fn look(&mut self, quantity: Quantity, look: &Look) -> Seen {
        let (watch, told) = (&mut self.watches[quantity as usize], &mut self.told_bytes[quantity as usize]);
        let before = watch.verdict();
        let (verdict, change) = watch.see(look);
        let event = match change {
            Change::None => None,
            Change::GoesOn if verdict.kept_bytes() < *told * TENTH_MORE => None,
            Change::Began | Change::GoesOn => {
                *told = verdict.kept_bytes();
                Some(TrendEvent::Leaks(verdict))
            }
            Change::Ended => Some(TrendEvent::Stopped(before, look.figures.map_or(0, |figures| figures.to))),
        };
        Seen { quantity, verdict, event }
    }
}

impl From<&Verdict> for Trend {
    fn from(verdict: &Verdict) -> Self {
        let figures = verdict.figures.as_ref();
        Self {
            state: verdict.state,
            samples: figures.map_or(0, |figures| figures.samples as u64),
            bytes_per_thousand: figures.map(|figures| figures.per_thousand),
            low: figures.map(|figures| figures.low),
            high: figures.map(|figures| figures.high),
            p: figures.map(|figures| figures.p),
            since: verdict.grown.map(|(began, _)| began.at),
            from: figures.map(|figures| figures.from),
            to: figures.map(|figures| figures.to),
        }
    }
}

fn point(quantity: Quantity, live: &Live) -> Option<Point> {
    let bytes = match quantity {
        Quantity::Heap => live.heap_bytes,
        Quantity::External => live.external_bytes,
        Quantity::Native => live.native_bytes?,
    };
    let (requests, in_flight) = (live.requests_total as f64, live.in_flight as f64);
    Some(Point { at: live.at, requests, bytes: bytes as f64, in_flight })
}
