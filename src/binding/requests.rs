//! The calls on the way of a request. All take and return small integers, but for the URL.

use napi_derive::napi;

use super::environment::with;
use super::pressure;
use crate::ledger::End;

/// A request enters its synchronous part; its handle, or 0 if it goes untracked.
#[napi(catch_unwind)]
pub fn enter(method: u32, url: String) -> u32 {
    with(|environment| environment.ledger.enter(method as usize, &url)).flatten().unwrap_or(0)
}

/// The synchronous part of a request has returned or thrown.
#[napi(catch_unwind)]
pub fn settle(handle: u32) {
    with(|environment| {
        environment.ledger.settle(handle);
        pressure::charged(environment);
    });
}

/// Interns a route's pattern.
#[napi(catch_unwind)]
pub fn label(pattern: String) -> u32 {
    with(|environment| environment.ledger.label(&pattern) as u32).unwrap_or(0)
}

/// The route of a request in flight is known.
#[napi(catch_unwind)]
pub fn route(handle: u32, label: u32) {
    with(|environment| environment.ledger.set_route(handle, label as usize));
}

/// A request is over. `status` is the HTTP status; false if the handle had ended already.
#[napi(catch_unwind)]
pub fn end(handle: u32, label: u32, status: u32, aborted: bool, response_bytes: f64) -> bool {
    let end = End { status, aborted, response_bytes: response_bytes.max(0.0) as u64 };
    with(|environment| {
        let ended = environment.ledger.end(handle, label as usize, end);
        pressure::charged(environment);
        ended
    })
    .unwrap_or(false)
}

/// `limit()` refused a request; the handle is 0 where it is untracked.
#[napi(catch_unwind)]
pub fn limited(handle: u32, route: Option<String>, detail: String) {
    with(|environment| environment.ledger.limited(handle, route.as_deref(), &detail));
}

#[napi(object)]
pub struct RequestUsage {
    pub heap_bytes: f64,
    pub external_bytes: f64,
    pub native_bytes: f64,
    pub body_bytes: f64,
    pub spans: f64,
}

/// Figures of a request in flight; none once it has ended.
#[napi(catch_unwind)]
pub fn usage(handle: u32) -> Option<RequestUsage> {
    let usage = with(|environment| environment.ledger.usage(handle)).flatten()?;
    Some(RequestUsage {
        heap_bytes: usage.heap_bytes as f64,
        external_bytes: usage.external_bytes as f64,
        native_bytes: usage.native_bytes as f64,
        body_bytes: usage.body_bytes as f64,
        spans: usage.spans as f64,
    })
}
