//! Open heap snapshots. Reading, querying and freeing run on threads of their own. Results are JSON.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::Object;
use napi::{Env, Error, Result};
use napi_derive::napi;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::beside::{beside, beside_with};
use crate::leak::suspect::adders;
use crate::leak::suspect::comparison::shown;
use crate::leak::suspect::rows::rows;
use crate::leak::suspect::{Class, Diff};
use crate::probe::jemalloc;
use heap_snapshot::source::Source;
use heap_snapshot::tree::Cut;
use heap_snapshot::{Heap, Roots};

/// Rows of the dominator tree: a list of a size that JavaScript can hold.
const MOST_ROWS: usize = 100_000;

/// An open heap. The garbage collector frees it if it is not closed.
#[napi]
pub struct HeapFile {
    /// None once it is closed. A running query holds a reference until it is done.
    heap: Mutex<Option<Arc<Heap>>>,
}

/// Reads and analyses the snapshot in a file.
#[napi(catch_unwind, ts_return_type = "Promise<HeapFile>")]
pub fn heap_open(env: &Env, path: String, gc_roots: bool) -> Result<Object<'_>> {
    beside(env, "plimsoll-heap", move || {
        let roots = if gc_roots { Roots::Gc } else { Roots::DevTools };
        let mut source = Source::open(&PathBuf::from(path)).map_err(|error| error.to_string())?;
        let heap = Heap::read(&mut source, roots).map_err(|error| error.to_string());
        // The allocator would retain what was needed temporarily, as long as it is not used again.
        jemalloc::purge();
        let heap = heap?;
        Ok(HeapFile { heap: Mutex::new(Some(Arc::new(heap))) })
    })
}

fn json(value: &impl Serialize) -> std::result::Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

fn from_diff(diff: heap_snapshot::diff::Diff) -> Diff {
    let class = |class: heap_snapshot::diff::ClassDiff| Class {
        name: class.name,
        added: class.added,
        removed: class.removed,
        removed_bytes: class.removed_bytes,
        retained_bytes: class.retained_bytes,
        path: class.path,
        module: class.module,
        location: class.location.map(|_| IgnoredAny),
    };
    Diff { classes: diff.classes.into_iter().map(class).collect() }
}

impl HeapFile {
    fn heap(&self) -> Result<Arc<Heap>> {
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner).clone();
        heap.ok_or_else(|| Error::from_reason("the heap is closed"))
    }

    fn ask<'env>(
        &self,
        env: &'env Env,
        question: impl FnOnce(&Heap) -> std::result::Result<String, String> + Send + 'static,
    ) -> Result<Object<'env>> {
        let heap = self.heap()?;
        beside(env, "plimsoll-heap", move || question(&heap))
    }
}

#[napi]
impl HeapFile {
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn summary<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.ask(env, |heap| json(&heap.summary()))
    }

    /// Objects that were added and removed from this heap to `after`. With `last`, only objects that it still contains.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn diff<'env>(&self, env: &'env Env, after: &HeapFile, last: Option<&HeapFile>) -> Result<Object<'env>> {
        let after = after.heap()?;
        let last = last.map(|last| last.heap()).transpose()?;
        self.ask(env, move |before| {
            let baseline = before.baseline();
            let newest = last.as_ref().unwrap_or(&after);
            let diff = match &last {
                _ if !newest.has_ids_of(&baseline) => Ok(newest.groups().since(&before.groups())),
                Some(last) => last.diff(&baseline, Some(&after.ids())),
                None => after.diff(&baseline, None),
            };
            json(&diff.map_err(|error| error.to_string())?)
        })
    }

    /// What leaks between this heap and `after`, one row a leak, as JSON. `grown_bytes`: the growth of the heap. As in the
    /// running server, objects are counted: V8 may give an object the id of a dead one at the same address.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn leaks<'env>(&self, env: &'env Env, after: &HeapFile, grown_bytes: f64) -> Result<Object<'env>> {
        let (before, after) = (self.heap()?, after.heap()?);
        beside_with(env, "plimsoll-heap", adders::STACK_BYTES, move || {
            let diff = after.groups().since(&before.groups());
            json(&rows(from_diff(diff), grown_bytes, shown))
        })
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn path<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.ask(env, move |heap| json(&heap.path(id).map_err(|error| error.to_string())?))
    }

    /// To the object of the class that retains most.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn path_of_class<'env>(&self, env: &'env Env, name: String) -> Result<Object<'env>> {
        self.ask(env, move |heap| {
            let Some(id) = heap.largest_of(&name, 1).first().copied() else {
                return Err(format!("the snapshot has no object of a class {name}"));
            };
            json(&heap.path(id).map_err(|error| error.to_string())?)
        })
    }

    /// `threshold`: a part of the heap, per cent.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn dominators<'env>(&self, env: &'env Env, threshold: f64, depth: u32) -> Result<Object<'env>> {
        self.ask(env, move |heap| {
            let least_bytes = (heap.total_bytes() as f64 * threshold / 100.0) as u64;
            json(&heap.dominators(Cut { least_bytes, depth: depth as usize, rows: MOST_ROWS }))
        })
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn object<'env>(&self, env: &'env Env, id: u32) -> Result<Object<'env>> {
        self.ask(env, move |heap| json(&heap.object(id).map_err(|error| error.to_string())?))
    }

    /// Frees it, and returns the memory to the system. On another thread, because unmapping hundreds of megabytes takes
    /// time.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner).take();
        beside(env, "plimsoll-heap", move || {
            drop(heap);
            jemalloc::purge();
            Ok(())
        })
    }
}
