//! What listeners receive from the native side at each tick.

use napi_derive::napi;
use serde_json::json;

use super::environment::{Environment, with};
use crate::probe::v8::Grant;
use crate::recorder::reader;

/// Number of requests in flight that the announcement of a grant names.
const NAMED_REQUESTS: usize = 10;

/// Events since the last call: a JSON array of messages for the listeners. None most of the time.
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
                "function": block.by.as_ref().and_then(|by| by.function.as_ref()),
                "origin": block.by.as_ref().map(|by| &by.origin),
                "stack": block.by.as_ref().map_or(&[][..], |by| &by.stack),
                "native": block.by.as_ref().is_some_and(|by| by.native),
                "gcPauseMs": block.gc_pause.as_secs_f64() * 1e3,
            })
        }));
        let Environment { ledger, monitor, trends, announced, .. } = environment;
        found.append(announced);
        found.extend(trends.try_iter().filter_map(|event| monitor.on_trend(ledger, &event)));
        found.extend(monitor.locate(ledger));
        let now_ms = ledger.uptime_ms();
        found.extend(monitor.withdraw_past(ledger, now_ms));
        found.extend(monitor.say(ledger.writer().map(), now_ms));
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
