//! Compares dominators, retained sizes and distances with their definitions: a node dominates what the root does not
//! reach without it.

use proptest::prelude::*;

use super::*;
use crate::lexer;
use crate::sample::{
    ARRAY, ELEMENT, Graph, HIDDEN, INTERNAL, NATIVE, OBJECT, PROPERTY, SHORTCUT, STRING, SYNTHETIC, Style, WEAK,
};
use crate::source::Source;

fn parse(graph: &Graph) -> Snapshot {
    let text = graph.write(Style::Dense).into_bytes();
    let length = text.len() as u64;
    lexer::read(&mut Source::new(std::io::Cursor::new(text), Some(length)).unwrap()).unwrap()
}

/// Up to 30 nodes below a root, of the types that are treated differently. They have any edges between them, to nodes
/// from `first` on. V8 writes no edge to the root, but a file may contain one.
fn graphs(first: usize) -> impl Strategy<Value = Graph> {
    let kinds = prop::sample::select(vec![HIDDEN, ARRAY, STRING, OBJECT, OBJECT, OBJECT, NATIVE, SYNTHETIC]);
    let nodes = prop::collection::vec((kinds, 0u64..100), 1..30);
    let edge_kinds = prop::sample::select(vec![ELEMENT, PROPERTY, PROPERTY, INTERNAL, SHORTCUT, WEAK]);
    let edges = prop::collection::vec((any::<prop::sample::Index>(), edge_kinds, any::<prop::sample::Index>()), 0..90);
    (nodes, edges).prop_map(move |(nodes, edges)| {
        let mut graph = Graph::default();
        graph.node(SYNTHETIC, "", 0);
        for (kind, size) in nodes {
            graph.node(kind, "x", size);
        }
        let count = graph.nodes.len();
        for (from, kind, to) in edges {
            graph.edge(from.index(count), kind, "1", first + to.index(count - first));
        }
        graph
    })
}

/// What `from` reaches over these edges, without `without`.
fn reach(edges: &[Vec<usize>], from: &[usize], without: Option<usize>) -> Vec<bool> {
    let mut reached = vec![false; edges.len()];
    let mut stack: Vec<usize> = from.iter().copied().filter(|node| Some(*node) != without).collect();
    while let Some(node) = stack.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            stack.extend(edges[node].iter().copied().filter(|to| Some(*to) != without));
        }
    }
    reached
}

/// The edges that retain, by their definition.
fn retaining(graph: &Graph, roots: Roots) -> Vec<Vec<usize>> {
    let strong = |kind: u8| kind != WEAK;
    let all: Vec<Vec<usize>> = (graph.nodes.iter())
        .map(|node| node.edges.iter().filter(|edge| strong(edge.0)).map(|edge| edge.2).collect())
        .collect();
    let entries: Vec<usize> =
        graph.nodes[0].edges.iter().filter(|edge| edge.0 == SHORTCUT).map(|edge| edge.2).collect();
    let page = reach(&all, &entries, None);
    let counts = |from: usize, kind: u8, to: usize| {
        let from_root = from == 0 && (roots == Roots::DevTools || kind != SHORTCUT);
        let inside = roots == Roots::Gc || !page[to] || page[from];
        strong(kind) && from != to && (from_root || from != 0 && kind != SHORTCUT && inside)
    };
    let edges = graph.nodes.iter().enumerate().map(|(from, node)| {
        node.edges.iter().filter(|(kind, _, to)| counts(from, *kind, *to)).map(|(.., to)| *to).collect()
    });
    edges.collect()
}

/// The starting points of the search: the root, and what nothing retains. The remaining nodes are below the root one by
/// one, and retain nothing that others reach.
fn starts(edges: &mut [Vec<usize>]) -> Vec<usize> {
    let from_root = reach(edges, &[0], None);
    let retained = |node: usize| edges.iter().any(|to| to.contains(&node));
    let mut starts: Vec<usize> = (0..edges.len()).filter(|node| !from_root[*node] && !retained(*node)).collect();
    starts.insert(0, 0);
    let reached = reach(edges, &starts, None);
    for node in (0..edges.len()).filter(|node| !reached[*node]) {
        edges[node].clear();
        starts.push(node);
    }
    starts
}

fn check(graph: &Graph, roots: Roots) {
    let mut snapshot = parse(graph);
    let (retained, ()) = analyse(&mut snapshot, roots, |_| ());
    let mut edges = retaining(graph, roots);
    let starts = starts(&mut edges);
    let all = reach(&edges, &starts, None);
    assert!(all.iter().all(|reached| *reached));
    let sizes: Vec<u64> = (0..graph.nodes.len()).map(|node| snapshot.nodes.size.get(node as u32)).collect();
    for node in 1..graph.nodes.len() {
        let without = reach(&edges, &starts, Some(node));
        let kept: u64 = (0..sizes.len()).filter(|other| !without[*other]).map(|other| sizes[other]).sum();
        assert_eq!(retained.size.get(node as u32), kept, "node {node} of {graph:?}");
        // All nodes that dominate it. The nearest of them is dominated by the others.
        let dominates = |other: usize| other != node && !reach(&edges, &starts, Some(other))[node];
        let nearest = (1..sizes.len()).filter(|other| dominates(*other)).max_by_key(|other| {
            let above = |above: usize| above != *other && !reach(&edges, &starts, Some(above))[*other];
            (1..sizes.len()).filter(|each| above(*each)).count()
        });
        assert_eq!(retained.dominator[node] as usize, nearest.unwrap_or(0), "node {node} of {graph:?}");
    }
    assert_eq!(retained.size.get(0), sizes.iter().sum::<u64>());
    assert_eq!(retained.size.get(0), graph.nodes.iter().map(|node| node.size).sum::<u64>(), "bytes have got lost");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn dominators_and_retained_sizes_are_those_of_the_definition(graph in graphs(0)) {
        check(&graph, Roots::DevTools);
        check(&graph, Roots::Gc);
    }

    #[test]
    fn the_edge_that_a_node_is_reached_by_comes_from_one_step_nearer(graph in graphs(1)) {
        let mut snapshot = parse(&graph);
        let (retained, ()) = analyse(&mut snapshot, Roots::DevTools, |_| ());
        let (distances, ways) = (retained.distance, distances::ways(&snapshot, Roots::DevTools));
        for node in snapshot.ordinals() {
            let (distance, via) = (distances[node as usize], ways[node as usize]);
            if via == crate::snapshot::NONE {
                prop_assert!([0, 1, distances::SYSTEM, distances::UNREACHED].contains(&distance));
                continue;
            }
            let source = snapshot.source_of(via);
            prop_assert!(snapshot.edges_of(source).contains(&(via as usize)));
            prop_assert_eq!(snapshot.edges.to[via as usize], node);
            prop_assert_eq!(distances[source as usize] + 1, distance);
        }
    }
}

#[test]
fn an_array_counts_for_its_only_owner_and_for_itself_if_there_are_two() {
    let mut graph = Graph::with_global();
    let (one, two) = (graph.node(OBJECT, "One", 10), graph.node(OBJECT, "Two", 20));
    let (own, shared) = (graph.node(ARRAY, "", 3), graph.node(ARRAY, "", 4));
    graph.edge(2, PROPERTY, "one", one);
    graph.edge(2, PROPERTY, "two", two);
    graph.edge(one, INTERNAL, "elements", own);
    graph.edge(one, INTERNAL, "properties", shared);
    graph.edge(two, INTERNAL, "properties", shared);
    let mut snapshot = parse(&graph);
    analyse(&mut snapshot, Roots::DevTools, |_| ());
    assert_eq!([one, two, own, shared].map(|node| snapshot.nodes.size.get(node as u32)), [13, 20, 0, 4]);
    // memlab does not move sizes.
    let mut snapshot = parse(&graph);
    analyse(&mut snapshot, Roots::Gc, |_| ());
    assert_eq!([one, two, own, shared].map(|node| snapshot.nodes.size.get(node as u32)), [10, 20, 3, 4]);
}

#[test]
fn a_weak_maps_value_is_its_keys() {
    let mut graph = Graph::with_global();
    let (key, value, table) = (graph.node(OBJECT, "Key", 1), graph.node(OBJECT, "Value", 5), graph.node(ARRAY, "", 9));
    graph.edge(2, PROPERTY, "key", key);
    graph.edge(2, PROPERTY, "map", table);
    let id = |node: usize, graph: &Graph| graph.nodes[node].id;
    let rest = format!(
        " / part of key (Key @{}) -> value (Value @{}) pair in WeakMap (table @{})",
        id(key, &graph),
        id(value, &graph),
        id(table, &graph)
    );
    graph.edge(table, INTERNAL, &format!("3{rest}"), value);
    graph.edge(key, INTERNAL, &format!("1{rest}"), value);
    let mut snapshot = parse(&graph);
    let (retained, ()) = analyse(&mut snapshot, Roots::DevTools, |_| ());
    assert_eq!(retained.dominator[value], key as u32);
    assert_eq!(retained.size.get(key as u32), 6);
}
