//! Turns the verdicts on single moments into a leak's state: when it is reported first, when again, and when it is
//! withdrawn.

use super::series::Look;
use super::series::growth::{Figures, Growth, Point};
use crate::recorder::TrendState as State;
use crate::recorder::record::Driver;

/// The state of one quantity, with the figures that it is based on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    pub state: State,
    pub figures: Option<Figures>,
    /// Where the growth began, and the newest point. None without growth.
    pub grown: Option<(Point, Point)>,
    /// What the figures are for.
    pub driver: Driver,
}

impl Verdict {
    /// Growth in bytes since it began, by the slope: single points are noisy.
    pub fn kept_bytes(&self) -> f64 {
        match (self.figures, self.grown) {
            (Some(figures), Some((began, now))) => figures.per_thousand / 1e3 * (now.requests - began.requests),
            _ => 0.0,
        }
    }
}

/// What changed with a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// It leaks, and did not before.
    Began,
    /// It goes on leaking.
    GoesOn,
    /// It has stopped.
    Ended,
}

/// Sure looks, less those that were not, until growth is a leak. Autocorrelated noise agrees with itself for some
/// collections.
pub(super) const CONFIRMED: u32 = 6;
/// Looks in a row without any growth until a leak is over.
const OVER: u32 = 8;

/// The state of one quantity over time.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    verdict: Verdict,
    driver: Driver,
    sure: u32,
    quiet: u32,
}

impl Detector {
    /// What the series grow with, from the next look on. The figures of a leak stay those of its beginning.
    pub fn drive(&mut self, driver: Driver) -> Driver {
        if self.verdict.state != State::Leaking {
            self.driver = driver;
        }
        self.driver
    }

    /// Call this at most once for each new collection. A second look at the same points adds no evidence.
    pub fn see(&mut self, look: &Look) -> (Verdict, Change) {
        self.sure =
            if look.growth == Growth::Sure { (self.sure + 1).min(CONFIRMED) } else { self.sure.saturating_sub(1) };
        self.quiet = if look.growth == Growth::None { self.quiet + 1 } else { 0 };
        let leaked = self.verdict.state == State::Leaking;
        let leaks = if leaked { self.quiet < OVER } else { self.sure >= CONFIRMED };
        let state = match (look.figures, look.growth) {
            _ if leaks => State::Leaking,
            (None, _) => State::Learning,
            (_, Growth::None) => State::Steady,
            _ => State::Uncertain,
        };
        self.verdict = if leaks && look.growth == Growth::None {
            // The figures of such a look do not describe the leak.
            Verdict { state, ..self.verdict }
        } else {
            // The onset is most exact while the leak is young. Later windows do not reach back as far, or are coarser.
            let began = self.verdict.grown.filter(|_| leaked && leaks).map(|(began, _)| began);
            let grown = look.grown.map(|(seen, now)| (began.unwrap_or(seen), now));
            Verdict { state, figures: look.figures, grown, driver: self.driver }
        };
        if leaked && !leaks {
            self.sure = 0;
        }
        let change = match (leaked, leaks) {
            (false, true) => Change::Began,
            (true, true) => Change::GoesOn,
            (true, false) => Change::Ended,
            (false, false) => Change::None,
        };
        (self.verdict, change)
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}
