//! The snapshot file may contain anything. Reading it must return an error, or a heap on which every query works.
//!
//! Random bytes fail in the header. So most inputs are a graph, written as V8 writes it, with some bytes changed.
#![no_main]

use std::io::Cursor;

use arbitrary::Arbitrary;
use heap_snapshot::sample::{Graph, Style};
use heap_snapshot::source::Source;
use heap_snapshot::tree::Cut;
use heap_snapshot::{Heap, Roots};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Node {
    kind: u8,
    name: u8,
    size: u32,
}

#[derive(Arbitrary, Debug)]
enum Input {
    Raw(Vec<u8>),
    Graph {
        nodes: Vec<Node>,
        /// From, type, name, to.
        edges: Vec<(u8, u8, u8, u8)>,
        locations: Vec<(u8, u8)>,
        lines: bool,
        changes: Vec<(u16, u8)>,
        cut: Option<u16>,
        /// Whether the length of the file is unknown, as it is for a stream.
        stream: bool,
        gc: bool,
    },
}

/// Names with a special meaning for the reader.
const NAMES: [&str; 16] = [
    "",
    "Object",
    "Array",
    "Module",
    "filename",
    "cache",
    "(Document DOM trees)",
    "system / NativeContext",
    "system / Context",
    "system / ExternalStringData",
    "sloppy_function_map",
    "(map descriptors)",
    "first",
    "second",
    "3 / part of key (A @3) -> value (B @5) pair in WeakMap (table @7)",
    "<div id=\\\"a\\\">",
];

fn name(byte: u8) -> &'static str {
    NAMES[usize::from(byte) % NAMES.len()]
}

fn write(nodes: &[Node], edges: &[(u8, u8, u8, u8)], locations: &[(u8, u8)], lines: bool) -> Vec<u8> {
    let mut graph = Graph::with_global();
    for Node { kind, name: of, size } in nodes {
        graph.node(kind % 14, name(*of), u64::from(*size));
    }
    let count = graph.nodes.len();
    let at = |byte: u8| usize::from(byte) % count;
    for (from, kind, of, to) in edges {
        graph.edge(at(*from), kind % 7, name(*of), at(*to));
    }
    graph.locations = locations.iter().map(|(node, line)| (at(*node), 1, u32::from(*line), 0)).collect();
    graph.write(if lines { Style::Lines } else { Style::Dense }).into_bytes()
}

fuzz_target!(|input: Input| {
    let (bytes, stream, roots) = match input {
        Input::Raw(bytes) => (bytes, false, Roots::DevTools),
        Input::Graph { nodes, edges, locations, lines, changes, cut, stream, gc } => {
            let mut bytes = write(&nodes, &edges, &locations, lines);
            for (at, byte) in changes {
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(usize::from(cut));
            }
            (bytes, stream, if gc { Roots::Gc } else { Roots::DevTools })
        }
    };
    let length = (!stream).then_some(bytes.len() as u64);
    let Ok(mut source) = Source::new(Cursor::new(bytes), length) else { return };
    let Ok(heap) = Heap::read(&mut source, roots) else { return };
    let summary = heap.summary();
    serde_json::to_vec(&summary).expect("plain data serializes");
    let rows = heap.dominators(Cut { least_bytes: 0, depth: 1000, rows: 1000 });
    for row in &rows {
        // If an id occurs twice, this is the first object with it.
        heap.object(row.object.id).expect("it is in the list");
        heap.path(row.object.id).expect("it is in the list");
    }
    let diff = heap.diff(&heap.baseline(), None).expect("both are the same snapshot");
    assert_eq!((diff.added, diff.removed), (0, 0));
});
