//! The calls during a request. All take and return small integers, except for the URL.

use napi_derive::napi;

use super::environment::with;
use super::pressure;
use crate::ledger::refusals::Refusal;
use crate::ledger::{AsyncMode, End, Turn};

/// A request begins its synchronous part. Returns its handle, or 0 if it is not tracked.
#[napi(catch_unwind)]
pub fn enter(method: u32, url: String) -> u32 {
    with(|environment| environment.ledger.enter(method as usize, &url)).flatten().unwrap_or(0)
}

/// The synchronous part of a request has returned or thrown.
#[napi(catch_unwind)]
pub fn settle(handle: u32) {
    with(|environment| {
        environment.ledger.settle(handle);
        pressure::charged(&environment.pressure, &environment.ledger);
    });
}

/// The layer's id follows the handle in an owner: handle + layer × 2³¹, an integer that a JS number represents exactly.
const LAYER_UNIT: u64 = 1 << 31;

/// Opens a span of an owner, inside any running one. Returns the argument of `spanClose`.
#[napi(catch_unwind)]
pub fn span_open(owner: f64) -> u32 {
    let owner = owner as u64;
    let (handle, layer) = ((owner % LAYER_UNIT) as u32, (owner / LAYER_UNIT) as u16);
    with(|environment| environment.ledger.open(handle, layer) as u32).unwrap_or(0)
}

/// Closes a span, and those left open inside it.
#[napi(catch_unwind)]
pub fn span_close(depth: u32) {
    with(|environment| {
        environment.ledger.close(depth as usize);
        pressure::charged(&environment.pressure, &environment.ledger);
    });
}

/// How asynchronous spans are metered: `off`, `sampled` or `always`.
#[napi(catch_unwind)]
pub fn async_mode(mode: String) {
    let mode = match mode.as_str() {
        "always" => AsyncMode::Always,
        "sampled" => AsyncMode::Sampled,
        _ => AsyncMode::Off,
    };
    with(|environment| environment.ledger.set_async(mode));
}

/// Whether a window opens (1) or closes (2) now, otherwise 0. The caller must do so at once.
#[napi(catch_unwind)]
pub fn turn_windows() -> u32 {
    with(|environment| match environment.ledger.turn_windows() {
        Turn::Stay => 0,
        Turn::Open => 1,
        Turn::Close => 2,
    })
    .unwrap_or(0)
}

/// Returns the id of a function of the app's stack.
#[napi(catch_unwind)]
pub fn layer(name: String, origin: String) -> u32 {
    with(|environment| environment.ledger.layer(&name, &origin).into()).unwrap_or(0)
}

/// Returns the index of a route's pattern.
#[napi(catch_unwind)]
pub fn label(pattern: String) -> u32 {
    with(|environment| environment.ledger.label(&pattern) as u32).unwrap_or(0)
}

/// The route of a request in flight is known.
#[napi(catch_unwind)]
pub fn route(handle: u32, label: u32) {
    with(|environment| environment.ledger.set_route(handle, label as usize));
}

/// A request is over. `status` is the HTTP status. Returns false if the handle had ended already.
#[napi(catch_unwind)]
pub fn end(handle: u32, label: u32, status: u32, aborted: bool, response_bytes: f64) -> bool {
    let end = End { status, aborted, response_bytes: response_bytes.max(0.0) as u64 };
    with(|environment| {
        let ended = environment.ledger.end(handle, label as usize, end);
        pressure::charged(&environment.pressure, &environment.ledger);
        ended
    })
    .unwrap_or(false)
}

/// `limit()` refused a request, because of its `size`, the `budget` or its `rate`. The handle is 0 if it is not
/// tracked.
#[napi(catch_unwind)]
pub fn limited(by: String, handle: u32, route: Option<String>, detail: String) {
    let refusal = Refusal::from_name(&by);
    with(|environment| environment.ledger.limited(refusal, handle, route.as_deref(), &detail));
}

#[napi(object)]
pub struct RequestUsage {
    pub heap_bytes: f64,
    pub external_bytes: f64,
    pub native_bytes: f64,
    pub native_peak_bytes: f64,
    pub native_total_bytes: f64,
    pub body_bytes: f64,
    pub spans: f64,
    pub whole: bool,
}

/// Figures of a request in flight. None once it has ended.
#[napi(catch_unwind)]
pub fn usage(handle: u32) -> Option<RequestUsage> {
    let usage = with(|environment| environment.ledger.usage(handle)).flatten()?;
    Some(RequestUsage {
        heap_bytes: usage.heap_bytes as f64,
        external_bytes: usage.external_bytes as f64,
        native_bytes: usage.native_bytes as f64,
        native_peak_bytes: usage.native_peak_bytes as f64,
        native_total_bytes: usage.native_total_bytes as f64,
        body_bytes: usage.body_bytes as f64,
        spans: usage.spans as f64,
        whole: usage.whole,
    })
}
