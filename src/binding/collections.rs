//! Asks V8 for collections.

use napi::{Env, Result};
use napi_derive::napi;

use super::environment::{Environment, with};
use super::pressure::Pressure;
use crate::leak::gc_schedule::Now;
use crate::leak::monitor::is_suspicious;
use crate::probe::v8::marking;
use crate::recorder::{Quantity, reader};

/// Call this at each tick: asks V8 for a collection, if it makes none by itself. Not within a collection.
pub fn tick(environment: &mut Environment, env: &Env) {
    let Environment { ledger, monitor, pressure, .. } = environment;
    // Other meters do not count collections.
    if !ledger.meter().exact() {
        return;
    }
    let map = ledger.writer().map();
    let bytes = external_bytes(env, pressure);
    let now = Now {
        ms: ledger.uptime_ms(),
        majors: reader::points(&**map).unwrap_or(0),
        requests: reader::work(&**map),
        used_bytes: ledger.in_flight_bytes().1,
        live_bytes: pressure.watch.borrow().live().unwrap_or(0),
        limit_bytes: ledger.heap_limit_bytes(),
        suspicious: Quantity::ALL.into_iter().any(|quantity| is_suspicious(map, quantity)),
        small: bytes.is_none(),
    };
    if !monitor.is_collection_due(now) {
        return;
    }
    // If V8 cannot be asked there is no collection, and the next request comes in time.
    let _asked = match bytes {
        Some(bytes) => announce(env, bytes).is_ok(),
        None => ledger.meter().reduce_memory(),
    };
}

/// The external memory to announce for a concurrent marking. None if there is no room for that.
fn external_bytes(env: &Env, pressure: &Pressure) -> Option<u64> {
    let external = env.adjust_external_memory(0).ok()?;
    marking::external_bytes(external.max(0) as u64, pressure.old_generation)
}

/// Announces external memory and withdraws it. Returns V8's count of it afterwards, bytes.
fn announce(env: &Env, bytes: u64) -> Result<i64> {
    env.adjust_external_memory(bytes as i64)?;
    env.adjust_external_memory(-(bytes as i64))
}

/// Asks V8 for a concurrent marking at once. Returns V8's count of external memory afterwards, bytes. None if there is
/// no room for the announcement.
#[napi(catch_unwind)]
pub fn start_marking(env: Env) -> Option<f64> {
    with(|environment| {
        let bytes = external_bytes(&env, &environment.pressure)?;
        announce(&env, bytes).ok().map(|external| external as f64)
    })
    .flatten()
}
