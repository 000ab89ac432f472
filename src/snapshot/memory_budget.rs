//! Whether there is memory for the child: before the fork, and while it grows.

use std::fs;

use crate::probe::process::Cgroup;

/// The child's own memory, as a multiple of the heap: the graph that V8 creates, and pages that the server changes
/// meanwhile. It is twelve if all objects are small (1.4 GiB for 129 MB on Node 20 to 26, measured). It is about
/// one if the heap consists of long strings and arrays. This is the middle, and the watchdog handles the rest.
const HEAPS: u64 = 6;
/// The least memory that it needs, bytes.
const FLOOR: u64 = 64 << 20;
/// The part of the whole that stays free: the kernel may kill all processes of a container together
/// (`memory.oom.group`).
const RESERVE: f64 = 0.08;

/// Bytes that are available, and the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    pub left: u64,
    pub whole: u64,
}

impl Room {
    /// Of the container or of the machine, whichever has less. None if neither is known.
    pub fn now() -> Option<Self> {
        let container = Cgroup::of_self().and_then(|cgroup| Self::of_container(&cgroup));
        [container, Self::of_machine()].into_iter().flatten().min_by_key(|room| room.left)
    }

    fn of_container(cgroup: &Cgroup) -> Option<Self> {
        // If the part that can be dropped is unknown, all of it counts.
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

    /// Bytes that a child may still use before it endangers the server.
    pub fn spare(&self) -> u64 {
        self.left.saturating_sub((self.whole as f64 * RESERVE) as u64)
    }

    /// Whether a child that continues to grow endangers the server.
    pub fn is_tight(&self) -> bool {
        self.spare() == 0
    }
}

/// What a snapshot of a heap of this size needs.
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
