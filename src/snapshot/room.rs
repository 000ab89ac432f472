//! Whether there is memory for the child.

use std::fs;

use crate::probe::process::Cgroup;

/// What the child takes for itself, in heaps: pages that the server changes meanwhile, and the graph with its strings. Measured on Node 20
/// to 26 with heaps of small objects (`npm run bench:snapshot`).
pub const HEAPS: f64 = 3.0;
/// What it takes at least, bytes.
pub const FLOOR: u64 = 64 << 20;

/// Bytes that can still be had: of the machine, and of the container.
pub fn available() -> Option<u64> {
    let container = Cgroup::of_self().and_then(|cgroup| left(&cgroup));
    [machine(), container].into_iter().flatten().min()
}

/// Bytes that the container may still take; none without a limit.
pub fn left(cgroup: &Cgroup) -> Option<u64> {
    let used = cgroup.used_bytes()?.saturating_sub(cgroup.inactive_file_bytes().unwrap_or(0));
    Some(cgroup.limit_bytes()?.saturating_sub(used))
}

fn machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? << 10)
}

/// What a snapshot of a heap of so many bytes needs.
pub fn needed(heap: u64) -> u64 {
    FLOOR + (heap as f64 * HEAPS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_left() {
        assert!(available().unwrap() > 1 << 20);
        assert!(needed(100 << 20) > 300 << 20);
    }
}
