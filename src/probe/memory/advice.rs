//! The meaning of each part, and advice if something can be done.

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

/// A smaller part is not worth any work.
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
        Name::V8Heap => "JavaScript objects and code of this thread, with garbage and free space in V8's pages",
        Name::V8Other => {
            "V8's memory outside this thread's heap: heaps of worker threads, WebAssembly, pages for reuse"
        }
        Name::ArrayBuffers if outside => {
            "Buffers, ArrayBuffers and other memory that JavaScript objects retain outside the heap"
        }
        Name::ArrayBuffers => "contents of this thread's Buffers and ArrayBuffers, the pages that were written",
        Name::V8Malloc => "memory that V8 itself has from malloc: the parser, the compilers",
        Name::MallocInUse if readings.malloc.is_some() => {
            "other memory from malloc that is in use: Node, OpenSSL, zlib, addons, other threads' buffers"
        }
        Name::MallocInUse => "other memory from malloc, in use or free: Node, OpenSSL, zlib, addons",
        Name::MallocFree => "freed memory that glibc's malloc has not returned, between blocks in use",
        Name::Jemalloc => "memory of Plimsoll itself",
        Name::Code => "the node executable and libraries, with their data",
        Name::MappedFiles => "other files mapped into memory",
        Name::SharedMemory => "memory shared with other processes or the kernel, Plimsoll's record included",
        Name::ThreadStacks => return format!("stacks of {threads} threads, the pages that were written"),
        Name::Unexplained if readings.mappings.is_none() => {
            "memory whose parts are not known on this platform: malloc, code, mapped files, stacks"
        }
        Name::Unexplained => "memory that no figure covers: other allocators, memory that addons map themselves",
    };
    meaning.to_owned()
}

/// If malloc is not glibc's.
fn of_foreign(foreign: &Foreign, name: Name) -> Option<String> {
    let other = "other memory from malloc";
    let by = format!("{}, instead of glibc", foreign.name);
    match (name, foreign.figures) {
        (Name::MallocInUse, Some(_)) => {
            Some(format!("{other} ({by}) that is in use: Node, OpenSSL, zlib, addons, other threads' buffers"))
        }
        (Name::MallocInUse, None) => Some(format!(
            "{other} ({by}), in use or free, because its figures cannot be read: Node, OpenSSL, zlib, addons"
        )),
        (Name::MallocFree, _) => Some(format!("freed memory that malloc ({by}) has not returned")),
        _ => None,
    }
}

fn advice(readings: &Readings, name: Name, bytes: u64) -> Option<String> {
    let size = size(bytes);
    let foreign = readings.foreign();
    Some(match name {
        Name::V8Heap => return heap(readings, bytes),
        Name::V8Other => {
            format!("{size} outside this thread's heap: bound the heaps of worker threads with resourceLimits.")
        }
        Name::ArrayBuffers => format!(
            "{size} of buffers: bound bodies with plimsoll.limit() and stream them. A heap snapshot shows what retains an \
             ArrayBuffer."
        ),
        Name::MallocInUse if foreign.is_some_and(|foreign| foreign.figures.is_none()) => format!(
            "{size} of native memory, in use or free. The statistics of {} report which.",
            foreign.map_or("malloc", |foreign| foreign.name)
        ),
        Name::MallocInUse if readings.malloc.is_some() || foreign.is_some() => format!(
            "{size} of native memory in use: search for zlib streams and TLS sockets that are never closed, or a leak in an addon."
        ),
        Name::MallocInUse if readings.view == View::Outside => format!(
            "{size} of native memory: in the process, plimsoll.memory() reports how much of it is free, and plimsoll.trim() \
             returns that."
        ),
        Name::MallocFree if foreign.is_some() => format!(
            "{} has {size} free: plimsoll.trim() returns it now. The allocator's own settings bound how long memory stays free.",
            foreign.map_or("malloc", |foreign| foreign.name)
        ),
        Name::MallocFree => format!(
            "glibc has {size} free: fragmentation. plimsoll.trim() returns it now. MALLOC_ARENA_MAX=2 in the environment, or \
             another malloc, makes it rarer."
        ),
        Name::Jemalloc => match readings.jemalloc {
            Some(jemalloc) if jemalloc.allocated < bytes / 2 => {
                format!("{size} for {} in use: plimsoll.trim() returns the rest.", self::size(jemalloc.allocated))
            }
            _ => return None,
        },
        Name::MappedFiles => {
            format!("{size} of files: no leak by itself, because the kernel drops clean pages when memory is short.")
        }
        Name::SharedMemory => {
            format!("{size} shared: counted for every process that maps it. The kernel cannot drop it.")
        }
        Name::ThreadStacks => format!("{size} of stacks: use fewer threads (UV_THREADPOOL_SIZE, workers)."),
        Name::Unexplained if readings.mappings.is_some() => format!(
            "{size} that no figure covers: search for an addon or a preloaded library with its own memory management."
        ),
        Name::MallocInUse | Name::V8Malloc | Name::Code | Name::Unexplained => return None,
    })
}

fn heap(readings: &Readings, bytes: u64) -> Option<String> {
    let heap = readings.heap?;
    if heap.limit > 0 && heap.used >= heap.limit / 5 * 4 {
        return Some(format!(
            "{} in use of a limit of {}: plimsoll.stats().routes reports which route allocates; --max-old-space-size \
             raises the limit.",
            size(heap.used),
            size(heap.limit)
        ));
    }
    let free = bytes.saturating_sub(heap.used);
    (free >= bytes / 2).then(|| {
        format!(
            "{} of it is free: a smaller --max-semi-space-size or --max-old-space-size bounds it. V8 returns it after major \
             collections, which are rare in an idle process.",
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
