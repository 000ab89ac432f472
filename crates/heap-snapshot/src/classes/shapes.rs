//! Names plain objects by their properties: `{items, note}`. DevTools infers interfaces from the objects themselves.
//! These are the sequences of properties that are frequent enough. Each object belongs to the interface with the most
//! properties that are all present.

use foldhash::{HashMap, HashMapExt};

use crate::snapshot::{Ordinal, Snapshot};

/// A name with at least one property ends before it would exceed this.
const NAME_UNITS: usize = 120;
const LEAST_OBJECTS: u32 = 2;
/// An interface has at least one in this many plain objects.
const PROPORTION: f64 = 1000.0;

struct Interface {
    name: String,
    /// Its properties as places in the order of names, sorted.
    properties: Box<[u32]>,
    mask: u64,
}

pub struct Shapes {
    /// Of the string `Object`, if there is one.
    object_kind: u8,
    property: u8,
    plain: Vec<u32>,
    /// For the properties of all interfaces, by the string's number.
    ranks: HashMap<u32, u32>,
    /// Those with most properties first.
    interfaces: Vec<Interface>,
    /// The result for a set of properties.
    known: HashMap<Box<[u32]>, Option<usize>>,
    scratch: Vec<u32>,
}

struct Candidate {
    name: String,
    properties: Box<[u32]>,
    count: u32,
    /// When it was first seen.
    order: usize,
}

impl Shapes {
    pub fn infer(snapshot: &Snapshot) -> Self {
        let mut shapes = Self {
            object_kind: snapshot.node_kinds().object,
            property: snapshot.edge_kinds().property,
            plain: snapshot.strings.numbers_of(b"Object"),
            ranks: HashMap::new(),
            interfaces: Vec::new(),
            known: HashMap::new(),
            scratch: Vec::new(),
        };
        let (mut candidates, total) = shapes.candidates(snapshot);
        candidates.sort_by(|a, b| b.count.cmp(&a.count).then(a.order.cmp(&b.order)));
        let least = f64::from(LEAST_OBJECTS).max(f64::from(total) / PROPORTION);
        candidates.retain(|candidate| f64::from(candidate.count) >= least);
        shapes.ranks = ranks(snapshot, &candidates);
        shapes.interfaces = candidates.into_iter().map(|candidate| shapes.interface(candidate)).collect();
        // Stable: of those with the same number of properties the most frequent comes first.
        shapes.interfaces.sort_by_key(|interface| std::cmp::Reverse(interface.properties.len()));
        shapes
    }

    fn is_plain(&self, snapshot: &Snapshot, node: Ordinal) -> bool {
        snapshot.nodes.kind[node as usize] == self.object_kind
            && self.plain.contains(&snapshot.nodes.name[node as usize])
    }

    /// The sequences of properties of plain objects with their counts, and the number of plain objects.
    fn candidates(&self, snapshot: &Snapshot) -> (Vec<Candidate>, u32) {
        let mut labels: HashMap<u32, (String, usize)> = HashMap::new();
        let mut found: HashMap<Box<[u32]>, (u32, usize)> = HashMap::new();
        let mut properties = Vec::new();
        let mut total = 0;
        for node in snapshot.ordinals().filter(|node| self.is_plain(snapshot, *node)) {
            total += 1;
            properties.clear();
            let mut length = 1;
            for edge in snapshot.edges_of(node) {
                let name = snapshot.edges.name[edge];
                if snapshot.edges.kind(edge) != self.property || snapshot.strings.raw(name) == b"__proto__" {
                    continue;
                }
                let (_, units) = labels.entry(name).or_insert_with(|| label(&snapshot.strings.text(name)));
                if length > 1 && length + *units > NAME_UNITS {
                    break;
                }
                length += *units + if length > 1 { 2 } else { 0 };
                properties.push(name);
            }
            if properties.is_empty() {
                continue;
            }
            match found.get_mut(properties.as_slice()) {
                Some((count, _)) => *count += 1,
                None => {
                    let order = found.len();
                    found.insert(properties.as_slice().into(), (1, order));
                }
            }
        }
        let named =
            found.into_iter().filter(|(_, (count, _))| *count >= LEAST_OBJECTS).map(|(properties, (count, order))| {
                let parts: Vec<&str> = properties.iter().map(|name| labels[name].0.as_str()).collect();
                Candidate { name: format!("{{{}}}", parts.join(", ")), properties, count, order }
            });
        (named.collect(), total)
    }

    fn interface(&self, candidate: Candidate) -> Interface {
        let mut properties: Vec<u32> = candidate.properties.iter().map(|name| self.ranks[name]).collect();
        properties.sort_unstable();
        Interface { name: candidate.name, mask: mask(&properties), properties: properties.into() }
    }

    /// The number of a plain object's interface. None for other objects, and for those without one.
    pub fn of(&mut self, snapshot: &Snapshot, node: Ordinal) -> Option<usize> {
        if !self.is_plain(snapshot, node) {
            return None;
        }
        self.scratch.clear();
        for edge in snapshot.edges_of(node).filter(|edge| snapshot.edges.kind(*edge) == self.property) {
            self.scratch.extend(self.ranks.get(&snapshot.edges.name[edge]));
        }
        self.scratch.sort_unstable();
        if let Some(found) = self.known.get(self.scratch.as_slice()) {
            return *found;
        }
        let found = self.search();
        self.known.insert(self.scratch.as_slice().into(), found);
        found
    }

    pub fn name(&self, interface: usize) -> &str {
        &self.interfaces[interface].name
    }

    fn search(&self) -> Option<usize> {
        let all = mask(&self.scratch);
        self.interfaces.iter().position(|interface| {
            interface.mask & !all == 0
                && interface.properties.iter().all(|property| self.scratch.binary_search(property).is_ok())
        })
    }
}

/// A filter that rejects most sets that are no subset.
fn mask(properties: &[u32]) -> u64 {
    properties.iter().fold(0, |mask, property| mask | 1 << (property % 64))
}

/// Numbers for all the properties of interfaces, by name.
fn ranks(snapshot: &Snapshot, candidates: &[Candidate]) -> HashMap<u32, u32> {
    let mut names: Vec<u32> = candidates.iter().flat_map(|candidate| candidate.properties.iter().copied()).collect();
    names.sort_unstable_by(|a, b| snapshot.strings.raw(*a).cmp(snapshot.strings.raw(*b)).then(a.cmp(b)));
    names.dedup();
    names.into_iter().zip(0..).collect()
}

/// A property in the form of a shape, and its length in UTF-16. It is quoted if it contains a shape's punctuation.
pub fn label(name: &str) -> (String, usize) {
    let label = match name.contains([',', '\'', '"', '{', '}']) {
        true => serde_json::to_string(name).unwrap_or_default(),
        false => name.to_owned(),
    };
    let units = label.encode_utf16().count();
    (label, units)
}

pub fn label_text(name: &str) -> String {
    label(name).0
}
