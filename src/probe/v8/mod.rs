//! V8's own heap counter and garbage-collection callbacks, through the C++ symbols that the `node` executable exports.
//!
//! Node-API has neither. The symbols and the leading words of `HeapStatistics` are the same on Node 20 to 26 (tested on
//! linux-x64). They are looked up at run time, so one binary works with all of them. Untested versions are not called
//! ([`versions`]), and no figure is used before [`Probe::install`] has verified it ([`layout`]).
//!
//! `allocated = used + Σ over collections (used before − used after)`. The difference of two readings is what the code
//! between them allocated. Sums are exact. A single reading may be off by up to a page, and V8's own work may blur it
//! (`ledger/charge.rs`).

pub mod layout;
pub mod marking;
mod near_limit;
pub mod sample_counter;
pub mod sampling;
pub mod stack;
pub(super) mod symbols;
pub mod versions;

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;

pub use layout::{HeapStatistics, Round};
use layout::{STATISTICS_WORDS, verify};
pub use near_limit::{Grant, NearLimit};
use symbols::{IsolatePointer, Symbols};

/// One finished collection; `kind` is the index of V8's `GCType` bit.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    pub kind: u32,
    pub pause_ns: u64,
    pub before: u64,
    pub after: HeapStatistics,
}

#[derive(Debug, Error, PartialEq)]
pub enum ProbeError {
    #[error("switched off by PLIMSOLL_PROBE=off")]
    Off,
    #[error("V8 {0} has not been tested: set PLIMSOLL_PROBE=on to try it, or update plimsoll")]
    Untested(String),
    #[error("the V8 symbols of this platform are not known")]
    Platform,
    #[error("the node executable does not export {0}")]
    Symbol(&'static str),
    #[error("there is no V8 isolate on this thread")]
    Isolate,
    #[error("V8's figures could not be verified: {0}")]
    Layout(String),
}

/// Called after each collection, inside it.
pub type OnCollection = Box<dyn FnMut(&Collection)>;

/// scavenge | minor mark-sweep | mark-sweep-compact | incremental marking | weak callbacks
const ALL_GC_TYPES: i32 = 31;
const MARK_SWEEP_COMPACT: i32 = 4;
/// V8 calls these callbacks when a concurrent marking begins. It ends with a mark-sweep-compact.
const INCREMENTAL_MARKING: i32 = 8;
/// `MemoryPressureLevel::kModerate`.
const MODERATE_PRESSURE: i32 = 1;
/// Collections inside collections (weak callbacks inside a mark-sweep).
const MAX_DEPTH: usize = 4;

/// True in a process whose collections are not recorded.
static SILENT: AtomicBool = AtomicBool::new(false);

/// For a child made by `fork`: the callbacks do nothing from now on. What they write to belongs to the parent, and a
/// thread that had locked something at the fork does not exist in the child.
pub fn fall_silent() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Whether this process is such a child.
pub fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// # Safety
/// `isolate` is the isolate of this thread, and alive.
unsafe fn statistics(symbols: &Symbols, isolate: IsolatePointer) -> HeapStatistics {
    let mut words = [0u64; STATISTICS_WORDS];
    // SAFETY: the conditions of this function. V8 writes fewer words than the buffer has.
    unsafe { (symbols.get_heap_statistics)(isolate, words.as_mut_ptr()) };
    HeapStatistics::of_words(&words)
}

/// One reading, not to be used before [`Probe::install`] has verified some. Call it only with a permitted V8
/// (`versions`).
pub fn unverified() -> Result<HeapStatistics, ProbeError> {
    let symbols = Symbols::find()?;
    // SAFETY: takes nothing and returns this thread's isolate or null.
    let isolate = unsafe { (symbols.get_current)() };
    if isolate.is_null() {
        return Err(ProbeError::Isolate);
    }
    // SAFETY: the isolate of this thread, whose JavaScript is the caller.
    Ok(unsafe { statistics(&symbols, isolate) })
}

/// The state of the callbacks, at a fixed address for as long as they are installed. Accessed on the isolate's thread
/// only.
struct State {
    symbols: Symbols,
    isolate: IsolatePointer,
    /// Σ (used before − used after) over collections.
    freed: Cell<i64>,
    collections: Cell<u64>,
    /// When a major collection last began or ended.
    major: Cell<Instant>,
    /// A concurrent marking has begun and has not ended.
    marking: Cell<bool>,
    depth: Cell<usize>,
    open: [Cell<Option<(Instant, u64)>>; MAX_DEPTH],
    internal_errors: Cell<u64>,
    on_collection: UnsafeCell<OnCollection>,
}

impl State {
    fn statistics(&self) -> HeapStatistics {
        // SAFETY: `isolate` is the isolate of this thread (neither State nor Probe is Send) and alive: the
        // environment's cleanup hook drops the probe before the isolate ends.
        unsafe { statistics(&self.symbols, self.isolate) }
    }

    fn prologue(&self, gc_type: i32) {
        self.note_major(gc_type);
        let depth = self.depth.get();
        if let Some(open) = self.open.get(depth) {
            open.set(Some((Instant::now(), self.statistics().used)));
        }
        self.depth.set(depth + 1);
    }

    fn note_major(&self, gc_type: i32) {
        if gc_type & (MARK_SWEEP_COMPACT | INCREMENTAL_MARKING) != 0 {
            self.major.set(Instant::now());
            self.marking.set(gc_type & INCREMENTAL_MARKING != 0);
        }
    }

    fn epilogue(&self, gc_type: i32) {
        let Some(depth) = self.depth.get().checked_sub(1) else {
            return;
        };
        self.depth.set(depth);
        let Some((started, before)) = self.open.get(depth).and_then(Cell::take) else {
            return;
        };
        let pause_ns = started.elapsed().as_nanos() as u64;
        self.note_major(gc_type);
        let after = self.statistics();
        // The outer collection's difference includes what an inner one freed.
        if depth == 0 {
            self.freed.set(self.freed.get() + before as i64 - after.used as i64);
        }
        self.collections.set(self.collections.get() + 1);
        let collection = Collection { kind: gc_type.trailing_zeros(), pause_ns, before, after };
        // SAFETY: the closure is called from here only, on one thread. It does not touch V8, so no collection runs
        // inside it, and this is the only reference.
        unsafe { (*self.on_collection.get())(&collection) };
    }
}

/// The probe of one isolate. It is not `Send`: V8's statistics may be read on the isolate's own thread only.
pub struct Probe {
    state: Box<State>,
    /// `allocated` at the installation.
    base: i64,
}

impl Probe {
    /// Verifies what was read in `rounds`, and V8's kinds of collections (`gc_types`, see [`verify`]), and installs the
    /// callbacks. `on_collection` runs inside the collection: it must not touch V8, block or take long.
    pub fn install(rounds: &[Round], gc_types: &[u32], on_collection: OnCollection) -> Result<Self, ProbeError> {
        verify(rounds, gc_types)?;
        let symbols = Symbols::find()?;
        // SAFETY: takes nothing and returns this thread's isolate or null.
        let isolate = unsafe { (symbols.get_current)() };
        if isolate.is_null() {
            return Err(ProbeError::Isolate);
        }
        let state = Box::new(State {
            symbols,
            isolate,
            freed: Cell::new(0),
            collections: Cell::new(0),
            // A marking that began before this is unknown. It counts as ended now.
            major: Cell::new(Instant::now()),
            marking: Cell::new(false),
            depth: Cell::new(0),
            open: Default::default(),
            internal_errors: Cell::new(0),
            on_collection: UnsafeCell::new(on_collection),
        });
        let statistics = state.statistics();
        let data = std::ptr::from_ref::<State>(&state).cast_mut().cast::<c_void>();
        // SAFETY: on the isolate's thread. The callbacks have V8's signature. `data` points into the box, which `Drop`
        // retains until the callbacks are removed.
        unsafe {
            (symbols.add_prologue)(isolate, on_prologue, data, ALL_GC_TYPES);
            (symbols.add_epilogue)(isolate, on_epilogue, data, ALL_GC_TYPES);
        }
        Ok(Self { base: statistics.used as i64, state })
    }

    pub fn statistics(&self) -> HeapStatistics {
        self.state.statistics()
    }

    /// Bytes allocated on this heap since the installation, given a reading of it.
    pub fn allocated(&self, statistics: &HeapStatistics) -> i64 {
        statistics.used as i64 + self.state.freed.get() - self.base
    }

    /// Collections seen so far.
    pub fn collections(&self) -> u64 {
        self.state.collections.get()
    }

    /// Time since a major collection was last running, as far as the probe knows. Its sweeping may continue for a
    /// while.
    pub fn since_major(&self) -> Duration {
        if self.state.marking.get() { Duration::ZERO } else { self.state.major.get().elapsed() }
    }

    /// Asks V8 to reduce its memory: it begins a concurrent marking that ends in a major collection, and shrinks the
    /// young generation. False if it cannot be asked. The callbacks run inside this call.
    pub fn reduce_memory(&self) -> bool {
        let Some(memory_pressure) = self.state.symbols.memory_pressure else { return false };
        // SAFETY: on the isolate's thread, with an isolate that is alive (see `State::statistics`). 1 is a
        // `MemoryPressureLevel`.
        unsafe { memory_pressure(self.state.isolate, MODERATE_PRESSURE) };
        true
    }

    /// Panics that were caught in the callbacks.
    pub fn internal_errors(&self) -> u64 {
        self.state.internal_errors.get()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let data = std::ptr::from_ref::<State>(&self.state).cast_mut().cast::<c_void>();
        // SAFETY: on the isolate's thread, before the isolate's end, with the pair that was added.
        unsafe {
            (self.state.symbols.remove_prologue)(self.state.isolate, on_prologue, data);
            (self.state.symbols.remove_epilogue)(self.state.isolate, on_epilogue, data);
        }
    }
}

// SAFETY (of calling it): `data` is the `State` that was installed with this callback. It is alive until the callback
// is removed.
unsafe extern "C" fn on_prologue(_: IsolatePointer, gc_type: i32, _: i32, data: *mut c_void) {
    // SAFETY: see above.
    let state = unsafe { &*data.cast::<State>() };
    guarded(state, || state.prologue(gc_type));
}

// SAFETY (of calling it): as `on_prologue`.
unsafe extern "C" fn on_epilogue(_: IsolatePointer, gc_type: i32, _: i32, data: *mut c_void) {
    // SAFETY: see above.
    let state = unsafe { &*data.cast::<State>() };
    guarded(state, || state.epilogue(gc_type));
}

/// A panic must not unwind into V8.
fn guarded(state: &State, work: impl FnOnce()) {
    if is_silent() {
        return;
    }
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        state.internal_errors.set(state.internal_errors.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_so_where_there_is_no_v8() {
        assert!(matches!(unverified(), Err(ProbeError::Symbol(_) | ProbeError::Platform)));
    }
}
