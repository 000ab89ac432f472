//! What follows from a snapshot's nodes and edges alone: which edges retain, whose an array's bytes are, how far things are from
//! the roots, who dominates whom, and what each retains. The semantics are those of Chrome DevTools (`HeapSnapshot.ts`), checked against it
//! node by node.
//!
//! Two strands of work that do not need each other run beside each other: what needs the retaining edges, and what needs only the edges.

pub mod distances;
pub mod dominators;
pub mod ephemerons;
mod owners;
mod retaining;

use ephemerons::Ephemerons;

use super::snapshot::{Ordinal, Sizes, Snapshot};
use super::{memory, threads};

/// From where memory is retained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// As DevTools: from the global objects, and what is the program's is not retained by what is not.
    #[default]
    DevTools,
    /// From V8's own roots alone, with all that they reach, as memlab does.
    Gc,
}

/// What is known of each node once all is computed.
pub struct Retained {
    /// The immediate dominator; the root's is the root.
    pub dominator: Vec<Ordinal>,
    /// What would be freed with it, itself included.
    pub size: Sizes,
    pub distances: distances::Distances,
}

/// Computes everything, and moves the sizes of arrays to their owners. `beside` is what else is to be done of the snapshot; sizes
/// are the file's there.
pub fn analyse<T>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T) -> (Retained, T) {
    let ephemerons = Ephemerons::of(&snapshot.strings);
    let page = (roots == Roots::DevTools).then(|| retaining::page(snapshot));
    retaining::mark(snapshot, &ephemerons, page.as_ref(), roots);
    drop(page);
    let shared = &*snapshot;
    let (tree, (sizes, distances, beside)) = threads::both(
        || dominators::tree(shared, shared.root),
        || (owners::sizes(shared, roots), distances::find(shared, &ephemerons, roots), beside(shared)),
    );
    snapshot.nodes.size = sizes;
    let (dominator, size) = retained(snapshot, tree);
    (Retained { dominator, size, distances }, beside)
}

/// The sizes alone, and what else is to be done of the snapshot beside that.
pub fn sizes_and<T: Send>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T + Send) -> T {
    let shared = &*snapshot;
    let (beside, sizes) = threads::both(|| beside(shared), || owners::sizes(shared, roots));
    snapshot.nodes.size = sizes;
    beside
}

/// The dominators and retained sizes by node.
fn retained(snapshot: &Snapshot, tree: dominators::Tree) -> (Vec<Ordinal>, Sizes) {
    let dominators::Tree { order, dominator } = tree;
    let mut dominators = memory::zeros(order.len());
    let mut sizes = snapshot.nodes.size.copy();
    dominators[snapshot.root as usize] = snapshot.root;
    // Dominators come first, so what a node retains is complete when it is added to its dominator's.
    for place in (1..order.len()).rev() {
        let (node, above) = (order[place], order[dominator[place] as usize]);
        dominators[node as usize] = above;
        sizes.add(above, sizes.get(node));
    }
    (dominators, sizes)
}

#[cfg(test)]
mod tests;
