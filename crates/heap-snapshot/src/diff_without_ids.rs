//! What grew between two snapshots whose ids are not comparable: a child of the process made each
//! (`plimsoll.snapshot()`), and each child numbers the objects separately. So objects are counted by class and by their
//! owners: the classes of what dominates them, root first. A session in a cache differs from one in a list, and the
//! number of each is compared.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Heap;
use super::classes::Place;
use super::diff::{ClassDiff, Diff};
use super::holders::{Held, Holders, grown_most};
use super::snapshot::{NONE, Ordinal};

/// The groups that retain most have a path.
const MOST_PATHS: usize = 300;
/// Groups that are counted. An unusual heap may have as many as it has objects.
const MOST_GROUPS: usize = 1_000_000;

/// Objects of one class with the same classes of owners.
#[derive(Clone, Debug, Default)]
struct Group {
    class: u32,
    /// Whether another object of the class retains what they do.
    is_within: bool,
    count: u64,
    bytes: u64,
    /// Bytes that they retain together.
    retained: u64,
    /// An object of the owner that has most of them.
    example: Ordinal,
    /// The number of that owner's objects, the owner that was seen last, and its number so far.
    most: u64,
    holder: Ordinal,
    held: u64,
}

impl Group {
    /// Objects with one owner are visited consecutively.
    fn see(&mut self, node: Ordinal, holder: Ordinal) {
        self.held = if self.held > 0 && self.holder == holder { self.held + 1 } else { 1 };
        self.holder = holder;
        if self.held > self.most {
            (self.most, self.example) = (self.held, node);
        }
    }
}

/// A group without its snapshot.
#[derive(Clone, Debug, Default)]
struct Summed {
    class: String,
    location: Option<Place>,
    is_within: bool,
    count: u64,
    bytes: u64,
    retained: u64,
    example: u32,
    path: Vec<String>,
    module: Option<String>,
    /// The objects by what holds them.
    held: Vec<Held>,
}

impl Summed {
    fn take_in(&mut self, other: &Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.retained += if other.is_within { 0 } else { other.retained };
    }

    /// Bytes that the additional objects retain: their share, at most all growth of the group. Growth within an
    /// existing object does not count.
    fn grown(&self, then: &Self) -> u64 {
        let more = self.count.saturating_sub(then.count);
        let alike = self.retained as f64 * more as f64 / self.count.max(1) as f64;
        (alike as u64).min(self.retained.saturating_sub(then.retained))
    }
}

/// All objects of a snapshot, counted by class and by the classes that dominate them, root first.
///
/// Two snapshots can be compared by it if their ids are unrelated: each was written by a forked child of the process.
pub struct Groups {
    by_way: HashMap<u64, Summed>,
}

/// Whether a class is already on the way down, and the number of the way to it. A way contains a class at most twice,
/// so there are not more ways than lists have ends. Within the first object of a class (arrays in an array, the rest of
/// a list) all objects are one group. They count with what the outermost of them retain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    Not,
    Once(u64),
    Within(u64),
}

/// Appended to the way to the first object of a class, for those within it.
const WITHIN: &[u8] = b"within";

/// A node that is still to be visited.
struct Next {
    node: Ordinal,
    way: u64,
}

impl Heap {
    /// Counts all objects by class and by the classes that dominate them. Use it where [`Heap::has_ids_of`] is false.
    pub fn groups(&self) -> Groups {
        let names: Vec<u64> = self.classes.all.iter().map(|class| number(0, class.name.as_bytes())).collect();
        let (groups, holders) = self.grouped(&names);
        let mut order: Vec<(&u64, &Group)> = groups.iter().collect();
        order.sort_unstable_by_key(|(way, group)| (std::cmp::Reverse(group.retained), **way));
        let with_path: HashSet<u64> = order.iter().take(MOST_PATHS).map(|(way, _)| **way).collect();
        let describe = |node: Ordinal| {
            let (path, module) = self.parts_of_path(node);
            (path, module, self.snapshot.nodes.id[node as usize])
        };
        let mut held = holders.by_group(describe, |way| with_path.contains(&way));
        let summed = |(rank, (way, group)): (usize, (&u64, &Group))| {
            let class = &self.classes.all[group.class as usize];
            let (path, module) = if rank < MOST_PATHS { self.parts_of_path(group.example) } else { Default::default() };
            let Group { is_within, count, bytes, retained, example, .. } = *group;
            let example = self.snapshot.nodes.id[example as usize];
            let (class, location) = (class.name.clone(), class.place());
            let held = held.remove(way).unwrap_or_default();
            (*way, Summed { class, location, is_within, count, bytes, retained, example, path, module, held })
        };
        Groups { by_way: order.into_iter().enumerate().map(summed).collect() }
    }

    fn grouped(&self, names: &[u64]) -> (HashMap<u64, Group>, Holders) {
        let children = self.children();
        let mut groups: HashMap<u64, Group> = HashMap::new();
        let mut holders = Holders::default();
        // How each class was entered on the way down. The previous state is restored when the stack is as short as it
        // was then.
        let mut entered: Vec<Entered> = vec![Entered::Not; names.len()];
        let mut leave: Vec<(usize, usize, Entered)> = Vec::new();
        let mut stack = vec![Next { node: self.snapshot.root, way: 0 }];
        while let Some(Next { node, way: above }) = stack.pop() {
            let class = self.classes.of[node as usize];
            let outer = entered[class as usize];
            let inner = match outer {
                Entered::Not => Entered::Once(self.way(above, node, names)),
                Entered::Once(way) => Entered::Within(number(way, WITHIN)),
                Entered::Within(way) => Entered::Within(way),
            };
            let (Entered::Once(way) | Entered::Within(way)) = inner else { continue };
            if self.is_counted(node) && (groups.len() < MOST_GROUPS || groups.contains_key(&way)) {
                let group = groups.entry(way).or_insert_with(|| {
                    let is_within = matches!(inner, Entered::Within(_));
                    Group { class, is_within, example: node, ..Group::default() }
                });
                group.count += 1;
                group.bytes += self.snapshot.nodes.size.get(node);
                // In other cases, the way says it already.
                if matches!(inner, Entered::Within(_)) || self.retained.dominator[node as usize] == self.snapshot.root {
                    holders.see(self, way, node, self.held_by(node, names));
                }
                if inner != outer {
                    group.retained += self.retained.size.get(node);
                    group.see(node, self.retained.dominator[node as usize]);
                }
            }
            let below = children.of_node(node);
            if inner != outer && !below.is_empty() {
                entered[class as usize] = inner;
                leave.push((stack.len(), class as usize, outer));
            }
            stack.extend(below.iter().map(|node| Next { node: *node, way }));
            while let Some((_, class, outer)) = leave.pop_if(|(length, ..)| *length == stack.len()) {
                entered[class] = outer;
            }
        }
        (groups, holders)
    }

    fn is_counted(&self, node: Ordinal) -> bool {
        self.snapshot.nodes.size.get(node) > 0 && !self.is_root_like(node)
    }

    /// The number of the way to `node`, whose dominator is at the end of `above`. Variables are distinguished,
    /// properties are not, because they may be keys.
    ///
    /// An object with several retainers belongs to none of them but to a node above all. It is distinguished by the
    /// class of the retainer nearest to a root: a request by its parser, the prototype of all requests by a module.
    fn way(&self, above: u64, node: Ordinal, names: &[u64]) -> u64 {
        let way = number(above, &names[self.classes.of[node as usize] as usize].to_le_bytes());
        let edge = self.ways()[node as usize];
        if edge == NONE {
            return way;
        }
        let is_variable = self.snapshot.edges.kind(edge as usize) == self.snapshot.edge_kinds().context;
        let way = if is_variable { number(way, self.snapshot.raw_edge_name(edge as usize)) } else { way };
        let holder = self.snapshot.source_of(edge);
        let has_it_alone = holder == self.retained.dominator[node as usize];
        if has_it_alone { way } else { number(way, &names[self.classes.of[holder as usize] as usize].to_le_bytes()) }
    }
}

/// Extends the number `before` by these bytes. It is the same in all processes of this build.
fn number(before: u64, bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, bytes).hash(&mut hasher);
    hasher.finish()
}

impl Groups {
    /// What was added and removed since `before`. Classes are as in [`Heap::diff`].
    pub fn since(&self, before: &Self) -> Diff {
        let nothing = Summed::default();
        let mut growths: HashMap<(&str, Option<Place>), Growth> = HashMap::new();
        let ways = self.by_way.keys().chain(before.by_way.keys().filter(|way| !self.by_way.contains_key(way)));
        for way in ways {
            let [then, now] = [before, self].map(|groups| groups.by_way.get(way).unwrap_or(&nothing));
            let named = if now.class.is_empty() { then } else { now };
            growths.entry((named.class.as_str(), named.location)).or_default().see(then, now);
        }
        let classes = growths.into_iter().map(|((name, location), growth)| growth.named(name, location));
        let mut classes: Vec<ClassDiff> = classes.filter(|class| class.added + class.removed > 0).collect();
        let growth = |class: &ClassDiff| class.retained_bytes as i64 - class.removed_bytes as i64;
        classes.sort_by(|a, b| growth(b).cmp(&growth(a)).then_with(|| a.name.cmp(&b.name)));
        let sum = |of: fn(&ClassDiff) -> u64| classes.iter().map(of).sum();
        Diff {
            counted: true,
            added: sum(|class| class.added),
            removed: sum(|class| class.removed),
            added_bytes: sum(|class| class.added_bytes),
            removed_bytes: sum(|class| class.removed_bytes),
            classes,
        }
    }
}

/// The change of one class.
#[derive(Default)]
struct Growth<'a> {
    diff: ClassDiff,
    /// The group whose path is shown.
    most: u64,
    /// Sum of the groups that were only there before, and of those that are only there now: objects may have moved from
    /// one way to another. For example, a request in flight that refers to the end of a list retains all of it too, so
    /// the list has no single owner.
    gone: Summed,
    new: Summed,
    /// The largest of the new ones.
    newest: Option<&'a Summed>,
}

impl<'a> Growth<'a> {
    fn see(&mut self, then: &Summed, now: &'a Summed) {
        match (then.count, now.count) {
            (_, 0) => self.gone.take_in(then),
            (0, _) => {
                self.new.take_in(now);
                let is_most = self.newest.is_none_or(|newest| now.retained > newest.retained);
                self.newest = if is_most { Some(now) } else { self.newest };
            }
            _ => self.count(then, now, now),
        }
    }

    fn count(&mut self, then: &Summed, now: &Summed, example: &Summed) {
        let Self { diff, most, .. } = self;
        diff.added += now.count.saturating_sub(then.count);
        diff.removed += then.count.saturating_sub(now.count);
        diff.added_bytes += now.bytes.saturating_sub(then.bytes);
        diff.removed_bytes += then.bytes.saturating_sub(now.bytes);
        let growth = now.grown(then);
        diff.retained_bytes += growth;
        if growth > *most {
            *most = growth;
            let described = grown_most(&example.held, &then.held).and_then(|held| held.described.as_ref());
            let (path, module, id) = described
                .map_or((&example.path, &example.module, example.example), |(path, module, id)| (path, module, *id));
            diff.path.clone_from(path);
            diff.module.clone_from(module);
            diff.example = Some(id);
        }
    }

    fn named(mut self, name: &str, location: Option<Place>) -> ClassDiff {
        let (gone, new) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.new));
        let newest = self.newest.unwrap_or(&gone).clone();
        self.count(&gone, &new, &newest);
        ClassDiff { name: name.to_owned(), location, ..self.diff }
    }
}

#[cfg(test)]
mod tests {
    use super::super::diff::Baseline;
    use super::super::sample::{Graph, Style, leak};
    use super::super::source::Source;
    use super::super::{Heap, Roots};

    fn read(graph: &Graph) -> Heap {
        let text = graph.write(Style::Dense).into_bytes();
        let length = text.len() as u64;
        let mut source = Source::new(std::io::Cursor::new(text), Some(length)).unwrap();
        Heap::read(&mut source, Roots::DevTools).unwrap()
    }

    /// Numbered as by another process: in reverse order.
    fn renumbered(mut graph: Graph) -> Graph {
        let last = 2 * graph.nodes.len() as u32;
        graph.nodes.iter_mut().for_each(|node| node.id = last - node.id);
        graph
    }

    fn baseline(graph: &Graph) -> Baseline {
        read(graph).baseline()
    }

    #[test]
    fn numbers_of_another_process_are_detected_by_the_names_of_functions() {
        assert!(read(&leak(30)).has_ids_of(&baseline(&leak(10))));
        assert!(!read(&renumbered(leak(30))).has_ids_of(&baseline(&leak(10))));
    }

    #[test]
    fn what_there_is_more_of_is_found_without_ids() {
        let (before, after) = (read(&leak(10)), read(&renumbered(leak(30))));
        let diff = after.groups().since(&before.groups());
        let first = &diff.classes[0];
        assert_eq!((first.name.as_str(), first.added, first.removed), ("LeakedSession", 20, 0));
        assert_eq!((first.added_bytes, first.retained_bytes), (20 * 48, 20 * 88));
        assert_eq!(first.path[..4], ["global", "module users.js", "cache: Map", "table"]);
        assert_eq!(first.module.as_deref(), Some("/srv/shop/users.js"));
        // Its strings come after it.
        assert_eq!((diff.classes[1].name.as_str(), diff.classes[1].added), ("(string)", 20));
        let back = before.groups().since(&after.groups());
        assert_eq!((back.added, back.removed), (0, 40));
    }

    #[test]
    fn what_moves_from_one_holder_to_another_has_come_and_gone() {
        use super::super::sample::{OBJECT, PROPERTY};
        let held = |first: usize, second: usize| {
            let mut graph = Graph::with_global();
            for (name, count) in [("Cache", first), ("Queue", second)] {
                let holder = graph.node(OBJECT, name, 16);
                graph.edge(2, PROPERTY, "holder", holder);
                for n in 0..count {
                    let session = graph.node(OBJECT, "Session", 48);
                    graph.edge(holder, PROPERTY, &format!("key {n}"), session);
                }
            }
            graph
        };
        let diff = read(&held(5, 25)).groups().since(&read(&held(20, 5)).groups());
        let [session] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
        assert_eq!((session.added, session.removed, session.retained_bytes), (20, 15, 20 * 48));
        assert!(session.path[1].starts_with("holder: Queue"), "{:?}", session.path);
    }

    #[test]
    fn what_is_in_an_array_is_not_the_growth_of_the_arrays_in_that() {
        use super::super::sample::{OBJECT, PROPERTY};
        let held = |requests: usize| {
            let mut graph = Graph::with_global();
            let listeners = graph.node(OBJECT, "Array", 16);
            graph.edge(2, PROPERTY, "listeners", listeners);
            for n in 0..requests {
                let request = graph.node(OBJECT, "Request", 48);
                let headers = graph.node(OBJECT, "Array", 8);
                graph.edge(listeners, PROPERTY, &format!("{n}"), request);
                graph.edge(request, PROPERTY, "headers", headers);
            }
            graph
        };
        let diff = read(&held(50)).groups().since(&read(&held(10)).groups());
        let [request, headers] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
        assert_eq!((request.name.as_str(), request.added, request.retained_bytes), ("Request", 40, 40 * 56));
        assert_eq!((headers.name.as_str(), headers.added, headers.retained_bytes), ("Array", 40, 40 * 8));
    }

    #[test]
    fn an_object_with_two_retainers_is_distinguished_by_the_one_nearest_to_a_root() {
        use super::super::sample::{OBJECT, PROPERTY};
        // With the prototype of all requests at either end.
        let held = |requests: usize, prototype: usize| {
            let mut graph = Graph::with_global();
            let [server, parsers] = ["Server", "Parsers"].map(|name| graph.node(OBJECT, name, 16));
            graph.edge(2, PROPERTY, "server", server);
            graph.edge(2, PROPERTY, "parsers", parsers);
            for n in 0..=requests {
                let holders = if n == prototype { [2, server] } else { [parsers, server] };
                let request = graph.node(OBJECT, "Request", 48);
                holders.iter().for_each(|holder| graph.edge(*holder, PROPERTY, &format!("key {n}"), request));
            }
            graph
        };
        for (then, now) in [(0, 0), (10, 50)] {
            let diff = read(&held(50, now)).groups().since(&read(&held(10, then)).groups());
            let [class] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
            assert_eq!((class.name.as_str(), class.added, class.removed), ("Request", 40, 0));
            assert!(class.path[1].starts_with("server: Server"), "{:?}", class.path);
        }
    }

    #[test]
    fn a_list_with_an_additional_retainer_is_not_added_and_removed() {
        use super::super::sample::{OBJECT, PROPERTY};
        let held = |sessions: usize, by_request: bool| {
            let mut graph = Graph::with_global();
            let [list, request] = ["List", "Request"].map(|name| graph.node(OBJECT, name, 16));
            graph.edge(2, PROPERTY, "list", list);
            graph.edge(2, PROPERTY, "request", request);
            let mut last = list;
            for n in 0..sessions {
                let session = graph.node(OBJECT, "Session", 48);
                graph.edge(last, PROPERTY, if n == 0 { "first" } else { "next" }, session);
                if n > 0 {
                    graph.edge(session, PROPERTY, "before", last);
                }
                last = session;
            }
            if by_request {
                graph.edge(request, PROPERTY, "session", last);
            }
            graph
        };
        let diff = read(&held(1500, true)).groups().since(&read(&held(1000, false)).groups());
        let [session] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
        assert_eq!((session.name.as_str(), session.added, session.removed), ("Session", 500, 0));
        assert!(session.path.len() > 2, "{session:?}");
    }

    #[test]
    fn what_was_there_and_grows_is_not_what_came() {
        use super::super::sample::{OBJECT, PROPERTY};
        let held = |caches: usize, in_first: usize| {
            let mut graph = Graph::with_global();
            for n in 0..caches {
                let cache = graph.node(OBJECT, "Cache", 16);
                graph.edge(2, PROPERTY, &format!("cache {n}"), cache);
                for n in 0..(if n == 0 { in_first } else { 0 }) {
                    let session = graph.node(OBJECT, "Session", 48);
                    graph.edge(cache, PROPERTY, &format!("key {n}"), session);
                }
            }
            graph
        };
        let diff = read(&held(20, 1000)).groups().since(&read(&held(19, 500)).groups());
        let [session, cache] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
        assert_eq!((session.name.as_str(), session.added, session.retained_bytes), ("Session", 500, 500 * 48));
        assert_eq!((cache.name.as_str(), cache.added), ("Cache", 1));
        assert!(cache.retained_bytes < 3000, "a twentieth: {cache:?}");
    }

    #[test]
    fn of_a_general_class_the_example_is_held_by_what_holds_more() {
        use super::super::sample::{OBJECT, PROPERTY};
        // All are within one `Object`. `names`: each entry has a name of its own, as in a dictionary.
        let held = |compiled: usize, names: bool| {
            let mut graph = Graph::with_global();
            let app = graph.node(OBJECT, "Object", 16);
            graph.edge(2, PROPERTY, "app", app);
            for (name, class, count) in [("stack", "Router", 300), ("cache", "Compiler", compiled), ("list", "Bus", 40)]
            {
                let holder = graph.node(OBJECT, class, 16);
                graph.edge(app, PROPERTY, name, holder);
                for n in 0..count {
                    let [entry, object] =
                        [("Entry", 24), ("Object", 64)].map(|(name, size)| graph.node(OBJECT, name, size));
                    let key = if names { format!("key {n}") } else { "entry".to_owned() };
                    graph.edge(holder, PROPERTY, &key, entry);
                    graph.edge(entry, PROPERTY, "value", object);
                }
            }
            graph
        };
        for names in [false, true] {
            let diff = read(&held(900, names)).groups().since(&read(&held(100, names)).groups());
            let class = diff.classes.iter().find(|class| class.name == "Object").unwrap();
            assert_eq!((class.added, class.removed), (800, 0));
            assert!(class.path.iter().any(|step| step == "cache: Compiler"), "{:?}", class.path);
        }
    }

    #[test]
    fn a_list_belongs_to_the_owner_of_its_first_element() {
        use super::super::sample::{OBJECT, PROPERTY};
        let list = |count: usize| {
            let mut graph = Graph::with_global();
            let mut last = graph.node(OBJECT, "List", 16);
            graph.edge(2, PROPERTY, "list", last);
            for _ in 0..count {
                let [node, item] = [("Node", 32), ("Item", 8)].map(|(name, size)| graph.node(OBJECT, name, size));
                graph.edge(last, PROPERTY, "next", node);
                graph.edge(node, PROPERTY, "item", item);
                last = node;
            }
            graph
        };
        let diff = read(&list(500)).groups().since(&read(&list(100)).groups());
        let [nodes, items] = &diff.classes[..] else { panic!("{:?}", diff.classes) };
        assert_eq!((nodes.name.as_str(), nodes.added, nodes.retained_bytes), ("Node", 400, 400 * 40));
        assert_eq!((items.name.as_str(), items.added, items.retained_bytes), ("Item", 400, 400 * 8));
        assert!(nodes.path.len() <= 5, "to one near the first: {:?}", nodes.path);
    }
}
