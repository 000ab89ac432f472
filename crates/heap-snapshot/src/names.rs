//! The displayed name of a node.

use super::classes::Classes;
use super::snapshot::{Ordinal, Snapshot};

/// V8 itself cuts strings at this number of characters.
pub const MOST_CHARS: usize = 1024;
/// For the properties of a plain object.
const OBJECT_CHARS: usize = 100;
/// A string is cut after this many pieces: a tree of cons strings may have any depth.
const MOST_PIECES: usize = 4096;

/// The name of a node: a string's text, a plain object's properties, otherwise V8's name.
pub fn of(snapshot: &Snapshot, classes: &Classes, node: Ordinal) -> String {
    let kinds = snapshot.node_kinds();
    let kind = snapshot.nodes.kind[node as usize];
    if kind == kinds.cons_string {
        return cons(snapshot, node);
    }
    if kind == kinds.object && snapshot.raw_name(node) == b"Object" {
        return plain_object(snapshot, node);
    }
    if kind == kinds.native && classes.detached.get(node as usize) == Some(&super::classes::DETACHED) {
        return format!("Detached {}", snapshot.strings.text(snapshot.nodes.name[node as usize]));
    }
    snapshot.strings.text(snapshot.nodes.name[node as usize])
}

fn cons(snapshot: &Snapshot, node: Ordinal) -> String {
    let mut text = String::new();
    let mut stack = vec![node];
    for _ in 0..MOST_PIECES {
        let Some(node) = stack.pop() else { break };
        if snapshot.nodes.kind[node as usize] != snapshot.node_kinds().cons_string {
            text.push_str(&snapshot.strings.text(snapshot.nodes.name[node as usize]));
            if text.len() >= MOST_CHARS {
                break;
            }
            continue;
        }
        for half in [b"second".as_slice(), b"first"] {
            stack.extend(internal(snapshot, node, half));
        }
    }
    text
}

/// The target of an internal edge with this name.
pub fn internal(snapshot: &Snapshot, node: Ordinal, name: &[u8]) -> Option<Ordinal> {
    let internal = snapshot.edge_kinds().internal;
    let mut edges = snapshot.edges_of(node);
    edges.find_map(|edge| {
        let found = snapshot.edges.kind(edge) == internal && snapshot.raw_edge_name(edge) == name;
        found.then(|| snapshot.edges.to[edge])
    })
}

fn plain_object(snapshot: &Snapshot, node: Ordinal) -> String {
    let property = snapshot.edge_kinds().property;
    let mut text = String::from("{");
    for edge in snapshot.edges_of(node).filter(|edge| snapshot.edges.kind(*edge) == property) {
        if snapshot.raw_edge_name(edge) == b"__proto__" {
            continue;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        if text.len() > OBJECT_CHARS {
            text.push('…');
            break;
        }
        text.push_str(&super::classes::label(&snapshot.strings.text(snapshot.edges.name[edge])));
    }
    text.push('}');
    text
}
