//! Reports on request: figures of this environment, and metrics of all records of the same service.

use std::path::PathBuf;
use std::sync::Arc;

use napi::bindgen_prelude::{Buffer, Object};
use napi::{Env, Error, Result};
use napi_derive::napi;

use super::beside::beside;
use super::environment::{Environment, with};
use crate::export::{prometheus, stats};
use crate::recorder::death::is_ordinary;
use crate::recorder::files::{Recorder, Service};
use crate::recorder::record::Record;
use crate::recorder::writer::Evidence;
use crate::recorder::{Severity, files, reader};

fn not_started() -> Error {
    Error::from_reason("plimsoll has not been started in this thread")
}

/// JSON of the `Stats` of this environment.
#[napi(js_name = "stats", catch_unwind)]
pub fn stats_json() -> Result<String> {
    let (map, path, reason, reserve, no_reserve) = with(|environment| {
        (
            Arc::clone(environment.recorder.map()),
            environment.recorder.path().map(|path| path.display().to_string()),
            environment.reason.clone(),
            environment.pressure.reserve(),
            environment.pressure.reason.clone(),
        )
    })
    .ok_or_else(not_started)?;
    let mut record = reader::read(&*map).map_err(|error| Error::from_reason(error.to_string()))?;
    record.alive = true;
    record.path = path;
    let own = stats::Own { exact_reason: reason.as_deref(), reserve, no_reserve: no_reserve.as_deref() };
    serde_json::to_string(&stats::stats(&record, own)).map_err(|error| Error::from_reason(error.to_string()))
}

/// A finding. Kind, route and origin together identify it.
#[napi(object)]
pub struct FindingOptions {
    pub kind: String,
    pub route: Option<String>,
    pub origin: Option<String>,
    /// `info`, `warning` or `critical`.
    pub severity: String,
    pub per_thousand: Option<f64>,
    pub advice: String,
    /// Whether it counts occurrences, of which nothing remains. It is withdrawn when there are no more.
    pub momentary: Option<bool>,
}

impl FindingOptions {
    fn evidence(&self) -> Result<Evidence<'_>> {
        let severity = Severity::from_name(&self.severity).ok_or_else(|| {
            Error::from_reason(format!("unknown severity {:?}: info, warning, critical", self.severity))
        })?;
        Ok(Evidence {
            kind: &self.kind,
            route: self.route.as_deref(),
            origin: self.origin.as_deref(),
            severity,
            per_thousand: self.per_thousand,
            advice: &self.advice,
            momentary: self.momentary.unwrap_or(false),
            kept: None,
        })
    }
}

/// Writes a finding to the record, or counts it there. True when it is new.
#[napi(catch_unwind)]
pub fn finding(found: FindingOptions, times: f64) -> Result<bool> {
    let evidence = found.evidence()?;
    Ok(with(|environment| environment.ledger.find(&evidence, times.max(0.0) as u64)).unwrap_or(false))
}

/// The cause of a finding is gone or has stopped. Returns what is known of it: JSON of a `Finding`. None if there is no
/// such finding, or if it is withdrawn already.
#[napi(catch_unwind)]
pub fn withdraw_finding(found: FindingOptions) -> Result<Option<String>> {
    let evidence = found.evidence()?;
    let row =
        with(|environment| environment.ledger.withdraw(&evidence).then(|| environment.ledger.finding(&evidence))?);
    Ok(row.flatten().map(|finding| serde_json::json!(finding).to_string()))
}

#[napi(object)]
pub struct MetricsOptions {
    pub openmetrics: bool,
    /// Leaves out the names that prom-client exports.
    pub only_plimsoll: bool,
    /// All living records of the same service, not only this one.
    pub all: bool,
    /// `none`, `latency` or `all`.
    pub histograms: String,
    /// Upper bounds of the latency histogram, seconds.
    pub buckets: Option<Vec<f64>>,
}

/// The environment's data for a rendering.
struct Rendering {
    options: prometheus::Options,
    recorder: Arc<Recorder>,
    service: Service,
    /// Folders of other records. None if they are not requested.
    bases: Vec<PathBuf>,
}

impl Rendering {
    fn new(environment: &Environment, options: MetricsOptions) -> Self {
        let deaths = environment.last_death.iter().filter(|death| !is_ordinary(&death.record));
        let last_death = deaths.map(|death| (death.cause.to_string(), death.at)).next();
        Self {
            options: prometheus::Options {
                openmetrics: options.openmetrics,
                only_plimsoll: options.only_plimsoll,
                last_death,
                past: Vec::new(),
                histograms: prometheus::Histograms::from_name(&options.histograms).unwrap_or_default(),
                buckets: options.buckets,
            },
            recorder: Arc::clone(&environment.recorder),
            service: environment.service.clone(),
            bases: if options.all { environment.bases.clone() } else { Vec::new() },
        }
    }

    /// The living records. Counts of ended members of the run go into the options.
    fn records(&mut self) -> std::result::Result<Vec<Record>, reader::ReadError> {
        let mut own = reader::read(&**self.recorder.map())?;
        own.alive = true;
        // If this process is killed, a sibling must find in the file what is shown now. Otherwise the sums would fall.
        self.recorder.flush();
        let members = files::members(&self.bases, &self.service, self.recorder.path());
        self.options.past = members.past;
        Ok([own].into_iter().chain(members.living).collect())
    }
}

/// Prometheus text or OpenMetrics. Rendered on a thread of its own: it takes up to 50 ms, and libuv's pool is for the
/// application.
#[napi(catch_unwind, ts_return_type = "Promise<Buffer>")]
pub fn metrics(env: &Env, options: MetricsOptions) -> Result<Object<'_>> {
    let mut rendering = with(|environment| Rendering::new(environment, options)).ok_or_else(not_started)?;
    beside(env, "plimsoll-scrape", move || {
        let records = rendering.records().map_err(|error| error.to_string())?;
        Ok(Buffer::from(prometheus::render(&records, &rendering.options)))
    })
}
