//! The tap: counts each chunk of a body before any consumer receives it. Works without a started environment, so that
//! `limit()` can be used alone.

use std::cell::RefCell;

use napi_derive::napi;

use super::environment::with;
use crate::payload::budget::{POOL, Share};
use crate::payload::discard::{self, Discarded};
use crate::payload::{Taps, Verdict};

thread_local! {
    static TAPS: RefCell<Taps> = RefCell::default();
    /// Released when the thread ends, with any requests still in flight.
    static SHARE: RefCell<Share<'static>> = const { RefCell::new(Share::new(&POOL)) };
}

pub fn limit_of(limit: f64) -> u64 {
    // `as` saturates: infinity, "no limit", becomes the greatest integer.
    limit.max(0.0) as u64
}

/// Opens a tap. Returns 0 if there are too many.
#[napi(catch_unwind)]
pub fn tap_open(limit: f64) -> u32 {
    TAPS.with_borrow_mut(|taps| taps.open(limit_of(limit))).unwrap_or(0)
}

/// Counts a chunk, and adds it to the request's slot (0: none). True when more than the limit has arrived.
#[napi(catch_unwind)]
pub fn tap_count(tap: u32, handle: u32, bytes: f64) -> bool {
    let bytes = bytes.max(0.0) as u64;
    with(|environment| environment.ledger.add_body(handle, bytes));
    // An unknown tap counts as over the limit, which is the safe side.
    TAPS.with_borrow_mut(|taps| taps.count(tap, bytes)) != Verdict::Within
}

/// From now on chunks are added to a slot. What has arrived before is added to it now.
#[napi(catch_unwind)]
pub fn tap_attach(tap: u32, handle: u32) {
    let received = TAPS.with_borrow_mut(|taps| taps.received(tap));
    with(|environment| environment.ledger.add_slot_body(handle, received));
}

/// A limit that is nearer to the consumer lowers a tap's. True if more has arrived already.
#[napi(catch_unwind)]
pub fn tap_lower(tap: u32, limit: f64) -> bool {
    TAPS.with_borrow_mut(|taps| taps.lower(tap, limit_of(limit))) != Verdict::Within
}

/// Bytes counted so far.
#[napi(catch_unwind)]
pub fn tap_received(tap: u32) -> f64 {
    TAPS.with_borrow_mut(|taps| taps.received(tap)) as f64
}

#[napi(catch_unwind)]
pub fn tap_close(tap: u32) {
    TAPS.with_borrow_mut(|taps| taps.close(tap));
}

/// Reserves bytes of a budget for a body in flight. False if all bodies of the process would then exceed it.
#[napi(catch_unwind)]
pub fn budget_reserve(bytes: f64, budget: f64) -> bool {
    let (reserved, held) =
        SHARE.with_borrow_mut(|share| (share.reserve(limit_of(bytes), limit_of(budget)), share.held()));
    with(|environment| environment.ledger.writer().body_held(held));
    reserved
}

#[napi(catch_unwind)]
pub fn budget_release(bytes: f64) {
    let held = SHARE.with_borrow_mut(|share| {
        share.release(limit_of(bytes));
        share.held()
    });
    with(|environment| environment.ledger.writer().body_held(held));
}

/// Bytes of the bodies in flight, in all threads.
#[napi(catch_unwind)]
pub fn budget_in_flight() -> f64 {
    POOL.in_flight() as f64
}

/// Discards what has arrived on a socket. Returns the number of bytes, -1 if it has ended, -2 if it must be read
/// instead.
#[napi(catch_unwind)]
pub fn discard(fd: i32) -> f64 {
    match discard::discard(fd) {
        Discarded::Bytes(bytes) => bytes as f64,
        Discarded::Ended => -1.0,
        Discarded::Unsupported => -2.0,
    }
}
