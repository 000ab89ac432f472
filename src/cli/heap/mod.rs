//! `plimsoll heap`: the content of heap snapshots, for a person or for a program.

mod progress;
mod tables;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::look::Look;
use super::units::{self, plain};
use super::{NOTHING, OK, Terminal, show::escape};
use heap_snapshot::diff::{Baseline, Ids};
use heap_snapshot::source::Source;
use heap_snapshot::tree::Cut;
use heap_snapshot::{Error, Heap, Roots};

#[derive(Subcommand)]
pub enum Task {
    /// Classes by retained size, kinds of memory, the biggest objects, duplicate strings, detached nodes
    #[command(after_help = "Examples:
  npx plimsoll heap summary app.heapsnapshot
  npx plimsoll heap summary app.heapsnapshot.gz --limit 50
  zstd -dc app.heapsnapshot.zst | npx plimsoll heap summary - --json | jq '.classes[:5]'")]
    Summary {
        #[command(flatten)]
        file: File,
    },
    /// What grew between two snapshots of one process, by class, and what retains it
    #[command(after_help = "Examples:
  npx plimsoll heap diff before.heapsnapshot after.heapsnapshot
  npx plimsoll heap diff before.heapsnapshot after.heapsnapshot final.heapsnapshot
                    what was created between the first two and still exists in the third
  npx plimsoll heap diff before.heapsnapshot after.heapsnapshot --json | jq '.classes[0]'")]
    Diff {
        /// The earlier snapshot
        before: String,
        /// The later one
        after: String,
        /// A third, later one: only objects that it still has are counted
        #[arg(value_name = "FINAL")]
        last: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// The shortest retaining path of an object
    #[command(after_help = "Examples:
  npx plimsoll heap path app.heapsnapshot @48213
  npx plimsoll heap path app.heapsnapshot Session --limit 3    the three that retain most")]
    Path {
        #[command(flatten)]
        file: File,
        /// An object's id, as @48213 or 48213, or the name of a class
        #[arg(value_name = "@ID|CLASS")]
        target: String,
    },
    /// The dominator tree: which objects would be freed with which
    #[command(after_help = "Examples:
  npx plimsoll heap dominators app.heapsnapshot
  npx plimsoll heap dominators app.heapsnapshot --threshold 5 --depth 20")]
    Dominators {
        #[command(flatten)]
        file: File,
        /// Leaves out objects that retain less than this percentage of the heap
        #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
        threshold: f64,
        /// Maximum depth of the tree
        #[arg(long, value_name = "LEVELS", default_value_t = 10)]
        depth: usize,
    },
    /// One object: its size, its references and its retainers
    #[command(after_help = "Examples:
  npx plimsoll heap object app.heapsnapshot @48213
  npx plimsoll heap object app.heapsnapshot 48213 --json")]
    Object {
        #[command(flatten)]
        file: File,
        /// An object's id
        #[arg(value_name = "@ID", value_parser = id)]
        id: u32,
    },
}

#[derive(Args)]
pub struct File {
    /// A snapshot: .heapsnapshot, plain, gzip or zstd; - is standard input
    file: String,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
pub struct Options {
    /// JSON on one line, with everything that is found
    #[arg(long)]
    json: bool,
    /// Maximum number of rows of a list
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Roots for retained sizes: the global objects as in Chrome DevTools, or V8's own roots as in memlab
    #[arg(long, value_enum, default_value_t = RootsOption::Devtools)]
    roots: RootsOption,
}

#[derive(Clone, Copy, ValueEnum)]
enum RootsOption {
    Devtools,
    Gc,
}

impl From<RootsOption> for Roots {
    fn from(option: RootsOption) -> Self {
        match option {
            RootsOption::Devtools => Self::DevTools,
            RootsOption::Gc => Self::Gc,
        }
    }
}

fn id(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    digits.parse().map_err(|_| "an id is a number, as @48213".to_owned())
}

/// The form of the output.
struct Page {
    json: bool,
    limit: usize,
    look: Look,
}

impl Page {
    fn json(&self, value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", escape(serde_json::to_string(value)?))
    }
}

/// What was read, for the line with the duration.
struct Reading {
    bytes: u64,
    seconds: f64,
}

impl Task {
    pub fn is_json(&self) -> bool {
        self.options().json
    }

    fn options(&self) -> &Options {
        match self {
            Self::Diff { options, .. } => options,
            Self::Summary { file }
            | Self::Path { file, .. }
            | Self::Dominators { file, .. }
            | Self::Object { file, .. } => &file.options,
        }
    }
}

/// Runs a task and returns the exit code: 1 if a file cannot be read or does not contain what was requested.
///
/// # Errors
/// Those of `out` and `err`.
pub fn run(task: &Task, terminal: Terminal, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<i32> {
    let options = task.options();
    let page = Page { json: options.json, limit: options.limit, look: terminal.look() };
    let (roots, progress) = (Roots::from(options.roots), terminal.progress);
    // Not dropped: the command ends after it, and the system frees the memory at once. Freeing each column would take
    // time.
    let read = |file: &str| read(file, progress, |source| Heap::read(source, roots).map(ManuallyDrop::new));
    let done = match task {
        Task::Summary { file } => read(&file.file).and_then(|(heap, reading)| {
            let summary = heap.summary();
            match page.json {
                true => page.json(&summary, out)?,
                false => tables::summary(&file.file, &summary, &reading, &page, out)?,
            }
            Ok(OK)
        }),
        Task::Diff { before, after, last, .. } => diff([before, after], last.as_deref(), roots, progress, &page, out),
        Task::Path { file, target } => read(&file.file).and_then(|(heap, _)| path(&heap, target, &page, out, err)),
        Task::Dominators { file, threshold, depth } => read(&file.file).and_then(|(heap, _)| {
            let least_bytes = (heap.total_bytes() as f64 * threshold.max(0.0) / 100.0) as u64;
            let rows =
                heap.dominators(Cut { least_bytes, depth: *depth, rows: if page.json { 10_000 } else { 1_000 } });
            match page.json {
                true => page.json(&rows, out)?,
                false => tables::dominators(&rows, heap.total_bytes(), &page, out)?,
            }
            Ok(OK)
        }),
        Task::Object { file, id } => read(&file.file).and_then(|(heap, _)| {
            let object = heap.object(*id).map_err(Failure::of(&file.file))?;
            match page.json {
                true => page.json(&object, out)?,
                false => tables::object(&object, &page, out)?,
            }
            Ok(OK)
        }),
    };
    match done {
        Ok(code) => Ok(code),
        Err(Failure::Output(error)) => Err(error),
        Err(Failure::Snapshot { file, error }) => {
            let file = if file == "-" { "standard input".to_owned() } else { file };
            writeln!(err, "plimsoll: {}: {}", plain(&file), plain(&advice(&error)))?;
            Ok(NOTHING)
        }
    }
}

enum Failure {
    Output(io::Error),
    Snapshot { file: String, error: Error },
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    fn of(file: &str) -> impl Fn(Error) -> Self {
        move |error| Self::Snapshot { file: file.to_owned(), error }
    }
}

/// What is wrong, and what to do.
fn advice(error: &Error) -> String {
    match error {
        Error::Read(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("{error}. v8.writeHeapSnapshot() returns the path of its file; - reads standard input")
        }
        Error::Malformed { .. } => {
            format!("{error}. Take or copy the snapshot again. It is complete once v8.writeHeapSnapshot() has returned")
        }
        Error::NoSuchObject(_) => format!("{error}. heap summary, diff and path show ids after an @"),
        Error::Unrelated => format!("{error}. Take both snapshots in one process, without a restart between them"),
        _ => error.to_string(),
    }
}

/// Reads a file and passes it to `make`.
fn read<T>(
    file: &str,
    progress: bool,
    make: impl FnOnce(&mut Source) -> heap_snapshot::Result<T>,
) -> Result<(T, Reading), Failure> {
    let failed = Failure::of(file);
    let began = Instant::now();
    let source = if file == "-" { Source::stdin() } else { Source::open(Path::new(file)) };
    let mut source = source.map_err(|error| failed(error.into()))?;
    let bytes = source.progress();
    let length = source.file_bytes();
    let made = progress::during(progress, file, &bytes, length, || make(&mut source).map_err(&failed))?;
    Ok((made, Reading { bytes: bytes.bytes(), seconds: began.elapsed().as_secs_f64() }))
}

fn diff(
    [before, after]: [&str; 2],
    last: Option<&str>,
    roots: Roots,
    progress: bool,
    page: &Page,
    out: &mut dyn Write,
) -> Result<i32, Failure> {
    // One heap at a time: only what is compared is retained of the others.
    let (baseline, first) = read(before, progress, |source| Baseline::read(source, roots))?;
    let (between, second) = match last {
        Some(_) => read(after, progress, Ids::read).map(|(ids, reading)| (Some(ids), Some(reading)))?,
        None => (None, None),
    };
    let newest = last.unwrap_or(after);
    let (heap, third) = read(newest, progress, |source| Heap::read(source, roots))?;
    let diff = if heap.has_ids_of(&baseline) {
        heap.diff(&baseline, between.as_ref()).map_err(Failure::of(newest))?
    } else {
        // Still one heap at a time. This one is needed again, in full.
        let groups = heap.groups();
        drop((heap, baseline));
        if before == "-" {
            return Err(Failure::of(before)(Error::NotTwice));
        }
        let (first, _) = read(before, progress, |source| Heap::read(source, roots))?;
        groups.since(&first.groups())
    };
    if page.json {
        page.json(&diff, out)?;
        return Ok(OK);
    }
    let all = [Some(first), second, Some(third)];
    let sum = |of: fn(&Reading) -> f64| all.iter().flatten().map(of).sum::<f64>();
    let reading = Reading { bytes: sum(|each| each.bytes as f64) as u64, seconds: sum(|each| each.seconds) };
    tables::diff(&diff, &reading, page, out)?;
    Ok(OK)
}

fn path(heap: &Heap, target: &str, page: &Page, out: &mut dyn Write, err: &mut dyn Write) -> Result<i32, Failure> {
    let ids = match id(target) {
        Ok(id) => vec![id],
        Err(_) => heap.largest_of(target, page.limit),
    };
    if ids.is_empty() {
        let like: Vec<String> =
            heap.classes_like(target).into_iter().take(5).map(|name| page.look.plain(name)).collect();
        let hint = if like.is_empty() { String::new() } else { format!(" Similar names: {}", like.join(", ")) };
        writeln!(err, "plimsoll: there is no object of the class {}.{hint}", plain(target))?;
        return Ok(NOTHING);
    }
    let paths = ids.into_iter().map(|id| heap.path(id)).collect::<Result<Vec<_>, _>>();
    let paths = paths.map_err(Failure::of(target))?;
    match page.json {
        true => page.json(&paths, out)?,
        false => tables::paths(&paths, page, out)?,
    }
    Ok(OK)
}

impl Reading {
    /// `read 496 MB in 2.1 s (236 MB/s)`.
    fn text(&self) -> String {
        let megabytes = self.bytes as f64 / 1e6;
        let took = units::duration(self.seconds * 1e3);
        format!("{megabytes:.0} MB read and analysed in {took} ({:.0} MB/s)", megabytes / self.seconds.max(1e-6))
    }
}
