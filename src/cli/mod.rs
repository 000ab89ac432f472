//! The `plimsoll` command. `bin/plimsoll.js` passes its arguments and exits with the returned code.
//!
//! * `heap`: the content of heap snapshots.
//! * `show`: records as text for a person, or as JSON for a program.
//! * `soak`: the arguments of a load test, and its result.
//! * `look`: what the terminal supports.
//! * `fit`: fits lines to the terminal.
//! * `units`: sizes, durations and times in a readable form.
//! * `chart`: a series as rows of blocks.

mod chart;
mod fit;
mod heap;
pub mod look;
pub mod show;
pub mod soak;
mod units;

use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::fit::Fitting;
use self::look::Look;
use crate::probe::process::{self, smaps::Mappings};
use crate::recorder::death::{self, Surroundings};
use crate::recorder::files;
use crate::recorder::record::Record;
use crate::recorder::writer::epoch_ms;

/// Properties of standard output.
#[derive(Clone, Copy, Debug)]
pub struct Terminal {
    /// Columns: `COLUMNS`, otherwise the terminal's width, otherwise 80.
    pub width: usize,
    pub color: bool,
    /// Whether standard error is a terminal, on which progress can be shown.
    pub progress: bool,
}

impl Terminal {
    /// For standard output, by this process's locale.
    pub fn look(self) -> Look {
        let unicode = look::is_unicode(|name| std::env::var(name).ok());
        Look { width: self.width.clamp(MIN_WIDTH, MAX_WIDTH), color: self.color, unicode }
    }
}

/// The least width for tables, and the greatest width for readable lines.
const MIN_WIDTH: usize = 40;
const MAX_WIDTH: usize = 120;

/// The most unreadable records that are listed: after an update there may be many of the previous version.
const UNREADABLE_SHOWN: usize = 3;
/// Found, and done.
const OK: i32 = 0;
/// Nothing was found, or nothing of it could be read.
const NOTHING: i32 = 1;
const USAGE: i32 = 2;

#[derive(Parser)]
#[command(
    name = "plimsoll",
    bin_name = "plimsoll",
    version,
    no_binary_name = true,
    arg_required_else_help = true,
    about = "Reports where the memory of an Express server goes, which routes leak, and why a process died",
    after_help = "Examples:
  npx plimsoll show                 the newest living record, verdict first
  npx plimsoll show shop            the newest of plimsoll({ name: 'shop' })
  npx plimsoll show --all           every record, living ones first
  npx plimsoll show --json | jq .   for programs: one object per record and line
  npx plimsoll heap summary a.heapsnapshot   what is on a heap, what retains it
  npx plimsoll heap diff a.heapsnapshot b.heapsnapshot   what grew
  npx plimsoll soak app.js          what each route of the app retains
  npx plimsoll build                builds the addon from source"
)]
struct Command {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show a record: whether the process leaks or why it died, memory, collections, routes, requests in flight, events
    #[command(
        after_help = "Without --all, the newest living record is shown, or the newest one if none is alive, with the number of others. \
Records are searched in PLIMSOLL_DIR, otherwise in /dev/shm and the temporary folder. Times are local.

Examples:
  npx plimsoll show                         the newest living record
  npx plimsoll show shop                    the newest of one name
  npx plimsoll show shop --all              all of that name, dead ones too
  npx plimsoll show /var/lib/shop           the newest in a folder
  npx plimsoll show a.plimsoll --json       one record, as JSON on one line

Exit codes: 0 if a record was shown, 1 if there is none or none can be read, 2 for a wrong call."
    )]
    Show {
        /// A record's file, a folder with records, or the name given to plimsoll(). Default: every record
        #[arg(value_name = "FILE|FOLDER|NAME")]
        target: Option<String>,
        /// Every record that was found, not only the newest
        #[arg(long)]
        all: bool,
        /// One JSON object per record and line, of every record that was found
        #[arg(long)]
        json: bool,
        /// Maximum number of rows of a list
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
    /// Read heap snapshots: what is on the heap, what grew, and what retains it
    #[command(
        subcommand,
        after_help = "Exit codes: 0 for an answer, 1 if a file cannot be read or lacks what was asked for, 2 for a wrong call."
    )]
    Heap(heap::Task),
    /// Find leaks before they ship: drive an app's routes and report how many bytes each retains per request
    // Done by lib/soak/, since the app is JavaScript; here for the arguments and the help.
    #[command(after_help = soak::EXAMPLES)]
    Soak(Box<soak::Arguments>),
    /// Build the addon from source with cargo, for a platform without a published binary
    // Done by bin/plimsoll.js, since it must work where this code cannot be loaded; here for the help.
    Build,
}

/// Runs the command with `args` (without its name) and returns its exit code: 0, 1 if nothing was found or could be
/// read, 2 for wrong arguments.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write, terminal: Terminal) -> i32 {
    let task = match parse(args, terminal) {
        Ok(command) => command.task,
        Err(error) => return usage(&error, args, out, err, terminal),
    };
    let width = terminal.look().width;
    let out = &mut Fitting::new(out, Some(width).filter(|_| !task.is_json()));
    let err = &mut Fitting::new(err, Some(width));
    let done = match task {
        Task::Show { target, all, json, limit } => {
            let show = Show { target: target.as_deref(), all, json, limit };
            show.run(terminal, out, err)
        }
        Task::Heap(task) => heap::run(&task, terminal, out, err),
        Task::Soak(_) => {
            writeln!(err, "plimsoll: soak is run by the command itself: npx plimsoll soak").map(|()| USAGE)
        }
        Task::Build => {
            writeln!(err, "plimsoll: build is run by the command itself: npx plimsoll build").map(|()| USAGE)
        }
    };
    match done.and_then(|code| out.flush().and(err.flush()).map(|()| code)) {
        Ok(code) => code,
        // For example with `plimsoll show | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
        Err(error) => {
            let _ = writeln!(err, "plimsoll: {}", units::plain(&error.to_string()));
            NOTHING
        }
    }
}

/// The options of `plimsoll soak` as JSON, for lib/soak/. If help was requested or the call is wrong, the exit code.
pub fn soak_options(
    args: &[String],
    out: &mut dyn Write,
    err: &mut dyn Write,
    terminal: Terminal,
) -> Result<String, i32> {
    match parse(args, terminal) {
        Ok(Command { task: Task::Soak(arguments) }) => serde_json::to_string(&arguments).map_err(|_| USAGE),
        Ok(_) => Err(USAGE),
        Err(error) => Err(usage(&error, args, out, err, terminal)),
    }
}

fn parse(args: &[String], terminal: Terminal) -> Result<Command, clap::Error> {
    let mut command = Command::command().term_width(terminal.look().width);
    let mut matches = command.try_get_matches_from_mut(args)?;
    Command::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

impl Task {
    fn is_json(&self) -> bool {
        match self {
            Self::Show { json, .. } => *json,
            Self::Heap(task) => task.is_json(),
            Self::Soak(_) | Self::Build => false,
        }
    }
}

/// Help and version go to standard output, errors to standard error.
fn usage(error: &clap::Error, args: &[String], out: &mut dyn Write, err: &mut dyn Write, terminal: Terminal) -> i32 {
    let text = error.render();
    let text = match terminal.color && !args.iter().any(|arg| arg.contains(units::steers)) {
        true => text.ansi().to_string(),
        false => text.to_string().split('\n').map(units::plain).collect::<Vec<_>>().join("\n"),
    };
    let to: &mut dyn Write = if error.use_stderr() { err } else { out };
    let to = &mut Fitting::new(to, Some(terminal.look().width));
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => error.exit_code(),
        Err(_) => USAGE,
    }
}

struct Show<'a> {
    target: Option<&'a str>,
    all: bool,
    json: bool,
    limit: usize,
}

impl Show<'_> {
    fn run(&self, terminal: Terminal, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<i32> {
        let found = match files::find(self.target) {
            Ok(found) => found,
            Err(error) => {
                writeln!(err, "plimsoll: {}", units::plain(&error.to_string()))?;
                return Ok(NOTHING);
            }
        };
        let (mut records, mut unreadable, mut more) = (Vec::new(), 0, 0);
        for found in found {
            match found.record {
                Ok(record) => records.push(*record),
                Err(_) if unreadable == UNREADABLE_SHOWN => more += 1,
                Err(error) => {
                    unreadable += 1;
                    let path = found.path.display().to_string();
                    writeln!(err, "plimsoll: {}: {}", units::plain(&path), units::plain(&error.to_string()))?;
                }
            }
        }
        if more > 0 {
            let records = if more == 1 { "record" } else { "records" };
            writeln!(err, "plimsoll: {more} more {records} cannot be read")?;
        }
        if records.is_empty() {
            return Ok(NOTHING);
        }
        let options = show::Options {
            all: self.all,
            limit: self.limit,
            now: epoch_ms(),
            zone: units::local_zone(),
            look: terminal.look(),
            judge: &judge,
            mappings: &mappings,
        };
        match self.json {
            true => show::json(&records, &options, out)?,
            false => show::text(&records, &options, out)?,
        }
        Ok(OK)
    }
}

/// The cause of a death, from the record and this machine.
fn judge(record: &Record) -> show::Judgement {
    // The count of OOM kills is that of this process's cgroup. It is only likely to be the dead process's if both have
    // the same limit. That holds inside of its container, but not in a login shell on the host of a service.
    let cgroup = process::Cgroup::of_self();
    let same =
        cgroup.as_ref().filter(|own| own.limit_bytes().is_some() && own.limit_bytes() == record.cgroup.limit_bytes);
    let now = Surroundings { boot_id: process::boot_id(), cgroup_oom_kills: same.and_then(|own| own.oom_kills()) };
    let (cause, evidence) = death::judge(record, &now);
    show::Judgement { cause: cause.to_string(), evidence, at: death::last_sign_of_life(record) }
}

/// The resident memory of a process on this machine. A process in another container is not visible, and another process
/// may have its pid.
fn mappings(record: &Record) -> Option<Mappings> {
    let here = format!("{:032x}", process::boot_id()) == record.boot_id && record.process_start_ticks != 0;
    let same = || process::start_ticks_of(record.pid) == record.process_start_ticks;
    let mappings = (here && same()).then(|| Mappings::of(record.pid)).flatten()?;
    same().then_some(mappings)
}

#[cfg(test)]
mod tests;
