//! Limits on the memory of all requests of the process together, in all threads. The share of a thread or a decoder is
//! released when it ends in any way.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of bodies in flight.
#[derive(Debug, Default)]
pub struct Pool {
    in_flight: AtomicU64,
}

/// The pool of bodies. Worker threads load the same addon, so they share it.
pub static POOL: Pool = Pool::new();
/// The pool of decoders of compressed bodies: windows, tables and buffers.
pub static DECODERS: Pool = Pool::new();

impl Pool {
    pub const fn new() -> Self {
        Self { in_flight: AtomicU64::new(0) }
    }

    // Relaxed: the figure guards no other memory.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// All or nothing: a refused body does not wait for others, so half-read bodies cannot block each other.
    fn take(&self, bytes: u64, budget: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= budget);
        self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.in_flight.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The share of one thread in a pool.
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

    /// False if all bodies together would then exceed `budget`.
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

/// A decoder with at most this is small: gzip, deflate, and others with little to inflate.
const SMALL_DECODER: u64 = 256 << 10;

/// The share of one decoder in a pool that is limited to `bound` for all decoders. An eighth of it is reserved for
/// small ones: a few that declare large windows and then wait must not cause refusals of those.
#[derive(Debug)]
pub struct Charge<'a> {
    pool: &'a Pool,
    bound: u64,
    held: u64,
}

impl<'a> Charge<'a> {
    pub const fn new(pool: &'a Pool, bound: u64) -> Self {
        Self { pool, bound, held: 0 }
    }

    /// The limit for all decoders together when one of them has `bytes`.
    fn bound_of(&self, bytes: u64) -> u64 {
        if bytes > SMALL_DECODER { self.bound - self.bound / 8 } else { self.bound }
    }

    /// Whether it could have `bytes` if there were no others.
    pub fn ever_holds(&self, bytes: u64) -> bool {
        bytes <= self.bound_of(bytes)
    }

    /// Changes its share to `bytes`. False if there is no room for more. The share is then unchanged.
    pub fn hold(&mut self, bytes: u64) -> bool {
        if bytes > self.held && !self.pool.take(bytes - self.held, self.bound_of(bytes)) {
            return false;
        }
        self.pool.give_back(self.held.saturating_sub(bytes));
        self.held = bytes;
        true
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_grows_within_its_bound_shrinks_and_is_given_back() {
        let pool = Pool::default();
        let mut one = Charge::new(&pool, 100);
        let mut other = Charge::new(&pool, 100);
        assert!(one.hold(60) && other.hold(40) && !other.hold(41));
        assert!(one.hold(10) && other.hold(90) && !one.hold(11));
        assert_eq!(pool.in_flight(), 100);
        drop(one);
        assert_eq!(pool.in_flight(), 90);
        drop(other);
        assert_eq!(pool.in_flight(), 0);
    }

    #[test]
    fn large_decoders_leave_room_for_small_ones() {
        let pool = Pool::default();
        let bound = 8 * SMALL_DECODER;
        let mut large = Charge::new(&pool, bound);
        assert!(!large.ever_holds(bound) && !large.hold(bound));
        assert!(large.ever_holds(7 * SMALL_DECODER) && large.hold(7 * SMALL_DECODER));
        let mut second = Charge::new(&pool, bound);
        assert!(!second.hold(SMALL_DECODER + 1) && second.hold(SMALL_DECODER));
        assert_eq!(pool.in_flight(), bound);
    }

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
        static SHARED: Pool = Pool::new();
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
