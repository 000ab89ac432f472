//! One series, seen through windows: is it growing, and is that a leak's growth?
//!
//! The series comes in *windows* of at most 64 points. Each point of the next window stands for twice as many collections, and is their
//! minimum: the noise of a live heap is what was in flight, and what died during marking. It only ever adds, and leaks raise the floor
//! below it.
//!
//! * [`growth`]: one window: its figures, and what kind of growth that is.
//! * [`upper_bound`]: whether one series of a load test stays under a bound.

pub mod growth;
pub(super) mod mann_kendall;
pub(super) mod theil_sen;
pub mod upper_bound;

use growth::{Figures, Growth, Point, Thresholds, level, may_grow, onset};

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
pub fn judge(windows: &[Vec<Point>], gate: &Thresholds) -> Look {
    let longest = || windows.iter().rfind(|window| window.len() >= growth::MIN_POINTS);
    match accused(windows, gate) {
        Some((growth, figures)) => {
            let newest = windows.iter().find_map(|window| window.last().copied());
            let began = longest().and_then(|window| onset(window));
            Look { growth, figures: Some(figures), grown: began.zip(newest) }
        }
        None => {
            let figures = longest().and_then(|window| growth::judge(window, gate).1);
            Look { growth: Growth::None, figures, grown: None }
        }
    }
}

/// The growth that is surest; of windows that are as sure, of the one whose slope is known best.
pub(super) fn accused(windows: &[Vec<Point>], gate: &Thresholds) -> Option<(Growth, Figures)> {
    let grow = windows.iter().filter(|window| may_grow(window, gate)).filter_map(|window| {
        let (growth, figures) = growth::judge(window, gate);
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
