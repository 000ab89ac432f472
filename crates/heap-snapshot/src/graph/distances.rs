//! The distance of each node from the roots, as DevTools counts it, and the edge by which it is reached.

use std::collections::HashSet;

use super::Roots;
use super::ephemerons::Ephemerons;
use crate::bits::Bits;
use crate::memory;
use crate::snapshot::{NONE, Ordinal, Snapshot};

/// The first distance of what only V8's own roots reach. JavaScript's global objects have the distance 1.
pub const SYSTEM: i32 = 100_000_000;
/// The distance of what only weak references reach.
pub const UNREACHED: i32 = -5;

struct Search<'a> {
    snapshot: &'a Snapshot,
    ephemerons: &'a Ephemerons,
    /// Contexts and descriptor arrays, some of whose edges do not count.
    special: Bits,
    /// Entries of WeakMaps of which one edge was seen. The second one counts, which is farther.
    pending: HashSet<u32>,
    distances: Vec<i32>,
    /// The edge that leads to each node. Empty if it is not requested.
    via: Vec<u32>,
    /// Nodes with a distance: one bit each, which fits into the cache.
    seen: Bits,
    /// Nodes whose edges are still to be followed.
    reached: Vec<Ordinal>,
    /// Numbers of the names in [`LAST`], if those edges are followed last, and those edges.
    last: Vec<u32>,
    deferred: Vec<usize>,
}

/// References between objects that have nothing else in common, such as the neighbours in Node's list of timers. A path goes through them only
/// if there is no other.
const LAST: [&[u8]; 4] = [b"_idleNext", b"_idlePrev", b"_httpMessage", b"bound_this"];

/// The distance of each node.
pub fn find(snapshot: &Snapshot, ephemerons: &Ephemerons, roots: Roots) -> Vec<i32> {
    search(snapshot, ephemerons, roots, Vec::new()).distances
}

/// The edge of a short path that leads to each node. None for the roots. It is the shortest one without the references of [`LAST`], if there is one. Only paths need it, and it is as large as
/// the distances.
pub fn ways(snapshot: &Snapshot, roots: Roots) -> Vec<u32> {
    let via = memory::filled(NONE, snapshot.node_count());
    search(snapshot, &Ephemerons::of(&snapshot.strings), roots, via).via
}

/// Breadth-first, from the global objects, then from the root.
fn search<'a>(snapshot: &'a Snapshot, ephemerons: &'a Ephemerons, roots: Roots, via: Vec<u32>) -> Search<'a> {
    let count = snapshot.node_count();
    let mut search = Search {
        snapshot,
        ephemerons,
        special: special(snapshot),
        pending: HashSet::new(),
        distances: memory::filled(UNREACHED, count),
        via,
        seen: Bits::new(count),
        reached: Vec::new(),
        last: Vec::new(),
        deferred: Vec::new(),
    };
    if !search.via.is_empty() {
        search.last = LAST.iter().flat_map(|name| snapshot.strings.numbers_of(name)).collect();
    }
    if roots == Roots::DevTools {
        for edge in snapshot.edges_of(snapshot.root) {
            let to = snapshot.edges.to[edge];
            if snapshot.is_user_root(to) && search.seen.set(to) {
                search.distances[to as usize] = 1;
                search.reached.push(to);
            }
        }
    }
    let globals = !search.reached.is_empty();
    search.run();
    search.seen.set(snapshot.root);
    search.distances[snapshot.root as usize] = if globals { SYSTEM } else { 0 };
    // V8 writes no edge to the root, but a file may contain one.
    if let Some(via) = search.via.get_mut(snapshot.root as usize) {
        *via = NONE;
    }
    search.reached.push(snapshot.root);
    search.run();
    search.follow_last();
    search
}

/// Nodes not all of whose edges count.
fn special(snapshot: &Snapshot) -> Bits {
    let mut special = Bits::new(snapshot.node_count());
    let kinds = snapshot.node_kinds();
    let [contexts, descriptors] =
        [&b"system / NativeContext"[..], b"(map descriptors)"].map(|name| snapshot.strings.numbers_of(name));
    for node in snapshot.ordinals() {
        let kind = snapshot.nodes.kind[node as usize];
        let names = match kind {
            _ if kind == kinds.hidden => &contexts,
            _ if kind == kinds.array => &descriptors,
            _ => continue,
        };
        if names.contains(&snapshot.nodes.name[node as usize]) {
            special.set(node);
        }
    }
    special
}

impl Search<'_> {
    fn run(&mut self) {
        let mut frontier = std::mem::take(&mut self.reached);
        while !frontier.is_empty() {
            for node in frontier.drain(..) {
                self.follow(node);
            }
            std::mem::swap(&mut frontier, &mut self.reached);
        }
    }

    fn follow_last(&mut self) {
        self.last.clear();
        for edge in std::mem::take(&mut self.deferred) {
            let (from, to) = (self.snapshot.source_of(edge as u32), self.snapshot.edges.to[edge]);
            if !self.seen.get(to) {
                self.reach(to, edge, self.distances[from as usize].saturating_add(1));
            }
        }
        self.run();
    }

    fn reach(&mut self, node: Ordinal, edge: usize, distance: i32) {
        self.seen.set(node);
        self.distances[node as usize] = distance;
        if let Some(via) = self.via.get_mut(node as usize) {
            *via = edge as u32;
        }
        self.reached.push(node);
    }

    #[inline]
    fn follow(&mut self, node: Ordinal) {
        let snapshot = self.snapshot;
        let kinds = snapshot.edge_kinds();
        let next = self.distances[node as usize].saturating_add(1);
        let special = self.special.get(node);
        for edge in snapshot.edges_of(node) {
            let to = snapshot.edges.to[edge];
            let kind = snapshot.edges.kind(edge);
            if self.seen.get(to) || kind == kinds.weak {
                continue;
            }
            if special && !self.counts(node, edge) {
                continue;
            }
            if kind == kinds.internal && !self.second(snapshot.edges.name[edge]) {
                continue;
            }
            if !self.last.is_empty() && !kinds.is_indexed(kind) && self.last.contains(&snapshot.edges.name[edge]) {
                self.deferred.push(edge);
                continue;
            }
            self.reach(to, edge, next);
        }
    }

    fn counts(&self, node: Ordinal, edge: usize) -> bool {
        let snapshot = self.snapshot;
        if snapshot.nodes.kind[node as usize] == snapshot.node_kinds().hidden {
            return snapshot.raw_edge_name(edge) != b"sloppy_function_map";
        }
        // A descriptor array is shared between maps, and its values may not be those of this map.
        let kind = snapshot.edges.kind(edge);
        let index = match snapshot.edge_kinds().is_indexed(kind) {
            true => Some(i64::from(snapshot.edges.name[edge])),
            false => leading_number(snapshot.raw_edge_name(edge)),
        };
        index.is_some_and(|index| index < 2 || index % 3 != 1)
    }

    /// False for the first of the two edges of a WeakMap's entry, and true for other edges.
    fn second(&mut self, name: u32) -> bool {
        let Some(entry) = self.ephemerons.get(name) else { return true };
        self.pending.remove(&entry.pair) || !self.pending.insert(entry.pair)
    }
}

/// The result of JavaScript's `parseInt`.
fn leading_number(text: &[u8]) -> Option<i64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}
