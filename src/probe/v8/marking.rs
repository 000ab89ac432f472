//! How V8 is asked for an ordinary concurrent marking.
//!
//! V8 begins one when external memory (outside the heap, retained by JavaScript objects) exceeds its soft limit. So the
//! caller announces external memory through Node-API, and withdraws it at once. The marking is an ordinary one: the
//! young generation keeps its size, and code is still optimised.
//!
//! `MemoryPressureNotification` starts a marking too, in V8's mode that reduces memory. It shrinks the young generation
//! to a quarter, which causes more scavenges (see [`super::Probe::reduce_memory`]).
//!
//! Over the hard limit V8 blocks the program for a full collection that reduces memory, so the amount must stay below
//! that.

const MIB: u64 = 1 << 20;

/// V8's `kExternalAllocationSoftLimit`, measured from the minimum of external memory since the last major collection.
const SOFT_LIMIT: u64 = 64 * MIB;
/// Beyond the soft limit, and short of the hard one.
const MARGIN: u64 = MIB;

/// The amount to announce, bytes. None if there is no room between V8's limits: with little external memory that is an
/// old generation below 132 MB. `external` is V8's own count, as `napi_adjust_external_memory` returns it.
/// `old_generation` is its maximum, and the hard limit is half of it.
pub fn external_bytes(external: u64, old_generation: u64) -> Option<u64> {
    let bytes = SOFT_LIMIT + MARGIN;
    let hard_limit = old_generation / 2;
    (external.saturating_add(bytes + MARGIN) <= hard_limit).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn needs_room_between_the_soft_and_the_hard_limit() {
        assert_eq!(external_bytes(0, 4096 * MIB), Some(65 * MIB));
        assert_eq!(external_bytes(0, 132 * MIB), Some(65 * MIB));
        assert_eq!(external_bytes(0, 131 * MIB), None);
        assert_eq!(external_bytes(200 * MIB, 512 * MIB), None, "half of it is taken by the program's own");
        assert_eq!(external_bytes(0, 0), None, "the maximum is unknown");
    }

    proptest! {
        #[test]
        fn is_over_the_soft_limit_and_under_the_hard_one(external in any::<u64>(), old_generation in any::<u64>()) {
            if let Some(bytes) = external_bytes(external, old_generation) {
                prop_assert!(bytes > SOFT_LIMIT);
                prop_assert!(external + bytes < old_generation / 2);
            }
        }
    }
}
