//! The objects of a group by what holds them: the classes of the two nearest objects on the shortest path, and the name of the nearest one.
//!
//! A general class (`Function`, `Array`, `Object`) has one group for many purposes, because functions are within functions. The holders that
//! hold more objects than before show what grows. The example of a class is one of their objects, so its path is the one that grew.

use std::collections::HashMap;

use super::Heap;
use super::snapshot::{NONE, Ordinal};

/// Holders that are counted. A dictionary may have as many names as it has entries.
const MOST_HOLDERS: usize = 200_000;
/// The holders of a group that retain most are compared. Fewer of them have a path.
const MOST_COMPARED: usize = 64;
const MOST_PATHS: usize = 16;
/// Steps of a path in which holders are searched.
const MOST_STEPS: usize = 8;

/// Objects of a group with the same holders.
#[derive(Clone, Copy, Debug)]
struct Sum {
    /// The number of the group, and that of the holders without their names. The latter is 0 for a sum of all names.
    group: u64,
    unnamed: u64,
    count: u64,
    /// Sum of what each retains. Objects within others count again.
    retained: u64,
    /// An object that is nearest to a root.
    example: Ordinal,
    distance: i32,
    alike: u64,
}

impl Sum {
    fn see(&mut self, node: Ordinal, retained: u64, distance: i32) {
        self.count += 1;
        self.retained = self.retained.saturating_add(retained);
        if distance < self.distance {
            (self.distance, self.alike) = (distance, 0);
        }
        if distance == self.distance {
            self.alike += 1;
            // One in the later half of them: the first ones are from the start of the program.
            if self.alike.is_power_of_two() {
                self.example = node;
            }
        }
    }
}

/// Counts objects by group and holders.
#[derive(Default)]
pub struct Holders {
    sums: HashMap<u64, Sum>,
}

/// The numbers of an object's holders.
#[derive(Clone, Copy)]
pub struct HeldBy {
    unnamed: u64,
    named: u64,
}

impl Holders {
    pub fn see(&mut self, heap: &Heap, group: u64, node: Ordinal, held_by: HeldBy) {
        let retained = heap.retained.size.get(node);
        // What no strong reference leads to has no path.
        let distance = Some(heap.retained.distance[node as usize]).filter(|each| *each >= 0).unwrap_or(i32::MAX);
        let HeldBy { unnamed, named } = held_by;
        for (number, unnamed) in [(unnamed, 0), (named, unnamed)] {
            let key = mixed(group, number);
            if self.sums.len() >= MOST_HOLDERS && !self.sums.contains_key(&key) {
                continue;
            }
            let none = Sum { group, unnamed, count: 0, retained: 0, example: node, distance: i32::MAX, alike: 0 };
            self.sums.entry(key).or_insert(none).see(node, retained, distance);
        }
    }

    /// The sums of each group, those that retain most first. `path` describes an example. `has_paths`: whether a group needs paths.
    pub fn by_group(
        self,
        path: impl Fn(Ordinal) -> (Vec<String>, Option<String>, u32),
        has_paths: impl Fn(u64) -> bool,
    ) -> HashMap<u64, Vec<Held>> {
        let mut groups: HashMap<u64, Vec<(u64, Sum)>> = HashMap::new();
        for (number, sum) in self.sums {
            groups.entry(sum.group).or_default().push((number, sum));
        }
        let held = |group: u64, mut sums: Vec<(u64, Sum)>| {
            sums.sort_unstable_by_key(|(number, sum)| (std::cmp::Reverse(sum.retained), *number));
            sums.truncate(MOST_COMPARED);
            let describe = |(rank, (number, sum)): (usize, (u64, Sum))| {
                let described = (rank < MOST_PATHS && has_paths(group)).then(|| path(sum.example));
                let unnamed = if sum.unnamed == 0 { 0 } else { mixed(group, sum.unnamed) };
                Held { number, unnamed, count: sum.count, retained: sum.retained, described }
            };
            sums.into_iter().enumerate().map(describe).collect()
        };
        groups.into_iter().map(|(group, sums)| (group, held(group, sums))).collect()
    }
}

/// A [`Sum`] without its snapshot.
#[derive(Clone, Debug)]
pub struct Held {
    number: u64,
    unnamed: u64,
    count: u64,
    retained: u64,
    /// Path, module and id of the example.
    pub described: Option<(Vec<String>, Option<String>, u32)>,
}

impl Held {
    fn grown(&self, before: &[Self]) -> u64 {
        let then = before.iter().find(|then| then.number == self.number);
        let (count, retained) = then.map_or((0, 0), |then| (then.count, then.retained));
        let more = self.count.saturating_sub(count);
        let alike = self.retained as f64 * more as f64 / self.count.max(1) as f64;
        (alike as u64).min(self.retained.saturating_sub(retained))
    }
}

/// The holders whose objects grew most. A name counts if most of that growth is below it: entries of a dictionary have a name each.
pub fn grown_most<'a>(now: &'a [Held], before: &[Held]) -> Option<&'a Held> {
    let most = |of: u64| {
        let those = now.iter().filter(move |held| held.unnamed == of && held.described.is_some());
        those.map(|held| (held.grown(before), held)).filter(|(grown, _)| *grown > 0).max_by_key(|(grown, _)| *grown)
    };
    let (all, unnamed) = most(0)?;
    let named = most(unnamed.number).filter(|(grown, _)| *grown >= all / 2);
    Some(named.map_or(unnamed, |(_, named)| named))
}

impl Heap {
    /// The holders of an object. Arrays of V8 and scopes of functions are passed over.
    pub(super) fn held_by(&self, node: Ordinal, names: &[u64]) -> HeldBy {
        let (ways, kinds) = (self.ways(), self.snapshot.edge_kinds());
        let (mut unnamed, mut name, mut holders) = (0, 0, 0);
        let mut at = node;
        for _ in 0..MOST_STEPS {
            let edge = ways[at as usize];
            if edge == NONE {
                break;
            }
            let kind = self.snapshot.edges.kind(edge as usize);
            let is_named = kind == kinds.context || kind == kinds.property;
            // The name of the first holder, or of the object itself if it is a variable.
            if is_named && name == 0 && (holders == 1 || kind == kinds.context) {
                name = bytes(self.snapshot.raw_edge_name(edge as usize));
            }
            if holders == 2 {
                break;
            }
            at = self.snapshot.source_of(edge);
            if !self.is_passed_over(at) {
                unnamed = mixed(unnamed, names[self.classes.of[at as usize] as usize]);
                holders += 1;
            }
        }
        // 0 means no holders.
        let unnamed = unnamed.max(1);
        HeldBy { unnamed, named: mixed(unnamed, name) }
    }

    fn is_passed_over(&self, node: Ordinal) -> bool {
        let (kind, kinds) = (self.snapshot.nodes.kind[node as usize], self.snapshot.node_kinds());
        kind == kinds.array || kind == kinds.hidden || kind == kinds.code || self.is_context(node)
    }
}

fn bytes(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |number, byte| mixed(number, u64::from(*byte)))
}

/// The same in all processes of this build.
fn mixed(number: u64, other: u64) -> u64 {
    let mixed = (number.rotate_left(5) ^ other).wrapping_mul(0x517c_c1b7_2722_0a95);
    mixed ^ (mixed >> 29)
}
