//! When asynchronous spans are metered, and which requests own the samples of a profiling session.

use std::time::{Duration, Instant};

use super::sample_owners::{Owner, RouteId, SampleOwners};
use super::{AsyncMode, Ledger, Slot, Turn};
use crate::probe::process;
use crate::probe::v8::sample_counter::SampleCounter;

impl Ledger {
    /// Sets how asynchronous spans are metered from now on.
    pub fn set_async(&mut self, mode: AsyncMode) {
        self.mode = mode;
        self.window = u32::from(mode == AsyncMode::Always);
        self.last_window = self.window;
        let share = if mode == AsyncMode::Always { 1.0 } else { 0.0 };
        self.writer.windows(share, 0.0);
    }

    /// Call this on each tick: returns whether a window opens or closes now. The caller must do so, since a request
    /// that is in flight for a whole window counts as metered as a whole.
    pub fn turn_windows(&mut self) -> Turn {
        if self.mode != AsyncMode::Sampled {
            return Turn::Stay;
        }
        let (user, system) = process::cpu_us();
        self.totals.cpu = Duration::from_micros(user + system);
        let turn = self.windows.turn(Instant::now(), self.totals);
        match turn {
            Turn::Stay => return turn,
            Turn::Open => {
                (self.settled_in, self.opened) = (false, Instant::now());
                self.last_window = self.last_window.wrapping_add(1).max(1);
                self.window = self.last_window;
            }
            Turn::Close => {
                self.window = 0;
                // The spans that are still open belong to callbacks whose return will not be reported.
                self.close(0);
            }
        }
        self.writer.windows(self.windows.share(), self.windows.cost());
        turn
    }

    /// A profiling session begins: asynchronous spans are metered as often as a session permits. Samples have an owner
    /// if the counter of V8's samples is known.
    pub fn begin_session(&mut self, counter: Option<SampleCounter>) {
        self.samples = counter.filter(|_| self.mode != AsyncMode::Off).map(SampleOwners::new);
        if self.samples.is_some() && self.mode == AsyncMode::Sampled {
            let (user, system) = process::cpu_us();
            self.windows.begin_session(Instant::now(), Duration::from_micros(user + system));
        }
    }

    pub fn end_session(&mut self) {
        self.samples = None;
        self.windows.end_session();
    }

    /// Assigns the samples since the last switch to the span that was open.
    pub(super) fn pass_samples(&mut self) {
        let Some(samples) = &mut self.samples else { return };
        let handle = self.stack.last().map_or(0, |span| span.handle);
        self.settled_in =
            self.settled_in || self.mode == AsyncMode::Always || self.opened.elapsed() >= self.windows.length() / 2;
        // Allocations after a promise are only attributed within a window. Counting the other code outside of windows
        // would distort the routes' shares.
        let metered = self.window != 0 && (handle != 0 || self.settled_in);
        samples.pass(handle, metered);
    }

    /// The owner of each sample of a profile that was read just now. None if owners are not tracked.
    ///
    /// # Errors
    /// The counter of V8's samples does not fit the profile.
    pub fn sample_owners(&mut self, samples: &[u64]) -> Option<Result<Vec<Owner>, &'static str>> {
        self.pass_samples();
        Some(self.samples.as_mut()?.of_profile(samples))
    }

    /// `GET /users/:id`.
    pub fn route_name(&self, route: RouteId) -> String {
        self.routes.name(route)
    }

    pub(super) fn is_whole(&self, slot: &Slot) -> bool {
        slot.window != 0 && slot.window == self.window
    }
}
