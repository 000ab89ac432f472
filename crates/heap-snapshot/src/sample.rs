//! Small snapshots made by hand, for tests and the fuzz target: what V8 would write of a graph.
//!
//! The numbers of node types and edge types are those of Node 20.

/// V8's internal objects.
pub const HIDDEN: u8 = 0;
/// Arrays of elements and properties.
pub const ARRAY: u8 = 1;
/// Strings.
pub const STRING: u8 = 2;
/// Objects.
pub const OBJECT: u8 = 3;
/// Functions.
pub const CLOSURE: u8 = 5;
/// Objects outside of V8.
pub const NATIVE: u8 = 8;
/// Roots.
pub const SYNTHETIC: u8 = 9;
const NODE_TYPES: &str = r#""hidden","array","string","object","code","closure","regexp","number","native","synthetic","concatenated string","sliced string","symbol","bigint""#;

/// A variable of a scope.
pub const CONTEXT: u8 = 0;
/// An index of an array.
pub const ELEMENT: u8 = 1;
/// A property.
pub const PROPERTY: u8 = 2;
/// A reference of V8's own.
pub const INTERNAL: u8 = 3;
/// A shortcut from the root to a global object.
pub const SHORTCUT: u8 = 5;
/// A weak reference.
pub const WEAK: u8 = 6;
const EDGE_TYPES: &str = r#""context","element","property","internal","hidden","shortcut","weak""#;

/// A node of a [`Graph`].
#[derive(Clone, Debug)]
pub struct Node {
    /// Its type.
    pub kind: u8,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: u32,
    /// Its shallow size, in bytes.
    pub size: u64,
    /// Type, name and target.
    pub edges: Vec<(u8, String, usize)>,
}

/// The format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Node 20 and 22: one row on each line, 7 fields.
    Lines,
    /// From Node 24 on: no line ends in lists, 6 fields.
    Dense,
}

/// Nodes and edges of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// By number.
    pub nodes: Vec<Node>,
    /// Node, script, line, column.
    pub locations: Vec<(usize, u32, u32, u32)>,
}

impl Graph {
    /// Adds a node with an id of its own, and returns its number.
    pub fn node(&mut self, kind: u8, name: &str, size: u64) -> usize {
        let id = 2 * self.nodes.len() as u32 + 1;
        self.nodes.push(Node { kind, name: name.to_owned(), id, size, edges: Vec::new() });
        self.nodes.len() - 1
    }

    /// Adds an edge between two nodes. `name` is the index where `kind` is [`ELEMENT`].
    pub fn edge(&mut self, from: usize, kind: u8, name: &str, to: usize) {
        self.nodes[from].edges.push((kind, name.to_owned(), to));
    }

    /// A root, V8's roots, and a global object at the numbers 0, 1 and 2.
    pub fn with_global() -> Self {
        let mut graph = Self::default();
        let root = graph.node(SYNTHETIC, "", 0);
        let gc = graph.node(SYNTHETIC, "(GC roots)", 0);
        let global = graph.node(OBJECT, "global", 100);
        graph.edge(root, ELEMENT, "1", gc);
        graph.edge(root, SHORTCUT, "1", global);
        graph.edge(gc, ELEMENT, "1", global);
        graph
    }

    /// The text of a `.heapsnapshot` file.
    pub fn write(&self, style: Style) -> String {
        let mut strings: Vec<String> = vec!["<dummy>".into()];
        let mut number = |text: &str| {
            strings.iter().position(|each| each == text).unwrap_or_else(|| {
                strings.push(text.to_owned());
                strings.len() - 1
            })
        };
        let (fields, separator, trace) = match style {
            Style::Lines => (7, "\n,", ",0"),
            Style::Dense => (6, ",", ""),
        };
        let (mut nodes, mut edges) = (Vec::new(), Vec::new());
        for Node { kind, name, id, size, edges: own } in &self.nodes {
            nodes.push(format!("{kind},{},{id},{size},{}{trace},0", number(name), own.len()));
            for (kind, name, to) in own {
                let name = if *kind == ELEMENT { name.parse().unwrap_or(0) } else { number(name) };
                edges.push(format!("{kind},{name},{}", to * fields));
            }
        }
        let locations = self
            .locations
            .iter()
            .map(|(node, script, line, column)| format!("{},{script},{line},{column}", node * fields));
        let locations = locations.collect::<Vec<_>>().join(separator);
        let trace_field = if style == Style::Lines { r#""trace_node_id","# } else { "" };
        let quoted: Vec<String> = strings.iter().map(|text| format!("{text:?}")).collect();
        format!(
            r#"{{"snapshot":{{"meta":{{"node_fields":["type","name","id","self_size","edge_count",{trace_field}"detachedness"],"node_types":[[{NODE_TYPES}],"string","number","number","number","number"],"edge_fields":["type","name_or_index","to_node"],"edge_types":[[{EDGE_TYPES}],"string_or_number","node"],"location_fields":["object_index","script_id","line","column"]}},"node_count":{},"edge_count":{},"trace_function_count":0}},
"nodes":[{}],
"edges":[{}],
"trace_function_infos":[],"trace_tree":[],"samples":[],
"locations":[{locations}],
"strings":[{}]}}"#,
            nodes.len(),
            edges.len(),
            nodes.join(separator),
            edges.join(separator),
            quoted.join(",\n")
        )
    }
}

/// A module's `Map` of sessions, as code would create it: `sessions` of them, each with a name of 40 bytes.
pub fn leak(sessions: usize) -> Graph {
    let mut graph = Graph::with_global();
    let module = graph.node(OBJECT, "Module", 50);
    let file = graph.node(STRING, "/srv/shop/users.js", 40);
    let exports = graph.node(OBJECT, "Object", 24);
    let remember = graph.node(CLOSURE, "remember", 64);
    let context = graph.node(OBJECT, "system / Context", 32);
    let native_context = graph.node(HIDDEN, "system / NativeContext", 0);
    let map = graph.node(OBJECT, "Map", 32);
    let table = graph.node(ARRAY, "", 16);
    let shared = graph.node(HIDDEN, "(shared function info)", 0);
    let script = graph.node(HIDDEN, "/srv/shop/users.js", 0);
    graph.edge(2, PROPERTY, "mainModule", module);
    graph.edge(module, PROPERTY, "filename", file);
    graph.edge(module, PROPERTY, "exports", exports);
    graph.edge(exports, PROPERTY, "remember", remember);
    graph.edge(remember, INTERNAL, "context", context);
    graph.edge(remember, INTERNAL, "shared", shared);
    graph.edge(shared, INTERNAL, "script", script);
    graph.edge(context, INTERNAL, "previous", native_context);
    graph.edge(context, CONTEXT, "cache", map);
    graph.edge(map, INTERNAL, "table", table);
    for n in 0..sessions {
        let session = graph.node(OBJECT, "LeakedSession", 48);
        let name = graph.node(STRING, &format!("user {n}"), 40);
        graph.edge(table, INTERNAL, &n.to_string(), session);
        graph.edge(session, PROPERTY, "name", name);
        graph.locations.push((session, 7, 1, 20));
    }
    graph
}
