//! `plimsoll soak`: the functions for its JavaScript. None of them needs a recorder.

use std::collections::HashMap;
use std::io::{stderr, stdout};

use napi::bindgen_prelude::Float64Array;
use napi::{Error, Result};
use napi_derive::napi;

use super::profiling::CallTree;
use crate::cli::soak::Outcome;
use crate::cli::{self, Terminal};
use crate::leak::series::growth::Point;
use crate::leak::series::upper_bound::{self, Bound, Decision};
use crate::leak::sites::{Moment, Site, Sites};
use crate::probe::allocator;

/// Bytes that malloc has handed out. None if malloc does not report them. It locks malloc while it counts.
#[napi(catch_unwind)]
pub fn malloc_in_use() -> Option<f64> {
    allocator::in_use().map(|bytes| bytes as f64)
}

/// The bound of a series, in its own unit.
#[napi(object)]
pub struct SoakBound {
    pub per_request: f64,
    pub least: f64,
    pub enough_requests: f64,
    pub enough_growth: f64,
    /// Bytes for one unit: the thresholds of the statistics are in bytes.
    pub weight: f64,
}

#[napi(object)]
pub struct SoakDecision {
    /// `under`, `over`, or `open` if more blocks may lead to a decision.
    pub decision: String,
    /// Growth for each request with its interval of 95 %. None before there are enough points.
    pub value: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

/// Whether a series of `values` against `requests`, in order of time, stays under its bound.
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

#[napi(object)]
pub struct SoakSite {
    /// `src/users.js:12`
    pub origin: String,
    pub function: String,
    pub bytes_per_request: f64,
    pub low: f64,
    pub high: f64,
    /// Share of all sampled growth.
    pub share: f64,
}

/// With only one route, after forced collections, hardly anything else grows. And most of a retained request is Node's.
const LEAST_SHARE: f64 = 0.01;

/// Functions that allocate what stays, those that grow most first. `requests`: those before each profile of the live
/// heap. Each function has grown by at least `least` bytes.
#[napi(catch_unwind)]
pub fn soak_sites(profiles: Vec<CallTree>, requests: Vec<f64>, least: f64) -> Vec<SoakSite> {
    let mut sites = Sites::of_growth(least, LEAST_SHARE);
    let mut shown = HashMap::new();
    for (at, (tree, requests)) in profiles.into_iter().zip(requests).enumerate() {
        let (profile, places) = tree.into_profile();
        shown.extend(places);
        sites.see(Moment { at: at as u64, requests, ..Moment::default() }, &profile, |_| false);
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
    /// The options as JSON. None if there is nothing to run.
    pub options: Option<String>,
    pub code: i32,
}

/// Parses the arguments of `plimsoll soak`, including `soak` itself. Help goes to standard output, errors to standard
/// error.
#[napi(catch_unwind)]
pub fn soak_options(arguments: Vec<String>, width: u32, color: bool) -> SoakCall {
    let terminal = Terminal { width: width as usize, color, progress: false };
    match cli::soak_options(&arguments, &mut stdout().lock(), &mut stderr(), terminal) {
        Ok(options) => SoakCall { options: Some(options), code: 0 },
        Err(code) => SoakCall { options: None, code },
    }
}

/// A result, given as JSON, as text.
#[napi(catch_unwind)]
pub fn soak_text(outcome: String, width: u32, color: bool) -> Result<String> {
    let terminal = Terminal { width: width as usize, color, progress: false };
    Ok(cli::soak::text(&read(&outcome)?, terminal.look()))
}

/// The text for an error without a result.
#[napi(catch_unwind)]
pub fn soak_error(text: String, width: u32) -> String {
    let terminal = Terminal { width: width as usize, color: false, progress: false };
    cli::soak::error(&text, terminal.look())
}

/// A result, given as JSON, as JUnit's XML.
#[napi(catch_unwind)]
pub fn soak_junit(outcome: String) -> Result<String> {
    Ok(cli::soak::junit(&read(&outcome)?))
}

fn read(outcome: &str) -> Result<Outcome> {
    serde_json::from_str(outcome).map_err(|error| Error::from_reason(error.to_string()))
}
