//! Which edges retain: DevTools' *essential* edges. These edges do not retain:
//!
//! - weak ones, and edges from a node to itself,
//! - shortcuts that do not come from the root,
//! - the edge of a WeakMap's table to a value,
//! - those from outside of the page (the debugger, V8 itself) to the page.

use super::Roots;
use super::ephemerons::Ephemerons;
use crate::bits::Bits;
use crate::snapshot::{Edges, Ordinal, Snapshot};
use crate::threads;

/// What the program can reach from its global objects and documents. In a browser it is the page.
pub fn page(snapshot: &Snapshot) -> Bits {
    let mut page = Bits::new(snapshot.node_count());
    let mut stack: Vec<Ordinal> = Vec::new();
    let kinds = snapshot.edge_kinds();
    for edge in snapshot.edges_of(snapshot.root) {
        let (kind, to) = (snapshot.edges.kind(edge), snapshot.edges.to[edge]);
        let begins = kind == kinds.shortcut || kind == kinds.element && snapshot.is_dom_trees(to);
        if begins && page.set(to) {
            stack.push(to);
        }
    }
    while let Some(node) = stack.pop() {
        for edge in snapshot.edges_of(node) {
            let to = snapshot.edges.to[edge];
            if snapshot.edges.kind(edge) != kinds.weak && page.set(to) {
                stack.push(to);
            }
        }
    }
    page
}

/// Marks the edges that do not retain. `page` is what the program can reach, or None if that has no effect.
pub fn mark(snapshot: &mut Snapshot, ephemerons: &Ephemerons, page: Option<&Bits>, roots: Roots) {
    let Snapshot { nodes, edges, meta, root, .. } = snapshot;
    let (weak, shortcut, internal) = (meta.edge_kinds.weak, meta.edge_kinds.shortcut, meta.edge_kinds.internal);
    let root = *root;
    let (first_edge, ids) = (&nodes.first_edge, &nodes.id);
    // Node's snapshots have none.
    let page = page.filter(|page| !page.is_empty());
    let (mut kinds, names, targets) = edges.split_kinds();
    let loose = |from: Ordinal, to: Ordinal, edge: usize, kind: u8| {
        if kind == weak || from == to {
            return true;
        }
        if kind == internal {
            let entry = ephemerons.get(names[edge]);
            if entry.is_some_and(|entry| entry.table == u64::from(ids[from as usize])) {
                return true;
            }
        }
        if from == root {
            return roots == Roots::Gc && kind == shortcut;
        }
        kind == shortcut || page.is_some_and(|page| page.get(to) && !page.get(from))
    };
    std::thread::scope(|scope| {
        let share = targets.len().div_ceil(threads::count()).max(1);
        let mut from = 0;
        while from + 1 < first_edge.len() {
            // Nodes whose edges begin within this share.
            let start = first_edge[from];
            let end = start.saturating_add(share as u32);
            let to =
                (from + first_edge[from..].partition_point(|first| *first < end)).clamp(from + 1, first_edge.len() - 1);
            let here = (first_edge[to] - start) as usize;
            let (mine, rest) = std::mem::take(&mut kinds).split_at_mut(here);
            kinds = rest;
            let loose = &loose;
            scope.spawn(move || {
                for node in from..to {
                    let edges = first_edge[node] as usize..first_edge[node + 1] as usize;
                    let kinds = &mut mine[edges.start - start as usize..edges.end - start as usize];
                    for ((kind, to), edge) in kinds.iter_mut().zip(&targets[edges.clone()]).zip(edges) {
                        if loose(node as Ordinal, *to, edge, *kind) {
                            Edges::loosen(kind);
                        }
                    }
                }
            });
            from = to;
        }
    });
}
