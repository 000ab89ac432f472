//! Who keeps whom alive. A node's immediate dominator is the last one that all paths from the root to it have in common: if that goes, so
//! does the node.
//!
//! Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005): semidominators as in Lengauer and Tarjan,
//! then for each node the nearest ancestor that is no deeper than its semidominator. On heaps it beats Lengauer and Tarjan's
//! buckets. All that is looked at lies in the order of the depth-first search, in which neighbours mostly are neighbours, and a link's
//! label is the semidominator's number itself, so that a step of the compression touches eight bytes in one place.

use crate::heap::memory;
use crate::heap::snapshot::{NONE, Ordinal, Snapshot};

/// The tree as columns, in the order of a depth-first search: dominators come before what they dominate.
pub struct Tree {
    /// The nodes in that order; the first is the root.
    pub order: Vec<Ordinal>,
    /// The place in `order` of each one's immediate dominator; the root's is itself.
    pub dominator: Vec<u32>,
}

/// What the depth-first search keeps of a node.
#[derive(Clone, Copy)]
struct Visit {
    /// Place in the order.
    place: u32,
    /// Edges that lead here and retain; later, where the next of them is to be noted.
    retainers: u32,
}

/// A node whose edges are being followed.
#[derive(Clone, Copy)]
struct Entered {
    place: u32,
    /// Its edges that are not followed yet.
    next: u32,
    end: u32,
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    visits: Vec<Visit>,
    order: Vec<Ordinal>,
    /// The place of each one's parent.
    parent: Vec<u32>,
    /// From where the search began to where it is.
    stack: Vec<Entered>,
}

pub fn tree(snapshot: &Snapshot, root: Ordinal) -> Tree {
    let Search { mut visits, order, mut parent, .. } = search(snapshot, root);
    let (first, sources) = retainers(snapshot, &order, &mut visits);
    let semi = semidominators(&first, &sources, &parent, visits);
    drop((first, sources));
    for place in 1..order.len() {
        let mut dominator = parent[place];
        while dominator > semi[place] {
            dominator = parent[dominator as usize];
        }
        // Those before it have been replaced already.
        parent[place] = dominator;
    }
    Tree { order, dominator: parent }
}

/// Depth first from the root, then from what nothing retains (only weak edges lead there), then whatever is left one by one, all
/// of it below the root, as DevTools has it.
fn search(snapshot: &Snapshot, root: Ordinal) -> Search<'_> {
    let count = snapshot.node_count();
    let mut search = Search {
        snapshot,
        visits: memory::filled(Visit { place: NONE, retainers: 0 }, count),
        order: memory::room(count),
        parent: memory::room(count),
        stack: Vec::new(),
    };
    search.from(root);
    if search.order.len() < count {
        let orphans = orphans(snapshot, &search.visits);
        for node in orphans {
            if search.visits[node as usize].place == NONE {
                search.from(node);
            }
        }
        let left: Vec<Ordinal> =
            snapshot.ordinals().filter(|node| search.visits[*node as usize].place == NONE).collect();
        for node in &left {
            search.enter(*node, 0);
        }
        // Nobody has followed their edges yet.
        for node in left {
            for edge in snapshot.edges_of(node).filter(|edge| snapshot.edges.retains(*edge)) {
                search.visits[snapshot.edges.to[edge] as usize].retainers += 1;
            }
        }
    }
    search
}

/// Nodes not yet visited that no edge retains.
fn orphans(snapshot: &Snapshot, visits: &[Visit]) -> Vec<Ordinal> {
    let mut retained = crate::heap::bits::Bits::new(visits.len());
    for edge in (0..snapshot.edges.count()).filter(|edge| snapshot.edges.retains(*edge)) {
        retained.set(snapshot.edges.to[edge]);
    }
    snapshot.ordinals().filter(|node| visits[*node as usize].place == NONE && !retained.get(*node)).collect()
}

impl Search<'_> {
    fn enter(&mut self, node: Ordinal, parent: u32) -> Entered {
        let place = self.order.len() as u32;
        self.visits[node as usize].place = place;
        self.order.push(node);
        self.parent.push(parent);
        let edges = self.snapshot.edges_of(node);
        Entered { place, next: edges.start as u32, end: edges.end as u32 }
    }

    fn from(&mut self, start: Ordinal) {
        let mut at = self.enter(start, 0);
        loop {
            let found = self.follow(&mut at);
            match found {
                Some(to) => {
                    self.stack.push(at);
                    at = self.enter(to, at.place);
                }
                None => match self.stack.pop() {
                    Some(above) => at = above,
                    None => return,
                },
            }
        }
    }

    /// Follows edges until one leads to a node that was not visited.
    #[inline]
    fn follow(&mut self, at: &mut Entered) -> Option<Ordinal> {
        let edges = &self.snapshot.edges;
        while at.next < at.end {
            let edge = at.next as usize;
            at.next += 1;
            if edges.retains(edge) {
                let to = edges.to[edge];
                let visit = &mut self.visits[to as usize];
                visit.retainers += 1;
                if visit.place == NONE {
                    return Some(to);
                }
            }
        }
        None
    }
}

/// Who retains each node, both by their places: where each one's retainers begin, and the retainers.
fn retainers(snapshot: &Snapshot, order: &[Ordinal], visits: &mut [Visit]) -> (Vec<u32>, Vec<u32>) {
    let mut first = memory::room(order.len() + 1);
    let mut sum = 0u32;
    for node in order {
        first.push(sum);
        let visit = &mut visits[*node as usize];
        let start = sum;
        sum += visit.retainers;
        visit.retainers = start;
    }
    first.push(sum);
    let mut sources = memory::zeros(sum as usize);
    for (place, node) in order.iter().enumerate() {
        for edge in snapshot.edges_of(*node) {
            if snapshot.edges.retains(edge) {
                let visit = &mut visits[snapshot.edges.to[edge] as usize];
                sources[visit.retainers as usize] = place as u32;
                visit.retainers += 1;
            }
        }
    }
    (first, sources)
}

#[derive(Clone, Copy)]
struct Link {
    ancestor: u32,
    /// The least semidominator between here and the ancestor.
    label: u32,
}

/// `visits` is memory that is not needed any more.
fn semidominators(first: &[u32], sources: &[u32], parent: &[u32], visits: Vec<Visit>) -> Vec<u32> {
    let count = parent.len();
    // Collected in place: touching fresh memory costs as much as what is done with it.
    let mut links: Vec<Link> = visits
        .into_iter()
        .zip(parent)
        .zip(0..)
        .map(|((_, ancestor), label)| Link { ancestor: *ancestor, label })
        .collect();
    let mut semi = memory::room(count);
    semi.extend(0..count as u32);
    let mut path = Vec::new();
    for place in (1..count as u32).rev() {
        let retainers = &sources[first[place as usize] as usize..first[place as usize + 1] as usize];
        // What nothing retains hangs on the root.
        let mut least = if retainers.is_empty() { 0 } else { place };
        for source in retainers {
            // Those after `place` are linked to their ancestors.
            let candidate = if *source <= place { *source } else { compress(&mut links, *source, place, &mut path) };
            least = least.min(candidate);
        }
        semi[place as usize] = least;
        links[place as usize].label = least;
    }
    semi
}

/// The least label from `node` up to the ancestors that are not beyond `place`; shortens the way for the next.
fn compress(links: &mut [Link], node: u32, place: u32, path: &mut Vec<u32>) -> u32 {
    let mut top = node;
    while links[top as usize].ancestor > place {
        path.push(top);
        top = links[top as usize].ancestor;
    }
    let Link { ancestor, mut label } = links[top as usize];
    while let Some(below) = path.pop() {
        let link = &mut links[below as usize];
        label = label.min(link.label);
        *link = Link { ancestor, label };
    }
    label
}
