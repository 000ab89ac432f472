//! One series, seen through windows: does it grow, and in the way of a leak?
//!
//! The series comes in *windows* of at most 64 points. Each point of the next window covers twice as many collections,
//! and is their minimum. The noise of a live heap is what was in flight, and what died during marking. It only ever
//! adds, and leaks raise the floor below it.
//!
//! * [`growth`]: one window: its figures, and what kind of growth that is.
//! * [`upper_bound`]: whether one series of a load test stays under a bound.

pub mod growth;
pub(super) mod mann_kendall;
pub(super) mod theil_sen;
pub mod upper_bound;

use growth::{Figures, Growth, Point, Thresholds, level, may_grow, onset};

/// The result of one look at all windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub growth: Growth,
    /// Of the window that shows the growth best. Without growth, of the longest window with enough points, if there is
    /// one.
    pub figures: Option<Figures>,
    /// Where the growth began, as far back as the windows go, and the newest point. None without growth.
    pub grown: Option<(Point, Point)>,
}

/// How far above its former maximum the series must be, as a share of its growth: the recorded peak is a little too
/// low.
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

/// The surest growth. If several windows are as sure, the one whose interval is
/// narrowest in relation to its slope.
pub(super) fn accused(windows: &[Vec<Point>], gate: &Thresholds) -> Option<(Growth, Figures)> {
    let grow = windows.iter().filter(|window| may_grow(window, gate)).filter_map(|window| {
        let (growth, figures) = growth::judge(window, gate);
        let growth = if growth == Growth::Sure && was_here_before(windows, window) { Growth::Likely } else { growth };
        Some((growth, figures?)).filter(|(growth, _)| *growth > Growth::None)
    });
    let looseness = |figures: &Figures| (figures.high - figures.low) / figures.per_thousand;
    grow.max_by(|a, b| a.0.cmp(&b.0).then(looseness(&b.1).total_cmp(&looseness(&a.1))))
}

/// Whether the memory was as high before this window, and shrank again.
fn was_here_before(windows: &[Vec<Point>], window: &[Point]) -> bool {
    let before = windows.iter().flatten().filter(|point| point.requests < window[0].requests);
    let peak = before.map(|point| point.bytes).fold(f64::MIN, f64::max);
    let now = level(window);
    now < peak + NEW_HEIGHT * (now - window[0].bytes)
}
