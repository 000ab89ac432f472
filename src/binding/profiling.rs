//! Profiling sessions: the next step of one, and the profiles that JavaScript takes in it.

use napi::bindgen_prelude::{Float64Array, Int32Array, Uint32Array};
use napi_derive::napi;

use super::environment::{Environment, trusts_v8, with};
use crate::leak::sites::schedule::Step;
use crate::leak::sites::{Function, Node, Profile};
use crate::probe::v8::sampling;
use crate::recorder::EventKind;

/// What JavaScript must do with the sampling heap profiler now.
#[napi(string_enum = "kebab-case")]
pub enum ProfilingStep {
    None,
    /// Start it with all allocations.
    Start,
    /// Take a profile of callers, and sample the live heap from then on.
    Callers,
    /// Take a profile of the live heap.
    Profile,
    Stop,
}

#[napi(catch_unwind)]
pub fn profiling_step() -> ProfilingStep {
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        match monitor.profiling_step(ledger.writer().map(), ledger.uptime_ms()) {
            Step::None => ProfilingStep::None,
            Step::Start => ProfilingStep::Start,
            Step::Callers => ProfilingStep::Callers,
            Step::Profile => ProfilingStep::Profile,
            Step::Stop => ProfilingStep::Stop,
        }
    })
    .unwrap_or(ProfilingStep::None)
}

/// Starts V8's sampling heap profiler, with a sample every `interval` bytes on average, of the live heap or of all
/// allocations. Reading a profile then collects no garbage. False if the profiler is on already, none if it cannot be
/// started in this way.
#[napi(catch_unwind)]
pub fn profiling_start(interval: u32, all: bool) -> Option<bool> {
    // Not within the environment, because this calls V8.
    if trusts_v8() { sampling::start(u64::from(interval), all) } else { None }
}

/// The profiler cannot be started, or another profiler has stopped it. `reason` goes into the record.
#[napi(catch_unwind)]
pub fn profiling_failed(reason: String) {
    with(|environment| {
        environment.ledger.writer().event(EventKind::Sites, None, &reason);
        environment.monitor.search.fail(environment.ledger.uptime_ms(), reason);
    });
}

/// The function at `place` handles requests of a route. `source`: its source or the beginning of it, the first time.
#[napi(catch_unwind)]
pub fn profiling_handler(place: String, route: String, source: Option<String>) {
    with(|environment| environment.monitor.search.handler(place, route, source.as_deref()));
}

/// CPU time of the last profile, including its evaluation here, milliseconds.
#[napi(catch_unwind)]
pub fn profiling_took(ms: f64) {
    with(|environment| environment.monitor.search.took(ms));
}

/// A profile. Functions have a name, a place, and the place as it is shown. Nodes of the call tree come after their
/// parent. Each has the parent's index, the function's index (-1 for code that is not the app's) and bytes: live ones,
/// or for `callers` all that were allocated.
#[napi(catch_unwind)]
pub fn profiling_profile(
    names: Vec<String>,
    places: Vec<String>,
    shown: Vec<String>,
    parents: Uint32Array,
    of: Int32Array,
    bytes: Float64Array,
    callers: bool,
) {
    let nodes = parents.iter().zip(of.iter()).zip(bytes.iter()).map(|((parent, function), bytes)| Node {
        parent: *parent,
        function: u32::try_from(*function).ok(),
        bytes: *bytes,
    });
    let functions = names.into_iter().zip(&places).map(|(name, place)| Function { name, place: place.clone() });
    let profile = Profile { functions: functions.collect(), nodes: nodes.collect() };
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        monitor.search.show(places.into_iter().zip(shown));
        if callers {
            monitor.search.callers(&profile);
        } else {
            monitor.on_profile(ledger.writer().map(), &profile);
        }
    });
}
