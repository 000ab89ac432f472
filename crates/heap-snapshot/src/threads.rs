//! How many threads an analysis uses.

use std::num::NonZero;
use std::thread;

/// As many as there are cores, within reason: beyond a few, memory is what limits.
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).clamp(1, 4)
}

/// Runs both at once, and hands on a panic of either.
pub fn both<A: Send, B>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let a = scope.spawn(a);
        let b = b();
        match a.join() {
            Ok(a) => (a, b),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
