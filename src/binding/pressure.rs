//! The state of an environment for `shed()`, and the reserve near V8's heap limit.

use std::cell::RefCell;
use std::rc::Rc;

use napi_derive::napi;

use crate::ledger::Ledger;
use crate::probe::v8::{Grant, NearLimit};
use crate::recorder::writer::Writer;
use crate::shed::semi_space::semi_space_max;
use crate::shed::watch::Watch;

/// The parts of the heap's limit, and what to do near it.
#[napi(object)]
pub struct HeapOptions {
    /// V8's flags, those of `NODE_OPTIONS` first.
    pub flags: Vec<String>,
    /// The young generation in a worker's `resourceLimits`. 0 on the main thread.
    pub young_generation: f64,
    /// Bytes granted once near the heap limit. None if there is no reserve.
    pub reserve: Option<f64>,
    /// Why there is no reserve.
    pub no_reserve: Option<String>,
}

/// The environment's state for `shed()`. It is shared with V8's callbacks, which may run while the environment is
/// borrowed.
pub struct Pressure {
    pub watch: Rc<RefCell<Watch>>,
    /// The maximum of the old generation without a grant, bytes.
    pub old_generation: u64,
    near_limit: Option<NearLimit>,
    /// Why no reserve would be granted.
    pub reason: Option<String>,
    pub grants: Rc<RefCell<Vec<Grant>>>,
    /// Internal errors of the callback that were reported.
    internal_errors: u64,
}

impl Pressure {
    pub fn new(writer: &Writer, options: &HeapOptions, node_version: &str, heap_size_limit: u64) -> Self {
        let semi_space =
            semi_space_max(&options.flags, node_version, heap_size_limit, options.young_generation.max(0.0) as u64);
        writer.semi_space_max(semi_space);
        let capacity = heap_size_limit.saturating_sub(semi_space.saturating_mul(3));
        Self {
            watch: Rc::new(RefCell::new(Watch::new(writer.clone(), capacity))),
            old_generation: capacity,
            near_limit: None,
            reason: options.no_reserve.clone(),
            grants: Rc::default(),
            internal_errors: 0,
        }
    }

    /// Installs V8's callback near the heap limit. For the main thread, once the probe has verified V8.
    pub fn arm(&mut self, writer: &Writer, options: &HeapOptions, probe: Option<&str>) {
        let Some(reserve) = options.reserve.filter(|bytes| *bytes >= 1.0) else { return };
        if let Some(reason) = probe {
            self.reason = Some(format!("the exact heap probe is off: {reason}"));
            return;
        }
        let (writer, watch, grants) = (writer.clone(), Rc::clone(&self.watch), Rc::clone(&self.grants));
        // Room is reserved here, because the callback runs inside V8's allocator.
        grants.borrow_mut().reserve(4);
        let on_grant = move |grant: &Grant| {
            writer.near_limit(grant.limit, grant.reserve);
            if let Ok(mut watch) = watch.try_borrow_mut() {
                watch.granted();
            }
            if let Ok(mut grants) = grants.try_borrow_mut()
                && grants.len() < grants.capacity()
            {
                grants.push(*grant);
            }
        };
        match NearLimit::install(reserve as u64, Box::new(on_grant)) {
            Ok(near_limit) => self.near_limit = Some(near_limit),
            Err(error) => self.reason = Some(error.to_string()),
        }
    }

    /// Removes the callback: V8's figures failed a test.
    pub fn disarm(&mut self, reason: &str) {
        if self.near_limit.take().is_some() {
            self.reason = Some(format!("the exact heap probe is off: {reason}"));
        }
    }

    /// The reserve that would be granted, if any.
    pub fn reserve(&self) -> Option<u64> {
        self.near_limit.as_ref().map(NearLimit::reserve)
    }

    /// Internal errors near the limit since the last call.
    fn new_internal_errors(&mut self) -> u64 {
        let internal_errors = self.near_limit.as_ref().map_or(0, NearLimit::internal_errors);
        internal_errors - std::mem::replace(&mut self.internal_errors, internal_errors).min(internal_errors)
    }

    /// Withdraws the reserve once there is room. Not within a collection.
    fn restore(&self) {
        let Some(near_limit) = &self.near_limit else { return };
        let room = near_limit.raised().is_some_and(|limit| self.watch.borrow().has_room(limit));
        if room {
            near_limit.restore();
        }
    }
}

/// A tick of the event loop, which was late by `delay_ms`.
pub fn tick(pressure: &mut Pressure, ledger: &Ledger, delay_ms: f64) {
    // The borrow must end first, because a collection's callback needs it.
    let ask = pressure.watch.borrow_mut().ticked(delay_ms);
    if ask {
        ledger.meter().reduce_memory();
    }
    pressure.restore();
    for _ in 0..pressure.new_internal_errors() {
        ledger.writer().internal_error();
    }
}

/// A span was settled or a request has ended.
pub fn charged(pressure: &Pressure, ledger: &Ledger) {
    let (in_flight, used) = ledger.in_flight_bytes();
    pressure.watch.borrow_mut().charged(in_flight, used);
}
