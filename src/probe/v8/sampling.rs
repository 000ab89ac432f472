//! Starts V8's sampling heap profiler without the inspector's flag `kSamplingForceGC`. With that flag each profile that
//! is read forces a full collection, which blocks the program for 157 ms at 65 MB. A profile that is read just after a
//! collection by V8 itself needs none. Reading the profile and stopping the profiler go through the inspector: it is
//! the same profiler.

use super::sample_counter::Before;
#[cfg(unix)]
use super::symbols::SamplingSymbols;

/// Frames of a stack, the same number as the inspector uses.
#[cfg(unix)]
const STACK_DEPTH: i32 = 128;
/// `SamplingFlags`: `kSamplingNoFlags`; `kSamplingIncludeObjectsCollectedByMajorGC` and `…ByMinorGC`.
#[cfg(unix)]
const LIVING: i32 = 0;
#[cfg(unix)]
const ALL: i32 = 2 | 4;

/// The result of a request to start the profiler.
pub struct Start {
    /// False if it is on already.
    pub started: bool,
    /// For the search of its counter of samples. None if its words cannot be read.
    pub before: Option<Before>,
}

/// Starts it on this thread's isolate, with a sample every `interval` bytes on average, of the live heap or of `all`
/// allocations. None if it cannot be started in this way.
#[cfg(unix)]
pub fn start(interval: u64, all: bool) -> Option<Start> {
    let SamplingSymbols { get_current, get_heap_profiler, start } = SamplingSymbols::find().ok()?;
    // SAFETY: takes nothing and returns this thread's isolate or null.
    let isolate = unsafe { get_current() };
    if isolate.is_null() {
        return None;
    }
    // SAFETY: the isolate of this thread is alive: its JavaScript is the caller. Its profiler lives as long as the
    // isolate.
    let profiler = unsafe { get_heap_profiler(isolate) };
    // SAFETY: the same profiler.
    let before = unsafe { Before::of(profiler) };
    // SAFETY: the same. Starting it allocates no JavaScript object and runs no JavaScript. An interval of 0 would be an error.
    let started = unsafe { start(profiler, interval.max(1), STACK_DEPTH, if all { ALL } else { LIVING }) };
    Some(Start { started, before })
}

#[cfg(not(unix))]
pub fn start(_interval: u64, _all: bool) -> Option<Start> {
    None
}
