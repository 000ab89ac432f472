//! Profiling sessions: the next step of a session, and the profiles that JavaScript takes in it.

use napi::bindgen_prelude::{Float64Array, Int32Array, Uint32Array};
use napi_derive::napi;

use super::environment::{Environment, trusts_v8, with};
use crate::leak::sites::schedule::Step;
use crate::leak::sites::{Function, Node, Profile};
use crate::probe::v8::sampling::{self, Start};
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
            Step::Stop => {
                ledger.end_session();
                ProfilingStep::Stop
            }
        }
    })
    .unwrap_or(ProfilingStep::None)
}

/// Starts V8's sampling heap profiler, with a sample every `interval` bytes on average, of the live heap or of all
/// allocations. Reading a profile then collects no garbage. False if the profiler is on already, none if it cannot be
/// started in this way.
#[napi(catch_unwind)]
pub fn profiling_start(interval: u32, all: bool, purpose: ProfilingPurpose) -> Option<bool> {
    // Not within the environment, because this calls V8.
    let Start { started, before } = if trusts_v8() { sampling::start(u64::from(interval), all)? } else { return None };
    with(|environment| match purpose {
        ProfilingPurpose::Trial => environment.samples.begin(before),
        ProfilingPurpose::Live if started => environment.ledger.begin_session(environment.samples.counter(before)),
        _ => {}
    });
    Some(started)
}

/// What the profiler is started for.
#[napi(string_enum = "kebab-case")]
pub enum ProfilingPurpose {
    /// The self-test, in which the counter of samples is searched too.
    Trial,
    /// A profile of all allocations: which functions call which.
    Callers,
    /// Profiles of the live heap, whose samples have an owner.
    Live,
}

/// A round of the self-test: before a profile is read, and after it with the number of its newest sample. Returns whether the counter of samples
/// is found.
#[napi(catch_unwind)]
pub fn profiling_trial(greatest: Option<f64>) -> bool {
    let found = with(|environment| match greatest {
        None => {
            environment.samples.begin_round();
            false
        }
        Some(greatest) => environment.samples.end_round(greatest as u64),
    });
    found.unwrap_or(false)
}

/// The profiler cannot be started, or another profiler has stopped it. `reason` goes into the record.
#[napi(catch_unwind)]
pub fn profiling_failed(reason: String) {
    with(|environment| {
        environment.ledger.writer().event(EventKind::Sites, None, &reason);
        environment.ledger.end_session();
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

/// A profile.
#[napi(object, object_to_js = false)]
pub struct CallTree {
    /// Functions by name, place, and the place as it is shown.
    pub names: Vec<String>,
    pub places: Vec<String>,
    pub shown: Vec<String>,
    /// Nodes, each after its parent: the parent's index, the function's index (-1 for code that is not the app's) and
    /// bytes. Those are live ones, or for a profile of callers all that were allocated.
    pub parents: Uint32Array,
    pub of: Int32Array,
    pub bytes: Float64Array,
    /// Number, node and bytes of each sample, one after the other.
    pub samples: Float64Array,
}

impl CallTree {
    /// The profile, and how its places are shown.
    pub fn into_profile(self) -> (Profile, impl Iterator<Item = (String, String)>) {
        let Self { names, places, shown, parents, of, bytes, .. } = self;
        let nodes = parents.iter().zip(of.iter()).zip(bytes.iter()).map(|((parent, function), bytes)| Node {
            parent: *parent,
            function: u32::try_from(*function).ok(),
            bytes: *bytes,
        });
        let functions = names.into_iter().zip(&places).map(|(name, place)| Function { name, place: place.clone() });
        let profile = Profile { functions: functions.collect(), nodes: nodes.collect() };
        (profile, places.into_iter().zip(shown))
    }
}

/// A profile of the live heap, or of `callers`.
#[napi(catch_unwind)]
pub fn profiling_profile(tree: CallTree, callers: bool) {
    let samples: Vec<(u64, f64)> = tree.samples.chunks_exact(3).map(|sample| (sample[0] as u64, sample[2])).collect();
    let (profile, shown) = tree.into_profile();
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        monitor.search.show(shown);
        if callers {
            monitor.search.callers(&profile);
        } else {
            monitor.on_profile(ledger, &profile, &samples);
        }
    });
}
