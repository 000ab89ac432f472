//! What `limit()` refuses.

use super::{EventKind, Handle, LIMIT_EVENT_EVERY, Ledger, due};

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooLarge,
    /// All bodies in flight would have been.
    OverBudget,
    TooSlow,
}

impl Refusal {
    /// By the names that JavaScript has for them.
    pub fn from_name(name: &str) -> Self {
        match name {
            "budget" => Self::OverBudget,
            "rate" => Self::TooSlow,
            _ => Self::TooLarge,
        }
    }
}

impl Ledger {
    /// `limit()` refused a request (whether or not it has a slot).
    pub fn limited(&mut self, refusal: Refusal, handle: Handle, route: Option<&str>, detail: &str) {
        match refusal {
            Refusal::TooLarge => self.writer.request_limited(),
            Refusal::OverBudget => self.writer.over_budget(),
            Refusal::TooSlow => self.writer.too_slow(),
        }
        if let Some(index) = self.slots.index(handle) {
            self.slots[index].limited = true;
        }
        // A flood of refusals must not wash everything else out of the ring.
        if due(&mut self.limit_event, LIMIT_EVENT_EVERY) {
            self.writer.event(EventKind::Limit, route, detail);
        }
    }

    /// `limit()` would have refused a request, but was told to report only.
    pub fn limit_reported(&mut self, route: Option<&str>, detail: &str) {
        self.writer.limit_reported();
        if due(&mut self.limit_event, LIMIT_EVENT_EVERY) {
            self.writer.event(EventKind::Limit, route, &format!("reported only: {detail}"));
        }
    }
}
