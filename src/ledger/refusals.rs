//! Refusals of `limit()`.

use super::{EventKind, Handle, LIMIT_EVENT_EVERY, Ledger, due};

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooLarge,
    /// There was no room in addition to the other bodies in flight.
    OverBudget,
    TooSlow,
}

impl Refusal {
    /// By the names in JavaScript.
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
        // Many refusals must not displace all other events from the ring.
        if due(&mut self.limit_event, LIMIT_EVENT_EVERY) {
            self.writer.event(EventKind::Limit, route, detail);
        }
    }

    /// `limit()` would have refused a request, but only reports.
    pub fn limit_reported(&mut self, route: Option<&str>, detail: &str) {
        self.writer.limit_reported();
        if due(&mut self.limit_event, LIMIT_EVENT_EVERY) {
            self.writer.event(EventKind::Limit, route, &format!("reported only: {detail}"));
        }
    }
}
