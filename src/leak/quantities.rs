//! The series of the record that are watched: the JavaScript heap, the external memory of its objects, and resident
//! memory outside both. A leak appears in one of them, and which one shows where to search for it.

use super::detector::{CONFIRMED, Change, Detector, Verdict};
use super::series::growth::{self, Point, Thresholds};
use super::series::{Look, judge};
use crate::recorder::record::{Driver, Live, Progress, Trend};
use crate::recorder::{Quantity, TrendState};

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// Requests before which growth does not count as a leak: what V8 and Node allocate while they warm up looks like one.
/// An app with aborted downloads grew by 0.7 MiB over its first 1,600 requests and then flattened (Node 20 and 24).
/// Growth of 303 B a request, 1.1 MiB in all, was seen after the heap had shrunk by 1.5 MB at 1,700 requests (Node 24).
const WARM_REQUESTS: f64 = 3000.0;
/// Points of the trend that a verdict needs: those of a sure growth, and as many more as must agree.
const COLLECTIONS: u64 = growth::MIN_SURE as u64 + CONFIRMED as u64 - 1;

/// Growth below this is not reported. For the heap it is twice the value of next-leak, for the same reason. External
/// memory is freed a little after the collection that found it dead. Memory outside V8 comes and goes in arenas of
/// megabytes.
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

/// The input of the finding.
#[derive(Clone, Debug, PartialEq)]
pub enum TrendEvent {
    /// It leaks, with these figures. Reported again when it has grown by another tenth.
    Leaks(Verdict),
    /// It has stopped: the last verdict, and since when (epoch milliseconds).
    Stopped(Verdict, u64),
}

const TENTH_MORE: f64 = 1.1;

/// The trend of each quantity of one record.
#[derive(Default)]
pub struct Quantities {
    watches: [Detector; 3],
    reported_bytes: [f64; 3],
}

impl Quantities {
    /// `windows` as [`crate::recorder::reader::windows`] reads them. Call this once for each new point.
    pub fn see(&mut self, windows: &[Vec<Live>]) -> [Seen; 3] {
        let requests = |live: &Live| live.requests_total;
        let connections = |live: &Live| live.connections_total;
        let since = |of: fn(&Live) -> u64| match windows.first().map(Vec::as_slice) {
            Some([first, .., last]) => of(last).saturating_sub(of(first)),
            _ => 0,
        };
        // An idle server's memory is judged by requests: it says nothing about time.
        let driver = match Driver::of(since(requests), since(connections)) {
            Driver::Connections => Driver::Connections,
            _ => Driver::Requests,
        };
        Quantity::ALL.map(|quantity| {
            let driver = self.watches[quantity as usize].drive(driver);
            let series: Vec<Vec<Point>> = windows
                .iter()
                .map(|lives| lives.iter().filter_map(|live| point(quantity, driver, live)).collect())
                .collect();
            self.look(quantity, &judge(&series, &gate(quantity)))
        })
    }

    fn look(&mut self, quantity: Quantity, look: &Look) -> Seen {
        let (watch, reported) = (&mut self.watches[quantity as usize], &mut self.reported_bytes[quantity as usize]);
        let before = watch.verdict();
        let (verdict, change) = watch.see(look);
        let event = match change {
            Change::None => None,
            Change::GoesOn if verdict.kept_bytes() < *reported * TENTH_MORE => None,
            Change::Began | Change::GoesOn => {
                *reported = verdict.kept_bytes();
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
        // Where there is no growth that counts, only its bound says something.
        let growing = figures.filter(|_| verdict.state != TrendState::Steady);
        Self {
            state: verdict.state,
            per: verdict.driver,
            samples: figures.map_or(0, |figures| figures.samples as u64),
            progress: Progress {
                of_requests: WARM_REQUESTS as u64,
                of_collections: COLLECTIONS,
                ..Progress::default()
            },
            bytes_per_request: growing.map(|figures| figures.per_thousand / 1e3),
            low: growing.map(|figures| figures.low / 1e3),
            high: figures.map(|figures| figures.high / 1e3),
            p: figures.map(|figures| figures.p),
            since: verdict.grown.map(|(began, _)| began.at),
            from: figures.map(|figures| figures.from),
            to: figures.map(|figures| figures.to),
            hours_to_limit: None,
        }
    }
}

fn point(quantity: Quantity, driver: Driver, live: &Live) -> Option<Point> {
    let bytes = match quantity {
        Quantity::Heap => live.heap_bytes,
        Quantity::External => live.external_bytes,
        Quantity::Native => live.native_bytes?,
    };
    let work = if driver == Driver::Connections { live.connections_total } else { live.requests_total };
    let (requests, in_flight) = (work as f64, live.in_flight as f64);
    Some(Point { at: live.at, requests, bytes: bytes as f64, in_flight })
}
