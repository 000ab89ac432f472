//! The shortest path from a root to an object, in the names of the code: `global → module users.js → cache: Map → table → LeakedSession @1234`.

use std::collections::HashSet;

use serde::Serialize;

use super::graph::distances::{SYSTEM, UNREACHED};
use super::object::HeapObject;
use super::snapshot::{NONE, Ordinal};
use super::{Heap, Result, names};

const CONTEXT: &[u8] = b"system / Context";
/// Characters of the name of a step.
const NAME_CHARS: usize = 60;
/// Parts that are shown. The middle matters least.
const MOST_PARTS: usize = 40;
/// Steps that are described. A linked list can have millions.
const MOST_STEPS: usize = 200;

/// A step of a path: a reference and its target.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// The property, variable or index. Empty for the root.
    pub edge: String,
    /// V8's type of the reference. Empty for the root.
    #[serde(rename = "edgeType")]
    pub edge_kind: String,
    /// The target, or the root itself.
    pub object: HeapObject,
}

/// A path, root first. It has no steps if only weak references lead to the object.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RetainingPath {
    /// The parts, joined by arrows. Empty if there is no path.
    pub text: String,
    /// The path in the names of the code, at most 41 parts. V8's own steps are left out.
    pub parts: Vec<String>,
    /// At most 200. A longer path has its first 100 and its last 100 steps.
    pub steps: Vec<Step>,
    /// How many steps in the middle are left out.
    #[serde(rename = "stepsLeftOut")]
    pub left_out: usize,
}

impl RetainingPath {
    /// The steps before and after those that are left out. The second half is empty if none is left out.
    pub fn ends(&self) -> (&[Step], &[Step]) {
        self.steps.split_at(if self.left_out == 0 { self.steps.len() } else { MOST_STEPS / 2 })
    }
}

impl Heap {
    /// The shortest retaining path of an object.
    ///
    /// # Errors
    /// [`Error::NoSuchObject`](crate::Error::NoSuchObject) if no object has this id.
    pub fn path(&self, id: u32) -> Result<RetainingPath> {
        Ok(self.path_of(self.find(id)?))
    }

    pub(super) fn path_of(&self, node: Ordinal) -> RetainingPath {
        let Some(edges) = self.edges_to(node) else { return RetainingPath::default() };
        let start = self.start_of(&edges, node);
        let root = Step { edge: String::new(), edge_kind: String::new(), object: self.describe(start) };
        let left_out = (edges.len() + 1).saturating_sub(MOST_STEPS);
        // The root is one of the first half.
        let first = if left_out == 0 { edges.len() } else { MOST_STEPS / 2 - 1 };
        let described = edges[..first].iter().chain(&edges[first + left_out..]);
        let steps = std::iter::once(root).chain(described.map(|edge| self.step_of(*edge as usize))).collect();
        let (parts, _) = self.parts_of_edges(&edges, node);
        RetainingPath { text: parts.join(" → "), parts, steps, left_out }
    }

    fn step_of(&self, edge: usize) -> Step {
        Step {
            edge: self.edge_name(edge),
            edge_kind: self.snapshot.meta.edge_types[usize::from(self.snapshot.edges.kind(edge))].clone(),
            object: self.describe(self.snapshot.edges.to[edge]),
        }
    }

    /// The parts of a path, without its steps, and the file of the module in it. Empty if there is none.
    pub(super) fn parts_of_path(&self, node: Ordinal) -> (Vec<String>, Option<String>) {
        self.edges_to(node).map(|edges| self.parts_of_edges(&edges, node)).unwrap_or_default()
    }

    fn parts_of_edges(&self, edges: &[u32], node: Ordinal) -> (Vec<String>, Option<String>) {
        let mut description = Description::from(self, self.start_of(edges, node));
        for edge in edges {
            description.step(*edge as usize);
        }
        let module = description.module.take();
        let mut parts = in_short(description.finish(node));
        if parts.len() > MOST_PARTS {
            let end = parts.split_off(parts.len() - MOST_PARTS / 2);
            let left_out = parts.split_off(MOST_PARTS / 2).len();
            parts.push(format!("… {left_out} more"));
            parts.extend(end);
        }
        (parts, module)
    }

    fn start_of(&self, edges: &[u32], node: Ordinal) -> Ordinal {
        edges.first().map_or(node, |edge| self.snapshot.source_of(*edge))
    }

    /// The edges from a root, the first one first. None if there is no path.
    fn edges_to(&self, node: Ordinal) -> Option<Vec<u32>> {
        let ways = self.ways();
        let mut edges = Vec::new();
        let mut at = node;
        loop {
            let edge = ways[at as usize];
            if edge == NONE {
                break;
            }
            edges.push(edge);
            at = self.snapshot.source_of(edge);
        }
        edges.reverse();
        (self.retained.distance[at as usize] != UNREACHED).then_some(edges)
    }
}

/// Describes a path in the terms of code. V8's own links (a function's context, an array's elements) are left out. A
/// module replaces all steps to it, since `require.cache` and the modules that loaded it are no reason for an object to
/// be retained.
struct Description<'a> {
    heap: &'a Heap,
    /// The first part.
    start: String,
    parts: Vec<String>,
    /// The last step's name in the object that refers to it.
    label: Option<String>,
    /// The file of the function on the path that was last passed.
    script: Option<String>,
    /// The file of the module that the path has reached.
    module: Option<String>,
}

impl<'a> Description<'a> {
    fn from(heap: &'a Heap, start: Ordinal) -> Self {
        let name = names::of(&heap.snapshot, &heap.classes, start);
        let start = match heap.retained.distance[start as usize] < SYSTEM && name.starts_with("global") {
            true => "global".to_owned(),
            // A context contains the global object.
            false if name == "system / NativeContext" => String::new(),
            false => cut(&name),
        };
        Self { heap, parts: vec![start.clone()], start, label: None, script: None, module: None }
    }

    fn step(&mut self, edge: usize) {
        let (heap, snapshot) = (self.heap, &self.heap.snapshot);
        let (from, to) = (snapshot.source_of(edge as u32), snapshot.edges.to[edge]);
        let (kind, kinds) = (snapshot.edges.kind(edge), snapshot.edge_kinds());
        if kind == kinds.context
            && heap.is_module_scope(from)
            && let Some(script) = self.script.take()
        {
            self.restart(&script);
        }
        // An async function that waits is an object with that function.
        let function = names::internal(snapshot, to, b"function").filter(|function| heap.is_closure(*function));
        if let Some(function) = Some(to).filter(|to| heap.is_closure(*to)).or(function) {
            self.script = heap.script_of(function);
        }
        let is_export = snapshot.raw_name(from) == b"system / Cell";
        self.label = match kind {
            _ if is_export => None,
            _ if kind == kinds.element => Some(format!("[{}]", snapshot.edges.name[edge])),
            _ if kind == kinds.hidden => None,
            _ if kind == kinds.internal => Some(heap.edge_name(edge)).filter(|name| is_meaningful(name)),
            _ => Some(cut(&heap.edge_name(edge))),
        };
        match heap.module_file(to).or_else(|| heap.module_url(to)) {
            Some(file) => self.restart(&file),
            None => {
                let part = heap.step_text(to, self.label.as_deref());
                self.parts.push(part);
            }
        }
    }

    fn restart(&mut self, file: &str) {
        let start = if self.start.is_empty() { "global".to_owned() } else { self.start.clone() };
        self.parts = vec![start, format!("module {}", base_name(file))];
        self.module = Some(file.to_owned());
    }

    fn finish(mut self, node: Ordinal) -> Vec<String> {
        let id = self.heap.snapshot.nodes.id[node as usize];
        let last = self.parts.pop().unwrap_or_default();
        let class = self.heap.class_shown(node);
        let last = match (last.is_empty(), self.label) {
            (true, _) => class,
            (false, Some(label)) if last == label => format!("{label}: {class}"),
            (false, _) => last,
        };
        self.parts.push(format!("{last} @{id}"));
        self.parts.retain(|part| !part.is_empty());
        self.parts
    }
}

/// Shortens equal consecutive steps, as along a list, to the first and a count.
fn in_short(parts: Vec<String>) -> Vec<String> {
    let mut short = Vec::with_capacity(parts.len().min(MOST_PARTS));
    for alike in parts.chunk_by(|a, b| a == b) {
        match alike {
            [first, _, _, ..] => short.extend([first.clone(), format!("… {} more", alike.len() - 1)]),
            _ => short.extend_from_slice(alike),
        }
    }
    short
}

/// Whether V8's name for a link is meaningful for the author of the code.
fn is_meaningful(name: &str) -> bool {
    let links = [
        "context",
        "elements",
        "extension",
        "properties",
        "previous",
        "shared",
        "map",
        "global_object",
        "native_context",
    ];
    !links.contains(&name) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// `users.js`. An `index.js` is named by its folder.
fn base_name(file: &str) -> String {
    let mut parts = file.rsplit(['/', '\\']).filter(|part| !part.is_empty());
    let name = parts.next().unwrap_or(file);
    match parts.next() {
        Some(folder) if name.starts_with("index.") => format!("{folder}/{name}"),
        _ => name.to_owned(),
    }
}

impl Heap {
    /// A step as text: the name of the reference, and the object if that says more.
    fn step_text(&self, node: Ordinal, label: Option<&str>) -> String {
        let snapshot = &self.snapshot;
        let (kind, kinds) = (snapshot.nodes.kind[node as usize], snapshot.node_kinds());
        if snapshot.is_synthetic(node) {
            // V8's own names for its roots, such as (GC roots) and (Global handles).
            return names::of(snapshot, &self.classes, node);
        }
        if kind == kinds.closure {
            let name = label.map_or_else(|| names::of(snapshot, &self.classes, node), ToOwned::to_owned);
            return format!("{}()", cut(&name));
        }
        let quiet = kind == kinds.array || kind == kinds.hidden || kind == kinds.code || self.is_context(node);
        let class = self.class_shown(node);
        match label {
            None if quiet => String::new(),
            None => class,
            Some(label) if quiet || class.starts_with('{') || class == "Object" || class == label => label.to_owned(),
            Some("global") => "global".to_owned(),
            Some(label) => format!("{label}: {class}"),
        }
    }

    fn class_shown(&self, node: Ordinal) -> String {
        let snapshot = &self.snapshot;
        let kind = snapshot.nodes.kind[node as usize];
        if snapshot.node_kinds().is_string(kind) {
            return format!("{:?}", cut(&names::of(snapshot, &self.classes, node)));
        }
        if kind == snapshot.node_kinds().closure {
            return format!("{}()", cut(&names::of(snapshot, &self.classes, node)));
        }
        let class = self.classes.name(node);
        if class.starts_with("global") && self.retained.distance[node as usize] <= 2 {
            return "global".to_owned();
        }
        cut(class)
    }

    fn is_closure(&self, node: Ordinal) -> bool {
        self.snapshot.nodes.kind[node as usize] == self.snapshot.node_kinds().closure
    }

    pub(super) fn is_context(&self, node: Ordinal) -> bool {
        self.snapshot.raw_name(node) == CONTEXT
    }

    /// Whether it is the scope of a CommonJS module's function: directly within V8's native context, and the only scope
    /// of that function. A function of a module without variables is directly within it too, but is called more than
    /// once.
    fn is_module_scope(&self, node: Ordinal) -> bool {
        self.is_context(node)
            && self.is_outermost_scope(node)
            && !self.scope_of(node).is_some_and(|function| self.scopes_of_many().contains(&function))
    }

    fn is_outermost_scope(&self, context: Ordinal) -> bool {
        let outer = names::internal(&self.snapshot, context, b"previous");
        outer.is_some_and(|outer| self.snapshot.raw_name(outer).starts_with(b"system / NativeContext"))
    }

    /// V8's description of the scope of this context. There is one for each function.
    fn scope_of(&self, context: Ordinal) -> Option<Ordinal> {
        names::internal(&self.snapshot, context, b"scope_info")
    }

    /// Outermost scopes with more than one context.
    fn scopes_of_many(&self) -> &HashSet<Ordinal> {
        self.scopes_of_many.get_or_init(|| {
            let named = self.snapshot.strings.numbers_of(CONTEXT);
            let is_named = |node: &Ordinal| named.contains(&self.snapshot.nodes.name[*node as usize]);
            let contexts = self.snapshot.ordinals().filter(is_named);
            let scopes =
                contexts.filter(|context| self.is_outermost_scope(*context)).filter_map(|each| self.scope_of(each));
            let mut seen = HashSet::new();
            scopes.filter(|scope| !seen.insert(*scope)).collect()
        })
    }

    /// The file of a function, if it is one of the program's. V8 names a script's node after it.
    fn script_of(&self, closure: Ordinal) -> Option<String> {
        let shared = names::internal(&self.snapshot, closure, b"shared")?;
        let script = |name: &[u8]| names::internal(&self.snapshot, shared, name);
        // Up to Node 22 another object may be there while the function is debugged.
        let script = script(b"script").or_else(|| script(b"script_or_debug_info"))?;
        let name = self.snapshot.strings.text(self.snapshot.nodes.name[script as usize]);
        let is_file = name.starts_with('/') || name.starts_with("file:") || name.get(1..3) == Some(":\\");
        is_file.then_some(name)
    }

    /// The file of a CommonJS module's `module`.
    fn module_file(&self, node: Ordinal) -> Option<String> {
        let snapshot = &self.snapshot;
        if snapshot.nodes.kind[node as usize] != snapshot.node_kinds().object || snapshot.raw_name(node) != b"Module" {
            return None;
        }
        let property = snapshot.edge_kinds().property;
        let file = snapshot
            .edges_of(node)
            .find(|edge| snapshot.edges.kind(*edge) == property && snapshot.raw_edge_name(*edge) == b"filename")?;
        let name = names::of(snapshot, &self.classes, snapshot.edges.to[file]);
        (!name.is_empty()).then_some(name)
    }

    /// The URL of an ES module. It has the generator that runs it.
    fn module_url(&self, node: Ordinal) -> Option<String> {
        let snapshot = &self.snapshot;
        if snapshot.raw_name(node) != b"system / SourceTextModule" {
            return None;
        }
        let targets = snapshot.edges_of(node).map(|edge| snapshot.edges.to[edge]);
        let functions = targets.filter_map(|target| names::internal(snapshot, target, b"function"));
        functions
            .filter(|function| snapshot.nodes.kind[*function as usize] == snapshot.node_kinds().closure)
            .find_map(|each| self.script_of(each))
    }
}
