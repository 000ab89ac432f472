//! What a span is charged between two readings of the heap, and whether that figure is certain.
//!
//! V8's used size changes for two reasons other than allocations of the running code (traced on Node 20 to 26):
//!
//! 1. An optimising compiler on a background thread takes whole allocation buffers from the old, code and trusted
//!    spaces,
//!    10 to 900 KB at once. It returns what it did not use when its job ends. Its zones are part of `malloced_memory`, which
//!    therefore changes when a job begins, grows or ends, and is constant while none runs.
//! 2. V8 parks the rest of a young page (at most 128 KiB) into which a larger object did not fit. It counts as used
//!    until a
//!    later allocation reuses it. The used size then falls.
//!
//! Sweeping is not a reason: figures fall in the same way with `--single-threaded-gc` and `--no-concurrent-sweeping`.

use super::Reading;

/// The sizes of a compiler's buffers. A difference outside of these bounds has another cause.
const BUFFERS_MIN: i64 = 16 << 10;
const BUFFERS_MAX: i64 = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Never negative.
    pub bytes: i64,
    /// False if V8's own work is, or may be, a large part of `bytes`.
    pub certain: bool,
}

impl Charge {
    pub fn between(before: &Reading, after: &Reading) -> Self {
        let bytes = after.allocated - before.allocated;
        let compiling = before.heap.malloced != after.heap.malloced;
        let blurred = bytes < 0 || (compiling && (BUFFERS_MIN..BUFFERS_MAX).contains(&bytes));
        Self { bytes: bytes.max(0), certain: !blurred }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recorder::writer::HeapFigures;

    fn reading(allocated: i64, malloced: u64) -> Reading {
        Reading { allocated, heap: HeapFigures { malloced, ..HeapFigures::default() }, ..Reading::default() }
    }

    fn charge(bytes: i64, malloced: u64) -> Charge {
        Charge::between(&reading(1 << 30, 500_000), &reading((1 << 30) + bytes, malloced))
    }

    #[test]
    fn what_running_code_allocates_is_charged() {
        assert_eq!(charge(300_000, 500_000), Charge { bytes: 300_000, certain: true });
    }

    #[test]
    fn a_compiler_s_buffers_are_uncertain_and_what_dwarfs_them_or_is_less_than_one_is_not() {
        assert_eq!(charge(412_200, 530_000), Charge { bytes: 412_200, certain: false });
        assert!(charge(12_000, 530_000).certain);
        assert!(charge(11_500_000, 530_000).certain);
    }

    #[test]
    fn memory_that_is_returned_is_no_negative_allocation() {
        assert_eq!(charge(-406_016, 500_000), Charge { bytes: 0, certain: false });
    }

    proptest! {
        #[test]
        fn a_charge_is_never_negative(bytes in -1_000_000_000..1_000_000_000i64, malloced in any::<u64>()) {
            let charge = charge(bytes, malloced);
            prop_assert!(charge.bytes >= 0);
            prop_assert!(charge.certain || bytes < BUFFERS_MAX);
        }
    }
}
