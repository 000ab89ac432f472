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

use std::sync::mpsc;

use ephemerons::Ephemerons;

use super::snapshot::{Ordinal, Sizes, Snapshot};
use super::threads;

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
    /// From the roots, see [`distances`].
    pub distance: Vec<i32>,
}

/// Computes everything, and moves the sizes of arrays to their owners. `beside` is what else is to be done of the snapshot, which
/// has no sizes meanwhile.
pub fn analyse<T>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T) -> (Retained, T) {
    let ephemerons = Ephemerons::of(&snapshot.strings);
    let page = (roots == Roots::DevTools).then(|| retaining::page(snapshot));
    retaining::mark(snapshot, &ephemerons, page.as_ref(), roots);
    drop(page);
    let sizes = std::mem::take(&mut snapshot.nodes.size);
    let (shared, ephemerons) = (&*snapshot, &ephemerons);
    let (hand_over, handed_over) = mpsc::channel();
    let ((dominator, size), (sizes, distance, beside)) = threads::both(
        move || {
            let tree = dominators::tree(shared, shared.root);
            // There long since; or the other thread has panicked, and that is what will be told.
            retained(tree, handed_over.recv().unwrap_or_default())
        },
        move || {
            let owners = owners::find(shared, roots);
            let sizes = owners::sizes(shared, sizes, &owners);
            // Whoever does not take it has panicked.
            let _ = hand_over.send(sizes.copy(owners));
            (sizes, distances::find(shared, ephemerons, roots), beside(shared))
        },
    );
    snapshot.nodes.size = sizes;
    (Retained { dominator, size, distance }, beside)
}

/// The sizes alone, and what else is to be done of the snapshot, which has none meanwhile.
pub fn sizes_and<T: Send>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T + Send) -> T {
    let sizes = std::mem::take(&mut snapshot.nodes.size);
    let shared = &*snapshot;
    let (beside, sizes) =
        threads::both(|| beside(shared), || owners::sizes(shared, sizes, &owners::find(shared, roots)));
    snapshot.nodes.size = sizes;
    beside
}

/// The dominators and retained sizes by node; `sizes` are the shallow ones.
fn retained(tree: dominators::Tree, mut sizes: Sizes) -> (Vec<Ordinal>, Sizes) {
    let dominators::Tree { order, dominator, spare: mut dominators } = tree;
    let root = order[0];
    dominators[root as usize] = root;
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
