//! The verdicts of `shed()`, and the counts of `shed()` and `limit()`.

use napi_derive::napi;

use super::environment::with;
use crate::recorder::EventKind;
use crate::shed::{Marks, Policy};

#[napi(object)]
pub struct MarksOptions {
    pub lower: f64,
    pub upper: f64,
}

#[napi(object)]
pub struct PolicyOptions {
    pub heap: Option<MarksOptions>,
    pub rss: Option<MarksOptions>,
    pub delay_ms: Option<MarksOptions>,
    pub native_bytes: Option<MarksOptions>,
}

/// Registers a verdict with these marks, for [`level`].
#[napi(catch_unwind)]
pub fn guard(policy: PolicyOptions) -> u32 {
    let marks = |marks: Option<MarksOptions>| marks.map(|marks| Marks { lower: marks.lower, upper: marks.upper });
    let policy = Policy {
        heap: marks(policy.heap),
        rss: marks(policy.rss),
        delay_ms: marks(policy.delay_ms),
        native_bytes: marks(policy.native_bytes),
    };
    with(|environment| environment.pressure.watch.borrow_mut().guard(policy) as u32).unwrap_or(0)
}

/// The level of the last verdict, 0 (admit all) to 1 (admit none). Nothing is measured.
#[napi(catch_unwind)]
pub fn level(guard: u32) -> f64 {
    with(|environment| environment.pressure.watch.borrow().level(guard as usize)).unwrap_or(0.0)
}

/// Whether `shed()` needs another measurement of the event loop's delay soon: it was late just now.
#[napi(catch_unwind)]
pub fn looks_again() -> bool {
    with(|environment| environment.pressure.watch.borrow().looks_again()).unwrap_or(false)
}

/// The delay of the timer that [`looks_again`] has requested, milliseconds.
#[napi(catch_unwind)]
pub fn late(lag_ms: f64) {
    with(|environment| environment.pressure.watch.borrow_mut().late(lag_ms));
}

/// Without the exact probe: collections have ended, with at least one major one if `major`. `used` bytes are in use
/// now.
#[napi(catch_unwind)]
pub fn collected(major: bool, used: f64) {
    with(|environment| environment.pressure.watch.borrow_mut().collected(major, used.max(0.0) as u64, 0));
}

/// `shed()` refused a request, or reports that it would have. True if an event is due.
#[napi(catch_unwind)]
pub fn shed(reported: bool) -> bool {
    with(|environment| environment.ledger.shed(reported)).unwrap_or(false)
}

/// Records the event of a refusal, with the figures that cause the pressure.
#[napi(catch_unwind)]
pub fn shed_event(guard: u32, route: Option<String>, detail: String) {
    with(|environment| {
        let figures = environment.pressure.watch.borrow().figures(guard as usize);
        environment.ledger.writer().event(EventKind::Shed, route.as_deref(), &format!("{detail}: {figures}"));
    });
}

/// `limit()` would have refused a request, but only reports.
#[napi(catch_unwind)]
pub fn limit_reported(route: Option<String>, detail: String) {
    with(|environment| environment.ledger.limit_reported(route.as_deref(), &detail));
}
