//! One budget for all bodies in flight, of all threads: what a thread holds of it is given back when the thread ends, however it ends.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of bodies in flight.
#[derive(Debug, Default)]
pub struct Pool {
    in_flight: AtomicU64,
}

/// The process's. Worker threads load the same addon, so they share it.
pub static POOL: Pool = Pool { in_flight: AtomicU64::new(0) };

impl Pool {
    // Relaxed: the figure guards no other memory.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// All or nothing: whoever is refused waits for nobody, so half-read bodies cannot block each other.
    fn take(&self, bytes: u64, budget: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= budget);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.in_flight.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one thread holds of a pool.
#[derive(Debug)]
pub struct Share<'a> {
    pool: &'a Pool,
    held: u64,
}

impl<'a> Share<'a> {
    pub const fn new(pool: &'a Pool) -> Self {
        Self { pool, held: 0 }
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    /// False if all bodies together would then be over `budget`.
    pub fn reserve(&mut self, bytes: u64, budget: u64) -> bool {
        let taken = self.pool.take(bytes, budget);
        if taken {
            self.held += bytes;
        }
        taken
    }

    pub fn release(&mut self, bytes: u64) {
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.pool.give_back(bytes);
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_budget_is_granted_and_one_byte_more_is_not() {
        let pool = Pool::default();
        let mut share = Share::new(&pool);
        assert!(share.reserve(60, 100) && share.reserve(40, 100));
        assert!(!share.reserve(1, 100) && share.reserve(0, 100));
        assert!(!share.reserve(u64::MAX, u64::MAX), "no overflow");
        share.release(40);
        assert!(share.reserve(40, 100));
        assert_eq!((pool.in_flight(), share.held()), (100, 100));
    }

    #[test]
    fn a_share_gives_back_what_it_holds_and_never_more() {
        let pool = Pool::default();
        let mut other = Share::new(&pool);
        assert!(other.reserve(10, 100));
        let mut share = Share::new(&pool);
        assert!(share.reserve(50, 100));
        share.release(70);
        assert_eq!(pool.in_flight(), 10);
        assert!(share.reserve(50, 100));
        drop(share);
        assert_eq!(pool.in_flight(), 10);
    }

    #[test]
    fn threads_together_never_hold_more_than_the_budget() {
        static SHARED: Pool = Pool { in_flight: AtomicU64::new(0) };
        let thread = || {
            let mut share = Share::new(&SHARED);
            for round in 0..20_000_u64 {
                if share.reserve(round % 7 + 1, 20) {
                    assert!(SHARED.in_flight() <= 20);
                    share.release(round % 7 + 1);
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(thread))));
        assert_eq!(SHARED.in_flight(), 0);
    }
}
