//! One reserve near the heap limit.
//!
//! Before V8 ends the process for lack of heap it calls the callback, which returns the new limit. It is called inside
//! an allocation or a collection, so it only sets cells, and what it calls must neither touch V8 nor block. V8 calls
//! only the callback that was installed last. Node's own callback enforces the limit of a worker, hence this is for the
//! main thread only.
//!
//! A reserve is granted at most once within [`AGAIN_AFTER`], and never on top of another: the limit is at most the
//! first one plus the reserve. [`NearLimit::restore`] sets it back once the live heap has room again.

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::ProbeError;
use super::symbols::{IsolatePointer, NearLimitSymbols};

/// Least time from one grant to the next.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A granted reserve, as limits of the old generation, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    pub limit: u64,
    pub reserve: u64,
}

/// Called when a reserve was granted, inside V8's allocator.
pub type OnGrant = Box<dyn FnMut(&Grant)>;

/// At a fixed address for as long as the callback is installed. Accessed on the isolate's thread only.
struct State {
    symbols: NearLimitSymbols,
    isolate: IsolatePointer,
    reserve: usize,
    granted_at: Cell<Option<Instant>>,
    /// The limit to restore, or 0 while nothing is granted.
    initial: Cell<usize>,
    internal_errors: Cell<u64>,
    on_grant: UnsafeCell<OnGrant>,
}

/// The new limit. It is `current` if no (further) reserve may be granted.
fn granted(current: usize, initial: usize, reserve: usize, since_last: Option<Duration>) -> usize {
    let too_soon = since_last.is_some_and(|since| since < AGAIN_AFTER);
    // V8's limit is never below its initial one, so these values are not what their names say.
    let absurd = initial == 0 || initial > current;
    if too_soon || absurd { current } else { current.max(initial.saturating_add(reserve)) }
}

impl State {
    fn asked(&self, current: usize, initial: usize) -> usize {
        let limit = granted(current, initial, self.reserve, self.granted_at.get().map(|at| at.elapsed()));
        if limit > current {
            self.granted_at.set(Some(Instant::now()));
            self.initial.set(initial);
            let grant = Grant { limit: initial as u64, reserve: (limit - initial) as u64 };
            // SAFETY: the closure is called from here only, on one thread. It does not touch V8, so V8 does not call
            // the callback again inside it, and this is the only reference.
            unsafe { (*self.on_grant.get())(&grant) };
        }
        limit
    }
}

/// The callback of one isolate; not `Send`: it is installed and removed on the isolate's own thread.
pub struct NearLimit {
    state: Box<State>,
}

impl NearLimit {
    /// `reserve`: bytes to grant. For the main thread's isolate only.
    pub fn install(reserve: u64, on_grant: OnGrant) -> Result<Self, ProbeError> {
        let symbols = NearLimitSymbols::find()?;
        // SAFETY: takes nothing and returns this thread's isolate or null.
        let isolate = unsafe { (symbols.get_current)() };
        if isolate.is_null() {
            return Err(ProbeError::Isolate);
        }
        let state = Box::new(State {
            symbols,
            isolate,
            reserve: reserve as usize,
            granted_at: Cell::new(None),
            initial: Cell::new(0),
            internal_errors: Cell::new(0),
            on_grant: UnsafeCell::new(on_grant),
        });
        let near = Self { state };
        near.add();
        Ok(near)
    }

    fn add(&self) {
        let data = std::ptr::from_ref::<State>(&self.state).cast_mut().cast::<c_void>();
        // SAFETY: on the isolate's thread (NearLimit is not Send). The callback has V8's signature. `data` points into
        // the box, which `Drop` retains until the callback is removed.
        unsafe { (self.state.symbols.add)(self.state.isolate, on_near_limit, data) };
    }

    /// A `limit` of 0 leaves the limit as it is. V8 sets no limit below the live heap.
    fn remove(&self, limit: usize) {
        // SAFETY: on the isolate's thread and before the isolate's end. `add` has installed the callback, and only this
        // function removes it. Each removal is followed by an `add` or the end, since V8 ends the process if the
        // callback to remove is not installed.
        unsafe { (self.state.symbols.remove)(self.state.isolate, on_near_limit, limit) };
    }

    /// The old generation's limit before a grant that has not been restored yet.
    pub fn raised(&self) -> Option<u64> {
        Some(self.state.initial.get() as u64).filter(|initial| *initial > 0)
    }

    /// Sets the limit back. Call it when the live heap is well below it.
    pub fn restore(&self) {
        let initial = self.state.initial.take();
        if initial > 0 {
            self.remove(initial);
            self.add();
        }
    }

    pub fn reserve(&self) -> u64 {
        self.state.reserve as u64
    }

    /// Panics that were caught in the callback.
    pub fn internal_errors(&self) -> u64 {
        self.state.internal_errors.get()
    }
}

impl Drop for NearLimit {
    fn drop(&mut self) {
        self.remove(0);
    }
}

// SAFETY (of calling it): `data` is the `State` that was installed with this callback. It is alive until the callback
// is removed.
unsafe extern "C" fn on_near_limit(data: *mut c_void, current: usize, initial: usize) -> usize {
    // SAFETY: see above.
    let state = unsafe { &*data.cast::<State>() };
    // A panic must not unwind into V8.
    catch_unwind(AssertUnwindSafe(|| state.asked(current, initial))).unwrap_or_else(|_| {
        state.internal_errors.set(state.internal_errors.get() + 1);
        current
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn grants_one_reserve_and_none_within_a_minute_of_it() {
        assert_eq!(granted(200 * MIB, 200 * MIB, 10 * MIB, None), 210 * MIB);
        assert_eq!(granted(200 * MIB, 200 * MIB, 10 * MIB, Some(Duration::from_secs(59))), 200 * MIB);
        assert_eq!(granted(200 * MIB, 200 * MIB, 10 * MIB, Some(Duration::from_secs(60))), 210 * MIB);
    }

    #[test]
    fn never_grants_on_top_of_a_grant() {
        assert_eq!(granted(210 * MIB, 200 * MIB, 10 * MIB, Some(Duration::from_secs(3600))), 210 * MIB);
        assert_eq!(granted(300 * MIB, 200 * MIB, 10 * MIB, None), 300 * MIB, "somebody else has raised it further");
    }

    #[test]
    fn grants_nothing_where_the_limits_are_not_what_they_should_be() {
        assert_eq!(granted(200 * MIB, 300 * MIB, 10 * MIB, None), 200 * MIB);
        assert_eq!(granted(200 * MIB, 0, 500 * MIB, None), 200 * MIB);
    }

    #[test]
    fn says_so_where_there_is_no_v8() {
        let none = NearLimit::install(1, Box::new(|_| ()));
        assert!(matches!(none, Err(ProbeError::Symbol(_) | ProbeError::Platform)));
    }
}
