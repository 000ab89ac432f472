//! The addon's own allocator. Its figures cover what Rust allocates. V8 and Node use the system's allocator.

/// Allocated, active and resident bytes of jemalloc. None if it is not in use. A call takes 9 to 21 µs: for timers, not
/// for requests.
#[cfg(not(target_env = "msvc"))]
pub fn figures() -> Option<[u64; 3]> {
    use tikv_jemalloc_ctl::{epoch, stats};
    epoch::advance().ok()?;
    let read = |figure: tikv_jemalloc_ctl::Result<usize>| figure.ok().map(|bytes| bytes as u64);
    Some([read(stats::allocated::read())?, read(stats::active::read())?, read(stats::resident::read())?])
}

#[cfg(target_env = "msvc")]
pub fn figures() -> Option<[u64; 3]> {
    None
}

/// Address space that jemalloc has reserved without memory, bytes.
#[cfg(not(target_env = "msvc"))]
pub fn retained() -> Option<u64> {
    tikv_jemalloc_ctl::stats::retained::read().ok().map(|bytes| bytes as u64)
}

#[cfg(target_env = "msvc")]
pub fn retained() -> Option<u64> {
    None
}

/// Returns the free pages of all arenas to the system, and whether that worked. None if jemalloc is not in use.
#[cfg(not(target_env = "msvc"))]
pub fn purge() -> Option<bool> {
    use std::ptr::null_mut;
    // 4096 is `MALLCTL_ARENAS_ALL`.
    let control = c"arena.4096.purge";
    // SAFETY: the name is NUL-terminated, and this control neither reads nor writes a value: all else must be null.
    let status = unsafe { tikv_jemalloc_sys::mallctl(control.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    Some(status == 0)
}

#[cfg(target_env = "msvc")]
pub fn purge() -> Option<bool> {
    None
}

/// Reads what this thread has allocated less what it has freed. Takes some nanoseconds.
pub struct ThreadBytes {
    /// jemalloc's counters of what the thread has allocated and freed.
    #[cfg(not(target_env = "msvc"))]
    counters: Option<[tikv_jemalloc_ctl::thread::ThreadLocal<u64>; 2]>,
}

impl ThreadBytes {
    /// For the calling thread. The value stays on it (it is not `Send`).
    #[cfg(not(target_env = "msvc"))]
    pub fn of_this_thread() -> Self {
        use tikv_jemalloc_ctl::thread::{allocatedp, deallocatedp};
        Self { counters: allocatedp::read().ok().zip(deallocatedp::read().ok()).map(<[_; 2]>::from) }
    }

    #[cfg(target_env = "msvc")]
    pub fn of_this_thread() -> Self {
        Self {}
    }

    /// Bytes allocated and not freed (negative if others' memory was freed here), and bytes ever allocated.
    pub fn read(&self) -> (i64, u64) {
        #[cfg(not(target_env = "msvc"))]
        if let Some([allocated, deallocated]) = &self.counters {
            let allocated = allocated.get();
            return (allocated.wrapping_sub(deallocated.get()) as i64, allocated);
        }
        (0, 0)
    }
}

#[cfg(all(test, not(target_env = "msvc")))]
mod tests {
    use super::*;

    #[test]
    fn sees_what_this_thread_holds() {
        let bytes = ThreadBytes::of_this_thread();
        let (before, total) = bytes.read();
        let block = std::hint::black_box(vec![1u8; 1 << 20]);
        assert!(bytes.read().0 - before >= 1 << 20);
        drop(block);
        assert!(bytes.read().0 - before < 1 << 16 && bytes.read().1 - total >= 1 << 20);
        assert!(figures().is_some_and(|[allocated, _, _]| allocated > 0));
        assert!(retained().is_some());
    }

    #[test]
    fn purges_all_arenas() {
        assert_eq!(purge(), Some(true));
    }
}
