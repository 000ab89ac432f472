//! Requests in flight, their spans and their routes: bookkeeping on top of the recorder.
//!
//! A *span* is a stretch of synchronous code of one request, and possibly of one layer of the app's stack. Spans form a
//! stack and are exclusive: at each switch the meter is read once, and the difference goes to the span that was open. A
//! slot's handle contains a generation, so that a stale handle (a request that ended twice, a late settle) is ignored.

pub mod blocked;
mod charge;
mod findings;
mod layers;
mod meter;
mod metering;
mod path;
pub mod refusals;
mod routes;
pub mod sample_owners;
pub mod sampler;
mod sampling;
mod slots;

use std::time::{Duration, Instant};

use crate::recorder::record::Finding;
use crate::recorder::writer::{Ended, Evidence, HeapFigures, Writer, epoch_ms};
use crate::recorder::{EventKind, StatusClass, reader};

use charge::Charge;
use findings::Findings;
pub use layers::LayerId;
use layers::Layers;
pub use meter::{Meter, Reading, figures};
pub use path::{PathMode, shown_path};
use routes::Routes;
use sample_owners::{RouteId, SampleOwners};
use sampler::LastTick;
pub use sampling::Turn;
use sampling::{Totals, Windows};
use slots::{Slot, Slots};

/// A request in flight: generation × `SLOTS_MAX` + index. It is never 0, and below 2³¹, so that it is a small integer
/// in JS.
pub type Handle = u32;

/// Each refusal is counted. Events are recorded at most once in this time.
const LIMIT_EVENT_EVERY: Duration = Duration::from_secs(1);
/// Longer, because an overload lasts longer than one client's excess.
const SHED_EVENT_EVERY: Duration = Duration::from_secs(10);

/// One entry of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    handle: Handle,
    /// 0 is none.
    layer: LayerId,
}

/// How allocations of asynchronous code are charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsyncMode {
    /// To no request.
    #[default]
    Off,
    /// To the request, in windows.
    Sampled,
    /// To the request, always.
    Always,
}

/// Figures of a request in flight, as `plimsoll.usage(req)` returns them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub heap_bytes: i64,
    pub external_bytes: i64,
    pub native_bytes: i64,
    pub native_peak_bytes: i64,
    pub native_total_bytes: u64,
    pub body_bytes: u64,
    pub spans: u64,
    /// Whether all its spans have been metered so far, including those after promises and callbacks.
    pub whole: bool,
}

/// How a request ended, as JS saw it.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    pub status: u32,
    pub aborted: bool,
    pub response_bytes: u64,
}

/// The bookkeeping of one environment (the main thread's or a worker's).
pub struct Ledger {
    writer: Writer,
    meter: Meter,
    started: Instant,
    last_tick: LastTick,
    slots: Slots,
    /// The open spans, innermost last.
    stack: Vec<Span>,
    /// The meter at the last switch, and its time (only while a layer runs).
    mark: Reading,
    mark_at: Option<Instant>,
    layers: Layers,
    findings: Findings,
    mode: AsyncMode,
    windows: Windows,
    /// The open window, or 0. While none is open, their number.
    window: u32,
    last_window: u32,
    totals: Totals,
    /// Owners of the samples of the present profiling session.
    samples: Option<SampleOwners>,
    /// True once the requests that were in flight at the start of the window are over, or it has been open for long.
    /// From then on, code that runs without a span belongs to no request.
    settled_in: bool,
    opened: Instant,
    /// Bytes charged to requests since the start.
    attributed: i64,
    /// Bytes charged to the requests in flight.
    in_flight_bytes: i64,
    routes: Routes,
    paths: PathMode,
    limit_event: Option<Instant>,
    shed_event: Option<Instant>,
    /// Internal errors of the meter that were reported.
    meter_errors: u64,
}

impl Ledger {
    pub fn new(writer: Writer, meter: Meter, methods: &[String], paths: PathMode) -> Self {
        let mark = meter.read();
        writer.exact(meter.exact());
        let routes = Routes::new(&writer, methods);
        Self {
            writer,
            meter,
            started: Instant::now(),
            last_tick: LastTick::new(Instant::now()),
            slots: Slots::default(),
            stack: Vec::new(),
            mark,
            mark_at: None,
            layers: Layers::default(),
            findings: Findings::default(),
            mode: AsyncMode::Off,
            windows: Windows::new(Instant::now()),
            window: 0,
            last_window: 0,
            totals: Totals::default(),
            samples: None,
            settled_in: false,
            opened: Instant::now(),
            attributed: 0,
            in_flight_bytes: 0,
            routes,
            paths,
            limit_event: None,
            shed_event: None,
            meter_errors: 0,
        }
    }

    /// Milliseconds since the start, monotonic clock.
    pub fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// For the sampler of this environment.
    pub fn last_tick(&self) -> LastTick {
        self.last_tick.clone()
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// A request begins: it takes a slot and becomes the current span. `None` when all slots are taken. It is then
    /// counted as untracked.
    pub fn enter(&mut self, method: usize, url: &str) -> Option<Handle> {
        let now = Instant::now();
        let Some(index) = self.slots.take(now, self.window) else {
            self.writer.request_untracked();
            return None;
        };
        self.totals.entered += u64::from(self.window != 0);
        let slot = &mut self.slots[index];
        slot.method = self.routes.method(method);
        let (handle, method) = (slot.handle, slot.method);
        let at_ns = (now - self.started).as_nanos() as u64;
        self.writer.open_slot(index, handle, method, &shown_path(url, self.paths), at_ns);
        self.writer.in_flight(self.slots.taken());
        self.open(handle, 0);
        Some(handle)
    }

    /// Opens a span: from now on allocations are charged to the request (to none if the handle is stale) and the layer.
    /// Returns the argument for [`Ledger::close`].
    pub fn open(&mut self, handle: Handle, layer: LayerId) -> usize {
        self.switch();
        let depth = self.stack.len();
        self.stack.push(Span { handle, layer });
        self.mark_at = (layer != 0).then(Instant::now);
        self.writer.running(handle);
        if let Some(index) = self.slots.index(handle) {
            self.slots[index].spans += 1;
        }
        depth
    }

    /// Closes the span that was opened at this depth, and those left open inside it. A span that is closed already is
    /// ignored.
    pub fn close(&mut self, depth: usize) {
        if depth >= self.stack.len() {
            return;
        }
        self.switch();
        self.stack.truncate(depth);
        let top = self.stack.last();
        self.mark_at = top.filter(|span| span.layer != 0).map(|_| Instant::now());
        self.writer.running(top.map_or(0, |span| span.handle));
    }

    /// The synchronous part of `handle` has returned or thrown. Spans left open inside it are closed with it. A handle
    /// that is not on the stack is ignored.
    pub fn settle(&mut self, handle: Handle) {
        if let Some(depth) = self.stack.iter().rposition(|span| span.handle == handle) {
            self.close(depth);
        }
    }

    /// Charges allocations since the last switch to the span that was open.
    fn switch(&mut self) {
        self.pass_samples();
        let now = self.meter.read();
        if let Some((span, index)) = self.stack.last().and_then(|span| Some((*span, self.slots.index(span.handle)?))) {
            let slot = &mut self.slots[index];
            let Charge { bytes, certain } = Charge::between(&self.mark, &now);
            slot.heap += bytes;
            // Without the exact probe, a collection appears as a negative difference. Nothing is charged for that span.
            slot.certain &= certain || !self.meter.exact();
            self.attributed += if self.meter.exact() { now.allocated - self.mark.allocated } else { bytes };
            self.in_flight_bytes += bytes;
            slot.external = slot
                .external
                .filter(|_| now.collections == self.mark.collections)
                .map(|external| external + (now.external as i64 - self.mark.external as i64));
            slot.native.held += now.native - self.mark.native;
            slot.native.peak = slot.native.peak.max(slot.native.held);
            slot.native.total += now.native_total.wrapping_sub(self.mark.native_total);
            self.writer.slot_bytes(index, slot.heap, slot.external.unwrap_or(0), slot.native.held, slot.spans);
            if span.layer != 0 {
                let time_ns = self.mark_at.map_or(0, |since| since.elapsed().as_nanos() as u64);
                self.layers.charge(index, span.layer, bytes, time_ns);
            }
        }
        self.mark = now;
        self.publish(&now);
    }

    fn publish(&self, reading: &Reading) {
        self.writer.heap(epoch_ms(), &reading.heap);
        self.writer.allocation(reading.allocated, self.attributed);
    }

    /// Returns the index of a route's pattern, for [`Ledger::set_route`] and [`Ledger::end`].
    pub fn label(&mut self, label: &str) -> usize {
        self.routes.label(&self.writer, label)
    }

    pub fn set_route(&mut self, handle: Handle, label: usize) {
        if let Some(index) = self.slots.index(handle) {
            self.writer.slot_label(index, label);
        }
    }

    /// Returns the id of a function of the app's stack, for [`Ledger::open`].
    pub fn layer(&mut self, name: &str, origin: &str) -> LayerId {
        self.layers.id(&self.writer, name, origin)
    }

    /// Counts a finding `times` more. True when it is new.
    pub fn find(&mut self, evidence: &Evidence, times: u64) -> bool {
        self.findings.see(&self.writer, evidence, times)
    }

    /// What the record has of a finding.
    pub fn finding(&self, evidence: &Evidence) -> Option<Finding> {
        self.findings.read(&self.writer, evidence)
    }

    /// Withdraws findings of occurrences that have stopped, and returns them.
    pub fn withdraw_past(&mut self, now_ms: u64) -> Vec<Finding> {
        let Self { findings, routes, writer, .. } = self;
        let total = reader::requests(&**writer.map());
        let requests_of = |title: Option<&str>| title.and_then(|title| routes.requests(writer, title)).unwrap_or(total);
        findings.withdraw_past(writer, now_ms, requests_of)
    }

    /// More is known of a finding. False if it does not exist.
    pub fn locate(&mut self, found: &Evidence, located: &Evidence) -> bool {
        self.findings.locate(&self.writer, found, located)
    }

    /// The cause of a finding has stopped. False if it does not exist.
    pub fn withdraw(&mut self, evidence: &Evidence) -> bool {
        self.findings.withdraw(&self.writer, evidence)
    }

    /// Body bytes that the tap has counted.
    pub fn add_body(&mut self, handle: Handle, bytes: u64) {
        self.writer.body_bytes(bytes);
        self.add_slot_body(handle, bytes);
    }

    /// Body bytes from before the request had its slot. The process's total includes them already.
    pub fn add_slot_body(&mut self, handle: Handle, bytes: u64) {
        if let Some(index) = self.slots.index(handle) {
            self.slots[index].body += bytes;
            self.writer.slot_body(index, self.slots[index].body);
        }
    }

    fn runs(&self, handle: Handle) -> bool {
        self.stack.last().is_some_and(|span| span.handle == handle)
    }

    /// `shed()` refused a request, or would have if it did not only report. True if an event is due.
    pub fn shed(&mut self, reported: bool) -> bool {
        if reported {
            self.writer.shed_reported();
        } else {
            self.writer.request_shed();
        }
        due(&mut self.shed_event, SHED_EVENT_EVERY)
    }

    /// Bytes that the requests in flight have allocated, and used bytes of the heap, at the last switch.
    pub fn in_flight_bytes(&self) -> (u64, u64) {
        (self.in_flight_bytes.max(0) as u64, self.mark.heap.used)
    }

    /// V8's heap limit at the last switch.
    pub fn heap_limit_bytes(&self) -> u64 {
        self.mark.heap.limit
    }

    pub fn usage(&self, handle: Handle) -> Option<Usage> {
        let slot = &self.slots[self.slots.index(handle)?];
        let mut usage = Usage {
            heap_bytes: slot.heap,
            external_bytes: slot.external.unwrap_or(0),
            native_bytes: slot.native.held,
            native_peak_bytes: slot.native.peak,
            native_total_bytes: slot.native.total,
            body_bytes: slot.body,
            spans: slot.spans,
            whole: self.is_whole(slot),
        };
        // What the calling span has allocated so far is not charged yet.
        if self.runs(handle) {
            let now = self.meter.read();
            usage.heap_bytes += Charge::between(&self.mark, &now).bytes;
            usage.native_bytes += now.native - self.mark.native;
            usage.native_peak_bytes = usage.native_peak_bytes.max(usage.native_bytes);
            usage.native_total_bytes += now.native_total.wrapping_sub(self.mark.native_total);
            if slot.external.is_some() && now.collections == self.mark.collections {
                usage.external_bytes += now.external as i64 - self.mark.external as i64;
            }
        }
        Some(usage)
    }

    /// The request is over: its figures are added to its route's row, and the slot is free. A stale handle is ignored.
    pub fn end(&mut self, handle: Handle, label: usize, end: End) -> bool {
        let Some(index) = self.slots.index(handle) else {
            return false;
        };
        if self.runs(handle) {
            self.switch();
        }
        let slot = self.slots[index];
        let whole = self.is_whole(&slot);
        self.totals.ended += 1;
        self.totals.whole += u64::from(whole);
        self.in_flight_bytes -= slot.heap;
        let status = StatusClass::of(end.status);
        let row = self.routes.row(&self.writer, slot.method, label, status);
        let ended = Ended {
            duration_ns: slot.started.elapsed().as_nanos() as u64,
            heap_bytes: slot.certain.then_some(slot.heap),
            external_bytes: slot.external,
            body_bytes: slot.body,
            response_bytes: end.response_bytes,
            native: slot.native,
            spans: slot.spans,
            aborted: end.aborted,
            limited: slot.limited,
            whole,
        };
        if let Some(samples) = &mut self.samples {
            samples.end(handle, RouteId { method: slot.method as u8, label: label.min(usize::from(u16::MAX)) as u16 });
        }
        self.writer.end_request(row, status, &ended);
        self.layers.end(&self.writer, index, row, slot.certain);
        self.writer.free_slot(index);
        self.slots.free(index);
        self.writer.in_flight(self.slots.taken());
        true
    }

    /// The event loop has ticked. Publishes figures that are otherwise published by requests only.
    pub fn tick(&mut self, lag_ns: u64, utilization: f64) {
        let reading = self.meter.read();
        self.publish(&reading);
        self.last_tick.set(Instant::now());
        self.writer.loop_tick(epoch_ms(), lag_ns, utilization);
        self.report_meter_errors();
    }

    /// Panics that were caught inside a collection could not be reported there. Each is counted, and the first is an
    /// event.
    fn report_meter_errors(&mut self) {
        let internal_errors = self.meter.internal_errors();
        for error in self.meter_errors..internal_errors {
            self.writer.internal_error();
            if error == 0 {
                self.writer.event(
                    EventKind::InternalError,
                    None,
                    "the heap probe failed during a collection; its figures may be wrong",
                );
            }
        }
        self.meter_errors = internal_errors;
    }

    /// The exact probe failed a test. Continues without it.
    pub fn disable_exact_probe(&mut self, figures: HeapFigures) {
        self.report_meter_errors();
        self.meter = Meter::supplied();
        self.meter_errors = 0;
        self.meter.supply(figures);
        self.mark = self.meter.read();
        self.writer.exact(false);
    }

    /// Without the exact probe: the result of `v8.getHeapStatistics()`.
    pub fn supply(&mut self, figures: HeapFigures) {
        self.meter.supply(figures);
    }
}

/// Whether enough time has passed since the last event. If so, now becomes the time of the last one.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

#[cfg(test)]
mod tests;
