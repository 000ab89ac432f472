//! `plimsoll soak`: what its JavaScript asks of this code. Nothing here needs a recorder.

use std::collections::HashMap;
use std::io::{stderr, stdout};

use napi::bindgen_prelude::{Float64Array, Int32Array, Uint32Array};
use napi::{Error, Result};
use napi_derive::napi;

use crate::cli::soak::Outcome;
use crate::cli::{self, Terminal};
use crate::leak::series::growth::Point;
use crate::leak::series::upper_bound::{self, Bound, Decision};
use crate::leak::sites::{Function, Moment, Node, Profile, Site, Sites};
use crate::probe::allocator;

/// Bytes that malloc has handed out; none where it does not tell. Holds its locks while it counts.
#[napi(catch_unwind)]
pub fn malloc_in_use() -> Option<f64> {
    allocator::in_use().map(|bytes| bytes as f64)
}

/// What a series is held to, in its own unit.
#[napi(object)]
pub struct SoakBound {
    pub per_request: f64,
    pub least: f64,
    pub enough_requests: f64,
    pub enough_growth: f64,
    /// Bytes that one of the unit counts as: the statistics' floors are in bytes.
    pub weight: f64,
}

#[napi(object)]
pub struct SoakDecision {
    /// `under`, `over`, or `open`: more blocks may tell.
    pub decision: String,
    /// Growth a request with its interval of 95 %; none before there are points enough.
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Whether a series of `values` against `requests`, in order of time, keeps under its bound.
#[napi(catch_unwind)]
pub fn soak_decide(requests: Float64Array, values: Float64Array, bound: SoakBound) -> SoakDecision {
    let weight = bound.weight;
    let point =
        |(requests, value): (&f64, &f64)| Point { requests: *requests, bytes: value * weight, ..Point::default() };
    let points: Vec<Point> = requests.iter().zip(values.iter()).map(point).collect();
    let held_to = Bound {
        per_request: bound.per_request * weight,
        least: bound.least * weight,
        enough_requests: bound.enough_requests,
        enough_growth: bound.enough_growth * weight,
    };
    let (decision, rate) = upper_bound::decide(&points, &held_to);
    let decision = match decision {
        Decision::Under => "under",
        Decision::Over => "over",
        Decision::Open => "open",
    };
    SoakDecision {
        decision: decision.to_owned(),
        value: rate.map(|rate| rate.value / weight),
        low: rate.map(|rate| rate.low / weight),
        high: rate.map(|rate| rate.high / weight),
    }
}

/// A profile of what lives, as lib/leaks/heap-profiler.js flattens it, with the requests until then.
#[napi(object)]
pub struct SoakProfile {
    pub requests: f64,
    pub names: Vec<String>,
    /// Places that tell functions apart, and the same as they are shown.
    pub places: Vec<String>,
    pub shown: Vec<String>,
    pub parents: Uint32Array,
    /// A place in `names`; -1 for what is not the program's.
    pub of: Int32Array,
    pub bytes: Float64Array,
}

#[napi(object)]
pub struct SoakSite {
    /// `src/users.js:12`
    pub origin: String,
    pub function: String,
    pub bytes_per_request: f64,
    pub low: f64,
    pub high: f64,
    /// Of all growth that is sampled.
    pub share: f64,
}

/// Of one route alone, behind forced collections, hardly anything else grows; and of a request that is kept, most is Node's.
const LEAST_SHARE: f64 = 0.01;

/// Functions that allocate what stays, those that grow most first. A site has grown by `least` bytes.
#[napi(catch_unwind)]
pub fn soak_sites(profiles: Vec<SoakProfile>, least: f64) -> Vec<SoakSite> {
    let mut sites = Sites::of_growth(least, LEAST_SHARE);
    let mut shown = HashMap::new();
    for (at, profile) in profiles.into_iter().enumerate() {
        let nodes = profile.parents.iter().zip(profile.of.iter()).zip(profile.bytes.iter());
        let node = |((parent, of), bytes): ((&u32, &i32), &f64)| Node {
            parent: *parent,
            function: u32::try_from(*of).ok(),
            bytes: *bytes,
        };
        let functions = profile.names.into_iter().zip(&profile.places);
        let function = |(name, place): (String, &String)| Function { name, place: place.clone() };
        let tree = Profile { functions: functions.map(function).collect(), nodes: nodes.map(node).collect() };
        shown.extend(profile.places.into_iter().zip(profile.shown));
        let moment = Moment { at: at as u64, requests: profile.requests, ..Moment::default() };
        sites.see(moment, &tree, |_| false);
    }
    let told = |site: Site| SoakSite {
        origin: shown.get(&site.function.place).unwrap_or(&site.function.place).clone(),
        function: site.function.name,
        bytes_per_request: site.figures.per_thousand / 1e3,
        low: site.figures.low / 1e3,
        high: site.figures.high / 1e3,
        share: site.share,
    };
    sites.verdict().into_iter().map(told).collect()
}

#[napi(object)]
pub struct SoakCall {
    /// As JSON; none if there is nothing to be done.
    pub options: Option<String>,
    pub code: i32,
}

/// Reads the arguments of `plimsoll soak`, `soak` itself included. Help goes to the process's standard output, what is wrong to standard error.
#[napi(catch_unwind)]
pub fn soak_options(arguments: Vec<String>, width: u32, color: bool) -> SoakCall {
    let terminal = Terminal { width: width as usize, color, progress: false };
    match cli::soak_options(&arguments, &mut stdout().lock(), &mut stderr(), terminal) {
        Ok(options) => SoakCall { options: Some(options), code: 0 },
        Err(code) => SoakCall { options: None, code },
    }
}

/// A result, as JSON, for a person.
#[napi(catch_unwind)]
pub fn soak_text(outcome: String, width: u32, color: bool) -> Result<String> {
    let terminal = Terminal { width: width as usize, color, progress: false };
    Ok(cli::soak::text(&read(&outcome)?, terminal.look()))
}

/// Why there is no result, for a person.
#[napi(catch_unwind)]
pub fn soak_error(text: String, width: u32) -> String {
    let terminal = Terminal { width: width as usize, color: false, progress: false };
    cli::soak::error(&text, terminal.look())
}

/// A result, as JSON, as JUnit's XML.
#[napi(catch_unwind)]
pub fn soak_junit(outcome: String) -> Result<String> {
    Ok(cli::soak::junit(&read(&outcome)?))
}

fn read(outcome: &str) -> Result<Outcome> {
    serde_json::from_str(outcome).map_err(|error| Error::from_reason(error.to_string()))
}
