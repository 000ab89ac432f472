//! One object, its references and the references to it.

use serde::Serialize;

pub use super::graph::distances::{SYSTEM, UNREACHED};
use super::snapshot::Ordinal;
use super::{Heap, Result, names};

/// References that are listed in each direction.
const MOST_REFERENCES: usize = 100;

/// An object or another node of the heap.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeapObject {
    /// V8's id. It is the same in all snapshots of the process.
    pub id: u32,
    /// The text of a string, the properties of a plain object, otherwise V8's name.
    pub name: String,
    /// The class that DevTools shows it under.
    pub class: String,
    /// V8's type: `object`, `closure`, `string`, `native`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The shallow size, in bytes.
    pub self_bytes: u64,
    /// What would be freed with it, itself included, in bytes.
    pub retained_bytes: u64,
    /// Steps from the global objects. From [`SYSTEM`] on, steps from V8's own roots. [`UNREACHED`] if only weak references lead to it.
    pub distance: i32,
    /// The id of the immediate dominator. The root has none.
    pub dominator: Option<u32>,
}

/// An edge, seen from one of its ends.
#[derive(Clone, Debug, Serialize)]
pub struct Reference {
    /// The property, variable or index, or V8's own name.
    pub name: String,
    /// V8's type: `property`, `context`, `element`, `internal`, `weak`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it keeps its target alive.
    pub retains: bool,
    /// The object at the other end.
    pub object: HeapObject,
}

/// An object with its references.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// The object itself.
    #[serde(flatten)]
    pub object: HeapObject,
    /// How many references it has to other objects.
    pub reference_count: usize,
    /// How many references other objects have to it.
    pub retainer_count: usize,
    /// The first 100 of its references.
    pub references: Vec<Reference>,
    /// The first 100 of the references to it.
    pub retainers: Vec<Reference>,
}

impl Heap {
    pub(super) fn describe(&self, node: Ordinal) -> HeapObject {
        let (snapshot, at) = (&self.snapshot, node as usize);
        let dominator = self.retained.dominator[at];
        HeapObject {
            id: snapshot.nodes.id[at],
            name: names::of(snapshot, &self.classes, node),
            class: self.classes.name(node).to_owned(),
            kind: snapshot.meta.node_types[usize::from(snapshot.nodes.kind[at])].clone(),
            self_bytes: snapshot.nodes.size.get(node),
            retained_bytes: self.retained.size.get(node),
            distance: self.retained.distance[at],
            dominator: (node != snapshot.root).then(|| snapshot.nodes.id[dominator as usize]),
        }
    }

    fn reference(&self, edge: usize, other: Ordinal) -> Reference {
        Reference {
            name: self.edge_name(edge),
            kind: self.snapshot.meta.edge_types[usize::from(self.snapshot.edges.kind(edge))].clone(),
            retains: self.snapshot.edges.retains(edge),
            object: self.describe(other),
        }
    }

    /// The name of an edge, or its index.
    pub(super) fn edge_name(&self, edge: usize) -> String {
        let snapshot = &self.snapshot;
        match snapshot.edge_kinds().is_indexed(snapshot.edges.kind(edge)) {
            true => snapshot.edges.name[edge].to_string(),
            false => snapshot.strings.text(snapshot.edges.name[edge]),
        }
    }

    /// One object, its references and the references to it. This scans all edges, which takes some milliseconds.
    ///
    /// # Errors
    /// [`Error::NoSuchObject`](crate::Error::NoSuchObject) if no object has this id.
    pub fn object(&self, id: u32) -> Result<Detail> {
        let node = self.find(id)?;
        let edges = self.snapshot.edges_of(node);
        let references = edges.clone().take(MOST_REFERENCES);
        // All edges are searched, which takes some milliseconds. An index would need a third more memory.
        let targets = &self.snapshot.edges.to;
        let leading = || (0..targets.len()).filter(|edge| targets[*edge] == node);
        let retainers = leading().take(MOST_REFERENCES);
        Ok(Detail {
            object: self.describe(node),
            reference_count: edges.len(),
            retainer_count: leading().count(),
            references: references.map(|edge| self.reference(edge, targets[edge])).collect(),
            retainers: retainers.map(|edge| self.reference(edge, self.snapshot.source_of(edge as u32))).collect(),
        })
    }
}
