//! Where the resident set is, and how to return memory that malloc holds free. Both run on a thread of their own: they
//! lock malloc for as long as they take, and the pool's threads are for the application.

use std::sync::Mutex;
use std::time::Instant;

use napi::bindgen_prelude::Object;
use napi::{Env, Result};
use napi_derive::napi;
use serde::Serialize;

use super::beside::beside;
use super::heap_statistics::ReferenceHeapStatistics;
use crate::probe::memory::{Heap, Jemalloc, Part, Readings, View, or_unsupported};
use crate::probe::process::Cgroup;
use crate::probe::process::smaps::{self, Mappings};
use crate::probe::{allocator, glibc, jemalloc};

/// Only one trim of the process at a time, from any thread.
static TRIM: Mutex<()> = Mutex::new(());

/// The name of the malloc if nothing replaces it.
const C_LIBRARY: Option<&str> = if cfg!(all(target_os = "linux", target_env = "gnu")) {
    Some("glibc")
} else if cfg!(all(target_os = "linux", target_env = "musl")) {
    Some("musl")
} else {
    None
};

/// Figures that only the JavaScript thread can read, bytes.
#[napi(object)]
pub struct MemoryOptions {
    pub heap: ReferenceHeapStatistics,
    pub array_buffers: f64,
    /// Node's figure of the resident set, for platforms on which this code has none.
    pub rss: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    rss_bytes: u64,
    parts: Vec<Part>,
    /// The malloc of this process.
    #[serde(serialize_with = "or_unsupported")]
    allocator: Option<&'static str>,
    #[serde(serialize_with = "or_unsupported")]
    glibc: Option<Malloc>,
    #[serde(serialize_with = "or_unsupported")]
    jemalloc: Option<Jemalloc>,
    #[serde(serialize_with = "or_unsupported")]
    cgroup: Option<Limits>,
    #[serde(serialize_with = "or_unsupported")]
    huge_page_bytes: Option<u64>,
    #[serde(serialize_with = "or_unsupported")]
    swapped_bytes: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Malloc {
    arena_bytes: u64,
    in_use_bytes: u64,
    free_bytes: u64,
    mapped_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    /// None if there is no limit.
    limit_bytes: Option<u64>,
    #[serde(serialize_with = "or_unsupported")]
    used_bytes: Option<u64>,
    #[serde(serialize_with = "or_unsupported")]
    inactive_file_bytes: Option<u64>,
    #[serde(serialize_with = "or_unsupported")]
    working_set_bytes: Option<u64>,
}

impl Limits {
    fn of(cgroup: &Cgroup) -> Self {
        Self {
            limit_bytes: cgroup.limit_bytes(),
            used_bytes: cgroup.used_bytes(),
            inactive_file_bytes: cgroup.inactive_file_bytes(),
            working_set_bytes: cgroup.working_set_bytes(),
        }
    }
}

fn report(options: &MemoryOptions) -> serde_json::Result<String> {
    let jemalloc = jemalloc::figures().map(|[allocated, active, resident]| {
        let retained = jemalloc::retained().unwrap_or(0);
        Jemalloc { allocated, active, resident, retained }
    });
    // malloc's figures and the mappings are read in direct succession: allocations in between would appear unexplained.
    let foreign = allocator::foreign();
    let malloc = if foreign.is_some() { None } else { glibc::malloc() };
    let readings = Readings {
        view: View::Inside,
        rss: options.rss as u64,
        mappings: Mappings::of_self(),
        heap: Some(Heap {
            used: options.heap.used as u64,
            limit: options.heap.limit as u64,
            physical: options.heap.physical as u64,
            malloced: options.heap.malloced as u64,
        }),
        array_buffers: Some(options.array_buffers as u64),
        malloc,
        foreign,
        jemalloc,
    };
    let report = Report {
        rss_bytes: readings.rss(),
        parts: readings.parts(),
        allocator: foreign.map(|foreign| foreign.name).or(C_LIBRARY),
        glibc: malloc.map(|malloc| Malloc {
            arena_bytes: malloc.arenas,
            in_use_bytes: malloc.in_use,
            free_bytes: malloc.free,
            mapped_bytes: malloc.mapped,
        }),
        jemalloc,
        cgroup: Cgroup::of_self().as_ref().map(Limits::of),
        huge_page_bytes: readings.mappings.map(|mappings| mappings.huge),
        swapped_bytes: readings.mappings.map(|mappings| mappings.swapped),
    };
    serde_json::to_string(&report)
}

/// JSON of the `Memory` of this process, without the part that JavaScript adds.
#[napi(catch_unwind, ts_return_type = "Promise<string>")]
pub fn memory(env: &Env, options: MemoryOptions) -> Result<Object<'_>> {
    beside(env, "plimsoll-memory", move || report(&options).map_err(|error| error.to_string()))
}

#[napi(object)]
pub struct Trimmed {
    /// 0 if the platform does not report it.
    pub rss_before: f64,
    pub rss_after: f64,
    pub took_ms: f64,
    /// Whether the C library's malloc had pages to return. None if it cannot.
    pub malloc: Option<bool>,
    /// Whether jemalloc returned its free pages. None if it is not in use.
    pub jemalloc: Option<bool>,
}

fn trim_now() -> Trimmed {
    // The lock guards no state that a panic could have broken.
    let _one = TRIM.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let rss_before = smaps::exact_rss_bytes();
    let began = Instant::now();
    let jemalloc = jemalloc::purge();
    let malloc = allocator::trim();
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    Trimmed { rss_before: rss_before as f64, rss_after: smaps::exact_rss_bytes() as f64, took_ms, malloc, jemalloc }
}

/// Returns free memory of malloc and of jemalloc to the system.
#[napi(catch_unwind, ts_return_type = "Promise<Trimmed>")]
pub fn trim(env: &Env) -> Result<Object<'_>> {
    beside(env, "plimsoll-trim", || Ok(trim_now()))
}
