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
    pub distances: distances::Distances,
}

/// Computes everything, and moves the sizes of arrays to their owners. `beside` is what else is to be done of the snapshot, once
/// sizes are final.
pub fn analyse<T>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T) -> (Retained, T) {
    let ephemerons = Ephemerons::of(&snapshot.strings);
    let shared = &*snapshot;
    let (page, owners) = match roots {
        Roots::DevTools => threads::both(|| Some(retaining::page(shared)), || owners::find(shared)),
        Roots::Gc => (None, Vec::new()),
    };
    owners::give(snapshot, &owners);
    drop(owners);
    retaining::mark(snapshot, &ephemerons, page.as_ref(), roots);
    drop(page);
    let shared = &*snapshot;
    let ((dominator, size), (distances, beside)) =
        threads::both(|| retained(shared), || (distances::find(shared, &ephemerons, roots), beside(shared)));
    (Retained { dominator, size, distances }, beside)
}

/// The sizes alone, and what else is to be done of the snapshot beside that.
pub fn sizes_and<T: Send>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T + Send) -> T {
    let shared = &*snapshot;
    let (beside, owners) = match roots {
        Roots::DevTools => threads::both(|| beside(shared), || owners::find(shared)),
        Roots::Gc => (beside(shared), Vec::new()),
    };
    owners::give(snapshot, &owners);
    beside
}

fn retained(snapshot: &Snapshot) -> (Vec<Ordinal>, Sizes) {
    let dominators::Tree { order, dominator } = dominators::tree(snapshot, snapshot.root);
    let mut sums: Vec<u64> = order.iter().map(|node| snapshot.nodes.size.get(*node)).collect();
    // Dominators come first, so what a node retains is complete when it is added to its dominator's.
    for place in (1..order.len()).rev() {
        sums[dominator[place] as usize] += sums[place];
    }
    let mut retained = Sizes::new(vec![0; order.len()], Default::default());
    let mut dominators = vec![0; order.len()];
    for (place, node) in order.iter().enumerate() {
        retained.set(*node, sums[place]);
        dominators[*node as usize] = order[dominator[place] as usize];
    }
    (dominators, retained)
}

#[cfg(test)]
mod tests;
