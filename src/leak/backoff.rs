//! Pauses between repetitions of what costs the server something. Each pause is twice as long as the last.

pub const FIRST_MS: u64 = 10 * 60_000;
pub const LONGEST_MS: u64 = 6 * 60 * 60_000;

/// Start and length of the pause. Zero before the first end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    since_ms: u64,
    for_ms: u64,
}

impl Backoff {
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms + self.for_ms
    }

    /// Starts a pause: the work has just ended.
    pub fn begin(&mut self, now_ms: u64) {
        *self = Self { since_ms: now_ms, for_ms: (2 * self.for_ms).clamp(FIRST_MS, LONGEST_MS) };
    }

    /// There is another reason for the work, so the pause is at most that after the first time.
    pub fn shorten(&mut self) {
        self.for_ms = self.for_ms.min(FIRST_MS);
    }
}
