//! Findings from the figures of a record, with advice.

use super::record::{Finding, Record};

const MIB: u64 = 1 << 20;
/// Memory that a Node process needs outside its heap: code, stacks, buffers, the allocator's own.
const BESIDE_HEAP: u64 = 64 * MIB;
/// The part of the container's memory that the old generation may use.
const SHARE: f64 = 0.75;
/// With a heap limit under this share, most of a large container's memory is unused.
const SMALL_SHARE: f64 = 0.35;
const LARGE_CONTAINER: u64 = 2 << 30;

pub fn findings(record: &Record) -> Vec<Finding> {
    heap_limit(record).into_iter().chain(record.findings.iter().cloned()).collect()
}

/// Whether V8's limit fits the container's. If it is higher, the kernel kills the process before V8 collects as hard as
/// it can.
fn heap_limit(record: &Record) -> Option<Finding> {
    // A worker's heap has limits of its own, and shares the container with the main thread's.
    let container = record.cgroup.limit_bytes.filter(|_| record.thread == 0)?;
    let young = record.pressure.semi_space_max_bytes.unwrap_or(0).saturating_mul(3);
    let (severity, advice) = judge(record.heap.limit_bytes, young, container)?;
    Some(Finding {
        kind: "heap-limit".to_owned(),
        count: 1,
        first_seen: record.started_at,
        last_seen: record.last_heartbeat,
        severity,
        advice,
        ..Finding::default()
    })
}

/// `limit`: V8's limit, including the young generation.
fn judge(limit: u64, young: u64, container: u64) -> Option<(&'static str, String)> {
    if limit == 0 || container == 0 {
        return None;
    }
    let fits =
        ((container as f64 * SHARE) as u64).min(container.saturating_sub(BESIDE_HEAP.saturating_add(young))) / MIB;
    let (heap, has) = (limit / MIB, container / MIB);
    // For a container that is too small for a heap, no flag helps.
    let flag = if fits >= 16 {
        format!("set --max-old-space-size={fits}")
    } else {
        "give the container more memory".to_owned()
    };
    if limit.saturating_add(BESIDE_HEAP) > container {
        let advice = format!(
            "V8 may grow its heap to {heap} MiB in a container of {has} MiB: {flag}. The kernel would kill the process before V8 reaches its limit and collects more"
        );
        return Some((if limit >= container { "critical" } else { "warning" }, advice));
    }
    let small = container >= LARGE_CONTAINER && (limit as f64) < SMALL_SHARE * container as f64;
    small.then(|| {
        let advice = format!(
            "V8 ends the process at a heap of {heap} MiB in a container of {has} MiB. If no other process needs the rest, {flag}"
        );
        ("info", advice)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn severity(limit_mib: u64, container_mib: u64) -> Option<&'static str> {
        judge(limit_mib * MIB, 48 * MIB, container_mib * MIB).map(|(severity, _)| severity)
    }

    #[test]
    fn a_heap_that_the_container_cannot_hold_is_critical() {
        assert_eq!(severity(4144, 2048), Some("critical"));
        assert_eq!(severity(512, 512), Some("critical"));
        assert_eq!(severity(480, 512), Some("warning"));
    }

    #[test]
    fn limits_that_fit_are_not_spoken_of() {
        for (limit, container) in [(304, 512), (448, 512), (1072, 2048), (4144, 8192), (200, 1024)] {
            assert_eq!(severity(limit, container), None, "{limit} in {container}");
        }
        assert_eq!(severity(0, 512), None, "unknown");
    }

    #[test]
    fn a_small_heap_in_a_large_container_is_worth_a_word() {
        assert_eq!(severity(248, 4096), Some("info"));
        assert_eq!(severity(4144, 16_384), Some("info"));
    }

    #[test]
    fn names_the_flag_to_set() {
        let (_, advice) = judge(4144 * MIB, 48 * MIB, 512 * MIB).unwrap();
        assert!(advice.contains(": set --max-old-space-size=384. "), "{advice}");
        let (_, advice) = judge(4288 * MIB, 192 * MIB, 512 * MIB).unwrap();
        assert!(advice.contains(": set --max-old-space-size=256. "), "{advice}");
        let (_, advice) = judge(248 * MIB, 48 * MIB, 64 * MIB).unwrap();
        assert!(advice.contains(": give the container more memory. "), "{advice}");
    }

    proptest! {
        /// Following the advice leads to no further advice.
        #[test]
        fn the_flag_that_is_named_fits(limit in 1..16_384u64, young in 0..400u64, container in 1..65_536u64) {
            let Some((_, advice)) = judge(limit * MIB, young * MIB, container * MIB) else { return Ok(()) };
            if let Some((_, flag)) = advice.split_once("--max-old-space-size=") {
                let digits: String = flag.chars().take_while(char::is_ascii_digit).collect();
                let old: u64 = digits.parse().unwrap();
                let again = judge((old + young) * MIB, young * MIB, container * MIB);
                prop_assert_eq!(again, None);
            }
        }
    }
}
