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
    let (tree, (owners, distances, beside)) = threads::both(
        || dominators::tree(shared, shared.root),
        || (owners_of(shared, roots), distances::find(shared, &ephemerons, roots), beside(shared)),
    );
    owners::give(snapshot, &owners);
    drop(owners);
    let (dominator, size) = retained(snapshot, &tree);
    (Retained { dominator, size, distances }, beside)
}

/// The sizes alone, and what else is to be done of the snapshot beside that.
pub fn sizes_and<T: Send>(snapshot: &mut Snapshot, roots: Roots, beside: impl FnOnce(&Snapshot) -> T + Send) -> T {
    let shared = &*snapshot;
    let (beside, owners) = threads::both(|| beside(shared), || owners_of(shared, roots));
    owners::give(snapshot, &owners);
    beside
}

fn owners_of(snapshot: &Snapshot, roots: Roots) -> Vec<Ordinal> {
    match roots {
        Roots::DevTools => owners::find(snapshot),
        Roots::Gc => Vec::new(),
    }
}

/// The dominators and retained sizes by node.
fn retained(snapshot: &Snapshot, tree: &dominators::Tree) -> (Vec<Ordinal>, Sizes) {
    let dominators::Tree { order, dominator } = tree;
    let mut sums: Vec<u64> = memory::room(order.len());
    sums.extend(order.iter().map(|node| snapshot.nodes.size.get(*node)));
    // Dominators come first, so what a node retains is complete when it is added to its dominator's.
    for place in (1..order.len()).rev() {
        sums[dominator[place] as usize] += sums[place];
    }
    let sizes = || {
        let mut sizes = Sizes::new(memory::zeros(order.len()), Default::default());
        order.iter().zip(&sums).for_each(|(node, sum)| sizes.set(*node, *sum));
        sizes
    };
    let dominators = || {
        let mut dominators = memory::zeros(order.len());
        order.iter().zip(dominator).for_each(|(node, place)| dominators[*node as usize] = order[*place as usize]);
        dominators
    };
    threads::both(dominators, sizes)
}

#[cfg(test)]
mod tests;
