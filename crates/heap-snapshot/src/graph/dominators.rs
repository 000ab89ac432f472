//! What keeps each node alive. A node's immediate dominator is the last node that all paths from the root to it have in
//! common. If that is freed, so is the node.
//!
//! The algorithm is Semi-NCA (Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", 2005).
//! Semidominators are as in Lengauer and Tarjan. For each node, the dominator is then the nearest ancestor that is no
//! deeper than its semidominator. On heaps this is faster than Lengauer and Tarjan's buckets. All data is in the order
//! of the depth-first search, in which neighbours usually are neighbours. A link's label is the number of the
//! semidominator itself, so a step of the compression accesses eight bytes in one place.
//!
//! Of a node's retainers, those that the search entered before it count by their place only. The lowest such place is
//! the one that led to the node first. The search knows it, so these retainers are not stored. Stored are the *late*
//! edges, to nodes that were entered before. They are half of all, and nearly all of them lead to few nodes (hidden
//! classes, shared strings), whose memory is in the cache.

use crate::memory;
use crate::snapshot::{NONE, Ordinal, Snapshot};

/// The tree as columns, in the order of a depth-first search: dominators come before what they dominate.
pub struct Tree {
    /// The nodes in that order. The first is the root.
    pub order: Vec<Ordinal>,
    /// The place in `order` of each one's immediate dominator. The root's is its own.
    pub dominator: Vec<u32>,
    /// A column that can be reused, with any content.
    pub spare: Vec<u32>,
}

/// Marks a place that is not that of an entered node. The lexer rejects files with this many nodes.
const MARK: u32 = 1 << 31;

/// Additional words of [`Retainers`], beyond one for each node.
const SLACK: usize = 2;

struct Search<'a> {
    snapshot: &'a Snapshot,
    /// By node: its place once it is entered. Before that, the marked place of the node that led to it first, or
    /// [`NONE`].
    states: Vec<u32>,
    order: Vec<Ordinal>,
    /// The place of each one's parent.
    parent: Vec<u32>,
    /// The lowest place of a retainer that was entered before.
    first: Vec<u32>,
    /// Targets of edges, with the place of their source. A node may be on the stack several times: the last one is its
    /// parent.
    stack: Vec<(Ordinal, u32)>,
    /// The marked place of a node, followed by the places of nodes to which it refers and that were entered before.
    /// Repeated.
    late: Vec<u32>,
    late_count: usize,
}

pub fn tree(snapshot: &Snapshot, root: Ordinal) -> Tree {
    let Search { states, order, mut parent, first, mut late, late_count, .. } = search(snapshot, root);
    late.truncate(late_count);
    let retainers = Retainers::of(&late, order.len(), states);
    let semi = semidominators(&retainers, &parent, first, late);
    drop(retainers);
    for place in 1..order.len() {
        let mut dominator = parent[place];
        while dominator > semi[place] {
            dominator = parent[dominator as usize];
        }
        // The ancestors before it have been replaced already.
        parent[place] = dominator;
    }
    Tree { order, dominator: parent, spare: semi }
}

/// Depth-first from the root, then from nodes that nothing retains (only weak edges lead there). The rest is added one
/// by one, below the root, as in DevTools.
fn search(snapshot: &Snapshot, root: Ordinal) -> Search<'_> {
    let (count, edges) = (snapshot.node_count(), snapshot.edges.count());
    let mut search = Search {
        snapshot,
        states: memory::filled(NONE, count + SLACK),
        order: memory::room(count),
        parent: memory::room(count),
        first: memory::room(count),
        // Room for the worst case. Unused memory is never touched.
        stack: memory::zeros(edges + 1),
        late: memory::zeros(edges + count),
        late_count: 0,
    };
    search.from(root);
    if search.order.len() < count {
        for node in orphans(snapshot, &search.states) {
            if search.states[node as usize] == NONE {
                search.from(node);
            }
        }
        // The remaining nodes only retain each other, so their edges change no other node's dominator.
        for node in snapshot.ordinals().filter(|node| search.states[*node as usize] == NONE) {
            search.order.push(node);
            search.parent.push(0);
            search.first.push(0);
        }
    }
    search
}

/// Nodes that are not entered and that no edge retains.
fn orphans(snapshot: &Snapshot, states: &[u32]) -> Vec<Ordinal> {
    let mut retained = crate::bits::Bits::new(states.len());
    for (retains, to) in snapshot.edges.targets(0..snapshot.edges.count()) {
        if retains {
            retained.set(to);
        }
    }
    snapshot.ordinals().filter(|node| states[*node as usize] == NONE && !retained.get(*node)).collect()
}

impl Search<'_> {
    fn from(&mut self, start: Ordinal) {
        self.states[start as usize] = MARK;
        self.stack[0] = (start, 0);
        let mut top = 1;
        while top > 0 {
            top -= 1;
            let (node, parent) = self.stack[top];
            let first = self.states[node as usize];
            if first >= MARK {
                let place = self.order.len() as u32;
                self.states[node as usize] = place;
                self.order.push(node);
                self.parent.push(parent);
                self.first.push(first & !MARK);
                top = self.follow(node, place, top);
            }
        }
    }

    /// Notes where the edges of a node lead. Whether a target was entered before is unpredictable, so there is no
    /// branch on it.
    #[inline]
    fn follow(&mut self, node: Ordinal, place: u32, mut top: usize) -> usize {
        let began = self.late_count;
        let mut late = began + 1;
        self.late[began] = place | MARK;
        for (retains, to) in self.snapshot.edges.targets(self.snapshot.edges_of(node)) {
            if !retains {
                continue;
            }
            let state = &mut self.states[to as usize];
            let before = *state;
            *state = if before == NONE { place | MARK } else { before };
            let entered = before < MARK;
            self.stack[top] = (to, place);
            top += usize::from(!entered);
            self.late[late] = before;
            late += usize::from(entered);
        }
        self.late_count = if late > began + 1 { late } else { began };
        top
    }
}

/// The late edges by target: nodes and retainers as places.
struct Retainers {
    /// Where each one's retainers begin and, at the end, where all end.
    first: Vec<u32>,
    sources: Vec<u32>,
}

impl Retainers {
    /// `first` is memory that can be reused: new memory would cost as much as the work.
    fn of(late: &[u32], count: usize, mut first: Vec<u32>) -> Self {
        // Shifted by one place, so that noting the sources moves all into position.
        first.clear();
        first.resize(count + SLACK, 0);
        for to in late.iter().filter(|to| **to < MARK) {
            first[*to as usize + 2] += 1;
        }
        let mut sum = 0;
        for each in &mut first {
            sum += *each;
            *each = sum;
        }
        let mut sources = memory::zeros(sum as usize);
        let mut from = 0;
        for entry in late {
            if *entry >= MARK {
                from = entry & !MARK;
            } else {
                let slot = &mut first[*entry as usize + 1];
                sources[*slot as usize] = from;
                *slot += 1;
            }
        }
        Self { first, sources }
    }

    fn of_place(&self, place: u32) -> &[u32] {
        let place = place as usize;
        &self.sources[self.first[place] as usize..self.first[place + 1] as usize]
    }
}

/// An ancestor, and the lowest semidominator on the way to it.
type Link = [u32; 2];

/// `semi` is the lowest retainer of each node that was entered before it. `memory` can be reused.
fn semidominators(retainers: &Retainers, parent: &[u32], mut semi: Vec<u32>, mut memory: Vec<u32>) -> Vec<u32> {
    memory.resize(2 * parent.len(), 0);
    let (links, _) = memory.as_chunks_mut::<2>();
    for (link, parent) in links.iter_mut().zip(parent) {
        *link = [*parent, 0];
    }
    let mut path = Vec::new();
    for place in (1..parent.len() as u32).rev() {
        let mut least = semi[place as usize];
        for source in retainers.of_place(place) {
            least = least.min(compress(links, *source, place, &mut path));
        }
        semi[place as usize] = least;
        links[place as usize][1] = least;
    }
    semi
}

/// The lowest label from `node` up to the ancestors that are not beyond `place`. Shortens the chain for the next call.
#[inline]
fn compress(links: &mut [Link], node: u32, place: u32, path: &mut Vec<u32>) -> u32 {
    let mut top = node;
    while links[top as usize][0] > place {
        path.push(top);
        top = links[top as usize][0];
    }
    let [ancestor, mut label] = links[top as usize];
    while let Some(below) = path.pop() {
        let link = &mut links[below as usize];
        label = label.min(link[1]);
        *link = [ancestor, label];
    }
    label
}
