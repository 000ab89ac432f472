//! Whether there is memory for the child: before it is made, and while it grows.

use std::fs;

use crate::probe::process::Cgroup;

/// What the child takes for itself, in heaps: the graph that V8 makes, and pages that the server changes meanwhile. Twelve where all objects are
/// small (1.4 GiB for 129 MB on Node 20 to 26, measured), about one where the heap is long strings and arrays: the middle, and
/// the watch for the rest.
const HEAPS: u64 = 6;
/// What it takes at least, bytes.
const FLOOR: u64 = 64 << 20;
/// Of the whole, this part is left alone: the kernel kills all of a container together (`memory.oom.group`).
const RESERVE: f64 = 0.08;

/// Bytes that can still be had, and of how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    pub left: u64,
    pub whole: u64,
}

impl Room {
    /// Of the container or of the machine, whichever is tighter; none where neither tells.
    pub fn now() -> Option<Self> {
        let container = Cgroup::of_self().and_then(|cgroup| Self::of_container(&cgroup));
        [container, Self::of_machine()].into_iter().flatten().min_by_key(|room| room.left)
    }

    fn of_container(cgroup: &Cgroup) -> Option<Self> {
        // Without the part that can be dropped, all of it counts.
        let used = cgroup.working_set_bytes().or_else(|| cgroup.used_bytes())?;
        let whole = cgroup.limit_bytes()?;
        Some(Self { left: whole.saturating_sub(used), whole })
    }

    fn of_machine() -> Option<Self> {
        let text = fs::read_to_string("/proc/meminfo").ok()?;
        let figure = |name: &str| {
            let kib = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
        };
        Some(Self { left: figure("MemAvailable:")?, whole: figure("MemTotal:")? })
    }

    /// Bytes that a child may still take before it is a danger to the server.
    pub fn spare(&self) -> u64 {
        self.left.saturating_sub((self.whole as f64 * RESERVE) as u64)
    }

    /// Whether a child that grows on is one.
    pub fn is_tight(&self) -> bool {
        self.spare() == 0
    }
}

/// What a snapshot of a heap of so many bytes needs.
pub fn needed(heap: u64) -> u64 {
    FLOOR + heap * HEAPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_left() {
        let room = Room::now().unwrap();
        assert!(room.left > 1 << 20 && room.left <= room.whole);
        assert!(Room { left: 80, whole: 1000 }.is_tight() && !Room { left: 81, whole: 1000 }.is_tight());
        assert_eq!(Room { left: 100, whole: 1000 }.spare(), 20);
        assert_eq!(needed(100 << 20), 664 << 20);
    }
}
