//! Progress of reading, on a terminal.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::units::plain;
use heap_snapshot::source::Progress;

const EVERY: Duration = Duration::from_millis(100);
/// Work that is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);

/// Runs `work`, with a bar on standard error if `wanted`. Analysing takes about as long as reading, and its progress
/// cannot be measured.
pub fn during<T>(wanted: bool, file: &str, read: &Progress, length: Option<u64>, work: impl FnOnce() -> T) -> T {
    if !wanted {
        return work();
    }
    thread::scope(|scope| {
        let (done, ended) = channel::<()>();
        scope.spawn(move || {
            if ended.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = bar(file, length);
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                bar.set_position(read.bytes());
                if length.is_some_and(|length| read.bytes() >= length) {
                    bar.set_message("analysing");
                }
            }
            bar.finish_and_clear();
        });
        let made = work();
        drop(done);
        made
    })
}

fn bar(file: &str, length: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match length {
        Some(length) => {
            (ProgressBar::with_draw_target(Some(length), target), "{prefix} {wide_bar} {bytes}/{total_bytes} {msg}")
        }
        None => (ProgressBar::with_draw_target(None, target), "{prefix} {spinner} {bytes} {msg}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(plain(file));
    bar
}
