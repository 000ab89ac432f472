//! Where the resident set is, from outside: the record's figures and, for a process on this machine, its mappings.

use std::io::{self, Write};

use super::super::fit::HANG;
use super::super::units::size;
use super::Options;
use crate::probe::memory::{Heap, Jemalloc, Name, Part, Readings, View};
use crate::probe::process::smaps::Mappings;
use crate::recorder::record::Record;

/// Parts from the largest on, without negligible ones.
pub fn write(record: &Record, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mappings = if record.alive { (options.mappings)(record) } else { None };
    let readings = readings(record, mappings);
    let rss = readings.rss();
    if rss == 0 {
        return Ok(());
    }
    let when = match (mappings.is_some(), record.alive) {
        (true, _) => "now",
        (false, true) => "at the last heartbeat; its mappings cannot be read from here",
        (false, false) => "at the last heartbeat",
    };
    writeln!(out, "\n{} ({} {when})", options.look.bold("Where the RSS is"), size(rss as f64))?;
    let mut parts: Vec<(Part, u64)> = readings.parts().into_iter().filter_map(with_bytes).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (part, bytes) in parts.iter().filter(|(_, bytes)| *bytes >= rss / 1000) {
        let share = *bytes as f64 / rss as f64 * 100.0;
        let line =
            format!("{:<19} {:>9} {share:>5.1} %  {HANG}{}", label(part.name), size(*bytes as f64), part.meaning);
        writeln!(out, "  {line}")?;
    }
    for advice in parts.iter().filter_map(|(part, _)| part.advice.as_ref()) {
        writeln!(out, "  {} {HANG}{advice}", options.look.arrow())?;
    }
    // The advice on malloc includes it.
    let said = parts.iter().any(|(part, _)| part.name == Name::MallocInUse && part.advice.is_some());
    match record.alive && !said {
        true => writeln!(out, "  Only the process itself can report malloc's free memory: plimsoll.memory()."),
        false => Ok(()),
    }
}

fn readings(record: &Record, mappings: Option<Mappings>) -> Readings {
    let heap = &record.heap;
    Readings {
        view: View::Outside,
        rss: record.process.rss_bytes,
        mappings,
        heap: Some(Heap {
            used: heap.used_bytes,
            limit: heap.limit_bytes,
            physical: heap.physical_bytes,
            malloced: heap.malloced_bytes,
        }),
        array_buffers: Some(heap.external_bytes),
        malloc: None,
        foreign: None,
        jemalloc: record.native.supported.then_some(Jemalloc {
            allocated: record.native.allocated_bytes,
            active: record.native.active_bytes,
            resident: record.native.resident_bytes,
            retained: 0,
        }),
    }
}

fn with_bytes(part: Part) -> Option<(Part, u64)> {
    let bytes = part.bytes?;
    Some((part, bytes))
}

fn label(name: Name) -> &'static str {
    match name {
        Name::V8Heap => "V8 heap",
        Name::V8Other => "V8, other",
        Name::ArrayBuffers => "buffers, external",
        Name::V8Malloc => "V8's malloc",
        Name::MallocInUse => "malloc",
        Name::MallocFree => "malloc, free",
        Name::Jemalloc => "plimsoll itself",
        Name::Code => "code",
        Name::MappedFiles => "mapped files",
        Name::SharedMemory => "shared memory",
        Name::ThreadStacks => "thread stacks",
        Name::Unexplained => "the rest",
    }
}
