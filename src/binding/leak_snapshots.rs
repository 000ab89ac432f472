//! The two heap snapshots of a leak: when JavaScript takes them, and the tools that compare them.

use std::fs::{self, File};
use std::io;

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Error, Task};
use napi_derive::napi;

use super::environment::{Environment, with};
use crate::leak::suspect::LeakSuspect;
use crate::leak::suspect::comparison::{Taking, explained};

/// Whether a heap snapshot must be taken now.
#[napi(catch_unwind)]
pub fn leak_snapshot_due() -> bool {
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        monitor.is_snapshot_due(ledger, ledger.uptime_ms())
    })
    .unwrap_or(false)
}

/// The event loop's thread has just forked: a snapshot shows this moment.
pub fn forked(environment: &mut Environment) {
    let Environment { ledger, monitor, .. } = environment;
    monitor.on_fork(ledger.writer().map(), ledger.uptime_ms());
}

/// What explains growth between two snapshots.
#[napi(object)]
pub struct GrowthExplanation {
    /// The class that grows, and the objects that were added less those that are gone.
    pub class: String,
    pub instances: f64,
    /// As in a finding.
    pub holder: Option<String>,
    pub added_by: Option<String>,
    pub package: Option<String>,
    pub path: Vec<String>,
    /// The name of the shape of retention.
    pub shape: String,
    /// What to change.
    pub advice: String,
}

pub struct ExplainingGrowth {
    diff: String,
    grown_bytes: f64,
}

impl Task for ExplainingGrowth {
    type Output = Option<LeakSuspect>;
    type JsValue = Option<GrowthExplanation>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        explained(self.diff.as_bytes(), self.grown_bytes).map_err(Error::from_reason)
    }

    fn resolve(&mut self, _: Env, found: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(found.map(|suspect| GrowthExplanation {
            holder: suspect.subject(),
            advice: suspect.what_to_do(None),
            shape: suspect.shape.name.to_owned(),
            class: suspect.class,
            instances: suspect.instances,
            added_by: suspect.explanation.added_by,
            package: suspect.explanation.package,
            path: suspect.path,
        }))
    }
}

/// What explains growth of `grown_bytes` in the output of `plimsoll heap diff --json`. Null if no class stands out.
#[napi]
pub fn explain_growth(diff: String, grown_bytes: f64) -> AsyncTask<ExplainingGrowth> {
    AsyncTask::new(ExplainingGrowth { diff, grown_bytes })
}

/// The programs that compare the snapshots.
#[napi(object)]
pub struct ComparisonTools {
    /// The path of a `node`, and of `bin/plimsoll.js`.
    pub node: String,
    pub script: String,
    /// Whether the files stay.
    pub keep: bool,
    /// A temporary folder, which is removed with the file.
    pub folder: Option<String>,
}

impl ComparisonTools {
    /// Removes the name of an open snapshot, so that nothing is left of it however the process ends.
    fn discard(&self, path: &str) -> io::Result<()> {
        if self.keep {
            return Ok(());
        }
        fs::remove_file(path)?;
        self.folder.iter().try_for_each(fs::remove_dir)
    }
}

/// A snapshot was taken and is at `path`.
#[napi(catch_unwind)]
pub fn leak_snapshot_taken(path: String, tools: ComparisonTools) {
    let file = File::open(&path).and_then(|file| tools.discard(&path).map(|()| file));
    let is_retained = tools.keep;
    let taking = match file {
        Ok(file) => Ok(Taking { file, path, is_retained }),
        Err(error) => Err(format!("{path}: {error}")),
    };
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        let compare = move |before, after, live_bytes| compare(&tools, before, after, live_bytes);
        monitor.on_snapshot(ledger, ledger.uptime_ms(), taking, compare);
    });
}

/// No snapshot could be taken, for this reason.
#[napi(catch_unwind)]
pub fn leak_snapshot_failed(reason: String) {
    with(|environment| {
        let Environment { ledger, monitor, .. } = environment;
        monitor.on_snapshot(ledger, ledger.uptime_ms(), Err(reason), |_, _, _| Err(String::new()));
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn compare(tools: &ComparisonTools, before: File, after: File, heap: u64) -> Result<Vec<u8>, String> {
    use crate::snapshot::compare::{Reader, compare};
    let reader = Reader { node: (&tools.node).into(), script: (&tools.script).into() };
    compare(&reader, before, after, heap)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn compare(_: &ComparisonTools, _: File, _: File, _: u64) -> Result<Vec<u8>, String> {
    Err("needs Linux with glibc".into())
}
