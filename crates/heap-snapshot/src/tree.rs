//! The dominator tree, from the root down.

use serde::Serialize;

use super::Heap;
use super::memory;
use super::object::HeapObject;
use super::snapshot::{Ordinal, Sizes};

pub(crate) struct Children {
    first: Vec<u32>,
    nodes: Vec<Ordinal>,
    root: Ordinal,
}

impl Children {
    pub fn of(dominators: &[Ordinal], root: Ordinal) -> Self {
        // Shifted by one place, so that noting the nodes moves all into position.
        let mut first = memory::zeros::<u32>(dominators.len() + 2);
        let others = || (0..).zip(dominators).filter(|(node, _)| *node != root);
        for (_, dominator) in others() {
            first[*dominator as usize + 2] += 1;
        }
        for at in 2..first.len() {
            first[at] += first[at - 1];
        }
        let mut nodes = memory::zeros(dominators.len().saturating_sub(1));
        for (node, dominator) in others() {
            let slot = &mut first[*dominator as usize + 1];
            nodes[*slot as usize] = node;
            *slot += 1;
        }
        Self { first, nodes, root }
    }

    pub fn of_node(&self, node: Ordinal) -> &[Ordinal] {
        &self.nodes[self.first[node as usize] as usize..self.first[node as usize + 1] as usize]
    }

    /// Visits the nodes for which `counts` is true and that no other such node of the same class dominates. What these
    /// retain is what the class retains, without counting anything twice. `classes` has each node's class, below
    /// `count`.
    pub fn outermost(
        &self,
        classes: &[u32],
        count: usize,
        counts: impl Fn(Ordinal) -> bool,
        mut visit: impl FnMut(Ordinal),
    ) {
        let mut above = vec![false; count];
        // Classes to be left when the stack is as short as when they were entered.
        let mut entered: Vec<(usize, u32)> = Vec::new();
        let mut stack = vec![self.root];
        while let Some(node) = stack.pop() {
            let class = classes[node as usize];
            let children = self.of_node(node);
            if !above[class as usize] && counts(node) {
                visit(node);
                if !children.is_empty() {
                    above[class as usize] = true;
                    entered.push((stack.len(), class));
                }
            }
            stack.extend_from_slice(children);
            while let Some((_, class)) = entered.pop_if(|(length, _)| *length == stack.len()) {
                above[class as usize] = false;
            }
        }
    }

    /// The nodes with the greatest sizes among `from`, largest first.
    pub fn largest(from: impl Iterator<Item = Ordinal>, sizes: &Sizes, most: usize) -> Vec<Ordinal> {
        let mut found: Vec<(u64, Ordinal)> = Vec::with_capacity(2 * most);
        let order = |a: &(u64, Ordinal), b: &(u64, Ordinal)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        let mut least = 0;
        for node in from {
            let size = sizes.get(node);
            if size < least {
                continue;
            }
            found.push((size, node));
            if found.len() >= 2 * most.max(1) {
                found.sort_unstable_by(order);
                found.truncate(most);
                least = found.last().map_or(0, |last| last.0);
            }
        }
        found.sort_unstable_by(order);
        found.into_iter().take(most).map(|(_, node)| node).collect()
    }
}

/// A node of the dominator tree with its depth below the root.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Branch {
    /// How many steps below the root it is.
    pub depth: usize,
    /// The node.
    #[serde(flatten)]
    pub object: HeapObject,
    /// How many nodes it dominates immediately that are too small or too deep to be listed.
    pub rest_count: u64,
    /// What those retain, in bytes.
    pub rest_bytes: u64,
}

/// The limits of the listed tree.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Nodes that retain less are not listed.
    pub least_bytes: u64,
    /// The greatest depth that is listed. The root has 0.
    pub depth: usize,
    /// The greatest number of rows.
    pub rows: usize,
}

impl Heap {
    /// The tree as a flat list: each node before those it dominates, the largest first. A linked list makes a deep tree, so this is no
    /// nested structure.
    pub fn dominators(&self, cut: Cut) -> Vec<Branch> {
        let children = self.children();
        let sizes = &self.retained.size;
        let mut rows = Vec::new();
        let mut stack = vec![(self.snapshot.root, 0)];
        while let Some((node, depth)) = stack.pop() {
            if rows.len() >= cut.rows {
                break;
            }
            let is_listed = |child: &Ordinal| depth < cut.depth && sizes.get(*child) >= cut.least_bytes.max(1);
            let (mut listed, mut rest) = (Vec::new(), (0, 0));
            for child in children.of_node(node) {
                if is_listed(child) {
                    listed.push(*child);
                } else {
                    rest = (rest.0 + 1, rest.1 + sizes.get(*child));
                }
            }
            // The last one on the stack is shown next.
            listed.sort_by_key(|child| (sizes.get(*child), std::cmp::Reverse(*child)));
            stack.extend(listed.into_iter().map(|child| (child, depth + 1)));
            rows.push(Branch { depth, object: self.describe(node), rest_count: rest.0, rest_bytes: rest.1 });
        }
        rows
    }

    /// The ids of the objects of a class that retain most, largest first, at most `most`.
    pub fn largest_of(&self, class: &str, most: usize) -> Vec<u32> {
        let is_class: Vec<bool> = self.classes.all.iter().map(|each| each.name == class).collect();
        let nodes = self.snapshot.ordinals().filter(|node| is_class[self.classes.of[*node as usize] as usize]);
        let largest = Children::largest(nodes, &self.retained.size, most);
        largest.into_iter().map(|node| self.snapshot.nodes.id[node as usize]).collect()
    }

    /// The names of classes that contain `part` in any case, the shortest first.
    pub fn classes_like(&self, part: &str) -> Vec<&str> {
        let part = part.to_lowercase();
        let mut found: Vec<&str> = (self.classes.all.iter())
            .map(|class| class.name.as_str())
            .filter(|name| name.to_lowercase().contains(&part))
            .collect();
        found.sort_unstable_by_key(|name| (name.len(), *name));
        found.dedup();
        found
    }
}
