//! A snapshot in memory: columns instead of objects, with 18 bytes for each node and 9 for each edge. So the memory is
//! of the order of the file's size.

use std::ops::Range;

use foldhash::HashMap;

use super::lexer::meta::{EdgeKinds, Meta, NodeKinds};
use super::strings::Strings;

/// The number of a node in the file.
pub type Ordinal = u32;
/// No node, no edge, no class.
pub const NONE: u32 = u32::MAX;
/// Set on the type of an edge that does not retain.
const LOOSE: u8 = 0x80;

/// Sizes in bytes. Few need more than 32 bits. Those are in a separate list.
#[derive(Default)]
pub struct Sizes {
    small: Vec<u32>,
    large: HashMap<Ordinal, u64>,
}

impl Sizes {
    /// `small` is `u32::MAX` if `large` has the value.
    pub fn new(small: Vec<u32>, large: HashMap<Ordinal, u64>) -> Self {
        Self { small, large }
    }

    #[inline]
    pub fn get(&self, node: Ordinal) -> u64 {
        match self.small[node as usize] {
            u32::MAX => self.large.get(&node).copied().unwrap_or(u64::from(u32::MAX)),
            small => u64::from(small),
        }
    }

    /// A copy, in reused memory.
    pub fn copy(&self, mut memory: Vec<u32>) -> Self {
        memory.clear();
        memory.extend_from_slice(&self.small);
        Self { small: memory, large: self.large.clone() }
    }

    #[inline]
    pub fn add(&mut self, node: Ordinal, more: u64) {
        self.set(node, self.get(node).saturating_add(more));
    }

    #[inline]
    pub fn set(&mut self, node: Ordinal, size: u64) {
        let small = u32::try_from(size).unwrap_or(u32::MAX);
        if small == u32::MAX {
            self.large.insert(node, size);
        }
        self.small[node as usize] = small;
    }
}

#[derive(Default)]
pub struct Nodes {
    pub kind: Vec<u8>,
    pub name: Vec<u32>,
    pub id: Vec<u32>,
    /// Shallow sizes: those of the file until the arrays' sizes have been moved to their owners.
    pub size: Sizes,
    /// Where the edges of each node begin and, at the end, where all end.
    pub first_edge: Vec<u32>,
    /// 0 unknown, 1 attached, 2 detached. Empty if the file has no such column.
    pub detached: Vec<u8>,
}

#[derive(Default)]
pub struct Edges {
    kind: Vec<u8>,
    /// A string's number, or an index for some kinds.
    pub name: Vec<u32>,
    pub to: Vec<Ordinal>,
}

impl Edges {
    pub fn new(kind: Vec<u8>, name: Vec<u32>, to: Vec<Ordinal>) -> Self {
        Self { kind, name, to }
    }

    pub fn count(&self) -> usize {
        self.to.len()
    }

    #[inline]
    pub fn kind(&self, edge: usize) -> u8 {
        self.kind[edge] & !LOOSE
    }

    /// Whether the edge retains.
    #[inline]
    pub fn retains(&self, edge: usize) -> bool {
        self.kind[edge] & LOOSE == 0
    }

    /// For each of some edges, whether it retains, and its target.
    #[inline]
    pub fn targets(&self, edges: Range<usize>) -> impl Iterator<Item = (bool, Ordinal)> + '_ {
        self.kind[edges.clone()].iter().map(|kind| kind & LOOSE == 0).zip(self.to[edges].iter().copied())
    }

    /// The column of kinds, to be marked with [`Self::loosen`], and the others.
    pub fn split_kinds(&mut self) -> (&mut [u8], &[u32], &[Ordinal]) {
        (&mut self.kind, &self.name, &self.to)
    }

    /// Marks a kind as that of an edge that does not retain.
    pub fn loosen(kind: &mut u8) {
        *kind |= LOOSE;
    }
}

/// Where an object's constructor, or a function itself, is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    pub script: u32,
    pub line: u32,
    pub column: u32,
}

pub struct Snapshot {
    pub meta: Meta,
    pub root: Ordinal,
    pub nodes: Nodes,
    pub edges: Edges,
    pub strings: Strings,
    /// By node, each at most once.
    pub locations: Vec<(Ordinal, Location)>,
}

impl Snapshot {
    pub fn node_count(&self) -> usize {
        self.nodes.kind.len()
    }

    pub fn ordinals(&self) -> Range<Ordinal> {
        0..self.node_count() as Ordinal
    }

    #[inline]
    pub fn edges_of(&self, node: Ordinal) -> Range<usize> {
        let node = node as usize;
        self.nodes.first_edge[node] as usize..self.nodes.first_edge[node + 1] as usize
    }

    /// The node from which an edge comes.
    pub fn source_of(&self, edge: u32) -> Ordinal {
        // The last node whose edges begin at or before it. Nodes without edges begin there too, but come before.
        (self.nodes.first_edge.partition_point(|first| *first <= edge) - 1) as Ordinal
    }

    pub fn node_kinds(&self) -> &NodeKinds {
        &self.meta.node_kinds
    }

    pub fn edge_kinds(&self) -> &EdgeKinds {
        &self.meta.edge_kinds
    }

    pub fn raw_name(&self, node: Ordinal) -> &[u8] {
        self.strings.raw(self.nodes.name[node as usize])
    }

    /// The name of an edge. Empty if it is an index.
    pub fn raw_edge_name(&self, edge: usize) -> &[u8] {
        match self.edge_kinds().is_indexed(self.edges.kind(edge)) {
            true => &[],
            false => self.strings.raw(self.edges.name[edge]),
        }
    }

    pub fn is_synthetic(&self, node: Ordinal) -> bool {
        self.nodes.kind[node as usize] == self.node_kinds().synthetic
    }

    /// The global objects: what is at the root and is not V8's own bookkeeping.
    pub fn is_user_root(&self, node: Ordinal) -> bool {
        !self.is_synthetic(node) || self.is_dom_trees(node)
    }

    pub fn is_dom_trees(&self, node: Ordinal) -> bool {
        self.is_synthetic(node) && self.raw_name(node) == b"(Document DOM trees)"
    }

    pub fn has_user_roots(&self) -> bool {
        self.edges_of(self.root).any(|edge| self.is_user_root(self.edges.to[edge]))
    }

    pub fn find(&self, id: u32) -> Option<Ordinal> {
        self.nodes.id.iter().position(|each| *each == id).map(|at| at as Ordinal)
    }
}
