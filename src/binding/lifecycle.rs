//! The life cycle of an environment: ticks, service, end. Also writes to the record that no request causes.

use napi::{Env, Error, Result};
use napi_derive::napi;

use super::environment::with;
use super::{collections, pressure};
use crate::recorder::writer::ExitKind;
use crate::recorder::{EventKind, reader, stops};

/// A tick of the event loop. `lag_ms`: the delay of the timer. `utilization`: the loop's, 0 to 1, since the last tick.
/// Returns a warning for the user if one of our files cannot be written.
#[napi(catch_unwind)]
pub fn tick(env: Env, lag_ms: f64, utilization: f64) -> Option<String> {
    with(|environment| {
        environment.ledger.tick((lag_ms.max(0.0) * 1e6) as u64, utilization);
        pressure::tick(&mut environment.pressure, &environment.ledger, lag_ms.max(0.0));
        collections::tick(environment, &env);
        if environment.main_thread {
            stops::arm();
        }
        environment.trouble()
    })
    .flatten()
}

/// The process (or worker) is ending: `exit`, `uncaught-exception` or `worker-end`.
#[napi(catch_unwind)]
pub fn finish(kind: String, code: i32, detail: String) -> Result<()> {
    let kind = match kind.as_str() {
        "exit" => ExitKind::Exit,
        "uncaught-exception" => ExitKind::UncaughtException,
        "worker-end" => ExitKind::WorkerEnd,
        other => {
            return Err(Error::from_reason(format!("unknown end {other:?}: exit, uncaught-exception, worker-end")));
        }
    };
    with(|environment| environment.finish(kind, i64::from(code), &detail));
    Ok(())
}

/// The process listens, or has had a request, so its record is a server's. Returns JSON of the newest death of its
/// service that no server has reported, or none. Further calls return the same.
#[napi(catch_unwind)]
pub fn serve() -> Option<String> {
    with(|environment| {
        environment.serve();
        environment.death()
    })
    .flatten()
}

/// The process ends as a server that has not asked for the last death yet. That is left to the next one.
#[napi(catch_unwind)]
pub fn served() {
    with(|environment| environment.ledger.writer().served());
}

/// Whether there has been a request.
#[napi(catch_unwind)]
pub fn has_requests() -> bool {
    with(|environment| reader::requests(&**environment.recorder.map()) > 0).unwrap_or(false)
}

/// The same without being a server: the death stays unreported.
#[napi(catch_unwind)]
pub fn last_death() -> Option<String> {
    with(|environment| environment.death()).flatten()
}

/// A listener of a signal was removed: the signal's end is recorded again.
#[napi(catch_unwind)]
pub fn record_stops() {
    stops::arm();
}

/// Writes an event to the record. Kinds are those of `EventKind`.
#[napi(catch_unwind)]
pub fn event(kind: String, route: Option<String>, detail: String) {
    with(|environment| {
        let kind = EventKind::from_name(&kind).unwrap_or(EventKind::InternalError);
        environment.ledger.writer().event(kind, route.as_deref(), &detail);
    });
}

/// Counts an internal error.
#[napi(catch_unwind)]
pub fn internal_error(detail: String) {
    with(|environment| {
        environment.ledger.writer().internal_error();
        environment.ledger.writer().event(EventKind::InternalError, None, &detail);
    });
}
