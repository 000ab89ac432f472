//! The `plimsoll` command. `bin/plimsoll.js` hands its arguments over and exits with what comes back.
//!
//! * `heap`: what is in heap snapshots.
//! * `show`: records as text for a person, or as JSON for a program.
//! * `soak`: the arguments of a load test, and its result.
//! * `look`: what the terminal can take.
//! * `units`: sizes, durations and times as people read them.
//! * `chart`: a series as rows of blocks.

mod chart;
mod heap;
pub mod look;
pub mod show;
pub mod soak;
mod units;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

use self::look::Look;
use crate::probe::process::{self, smaps::Mappings};
use crate::recorder::death::{self, Surroundings};
use crate::recorder::files;
use crate::recorder::record::Record;
use crate::recorder::writer::epoch_ms;

/// What standard output is.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// In columns; what is not a terminal is taken to be 80 wide.
    pub width: usize,
    pub color: bool,
    /// Whether standard error is a terminal, on which progress can be shown.
    pub progress: bool,
}

impl Terminal {
    /// For what goes there, by this process's locale.
    pub fn look(self) -> Look {
        let unicode = look::is_unicode(|name| std::env::var(name).ok());
        Look { width: self.width, color: self.color, unicode }
    }
}

/// Found, and done.
const OK: i32 = 0;
/// Nothing was found, or nothing of it could be read.
const NOTHING: i32 = 1;
const USAGE: i32 = 2;

#[derive(Parser)]
#[command(
    name = "plimsoll",
    version,
    no_binary_name = true,
    arg_required_else_help = true,
    about = "The load line for Express: see what a server's memory does, and what it did when it died",
    after_help = "Examples:
  npx plimsoll show                 every record there is, the living first
  npx plimsoll show shop            those of plimsoll({ name: 'shop' })
  npx plimsoll show --json | jq .   for programs: one object a record, one a line
  npx plimsoll heap summary a.heapsnapshot      what is on a heap, and what retains it
  npx plimsoll heap diff a.heapsnapshot b.heapsnapshot     what grew
  npx plimsoll soak app.js          drives the app's routes and says what each keeps a request
  npx plimsoll build                builds the addon where no binary is published for the platform"
)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show records: who is alive, who died and of what, memory, collections, routes, requests in flight, events
    #[command(after_help = "Examples:
  npx plimsoll show                           every record in /dev/shm and the temporary folder, or in PLIMSOLL_DIR
  npx plimsoll show shop                      the records of one name
  npx plimsoll show /var/lib/shop             the records in a folder
  npx plimsoll show record.plimsoll --json    one record, as JSON on one line

Exits with 0 if a record was shown, 1 if there is none or none can be read, 2 if called wrongly.")]
    Show {
        /// A record's file, a folder with records, or the name given to plimsoll(); all records there are if left out
        #[arg(value_name = "FILE|FOLDER|NAME")]
        target: Option<String>,
        /// One JSON object a record, one a line
        #[arg(long)]
        json: bool,
        /// How many rows of a list to show at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Read heap snapshots: what is on the heap, what grew, and why it is kept
    #[command(
        subcommand,
        after_help = "Exits with 0 if it could answer, 1 if a file cannot be read or has not what was asked for, 2 if called wrongly."
    )]
    Heap(heap::Task),
    /// Find leaks before they ship: drive an app's routes and say exactly how many bytes each keeps a request
    // Done by lib/soak/, since the app is JavaScript; here for the arguments and the help.
    #[command(after_help = soak::EXAMPLES)]
    Soak(Box<soak::Arguments>),
    /// Build the addon from source with cargo, for a platform that no binary is published for
    // Done by bin/plimsoll.js, since it must work where this code cannot be loaded; here for the help.
    Build,
}

/// Runs the command with `args`, which do not include its name, and returns its exit code: 0, 1 if nothing was found or could
/// be read, 2 if it was called wrongly.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write, terminal: Terminal) -> i32 {
    let task = match Command::try_parse_from(args) {
        Ok(command) => command.task,
        Err(error) => return usage(&error, out, err, terminal.color),
    };
    let done = match task {
        Task::Show { target, json, limit } => show(target.as_deref(), json, limit, terminal, out, err),
        Task::Heap(task) => heap::run(&task, terminal, out, err),
        Task::Soak(_) => {
            writeln!(err, "plimsoll: soak is run by the command itself: npx plimsoll soak").map(|()| USAGE)
        }
        Task::Build => {
            writeln!(err, "plimsoll: build is run by the command itself: npx plimsoll build").map(|()| USAGE)
        }
    };
    match done.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        // `plimsoll show | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
        Err(error) => {
            let _ = writeln!(err, "plimsoll: {error}");
            NOTHING
        }
    }
}

/// The options of `plimsoll soak` as JSON, for lib/soak/; or, where help was asked for or the call is wrong, the exit code.
pub fn soak_options(args: &[String], out: &mut dyn Write, err: &mut dyn Write, color: bool) -> Result<String, i32> {
    match Command::try_parse_from(args) {
        Ok(Command { task: Task::Soak(arguments) }) => serde_json::to_string(&arguments).map_err(|_| USAGE),
        Ok(_) => Err(USAGE),
        Err(error) => Err(usage(&error, out, err, color)),
    }
}

/// Help and version are answers; the rest is said on standard error.
fn usage(error: &clap::Error, out: &mut dyn Write, err: &mut dyn Write, color: bool) -> i32 {
    let text = error.render();
    let text = if color { text.ansi().to_string() } else { text.to_string() };
    let to: &mut dyn Write = if error.use_stderr() { err } else { out };
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => error.exit_code(),
        Err(_) => USAGE,
    }
}

fn show(
    target: Option<&str>,
    json: bool,
    limit: usize,
    terminal: Terminal,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<i32> {
    let found = match files::find(target) {
        Ok(found) => found,
        Err(error) => {
            writeln!(err, "plimsoll: {}", units::plain(&error.to_string()))?;
            return Ok(NOTHING);
        }
    };
    let mut records = Vec::new();
    for found in found {
        match found.record {
            Ok(record) => records.push(*record),
            Err(error) => {
                let path = found.path.display().to_string();
                writeln!(err, "plimsoll: {}: {}", units::plain(&path), units::plain(&error.to_string()))?;
            }
        }
    }
    if records.is_empty() {
        return Ok(NOTHING);
    }
    let options = show::Options { limit, now: epoch_ms(), look: terminal.look(), judge: &judge, mappings: &mappings };
    match json {
        true => show::json(&records, &options, out)?,
        false => show::text(&records, &options, out)?,
    }
    Ok(OK)
}

/// The cause of a death as far as the record and this machine tell.
fn judge(record: &Record) -> show::Judgement {
    // The count of OOM kills is the cgroup's. That this is the one that the process was in is likely only if both have
    // the same limit: inside of its container, but not in a login shell beside a service.
    let cgroup = process::Cgroup::of_self();
    let same =
        cgroup.as_ref().filter(|own| own.limit_bytes().is_some() && own.limit_bytes() == record.cgroup.limit_bytes);
    let now = Surroundings { boot_id: process::boot_id(), cgroup_oom_kills: same.and_then(|own| own.oom_kills()) };
    let (cause, evidence) = death::judge(record, &now);
    show::Judgement { cause: cause.to_string(), evidence, at: death::last_sign_of_life(record) }
}

/// What is resident of a process that lives here. In another container it is not seen, and another may have its pid.
fn mappings(record: &Record) -> Option<Mappings> {
    let here = format!("{:032x}", process::boot_id()) == record.boot_id && record.process_start_ticks != 0;
    let same = || process::start_ticks_of(record.pid) == record.process_start_ticks;
    let mappings = (here && same()).then(|| Mappings::of(record.pid)).flatten()?;
    same().then_some(mappings)
}

#[cfg(test)]
mod tests;
