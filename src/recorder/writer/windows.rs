//! The live heap after major collections: the last ones individually, and windows that reach further back with fewer
//! points. Called within V8's epilogue: nothing here allocates or locks.

use super::super::layout::{LIVES, SAMPLES, WINDOW_LIVES, WINDOW_ROWS, WINDOWS, gauge, header, live, sample};
use super::{Row, UNKNOWN, Writer, set, write_row};

/// The warm-up, in which JIT and lazy code grow: this many requests, or this many collections if each request allocates
/// much.
pub const WARM_UP_REQUESTS: u64 = 2_000;
pub const WARM_UP_COLLECTIONS: u64 = 8;
/// Collections with fewer requests (or connections) between them are one point: an idle server's heap says nothing about requests.
const REQUESTS_APART: u64 = 10;

/// The figures of one row, in its order.
const FIGURES: std::ops::RangeInclusive<usize> = live::AT..=live::CONNECTIONS_TOTAL;
type Figures = [u64; live::CONNECTIONS_TOTAL + 1];

impl Writer {
    /// Called after a major collection.
    pub(super) fn live(&self, at: u64, heap: u64, external: u64) {
        let mut figures: Figures = [0; live::CONNECTIONS_TOTAL + 1];
        figures[live::AT] = at;
        figures[live::HEAP] = heap;
        figures[live::EXTERNAL] = external;
        figures[live::RSS] = self.gauge(gauge::RSS);
        figures[live::REQUESTS_TOTAL] = self.gauge(gauge::REQUESTS_TOTAL);
        figures[live::IN_FLIGHT] = self.gauge(gauge::REQUESTS_IN_FLIGHT);
        figures[live::NATIVE] = self.native();
        figures[live::CONNECTIONS_TOTAL] = self.gauge(gauge::CONNECTIONS_TOTAL);
        let next = self.gauge(gauge::LIVE_NEXT);
        write_row(&self.map, LIVES, (next % LIVES.rows as u64) as usize, |row| fill(row, &figures));
        set(&self.map, gauge::LIVE_NEXT, next + 1);
        self.live_windows(&figures);
    }

    /// RSS that is neither V8's heap nor external memory. All three are from the last sample, since they must be of one
    /// moment. Unknown in a worker thread, because the rest of the process is not its own.
    fn native(&self) -> u64 {
        let Some(last) = self.gauge(gauge::SAMPLES_NEXT).checked_sub(1) else { return UNKNOWN };
        let row = SAMPLES.row((last % SAMPLES.rows as u64) as usize);
        let [rss, heap, external] =
            [sample::RSS, sample::HEAP_TOTAL, sample::EXTERNAL].map(|word| self.gauge(row + word));
        if rss == 0 || self.gauge(header::THREAD) != 0 {
            UNKNOWN
        } else {
            rss.saturating_sub(heap).saturating_sub(external)
        }
    }

    /// Adds a point to the finest window, and one to each next window whenever the one before has got two.
    fn live_windows(&self, figures: &Figures) {
        // A server of WebSockets has connections instead of requests.
        let requests = figures[live::REQUESTS_TOTAL].max(figures[live::CONNECTIONS_TOTAL]);
        if requests < self.gauge(gauge::WINDOWS_REQUESTS) + REQUESTS_APART {
            return;
        }
        set(&self.map, gauge::WINDOWS_REQUESTS, requests);
        let warm_up = self.gauge(gauge::WINDOWS_WARM_UP);
        if requests < WARM_UP_REQUESTS && warm_up < WARM_UP_COLLECTIONS {
            return set(&self.map, gauge::WINDOWS_WARM_UP, warm_up + 1);
        }
        let mut point = *figures;
        let points = self.gauge(gauge::WINDOWS_NEXT) + 1;
        for window in 0..WINDOWS {
            if !points.is_multiple_of(1 << window) {
                break;
            }
            let index = (points >> window) - 1;
            if window > 0 {
                point = self.merged(window - 1, index * 2);
            }
            write_row(&self.map, WINDOW_LIVES, row_of(window, index), |row| fill(row, &point));
        }
        set(&self.map, gauge::WINDOWS_NEXT, points);
    }

    /// Merges a row and the next: the minimum of each figure, since noise only adds, at the time in the middle.
    fn merged(&self, window: usize, index: u64) -> Figures {
        let [a, b] = [index, index + 1].map(|index| WINDOW_LIVES.row(row_of(window, index)));
        let mut merged: Figures = [0; live::CONNECTIONS_TOTAL + 1];
        for figure in FIGURES {
            let (a, b) = (self.gauge(a + figure), self.gauge(b + figure));
            merged[figure] = match figure {
                live::AT | live::REQUESTS_TOTAL | live::CONNECTIONS_TOTAL => u64::midpoint(a, b),
                _ => a.min(b),
            };
        }
        merged
    }
}

fn fill(row: &Row, figures: &Figures) {
    FIGURES.for_each(|figure| row.set(figure, figures[figure]));
}

/// Row in `WINDOW_LIVES` of the `index`th point that a window ever had.
pub fn row_of(window: usize, index: u64) -> usize {
    window * WINDOW_ROWS + (index % WINDOW_ROWS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::map::Map;
    use crate::recorder::reader;
    use crate::recorder::record::Live;
    use crate::recorder::writer::{Identity, ProcessFigures, SamplerWriter};

    fn writer(thread: u64) -> Writer {
        Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity { thread, ..Identity::default() })
    }

    /// Runs `requests` requests, then a collection that leaves `heap` bytes.
    fn collect(writer: &Writer, requests: u64, heap: u64) {
        writer.add_gauge(gauge::REQUESTS_TOTAL, requests);
        writer.live(heap, heap, 0);
    }

    fn heaps(window: &[Live]) -> Vec<u64> {
        window.iter().map(|live| live.heap_bytes).collect()
    }

    #[test]
    fn each_window_reaches_back_twice_as_far_with_the_least_of_two() {
        let writer = writer(0);
        collect(&writer, WARM_UP_REQUESTS, 7);
        for heap in 1..=255 {
            collect(&writer, 100, if heap % 2 == 0 { heap } else { heap + 1000 });
        }
        let windows = reader::windows(&**writer.map()).unwrap();
        assert_eq!(windows.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 32, 16, 8, 4, 2, 1]);
        assert_eq!(heaps(&windows[0])[..2], [192, 1193]);
        // The first point is the 7 above. Groups of four begin there: (7, 1001, 2, 1003), (4, 1005, 6, 1007), …
        assert_eq!(heaps(&windows[2])[..3], [2, 4, 8]);
        assert_eq!(heaps(&windows[8]), [2], "the least of all");
        let (finest, next) = (&windows[0], &windows[1]);
        let last = next.len() - 1;
        assert_eq!(next[last].requests_total, (finest[62].requests_total + finest[63].requests_total) / 2);
        assert_eq!(reader::points(&**writer.map()).unwrap(), 256);
    }

    #[test]
    fn the_warm_up_and_collections_of_an_idle_server_are_no_points() {
        let warm = writer(0);
        for _ in 0..WARM_UP_COLLECTIONS + 3 {
            collect(&warm, 20, 1);
        }
        assert_eq!(reader::points(&**warm.map()).unwrap(), 3, "where each request allocates much");
        let idle = writer(0);
        collect(&idle, WARM_UP_REQUESTS, 1);
        for _ in 0..100 {
            collect(&idle, 0, 1);
        }
        assert_eq!(reader::points(&**idle.map()).unwrap(), 1);
        assert_eq!(reader::read(&**idle.map()).unwrap().live_history.len(), 101);
    }

    #[test]
    fn what_is_resident_beside_v8_is_of_one_sample_and_unknown_in_a_worker() {
        for (thread, expected) in [(0, Some(60)), (1, None)] {
            let writer = writer(thread);
            let figures = crate::recorder::writer::HeapFigures { total: 30, external: 10, ..Default::default() };
            writer.heap(0, &figures);
            let sampler = SamplerWriter::new(Arc::clone(writer.map()));
            sampler.sample(&ProcessFigures { rss: 100, ..ProcessFigures::default() });
            writer.heap(0, &crate::recorder::writer::HeapFigures { total: 90, ..figures });
            collect(&writer, 1, 5);
            let record = reader::read(&**writer.map()).unwrap();
            assert_eq!(record.live_history[0].native_bytes, expected);
        }
    }
}
