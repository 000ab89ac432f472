//! Counts of what requests may forget to close, and the trace of files that stay open.

use napi_derive::napi;

use super::environment::{Environment, with};
use crate::leak::resources::Opener;

#[napi(object)]
pub struct ResourceCounts {
    /// Connections of clients that are open.
    pub clients: f64,
    /// Referenced timers, worker threads and child processes.
    pub timers: f64,
    pub workers: f64,
    pub children: f64,
}

/// A server has accepted a connection.
#[napi(catch_unwind)]
pub fn connected() {
    with(|environment| environment.ledger.writer().connection());
}

/// Writes the counts to the record. Returns whether it must be traced now which requests open files.
#[napi(catch_unwind)]
pub fn resources(counts: ResourceCounts) -> bool {
    let ResourceCounts { clients, timers, workers, children } = counts;
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        ledger.writer().counts([clients, timers, workers, children].map(|count| count.max(0.0) as u64));
        monitor.is_trace_due(ledger.writer().map(), ledger.uptime_ms())
    })
    .unwrap_or(false)
}

/// The requests that open most of the files that stay open, and the call site. Both unknown if there are too few.
#[napi(object)]
pub struct FileOpener {
    pub route: Option<String>,
    pub origin: Option<String>,
}

/// A trace of open files has ended.
#[napi(catch_unwind)]
pub fn files_traced(opener: Option<FileOpener>) {
    with(|environment| {
        let Environment { ledger, monitor, announced, .. } = environment;
        let opener = opener.map(|FileOpener { route, origin }| Opener { route, origin });
        let now_ms = ledger.uptime_ms();
        announced.extend(monitor.on_traced(ledger, now_ms, opener));
    });
}
