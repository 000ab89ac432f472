//! Reading heap snapshots: what Chrome DevTools shows of one, in seconds and without a browser.
//!
//! [`source`] gives bytes, [`lexer`] makes columns of them ([`snapshot`]), [`graph`] computes what follows from nodes and edges, [`classes`] what
//! things are called. A [`Heap`] is all of that, and answers: [`summary`], [`diff`] and [`growth`], [`path`], [`tree`], [`object`].
//!
//! A snapshot of 500 MB has seven million nodes and twenty million edges. So there are no objects for them, only columns of 32-bit numbers; what
//! is needed for a while is dropped as soon as it is used; and where two things can be computed without each other, two threads do.

mod bits;
pub mod classes;
pub mod diff;
pub mod diff_without_ids;
pub mod error;
pub mod graph;
pub mod lexer;
mod memory;
mod names;
pub mod object;
pub mod path;
pub mod snapshot;
pub mod source;
pub mod strings;
pub mod summary;
mod threads;
pub mod tree;

use std::collections::HashSet;
use std::sync::OnceLock;

use classes::Classes;
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
    /// Asked for by most questions, but not by all.
    children: OnceLock<Children>,
    ways: OnceLock<Vec<u32>>,
    /// For paths: what is no module's scope.
    scopes_of_many: OnceLock<HashSet<Ordinal>>,
}

impl Heap {
    /// Reads and analyses a snapshot, on as many threads as pay.
    ///
    /// # Errors
    /// It cannot be read, or is not valid.
    pub fn read(source: &mut Source, roots: Roots) -> Result<Self> {
        let snapshot = lexer::read(source)?;
        Ok(Self::of(snapshot, roots))
    }

    pub fn of(mut snapshot: Snapshot, roots: Roots) -> Self {
        let (retained, classes) = graph::analyse(&mut snapshot, roots, classes::find);
        snapshot.locations = Vec::new();
        let (children, ways, scopes_of_many) = Default::default();
        Self { snapshot, retained, classes, roots, children, ways, scopes_of_many }
    }

    pub fn roots(&self) -> Roots {
        self.roots
    }

    /// The number of the node with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, id: u32) -> Result<Ordinal> {
        self.snapshot.find(id).ok_or(Error::NoSuchObject(id))
    }

    fn children(&self) -> &Children {
        self.children.get_or_init(|| Children::of(&self.retained.dominator, self.snapshot.root))
    }

    /// By node, the edge of a shortest path that leads there.
    fn ways(&self) -> &[u32] {
        self.ways.get_or_init(|| graph::distances::ways(&self.snapshot, self.roots))
    }

    /// What all nodes take, and what V8 knows of memory outside of them.
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
