//! What follows from a snapshot's nodes and edges alone: which edges retain, which object owns an array's bytes,
//! distances from the roots, dominators, and retained sizes. The semantics are those of Chrome DevTools
//! (`HeapSnapshot.ts`), checked against it node by node.
//!
//! Two independent tasks run concurrently: what needs the retaining edges, and what needs only the edges.

pub mod distances;
pub mod dominators;
pub mod ephemerons;
mod owners;
mod retaining;

use std::sync::mpsc;

use ephemerons::Ephemerons;

use super::snapshot::{Ordinal, Sizes, Snapshot};
use super::threads;

/// The roots of retained memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// As in DevTools: from the global objects. Objects of the program are not retained by others.
    #[default]
    DevTools,
    /// Only from V8's own roots, with all that they reach, as in memlab.
    Gc,
}

/// The results for each node.
pub struct Retained {
    /// The immediate dominator. The root's is the root.
    pub dominator: Vec<Ordinal>,
    /// Bytes that would be freed with it, including itself.
    pub size: Sizes,
    /// From the roots, see [`distances`].
    pub distance: Vec<i32>,
}

/// Computes everything, and moves the sizes of arrays to their owners. `beside` runs concurrently on the snapshot,
/// which has no sizes meanwhile.
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
            // The sizes have arrived long before. If not, the other thread has panicked, which is reported.
            retained(tree, handed_over.recv().unwrap_or_default())
        },
        move || {
            let owners = owners::find(shared, roots);
            let sizes = owners::sizes(shared, sizes, &owners);
            // If it is not received, the other thread has panicked.
            let _ = hand_over.send(sizes.copy(owners));
            (sizes, distances::find(shared, ephemerons, roots), beside(shared))
        },
    );
    snapshot.nodes.size = sizes;
    (Retained { dominator, size, distance }, beside)
}

/// The sizes only. `beside` runs concurrently on the snapshot, which has no sizes meanwhile.
pub fn sizes_and<T: Send>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T + Send) -> T {
    let sizes = std::mem::take(&mut snapshot.nodes.size);
    let shared = &*snapshot;
    let (beside, sizes) =
        threads::both(|| beside(shared), || owners::sizes(shared, sizes, &owners::find(shared, roots)));
    snapshot.nodes.size = sizes;
    beside
}

/// The dominators and retained sizes by node. `sizes` are the shallow ones.
fn retained(tree: dominators::Tree, mut sizes: Sizes) -> (Vec<Ordinal>, Sizes) {
    let dominators::Tree { order, dominator, spare: mut dominators } = tree;
    let root = order[0];
    dominators[root as usize] = root;
    // Dominators come first, so a node's retained size is complete when it is added to its dominator's.
    for place in (1..order.len()).rev() {
        let (node, above) = (order[place], order[dominator[place] as usize]);
        dominators[node as usize] = above;
        sizes.add(above, sizes.get(node));
    }
    (dominators, sizes)
}

#[cfg(test)]
mod tests;
