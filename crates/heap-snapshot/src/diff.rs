//! What was created and what is gone between two snapshots of one process.
//!
//! An object keeps its id as long as it exists, so equal ids are the same object. Native nodes get new ids in each snapshot. Native nodes of
//! the same class and size cancel out. Two forked children of a process number its objects independently, so their ids are unrelated.
//! [`Heap::has_ids_of`] checks that: it compares the names of functions, which never change. Then [`Groups`] compares without ids.
//!
//! With three snapshots, an object counts if it was created between the first and the second and still exists in the third. That is
//! memlab's rule.
//!
//! ```
//! use heap_snapshot::diff::Baseline;
//! use heap_snapshot::source::Source;
//! use heap_snapshot::{Heap, Roots};
//!
//! let path = "examples/small.heapsnapshot".as_ref();
//! let before = Baseline::read(&mut Source::open(path)?, Roots::DevTools)?;
//! let after = Heap::read(&mut Source::open(path)?, Roots::DevTools)?;
//!
//! assert!(after.has_ids_of(&before));
//! let diff = after.diff(&before, None)?;
//! assert_eq!((diff.added, diff.removed), (0, 0), "it is the same snapshot");
//! # Ok::<(), heap_snapshot::Error>(())
//! ```

use std::collections::HashMap;

use serde::Serialize;

use super::bits::Bits;
use super::classes::{self, Class, Classes, Place};
pub use super::diff_without_ids::Groups;
use super::snapshot::{NONE, Ordinal, Snapshot};
use super::source::Source;
use super::{Error, Heap, Result, Roots, graph, lexer};

/// Only this many classes have a path: further ones would take long and say little.
const MOST_PATHS: usize = 50;

/// What was created and what is gone, between two snapshots.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Whether objects were counted by class and by the path that retains them. That is so if ids mean nothing: see [`Groups`].
    pub counted: bool,
    /// Objects in the later snapshot only.
    pub added: u64,
    /// Objects in the earlier snapshot only.
    pub removed: u64,
    /// The shallow size of the added objects, in bytes.
    pub added_bytes: u64,
    /// The shallow size of the removed objects, in bytes.
    pub removed_bytes: u64,
    /// By what the added objects retain less what was removed, largest first.
    pub classes: Vec<ClassDiff>,
}

/// The part of a [`Diff`] that is of one class.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassDiff {
    /// The name of the class, as DevTools shows it.
    pub name: String,
    /// Its objects in the later snapshot only.
    pub added: u64,
    /// Its objects in the earlier snapshot only.
    pub removed: u64,
    /// The shallow size of the added objects, in bytes.
    pub added_bytes: u64,
    /// The shallow size of the removed objects, in bytes.
    pub removed_bytes: u64,
    /// Bytes that the added objects retain together.
    pub retained_bytes: u64,
    /// The retaining path of the added object that retains most, root first. Only the first 50 classes have one.
    pub path: Vec<String>,
    /// The file of the module that the path goes through, if any.
    pub module: Option<String>,
    /// The id of the object at the end of the path.
    pub example: Option<u32>,
    /// The constructor, where V8 knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Place>,
}

/// What a diff needs of the earlier snapshot: 12 bytes an object instead of the whole heap.
pub struct Baseline {
    ids: Ids,
    /// Id, class, bytes.
    objects: Vec<(u32, u32, Small)>,
    /// The bytes of objects of 4 GiB and more, by id.
    large: HashMap<u32, u64>,
    classes: Vec<Class>,
    /// The number of native nodes of each class and size.
    native: HashMap<(u32, u64), u64>,
    /// Ids and names of some functions.
    functions: HashMap<u32, String>,
}

/// Functions that are compared, and the share that must be the same for ids to be comparable: in one process all were,
/// in two children 1 to 3 %.
const MOST_FUNCTIONS: usize = 4096;
const SAME: f64 = 0.98;

/// The ids of one snapshot. V8 numbers objects one after the other, so a bit for each is smallest; native nodes have what comes from addresses, and
/// are few.
pub struct Ids {
    low: Bits,
    /// The number of bits in `low`.
    bound: u32,
    high: Vec<u32>,
}

impl Ids {
    fn of(ids: &[u32]) -> Self {
        // At most half the memory of a list of all ids.
        let highest = ids.iter().copied().max().map_or(0, |id| u64::from(id) + 1);
        let bound = highest.min(16 * ids.len() as u64).min(u64::from(u32::MAX)) as u32;
        let mut low = Bits::new(bound as usize);
        let mut high = Vec::new();
        for id in ids {
            if *id < bound {
                low.set(*id);
            } else {
                high.push(*id);
            }
        }
        high.sort_unstable();
        Self { low, bound, high }
    }

    fn has(&self, id: u32) -> bool {
        if id < self.bound { self.low.get(id) } else { self.high.binary_search(&id).is_ok() }
    }
}

/// A size in 32 bits. Larger ones are in [`Baseline::large`].
type Small = u32;

#[derive(Clone, Copy, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, count: u64, bytes: u64) {
        self.count += count;
        self.bytes += bytes;
    }
}

impl Snapshot {
    fn is_native(&self, node: Ordinal) -> bool {
        self.nodes.kind[node as usize] == self.node_kinds().native
    }

    /// Some functions from the whole snapshot.
    fn functions(&self) -> HashMap<u32, String> {
        let closures = || self.ordinals().filter(|node| self.is_closure(*node));
        let step = closures().count().div_ceil(MOST_FUNCTIONS).max(1);
        closures().step_by(step).map(|node| (self.nodes.id[node as usize], self.function_name(node))).collect()
    }

    fn is_closure(&self, node: Ordinal) -> bool {
        self.nodes.kind[node as usize] == self.node_kinds().closure
    }

    fn function_name(&self, node: Ordinal) -> String {
        self.strings.text(self.nodes.name[node as usize])
    }

    /// The nodes that count: those with a size of their own, as in the summary.
    fn sized(&self) -> impl Iterator<Item = Ordinal> + '_ {
        let counts = |node: &Ordinal| self.nodes.size.get(*node) > 0 && *node != self.root && !self.is_synthetic(*node);
        self.ordinals().filter(counts)
    }
}

impl Ids {
    /// Reads only the ids of a snapshot.
    ///
    /// # Errors
    /// Those of [`Heap::read`].
    pub fn read(source: &mut Source) -> Result<Self> {
        Ok(Self::of(&lexer::read(source)?.nodes.id))
    }
}

impl Baseline {
    /// Reads only the baseline of a snapshot. This is faster than [`Heap::read`], because it computes no dominators.
    ///
    /// # Errors
    /// Those of [`Heap::read`].
    pub fn read(source: &mut Source, roots: Roots) -> Result<Self> {
        let mut snapshot = lexer::read(source)?;
        let classes = graph::sizes_and(&mut snapshot, roots, classes::find);
        Ok(Self::of(&snapshot, &classes))
    }

    fn of(snapshot: &Snapshot, classes: &Classes) -> Self {
        let mut objects = Vec::new();
        let (mut native, mut large) = (HashMap::new(), HashMap::new());
        for node in snapshot.sized() {
            let (class, bytes) = (classes.of[node as usize], snapshot.nodes.size.get(node));
            if snapshot.is_native(node) {
                *native.entry((class, bytes)).or_insert(0) += 1;
                continue;
            }
            let id = snapshot.nodes.id[node as usize];
            let small = Small::try_from(bytes).unwrap_or(Small::MAX);
            if small == Small::MAX {
                large.insert(id, bytes);
            }
            objects.push((id, class, small));
        }
        objects.shrink_to_fit();
        let functions = snapshot.functions();
        Self { functions, ids: Ids::of(&snapshot.nodes.id), objects, large, classes: classes.all.clone(), native }
    }
}

impl Heap {
    /// The ids of all its nodes.
    pub fn ids(&self) -> Ids {
        Ids::of(&self.snapshot.nodes.id)
    }

    /// What a later heap needs of this one for a [`Heap::diff`].
    pub fn baseline(&self) -> Baseline {
        Baseline::of(&self.snapshot, &self.classes)
    }

    /// Whether an id means the same object here and in `before`. If it does not, compare [`Heap::groups`].
    pub fn has_ids_of(&self, before: &Baseline) -> bool {
        let snapshot = &self.snapshot;
        let (mut seen, mut same) = (0, 0);
        for node in snapshot.ordinals() {
            if let Some(name) = before.functions.get(&snapshot.nodes.id[node as usize]) {
                seen += 1;
                same += usize::from(snapshot.is_closure(node) && snapshot.function_name(node) == *name);
            }
        }
        same as f64 >= SAME * f64::from(seen)
    }

    /// What was created since `before` and still exists. With `between`, the ids of a snapshot in the middle, only what existed then.
    ///
    /// # Errors
    /// [`Error::Unrelated`] if the snapshots have no object in common. Then they are not of one process.
    pub fn diff(&self, before: &Baseline, between: Option<&Ids>) -> Result<Diff> {
        let own = self.ids();
        let common = before.objects.iter().filter(|(id, ..)| own.has(*id)).count();
        // Two processes of one program have many ids in common, for different objects. So this detects only the worst
        // mistakes.
        if common == 0 && !before.objects.is_empty() {
            return Err(Error::Unrelated);
        }
        let (numbers, classes) = self.joined(&before.classes);
        let mut added = vec![Sum::default(); classes.len()];
        let mut removed = added.clone();
        let mut cancelled: HashMap<(u32, u64), u64> = HashMap::new();
        for ((class, bytes), count) in &before.native {
            *cancelled.entry((numbers[*class as usize], *bytes)).or_insert(0) += count;
        }
        let mut is_added = Bits::new(self.snapshot.node_count());
        for node in self.snapshot.sized() {
            let (class, bytes) = (self.classes.of[node as usize], self.snapshot.nodes.size.get(node));
            let id = self.snapshot.nodes.id[node as usize];
            let known = match self.snapshot.is_native(node) {
                true => cancelled
                    .get_mut(&(class, bytes))
                    .is_some_and(|left| left.checked_sub(1).map(|n| *left = n).is_some()),
                false => before.ids.has(id) || between.is_some_and(|between| !between.has(id)),
            };
            if !known {
                is_added.set(node);
                added[class as usize].add(1, bytes);
            }
        }
        for (id, class, bytes) in before.objects.iter().filter(|(id, ..)| !own.has(*id)) {
            let bytes = before.large.get(id).copied().unwrap_or(u64::from(*bytes));
            removed[numbers[*class as usize] as usize].add(1, bytes);
        }
        for ((class, bytes), count) in cancelled {
            removed[class as usize].add(count, bytes * count);
        }
        Ok(self.by_class(&classes, &added, &removed, &is_added))
    }

    /// Maps the classes of another snapshot to numbers, and returns the classes of both.
    fn joined(&self, others: &[Class]) -> (Vec<u32>, Vec<Class>) {
        let mut all = self.classes.all.clone();
        let mut known: HashMap<Class, u32> = all.iter().cloned().zip(0..).collect();
        let mut numbers = Vec::with_capacity(others.len());
        for class in others {
            let next = all.len() as u32;
            let number = *known.entry(class.clone()).or_insert(next);
            if number == next {
                all.push(class.clone());
            }
            numbers.push(number);
        }
        (numbers, all)
    }

    fn by_class(&self, classes: &[Class], added: &[Sum], removed: &[Sum], is_added: &Bits) -> Diff {
        let mut retained = vec![0u64; classes.len()];
        let mut example = vec![NONE; classes.len()];
        self.children().outermost(
            &self.classes.of,
            classes.len(),
            |node| is_added.get(node),
            |node| {
                let class = self.classes.of[node as usize] as usize;
                let bytes = self.retained.size.get(node);
                retained[class] += bytes;
                let before = example[class];
                if before == NONE || (bytes, before) > (self.retained.size.get(before), node) {
                    example[class] = node;
                }
            },
        );
        let mut order: Vec<usize> = (0..classes.len()).filter(|at| added[*at].count + removed[*at].count > 0).collect();
        let growth = |at: usize| retained[at] as i64 - removed[at].bytes as i64;
        order.sort_by(|a, b| growth(*b).cmp(&growth(*a)).then_with(|| classes[*a].name.cmp(&classes[*b].name)));
        let classes = order.into_iter().enumerate().map(|(rank, at)| {
            let node = Some(example[at]).filter(|node| *node != NONE);
            let path = node.filter(|_| rank < MOST_PATHS).map(|node| self.parts_of_path(node));
            let (path, module) = path.unwrap_or_default();
            ClassDiff {
                name: classes[at].name.clone(),
                added: added[at].count,
                removed: removed[at].count,
                added_bytes: added[at].bytes,
                removed_bytes: removed[at].bytes,
                retained_bytes: retained[at],
                path,
                module,
                example: node.map(|node| self.snapshot.nodes.id[node as usize]),
                location: classes[at].place(),
            }
        });
        let sum = |sums: &[Sum], of: fn(&Sum) -> u64| sums.iter().map(of).sum();
        Diff {
            counted: false,
            added: sum(added, |sum| sum.count),
            removed: sum(removed, |sum| sum.count),
            added_bytes: sum(added, |sum| sum.bytes),
            removed_bytes: sum(removed, |sum| sum.bytes),
            classes: classes.collect(),
        }
    }
}
