//! Is it leaking? Pure statistics over what lived after major collections, against requests served.
//!
//! What a leak is, here: memory that grows *with requests* (not with time: a ramp of traffic is none), for certain (Mann–Kendall, with its p
//! corrected for autocorrelation and load), by more than noise (the interval of the Theil–Sen slope), to the end and straight on (a cache that fills
//! bends), without being given back (sessions come and go), to where it never was before. Whatever fails one of these is not spoken of.
//!
//! A server is looked at after each collection for months, so an error of one in a thousand a look would be an alarm a day. Hence a small p,
//! agreement of several looks in a row, and the rate of false alarms tested over whole runs, not looks. And a leak may begin at any time, and may
//! be slow: the series comes in *windows*, each of at most 64 points, the next one of points that stand for twice as many collections. Those
//! points are the least of what they stand for: the noise of a live heap is what was in flight and what died while it was being marked, so it
//! is always on top, and the floor below is what leaks raise.
//!
//! * [`window`]: one series: its figures, and what kind of growth that is. Works for any series, by allocation site too.
//! * [`judge`]: all windows of one quantity.
//! * [`watch`]: what becomes of that from look to look: when a leak is told, told again, and taken back.
//! * [`bound`]: whether one series of a load test keeps under a bound.
//! * [`sites`] and [`campaign`]: where what stays is allocated, and when that is looked for.
//! * [`rest`]: how long these rest after each time.
//! * [`steady`]: that what was told is told again, where another is about as likely.
//! * [`kept`] and [`pair`]: what it is and what holds it, of the difference of two heap snapshots, and when these are taken.
//! * [`advice`]: all of that in words.
//! * [`cadence`]: when V8 is asked for a collection.
//! * [`quantities`]: the record's own series: heap, external memory, and what is resident beside them; and the words for a leak.

pub mod advice;
pub mod bound;
pub mod cadence;
pub mod campaign;
pub mod kept;
mod mann_kendall;
pub mod pair;
pub mod quantities;
mod rest;
pub mod sites;
pub mod steady;
#[cfg(test)]
mod tests;
mod theil_sen;
pub mod watch;
pub mod window;

use window::{Figures, Gate, Growth, Point, level, may_grow, onset};

/// What one look at all windows shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub growth: Growth,
    /// Of the window that shows it best; of the longest one that has enough points if none shows growth; none before there is one.
    pub figures: Option<Figures>,
    /// Where the growth began, as far back as the windows go, and the newest point. None without growth.
    pub grown: Option<(Point, Point)>,
}

/// How far above what it once was the series must be, as a share of its growth: a peak is remembered a little too low.
const NEW_HEIGHT: f64 = 0.1;

/// `windows`: the finest first, each in order of time; all end now.
pub fn judge(windows: &[Vec<Point>], gate: &Gate) -> Look {
    let longest = || windows.iter().rfind(|window| window.len() >= window::MIN_POINTS);
    match accused(windows, gate) {
        Some((growth, figures)) => {
            let newest = windows.iter().find_map(|window| window.last().copied());
            let began = longest().and_then(|window| onset(window));
            Look { growth, figures: Some(figures), grown: began.zip(newest) }
        }
        None => {
            let figures = longest().and_then(|window| window::judge(window, gate).1);
            Look { growth: Growth::None, figures, grown: None }
        }
    }
}

/// The growth that is surest; of windows that are as sure, of the one whose slope is known best.
fn accused(windows: &[Vec<Point>], gate: &Gate) -> Option<(Growth, Figures)> {
    let grow = windows.iter().filter(|window| may_grow(window, gate)).filter_map(|window| {
        let (growth, figures) = window::judge(window, gate);
        let growth = if growth == Growth::Sure && was_here_before(windows, window) { Growth::Likely } else { growth };
        Some((growth, figures?)).filter(|(growth, _)| *growth > Growth::None)
    });
    let looseness = |figures: &Figures| (figures.high - figures.low) / figures.per_thousand;
    grow.max_by(|a, b| a.0.cmp(&b.0).then(looseness(&b.1).total_cmp(&looseness(&a.1))))
}

/// Whether the memory was as high before this window, and came down again.
fn was_here_before(windows: &[Vec<Point>], window: &[Point]) -> bool {
    let before = windows.iter().flatten().filter(|point| point.requests < window[0].requests);
    let peak = before.map(|point| point.bytes).fold(f64::MIN, f64::max);
    let now = level(window);
    now < peak + NEW_HEIGHT * (now - window[0].bytes)
}
