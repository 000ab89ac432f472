//! V8 stores an object's properties and elements in separate arrays. The size of such an array (or of a hidden node, or
//! of a string's external data) is shown as its owner's, if it has exactly one.

use super::Roots;
use crate::bits::Bits;
use crate::memory;
use crate::snapshot::{NONE, Ordinal, Sizes, Snapshot};

/// More than one.
const SHARED: u32 = u32::MAX - 1;

/// The owner of each node, which mostly is the node itself. Empty if nothing is to be moved: a snapshot without user
/// roots was made with V8's internals exposed, and shows memory as it is.
pub fn find(snapshot: &Snapshot, roots: Roots) -> Vec<Ordinal> {
    if roots == Roots::Gc || !snapshot.has_user_roots() {
        return Vec::new();
    }
    let kinds = snapshot.node_kinds();
    let weak = snapshot.edge_kinds().weak;
    let mut owners = memory::room(snapshot.node_count());
    owners.extend(snapshot.ordinals());
    // Nodes that may get another owner: one bit each, so that most edges need no data outside the cache.
    let mut open = Bits::new(snapshot.node_count());
    for node in snapshot.ordinals() {
        let kind = snapshot.nodes.kind[node as usize];
        let external = || kind == kinds.native && snapshot.raw_name(node) == b"system / ExternalStringData";
        if kind == kinds.hidden || kind == kinds.array || external() {
            owners[node as usize] = NONE;
            open.set(node);
        }
    }
    let mut work: Vec<Ordinal> = Vec::new();
    // The search starts from nodes that own themselves. Their order has no effect, so they need not be in the list.
    for start in snapshot.ordinals() {
        if owners[start as usize] != start {
            continue;
        }
        work.push(start);
        while let Some(node) = work.pop() {
            let owner = owners[node as usize];
            for edge in snapshot.edges_of(node) {
                let to = snapshot.edges.to[edge];
                if !open.get(to) || snapshot.edges.kind(edge) == weak || owners[to as usize] == owner {
                    continue;
                }
                let known = std::mem::replace(&mut owners[to as usize], owner);
                if known != NONE || owner == SHARED {
                    owners[to as usize] = SHARED;
                    open.clear(to);
                }
                work.push(to);
            }
        }
    }
    owners
}

/// The displayed sizes: those of the file, except that arrays' sizes are their owners'. `sizes` are the file's.
pub fn sizes(snapshot: &Snapshot, mut sizes: Sizes, owners: &[Ordinal]) -> Sizes {
    for (node, owner) in (0..).zip(owners.iter().copied()) {
        if owner == NONE || owner == SHARED || owner == node || owner == snapshot.root || snapshot.is_synthetic(owner) {
            continue;
        }
        sizes.add(owner, sizes.get(node));
        sizes.set(node, 0);
    }
    sizes
}
