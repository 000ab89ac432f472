//! From look to look: when a leak is told, when it is told again, and when it is taken back.

use super::series::Look;
use super::series::growth::{Figures, Growth, Point};
use crate::recorder::TrendState as State;

/// What is said of one quantity, with the figures behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    pub state: State,
    pub figures: Option<Figures>,
    /// Where the growth began, and where it is now; none while there is none.
    pub grown: Option<(Point, Point)>,
}

impl Verdict {
    /// Bytes by which it has grown since it began to, by the slope: single points are noisy.
    pub fn kept_bytes(&self) -> f64 {
        match (self.figures, self.grown) {
            (Some(figures), Some((began, now))) => figures.per_thousand / 1e3 * (now.requests - began.requests),
            _ => 0.0,
        }
    }
}

/// What became different with a look.
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

/// Sure looks, less those that were not, until it is a leak: noise that lingers agrees with itself for some collections.
const CONFIRMED: u32 = 6;
/// Looks in a row without any growth until a leak is over.
const OVER: u32 = 8;

/// Remembers what it has said of one quantity.
#[derive(Clone, Debug, Default)]
pub struct Detector {
    verdict: Verdict,
    sure: u32,
    quiet: u32,
}

impl Detector {
    /// To be called once for each new collection, at most: a look at the same points again is no second witness.
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
            // Such a look says nothing of the leak.
            Verdict { state, ..self.verdict }
        } else {
            // The onset is seen best while the leak is young: later looks do not reach back as far, or less finely.
            let began = self.verdict.grown.filter(|_| leaked && leaks).map(|(began, _)| began);
            let grown = look.grown.map(|(seen, now)| (began.unwrap_or(seen), now));
            Verdict { state, figures: look.figures, grown }
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
