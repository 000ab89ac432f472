//! What costs the server something is not done at once again: it rests, each time for twice as long.

pub const FIRST_MS: u64 = 10 * 60_000;
pub const LONGEST_MS: u64 = 6 * 60 * 60_000;

/// Since when and for how long; none before the first end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    since_ms: u64,
    for_ms: u64,
}

impl Backoff {
    pub fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.since_ms + self.for_ms
    }

    /// It has just been done.
    pub fn begin(&mut self, now_ms: u64) {
        *self = Self { since_ms: now_ms, for_ms: (2 * self.for_ms).clamp(FIRST_MS, LONGEST_MS) };
    }

    /// There is another reason to do it: no longer than after the first time.
    pub fn shorten(&mut self) {
        self.for_ms = self.for_ms.min(FIRST_MS);
    }
}
