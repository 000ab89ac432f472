//! What each part means, and what to do where something is to be done.

use super::{Foreign, Name, Part, Readings, View};

const MIB: u64 = 1 << 20;

pub fn part(readings: &Readings, name: Name, bytes: Option<u64>) -> Part {
    let size = bytes.unwrap_or(0);
    let advice = match notable(size, readings.rss()) {
        true => advice(readings, name, size),
        false => None,
    };
    Part { name, bytes, meaning: meaning(readings, name), advice }
}

/// Less is not worth anybody's time, whatever it is.
fn notable(bytes: u64, rss: u64) -> bool {
    bytes >= 32 * MIB && bytes >= rss / 10
}

fn meaning(readings: &Readings, name: Name) -> String {
    let outside = readings.view == View::Outside;
    let threads = readings.mappings.map_or(0, |mappings| mappings.stack_count);
    if let Some(meaning) = readings.foreign().and_then(|foreign| of_foreign(&foreign, name)) {
        return meaning;
    }
    let meaning = match name {
        Name::V8Heap => "JavaScript objects and code of this thread, garbage and free room in V8's pages included",
        Name::V8Other => {
            "V8's memory beyond this thread's heap: worker threads' heaps, WebAssembly, pages kept for reuse"
        }
        Name::ArrayBuffers if outside => {
            "Buffers, ArrayBuffers and other memory that JavaScript objects hold outside the heap"
        }
        Name::ArrayBuffers => "contents of this thread's Buffers and ArrayBuffers, as far as they were touched",
        Name::V8Malloc => "what V8 itself has from malloc: the parser, the compilers",
        Name::MallocInUse if readings.malloc.is_some() => {
            "other memory from malloc that is in use: Node, OpenSSL, zlib, addons, other threads' buffers"
        }
        Name::MallocInUse => "other memory from malloc, in use or held free: Node, OpenSSL, zlib, addons",
        Name::MallocFree => "memory that was freed, and that glibc's malloc keeps resident between blocks in use",
        Name::Jemalloc => "plimsoll's own memory",
        Name::Code => "the node executable and libraries, their data included",
        Name::MappedFiles => "other files mapped into memory",
        Name::SharedMemory => "memory shared with other processes or with the kernel, plimsoll's record among it",
        Name::ThreadStacks => return format!("stacks of {threads} threads, as far as they were touched"),
        Name::Unexplained if readings.mappings.is_none() => {
            "what cannot be told apart here: malloc, code, mapped files, stacks"
        }
        Name::Unexplained => "what no figure accounts for: other allocators, memory that addons map themselves",
    };
    meaning.to_owned()
}

/// Where malloc is not glibc's.
fn of_foreign(foreign: &Foreign, name: Name) -> Option<String> {
    let other = "other memory from malloc";
    let by = format!("{}, which is in glibc's place", foreign.name);
    match (name, foreign.figures) {
        (Name::MallocInUse, Some(_)) => {
            Some(format!("{other} ({by}) that is in use: Node, OpenSSL, zlib, addons, other threads' buffers"))
        }
        (Name::MallocInUse, None) => Some(format!(
            "{other} ({by}), in use or held free: its figures cannot be read. Node, OpenSSL, zlib, addons"
        )),
        (Name::MallocFree, _) => Some(format!("memory that was freed, and that malloc ({by}) keeps resident")),
        _ => None,
    }
}

fn advice(readings: &Readings, name: Name, bytes: u64) -> Option<String> {
    let size = size(bytes);
    let foreign = readings.foreign();
    Some(match name {
        Name::V8Heap => return heap(readings, bytes),
        Name::V8Other => format!("{size} beyond this thread's heap: resourceLimits bound the heap of a worker thread."),
        Name::ArrayBuffers => format!(
            "{size} of buffers: bound bodies with plimsoll.limit(), stream instead of collecting, and look for what keeps \
             them (a heap snapshot shows who holds an ArrayBuffer)."
        ),
        Name::MallocInUse if foreign.is_some_and(|foreign| foreign.figures.is_none()) => format!(
            "{size} of native memory, in use or held free by {}: its own statistics tell which.",
            foreign.map_or("malloc", |foreign| foreign.name)
        ),
        Name::MallocInUse if readings.malloc.is_some() || foreign.is_some() => format!(
            "{size} of native memory in use: streams of zlib and TLS sockets that are never closed, or an addon that leaks."
        ),
        Name::MallocInUse if readings.view == View::Outside => format!(
            "{size} of native memory: in the process, plimsoll.memory() tells what of it is free, and plimsoll.trim() \
             gives that back."
        ),
        Name::MallocFree if foreign.is_some() => format!(
            "{} holds {size} free: plimsoll.trim() gives it back now; its own settings bound how long it holds it.",
            foreign.map_or("malloc", |foreign| foreign.name)
        ),
        Name::MallocFree => format!(
            "glibc holds {size} free: fragmentation. plimsoll.trim() gives it back now; MALLOC_ARENA_MAX=2 in the \
             environment, or another malloc, makes it rarer."
        ),
        Name::Jemalloc => match readings.jemalloc {
            Some(jemalloc) if jemalloc.allocated < bytes / 2 => {
                format!("{size} for {} in use: plimsoll.trim() gives the rest back.", self::size(jemalloc.allocated))
            }
            _ => return None,
        },
        Name::MappedFiles => {
            format!("{size} of files: the kernel drops clean pages when memory is short, so this is no leak by itself.")
        }
        Name::SharedMemory => {
            format!("{size} shared: it counts for every process that maps it, and the kernel cannot drop it.")
        }
        Name::ThreadStacks => format!("{size} of stacks: fewer threads (UV_THREADPOOL_SIZE, workers) need less."),
        Name::Unexplained if readings.mappings.is_some() => format!(
            "{size} that nothing accounts for: look for an addon or a preloaded library with a memory management of its own."
        ),
        Name::MallocInUse | Name::V8Malloc | Name::Code | Name::Unexplained => return None,
    })
}

fn heap(readings: &Readings, bytes: u64) -> Option<String> {
    let heap = readings.heap?;
    if heap.limit > 0 && heap.used >= heap.limit / 5 * 4 {
        return Some(format!(
            "{} in use of a limit of {}: plimsoll.stats().routes tells which route allocates; --max-old-space-size \
             raises the limit.",
            size(heap.used),
            size(heap.limit)
        ));
    }
    let free = bytes.saturating_sub(heap.used);
    (free >= bytes / 2).then(|| {
        format!(
            "{} of it is free: V8 gives it back after major collections, which an idle process has seldom; a smaller \
             --max-semi-space-size or --max-old-space-size bounds it.",
            size(free)
        )
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        ..MIB => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes / MIB),
    }
}
