//! Reads V8 heap snapshots and answers what Chrome DevTools answers: what is on the heap, what retains an object, what grew. It takes
//! seconds and needs no browser.
//!
//! ```
//! use heap_snapshot::source::Source;
//! use heap_snapshot::{Heap, Roots};
//!
//! let mut source = Source::open("examples/small.heapsnapshot".as_ref())?;
//! let heap = Heap::read(&mut source, Roots::DevTools)?;
//!
//! let summary = heap.summary();
//! let sessions = summary.classes.iter().find(|class| class.name == "LeakedSession").unwrap();
//! assert_eq!((sessions.count, sessions.self_bytes, sessions.retained_bytes), (3, 144, 264));
//!
//! let id = heap.largest_of("LeakedSession", 1)[0];
//! let path = heap.path(id)?;
//! assert_eq!(path.text, "global → module users.js → cache: Map → table → LeakedSession @27");
//! # Ok::<(), heap_snapshot::Error>(())
//! ```
//!
//! # How it works
//!
//! A [`source::Source`] gives bytes: a file or a stream, plain, gzip or zstd. The lexer makes columns of them. It is no JSON parser, because
//! nearly all of a snapshot are two lists of integers. The graph then computes what follows from nodes and edges: dominators, retained sizes
//! and distances. The classes are the names that DevTools shows. A [`Heap`] contains all of that and answers questions: a [`summary`], a
//! [`diff`], the retaining [`path`] of an object, the dominator [`tree`], and one [`object`] with its references.
//!
//! A snapshot of 500 MB has seven million nodes and twenty million edges. So there are no objects for them, only columns of 32-bit numbers:
//! 18 bytes a node and 9 bytes an edge. Columns are dropped after their last use. Where two results do not need each other, two threads
//! compute them.
//!
//! # Semantics
//!
//! Sizes are in bytes. Ids are V8's: an object has the same id in all snapshots of its process. With [`Roots::DevTools`], classes, sizes and
//! distances are those of Chrome DevTools. With [`Roots::Gc`], retained sizes are those of memlab.
//!
//! # Damaged files
//!
//! A file may be cut off, damaged or made up. Then reading returns an [`Error`] with the offset, or a heap that answers every question. No
//! count in the header allocates memory that the file has no room for.

#![deny(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]

mod bits;
mod classes;
pub mod diff;
mod diff_without_ids;
mod error;
mod graph;
mod holders;
mod lexer;
mod memory;
mod names;
pub mod object;
pub mod path;
mod snapshot;
pub mod source;
mod strings;
pub mod summary;
mod threads;
pub mod tree;

use std::collections::HashSet;
use std::sync::OnceLock;

use classes::Classes;
pub use classes::Place;
pub use error::{Error, Result};
use graph::Retained;
pub use graph::Roots;
use snapshot::{Ordinal, Snapshot};
use source::Source;
use tree::Children;

/// A snapshot with all that follows from it.
pub struct Heap {
    snapshot: Snapshot,
    retained: Retained,
    classes: Classes,
    roots: Roots,
    /// Most questions need it, but not all.
    children: OnceLock<Children>,
    ways: OnceLock<Vec<u32>>,
    /// For paths: what is no module's scope.
    scopes_of_many: OnceLock<HashSet<Ordinal>>,
}

impl Heap {
    /// Reads and analyses a snapshot, on up to four threads.
    ///
    /// # Errors
    /// [`Error::Read`] if the source cannot be read or inflated, [`Error::Malformed`] if the content is not a valid snapshot, and
    /// [`Error::TooLarge`] if it has more than 2,147,483,647 nodes or 4,294,967,294 edges.
    pub fn read(source: &mut Source, roots: Roots) -> Result<Self> {
        let snapshot = lexer::read(source)?;
        Ok(Self::of(snapshot, roots))
    }

    fn of(mut snapshot: Snapshot, roots: Roots) -> Self {
        let (retained, classes) = graph::analyse(&mut snapshot, roots, classes::find);
        snapshot.locations = Vec::new();
        let (children, ways, scopes_of_many) = Default::default();
        Self { snapshot, retained, classes, roots, children, ways, scopes_of_many }
    }

    /// The roots it was read with.
    pub fn roots(&self) -> Roots {
        self.roots
    }

    /// The number of the node with this id.
    fn find(&self, id: u32) -> Result<Ordinal> {
        self.snapshot.find(id).ok_or(Error::NoSuchObject(id))
    }

    fn children(&self) -> &Children {
        self.children.get_or_init(|| Children::of(&self.retained.dominator, self.snapshot.root))
    }

    /// By node, the edge of a shortest path that leads there.
    fn ways(&self) -> &[u32] {
        self.ways.get_or_init(|| graph::distances::ways(&self.snapshot, self.roots))
    }

    /// The bytes of all nodes, and the memory outside of them that V8 reports.
    pub fn total_bytes(&self) -> u64 {
        self.retained.size.get(self.snapshot.root).saturating_add(self.snapshot.meta.extra_native_bytes.max(0.0) as u64)
    }

    /// What is V8's bookkeeping and no object of the program.
    fn is_root_like(&self, node: Ordinal) -> bool {
        node == self.snapshot.root || self.snapshot.is_synthetic(node)
    }
}

#[cfg(any(test, feature = "sample"))]
pub mod sample;
#[cfg(test)]
mod tests;

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
