//! The two heap snapshots of a leak: when JavaScript takes them, and the tools that compare them.

use std::fs::{self, File};
use std::io;

use napi_derive::napi;

use super::environment::{Environment, with};
use crate::leak::suspect::comparison::Taking;

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
