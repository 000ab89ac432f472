//! What is on the heap: classes, kinds of memory, the biggest objects, duplicate strings, detached DOM nodes.

use serde::Serialize;

use super::classes::{DETACHED, Place};
use super::object::HeapObject;
use super::snapshot::Ordinal;
use super::tree::Children;
use super::{Heap, names, threads};

/// Objects, duplicate strings and detached nodes that are listed.
const MOST_SHOWN: usize = 100;
/// Characters of a string's text.
const TEXT_CHARS: usize = 200;

/// What is on the heap. All sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// How many nodes the snapshot has.
    pub nodes: usize,
    /// How many references it has.
    pub edges: usize,
    /// See [`Heap::total_bytes`].
    pub total_bytes: u64,
    /// By retained size, largest first.
    pub classes: Vec<ClassSummary>,
    /// By kind of memory. Each byte is in one of them.
    pub kinds: Vec<KindSummary>,
    /// The 100 objects that retain most, largest first.
    pub biggest: Vec<HeapObject>,
    /// Strings with the same text.
    pub duplicate_strings: Duplicates,
    /// DOM nodes that no document contains.
    pub detached: Detached,
}

/// The objects of one class.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassSummary {
    /// Its name, as DevTools shows it.
    pub name: String,
    /// How many objects it has.
    pub count: u64,
    /// Their shallow size.
    pub self_bytes: u64,
    /// What they retain together.
    pub retained_bytes: u64,
    /// The shortest distance of one of them: see [`HeapObject::distance`].
    pub distance: i32,
    /// The constructor, where V8 knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
}

/// One kind of memory.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindSummary {
    /// `objects`, `arrays`, `strings`, `closures`, `buffers`, `native`, `compiled code`, `system` or `other`.
    pub kind: &'static str,
    /// How many nodes are of it.
    pub count: u64,
    /// Their shallow size.
    pub bytes: u64,
}

/// Strings with the same text. Strings of 1,024 characters and more do not count: V8 cuts them there.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicates {
    /// How many strings there are beyond the first of each text.
    pub count: u64,
    /// The size of all strings but the largest of each text.
    pub wasted_bytes: u64,
    /// The 100 texts that waste most, largest first.
    pub strings: Vec<Duplicate>,
}

/// One text that several strings have.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Duplicate {
    /// The first 200 characters.
    pub value: String,
    /// How many strings have it.
    pub count: u64,
    /// The size of all of them.
    pub bytes: u64,
    /// The size of all but the largest.
    pub wasted_bytes: u64,
}

/// DOM nodes that no document contains. Node has none.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detached {
    /// How many there are.
    pub count: u64,
    /// Their shallow size.
    pub self_bytes: u64,
    /// The 100 nodes that retain most, largest first.
    pub nodes: Vec<HeapObject>,
}

const KINDS: [&str; 9] =
    ["objects", "arrays", "strings", "closures", "buffers", "native", "compiled code", "system", "other"];

impl Heap {
    /// Computes the summary of the whole heap, on two threads.
    pub fn summary(&self) -> Summary {
        let snapshot = &self.snapshot;
        let (retained, (mut classes, kinds, biggest, duplicate_strings, detached)) = threads::both(
            || self.retained_by_class(),
            || (self.class_summaries(), self.kind_summaries(), self.biggest(), self.duplicates(), self.detached()),
        );
        classes.iter_mut().zip(retained).for_each(|(class, bytes)| class.retained_bytes = bytes);
        classes.retain(|class| class.count > 0);
        classes.sort_by(|a, b| b.retained_bytes.cmp(&a.retained_bytes).then_with(|| a.name.cmp(&b.name)));
        Summary {
            nodes: snapshot.node_count(),
            edges: snapshot.edges.count(),
            total_bytes: self.total_bytes(),
            classes,
            kinds,
            biggest,
            duplicate_strings,
            detached,
        }
    }

    /// As in DevTools, nodes without a size of their own do not count: arrays whose size is their owner's.
    fn counts(&self, node: Ordinal) -> bool {
        self.snapshot.nodes.size.get(node) > 0
    }

    /// Bytes that the objects of each class retain together.
    fn retained_by_class(&self) -> Vec<u64> {
        let classes = &self.classes;
        let mut all = vec![0; classes.all.len()];
        let counts = |node| self.counts(node);
        self.children().outermost(&classes.of, classes.all.len(), counts, |node| {
            all[classes.of[node as usize] as usize] += self.retained.size.get(node);
        });
        all
    }

    fn biggest(&self) -> Vec<HeapObject> {
        let objects = self.snapshot.ordinals().filter(|node| !self.is_root_like(*node));
        let biggest = Children::largest(objects, &self.retained.size, MOST_SHOWN);
        biggest.into_iter().map(|node| self.describe(node)).collect()
    }

    /// By number, without retained sizes yet.
    fn class_summaries(&self) -> Vec<ClassSummary> {
        let snapshot = &self.snapshot;
        let mut all: Vec<ClassSummary> = (self.classes.all.iter())
            .map(|class| ClassSummary {
                name: class.name.clone(),
                count: 0,
                self_bytes: 0,
                retained_bytes: 0,
                distance: i32::MAX,
                location: class.place(),
            })
            .collect();
        for node in snapshot.ordinals().filter(|node| self.counts(*node)) {
            let class = &mut all[self.classes.of[node as usize] as usize];
            class.count += 1;
            class.self_bytes += snapshot.nodes.size.get(node);
            class.distance = class.distance.min(self.retained.distance[node as usize]);
        }
        all
    }

    fn kind_summaries(&self) -> Vec<KindSummary> {
        let snapshot = &self.snapshot;
        let kinds = snapshot.node_kinds();
        let mut all = KINDS.map(|kind| KindSummary { kind, count: 0, bytes: 0 });
        let arrays = snapshot.strings.numbers_of(b"Array");
        let buffers = snapshot.strings.numbers_of(b"system / JSArrayBufferData");
        for node in snapshot.ordinals() {
            let (kind, name) = (snapshot.nodes.kind[node as usize], snapshot.nodes.name[node as usize]);
            let at = match kind {
                _ if kind == kinds.object && arrays.contains(&name) => 1,
                _ if kind == kinds.object => 0,
                _ if kind == kinds.array => 1,
                _ if kinds.is_string(kind) => 2,
                _ if kind == kinds.closure => 3,
                _ if kind == kinds.native && buffers.contains(&name) => 4,
                _ if kind == kinds.native => 5,
                _ if kind == kinds.code => 6,
                _ if kind == kinds.hidden => 7,
                _ => 8,
            };
            all[at].count += 1;
            all[at].bytes += snapshot.nodes.size.get(node);
        }
        all.into_iter().filter(|kind| kind.count > 0).collect()
    }

    /// V8 numbers texts, so strings with one number are equal. Those that it has cut may differ after the cut, and are
    /// left out.
    fn duplicates(&self) -> Duplicates {
        let snapshot = &self.snapshot;
        let string = snapshot.node_kinds().string;
        // Count, bytes and the largest of each text.
        let mut texts = vec![(0u32, 0u64, 0u64); snapshot.strings.count()];
        for node in snapshot.ordinals().filter(|node| snapshot.nodes.kind[*node as usize] == string) {
            let size = snapshot.nodes.size.get(node);
            // Names were checked against the strings. In a snapshot without any, all are 0.
            let Some(text) = texts.get_mut(snapshot.nodes.name[node as usize] as usize) else { continue };
            *text = (text.0 + 1, text.1 + size, text.2.max(size));
        }
        let cut = |index: u32| snapshot.strings.raw(index).len() >= names::MOST_CHARS;
        let mut found: Vec<(u64, u32)> = Vec::new();
        let mut all = Duplicates::default();
        for (index, (count, bytes, largest)) in (0..).zip(&texts) {
            if *count > 1 && !cut(index) {
                all.count += u64::from(count - 1);
                all.wasted_bytes += bytes - largest;
                found.push((bytes - largest, index));
            }
        }
        found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let shown = found.into_iter().take(MOST_SHOWN).map(|(wasted_bytes, index)| {
            let (count, bytes, _) = texts[index as usize];
            let value = snapshot.strings.text(index).chars().take(TEXT_CHARS).collect();
            Duplicate { value, count: u64::from(count), bytes, wasted_bytes }
        });
        all.strings = shown.collect();
        all
    }

    fn detached(&self) -> Detached {
        let snapshot = &self.snapshot;
        let native = snapshot.node_kinds().native;
        let is_detached = |node: &Ordinal| match self.classes.detached.get(*node as usize) {
            Some(state) => *state == DETACHED,
            // Before V8 had a column for it, the name contained it.
            None => snapshot.nodes.kind[*node as usize] == native && snapshot.raw_name(*node).starts_with(b"Detached "),
        };
        let found: Vec<Ordinal> = snapshot.ordinals().filter(is_detached).collect();
        let largest = Children::largest(found.iter().copied(), &self.retained.size, MOST_SHOWN);
        Detached {
            count: found.len() as u64,
            self_bytes: found.iter().map(|node| snapshot.nodes.size.get(*node)).sum(),
            nodes: largest.into_iter().map(|node| self.describe(node)).collect(),
        }
    }
}
