//! The verdicts of `shed()`, the reserve near V8's heap limit, and what is announced when the event loop comes round.

use std::cell::RefCell;
use std::rc::Rc;

use napi_derive::napi;
use serde_json::json;

use super::environment::{Environment, with};
use super::trend;
use crate::probe::v8::{Grant, NearLimit};
use crate::recorder::writer::Writer;
use crate::recorder::{EventKind, reader};
use crate::shed::semi_space::semi_space_max;
use crate::shed::watch::Watch;
use crate::shed::{Marks, Policy};

/// How many requests in flight the announcement of a grant names.
const NAMED_REQUESTS: usize = 10;

/// What the limit of the heap is made of, and what to do near it.
#[napi(object)]
pub struct HeapOptions {
    /// V8's flags, those of `NODE_OPTIONS` first.
    pub flags: Vec<String>,
    /// What a worker's `resourceLimits` say of the young generation; 0 on the main thread.
    pub young_generation: f64,
    /// Bytes granted once near the heap limit; none: nothing is.
    pub reserve: Option<f64>,
    /// Why nothing is.
    pub no_reserve: Option<String>,
}

/// What the environment holds for `shed()`: shared with V8's callbacks, which run while the environment may be borrowed.
pub struct Pressure {
    pub watch: Rc<RefCell<Watch>>,
    /// The maximum of the old generation without a grant, bytes.
    pub old_generation: u64,
    near_limit: Option<NearLimit>,
    /// Why no reserve would be granted.
    pub reason: Option<String>,
    grants: Rc<RefCell<Vec<Grant>>>,
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

    /// Has V8 ask before it ends the process. For the main thread, once the probe has found V8 to be as expected.
    pub fn arm(&mut self, writer: &Writer, options: &HeapOptions, probe: Option<&str>) {
        let Some(reserve) = options.reserve.filter(|bytes| *bytes >= 1.0) else { return };
        if let Some(reason) = probe {
            self.reason = Some(format!("the exact heap probe is off: {reason}"));
            return;
        }
        let (writer, watch, grants) = (writer.clone(), Rc::clone(&self.watch), Rc::clone(&self.grants));
        // Room for it is made here: the callback runs inside V8's allocator.
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

    /// Leaves V8's limit to V8: its figures did not stand a test.
    pub fn disarm(&mut self, reason: &str) {
        if self.near_limit.take().is_some() {
            self.reason = Some(format!("the exact heap probe is off: {reason}"));
        }
    }

    /// The reserve that would be granted; none where none would.
    pub fn reserve(&self) -> Option<u64> {
        self.near_limit.as_ref().map(NearLimit::reserve)
    }

    /// Internal errors near the limit since the last time.
    fn new_internal_errors(&mut self) -> u64 {
        let internal_errors = self.near_limit.as_ref().map_or(0, NearLimit::internal_errors);
        internal_errors - std::mem::replace(&mut self.internal_errors, internal_errors).min(internal_errors)
    }

    /// Takes the reserve back once there is room. Not within a collection.
    fn restore(&self) {
        let Some(near_limit) = &self.near_limit else { return };
        let room = near_limit.raised().is_some_and(|limit| self.watch.borrow().has_room(limit));
        if room {
            near_limit.restore();
        }
    }
}

/// The event loop has come round, this much late.
pub fn ticked(environment: &mut Environment, delay_ms: f64) {
    // The borrow ends first: a collection's callback needs it.
    let ask = environment.pressure.watch.borrow_mut().ticked(delay_ms);
    if ask {
        environment.ledger.meter().reduce_memory();
    }
    environment.pressure.restore();
    for _ in 0..environment.pressure.new_internal_errors() {
        environment.ledger.writer().internal_error();
    }
}

/// A span was settled or a request has ended.
pub fn charged(environment: &Environment) {
    let (in_flight, used) = environment.ledger.in_flight_bytes();
    environment.pressure.watch.borrow_mut().charged(in_flight, used);
}

#[napi(object)]
pub struct MarksOptions {
    pub lower: f64,
    pub upper: f64,
}

#[napi(object)]
pub struct PolicyOptions {
    pub heap: Option<MarksOptions>,
    pub rss: Option<MarksOptions>,
    pub delay_ms: Option<MarksOptions>,
    pub native_bytes: Option<MarksOptions>,
}

/// A verdict by these marks, for [`level`].
#[napi(catch_unwind)]
pub fn guard(policy: PolicyOptions) -> u32 {
    let marks = |marks: Option<MarksOptions>| marks.map(|marks| Marks { lower: marks.lower, upper: marks.upper });
    let policy = Policy {
        heap: marks(policy.heap),
        rss: marks(policy.rss),
        delay_ms: marks(policy.delay_ms),
        native_bytes: marks(policy.native_bytes),
    };
    with(|environment| environment.pressure.watch.borrow_mut().guard(policy) as u32).unwrap_or(0)
}

/// How hard it is pressed, 0 (admit all) to 1 (admit none): the last verdict, nothing is measured.
#[napi(catch_unwind)]
pub fn level(guard: u32) -> f64 {
    with(|environment| environment.pressure.watch.borrow().level(guard as usize)).unwrap_or(0.0)
}

/// Whether `shed()` wants to know soon how late the event loop is: it was late just now.
#[napi(catch_unwind)]
pub fn looks_again() -> bool {
    with(|environment| environment.pressure.watch.borrow().looks_again()).unwrap_or(false)
}

/// How late the timer was that [`looks_again`] has asked for, milliseconds.
#[napi(catch_unwind)]
pub fn late(lag_ms: f64) {
    with(|environment| environment.pressure.watch.borrow_mut().late(lag_ms));
}

/// Without the exact probe: collections have ended, of which `major` says whether one was a major one, and this is used now.
#[napi(catch_unwind)]
pub fn collected(major: bool, used: f64) {
    with(|environment| environment.pressure.watch.borrow_mut().collected(major, used.max(0.0) as u64, 0));
}

/// `shed()` refused a request, or reports that it would have. True if an event is due.
#[napi(catch_unwind)]
pub fn shed(reported: bool) -> bool {
    with(|environment| environment.ledger.shed(reported)).unwrap_or(false)
}

/// The event of a refusal, with the figures that press.
#[napi(catch_unwind)]
pub fn shed_event(guard: u32, route: Option<String>, detail: String) {
    with(|environment| {
        let figures = environment.pressure.watch.borrow().figures(guard as usize);
        environment.ledger.writer().event(EventKind::Shed, route.as_deref(), &format!("{detail}: {figures}"));
    });
}

/// `limit()` would have refused a request, but was told to report only.
#[napi(catch_unwind)]
pub fn limit_reported(route: Option<String>, detail: String) {
    with(|environment| environment.ledger.limit_reported(route.as_deref(), &detail));
}

/// What has happened since the last time that listeners may want to hear of: a JSON array; none mostly.
#[napi(catch_unwind)]
pub fn announcements() -> Option<String> {
    with(|environment| {
        let mut found: Vec<_> = environment
            .pressure
            .grants
            .borrow_mut()
            .drain(..)
            .map(|grant| near_limit_message(environment.recorder.map(), &grant))
            .collect();
        found.extend(environment.blocks.try_iter().map(|block| {
            json!({
                "channel": "blocked",
                "blockedMs": block.blocked.as_secs_f64() * 1e3,
                "method": block.method,
                "path": block.path,
                "route": block.route,
            })
        }));
        let leaks: Vec<_> = environment.leaks.try_iter().collect();
        found.extend(leaks.iter().filter_map(|(quantity, news)| trend::tell(environment, *quantity, news)));
        found.extend(trend::locate(environment));
        (!found.is_empty()).then(|| serde_json::Value::from(found).to_string())
    })
    .flatten()
}

fn near_limit_message(map: &crate::recorder::map::Map, grant: &Grant) -> serde_json::Value {
    let record = reader::read(map).unwrap_or_default();
    let mut in_flight = record.in_flight;
    let total = in_flight.len();
    in_flight.sort_by_key(|request| std::cmp::Reverse(request.heap_bytes));
    in_flight.truncate(NAMED_REQUESTS);
    json!({
        "channel": "near-limit",
        "at": record.near_limit.at,
        "limitBytes": grant.limit,
        "grantedBytes": grant.reserve,
        "usedBytes": record.heap.used_bytes,
        "inFlight": in_flight,
        "inFlightTotal": total,
    })
}
