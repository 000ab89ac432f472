//! How many threads an analysis uses.

use std::num::NonZero;
use std::thread;

/// The number of cores, within limits: beyond a few, memory is the bottleneck.
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).clamp(1, 4)
}

/// Runs both concurrently, and propagates a panic of either.
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
