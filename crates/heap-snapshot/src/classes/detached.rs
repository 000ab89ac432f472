//! Which of a page's elements no document refers to any more. V8 reports it for some nodes, and native nodes inherit it
//! from them.

use crate::snapshot::{Ordinal, Snapshot};

const ATTACHED: u8 = 1;
pub const DETACHED: u8 = 2;

/// The state of each node, 0 for unknown. Empty if the snapshot has no states. What an attached node reaches is
/// attached, what only detached ones reach is detached. JavaScript objects do not pass on a state.
pub fn find(snapshot: &Snapshot) -> Vec<u8> {
    let given = &snapshot.nodes.detached;
    if given.iter().all(|state| *state == 0) {
        return Vec::new();
    }
    let native = snapshot.node_kinds().native;
    let mut states = vec![0; given.len()];
    let mut seeds = [Vec::new(), Vec::new()];
    for node in snapshot.ordinals() {
        let state = given[node as usize];
        if snapshot.nodes.kind[node as usize] == native && (state == ATTACHED || state == DETACHED) {
            states[node as usize] = state;
            seeds[usize::from(state == DETACHED)].push(node);
        }
    }
    let [attached, detached] = seeds;
    spread(snapshot, &mut states, attached, ATTACHED);
    spread(snapshot, &mut states, detached, DETACHED);
    states
}

fn spread(snapshot: &Snapshot, states: &mut [u8], mut stack: Vec<Ordinal>, state: u8) {
    let kinds = snapshot.edge_kinds();
    let native = snapshot.node_kinds().native;
    while let Some(node) = stack.pop() {
        for edge in snapshot.edges_of(node) {
            let (kind, to) = (snapshot.edges.kind(edge), snapshot.edges.to[edge] as usize);
            let passes = kind != kinds.hidden && kind != kinds.invisible && kind != kinds.weak;
            if passes && states[to] == 0 && snapshot.nodes.kind[to] == native {
                states[to] = state;
                stack.push(to as Ordinal);
            }
        }
    }
}
