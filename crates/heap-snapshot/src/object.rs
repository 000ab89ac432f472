//! One object: what it is, what it refers to, and who refers to it.

use serde::Serialize;

use super::snapshot::Ordinal;
use super::{Heap, Result, names};

/// Shown of the references in each direction.
const MOST_REFERENCES: usize = 100;

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeapObject {
    pub id: u32,
    pub name: String,
    pub class: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub self_bytes: u64,
    pub retained_bytes: u64,
    /// Steps from the global objects; from 100,000,000 on from V8's own roots, and -5 for what only weak references reach.
    pub distance: i32,
    /// The id of the immediate dominator; none for the root.
    pub dominator: Option<u32>,
}

/// An edge, seen from one of its ends.
#[derive(Clone, Debug, Serialize)]
pub struct Reference {
    /// A property, a variable, an index, or V8's name for it.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it counts for who retains whom.
    pub retains: bool,
    /// At its other end.
    pub object: HeapObject,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    #[serde(flatten)]
    pub object: HeapObject,
    /// How many edges lead from it and to it; of each, the first 100 are listed.
    pub reference_count: usize,
    pub retainer_count: usize,
    pub references: Vec<Reference>,
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

    /// # Errors
    /// There is no object with this id.
    pub fn object(&self, id: u32) -> Result<Detail> {
        let node = self.find(id)?;
        let edges = self.snapshot.edges_of(node);
        let references = edges.clone().take(MOST_REFERENCES);
        // All edges are looked at, which takes some milliseconds: an index the other way round would take a third more memory.
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
