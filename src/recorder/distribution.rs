//! The histogram of one quantity of one route, in a fixed number of words.
//!
//! Buckets are quarters of powers of two. Each stores the mean of its values in addition to the count, both in one
//! word. A quantile is the mean of its bucket. Its error is at most a quarter octave for scattered values. For most
//! routes, with many requests of nearly the same weight, it is as small as their spread. A finer grid without the means
//! (HDR, Prometheus' native histograms) would need eight times the memory for the same error at the median.
//!
//! Bounds are inclusive above, like Prometheus' `le`, so power-of-two bounds can be exported exactly.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::layout::DISTRIBUTION_WORDS;
use super::record::{Bucket, Distribution};

const COUNT: usize = 0;
const SUM: usize = 1;
const MIN: usize = 2;
const MAX: usize = 3;
const BUCKETS: usize = 4;
const BUCKETS_LEN: usize = DISTRIBUTION_WORDS - BUCKETS;
const PER_OCTAVE: u32 = 4;

/// The unit of a distribution, and where its buckets begin.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Values up to 2^`floor` share the first bucket.
    floor: u32,
    /// Recorded units in one displayed unit.
    per_unit: f64,
}

/// Nanoseconds, displayed as milliseconds. 16 µs to 5 h.
pub const DURATION: Scale = Scale { floor: 14, per_unit: 1e6 };
/// Heap bytes. 256 B to 400 GB.
pub const HEAP: Scale = Scale { floor: 8, per_unit: 1.0 };
/// Bytes on the connection. 64 B to 100 GB.
pub const WIRE: Scale = Scale { floor: 6, per_unit: 1.0 };

impl Scale {
    fn bucket(self, value: u64) -> usize {
        let below = value.saturating_sub(1);
        if below >> self.floor == 0 {
            return 0;
        }
        let octave = 63 - below.leading_zeros();
        let quarter = (below >> (octave - 2)) & u64::from(PER_OCTAVE - 1);
        let index = 1 + (octave - self.floor) as usize * PER_OCTAVE as usize + quarter as usize;
        index.min(BUCKETS_LEN - 1)
    }

    fn up_to(self, bucket: usize) -> f64 {
        if bucket == BUCKETS_LEN - 1 {
            return f64::INFINITY;
        }
        let quarters = bucket as u32;
        let octave = self.floor + quarters / PER_OCTAVE;
        let bound = (1u64 << octave) + u64::from(quarters % PER_OCTAVE) * (1u64 << (octave - 2));
        bound as f64 / self.per_unit
    }
}

/// Adds one value. `value` may be negative (a single heap reading can be): the sum keeps the sign, the buckets count it
/// as 0. Only the row's writer may call this, within its write.
pub fn record(words: &[AtomicU64], scale: Scale, value: i64) {
    let clamped = value.max(0) as u64;
    let count = words[COUNT].load(Relaxed);
    words[COUNT].store(count + 1, Relaxed);
    let sum = words[SUM].load(Relaxed).wrapping_add_signed(value);
    words[SUM].store(sum, Relaxed);
    if count == 0 || clamped < words[MIN].load(Relaxed) {
        words[MIN].store(clamped, Relaxed);
    }
    if clamped > words[MAX].load(Relaxed) {
        words[MAX].store(clamped, Relaxed);
    }
    let bucket = &words[BUCKETS + scale.bucket(clamped)];
    let (n, mean) = unpack(bucket.load(Relaxed));
    let n = n.saturating_add(1);
    bucket.store(pack(n, mean + (clamped as f32 - mean) / n as f32), Relaxed);
}

fn pack(count: u32, mean: f32) -> u64 {
    u64::from(count) << 32 | u64::from(mean.to_bits())
}

fn unpack(word: u64) -> (u32, f32) {
    ((word >> 32) as u32, f32::from_bits(word as u32))
}

/// Reads a distribution from its words. For any words, the result is finite and its buckets ascend.
pub fn read(words: &[u64], scale: Scale) -> Distribution {
    let buckets = (0..BUCKETS_LEN).filter_map(|index| {
        let (count, mean) = unpack(words[BUCKETS + index]);
        let mean = if mean.is_finite() { f64::from(mean) / scale.per_unit } else { 0.0 };
        (count > 0).then(|| Bucket { up_to: scale.up_to(index), count: u64::from(count), mean })
    });
    summarize(
        words[COUNT],
        words[SUM] as i64 as f64 / scale.per_unit,
        words[MIN] as f64 / scale.per_unit,
        words[MAX] as f64 / scale.per_unit,
        buckets.collect(),
    )
}

/// Adds the same quantity of another record (of another worker of a cluster): counts and sums are added.
pub fn merge(into: &mut Distribution, other: &Distribution) {
    if other.count == 0 {
        return;
    }
    let min = if into.count == 0 { other.min } else { into.min.min(other.min) };
    let mut buckets = std::mem::take(&mut into.buckets);
    for bucket in &other.buckets {
        match buckets.binary_search_by(|b| b.up_to.total_cmp(&bucket.up_to)) {
            Ok(found) => {
                let mine = &mut buckets[found];
                let count = mine.count.saturating_add(bucket.count);
                mine.mean += (bucket.mean - mine.mean) * (bucket.count as f64 / count as f64);
                mine.count = count;
            }
            Err(place) => buckets.insert(place, *bucket),
        }
    }
    let count = into.count.saturating_add(other.count);
    *into = summarize(count, into.sum + other.sum, min, into.max.max(other.max), buckets);
}

fn summarize(count: u64, sum: f64, min: f64, max: f64, buckets: Vec<Bucket>) -> Distribution {
    let quantile = |q: f64| {
        let total = buckets.iter().fold(0u64, |total, bucket| total.saturating_add(bucket.count));
        let rank = (q * total as f64).ceil().max(1.0);
        let mut seen = 0.0;
        let found = buckets.iter().find(|bucket| {
            seen += bucket.count as f64;
            seen >= rank
        });
        found.map_or(0.0, |bucket| bucket.mean.max(min).min(max))
    };
    let (p50, p90, p99) = (quantile(0.5), quantile(0.9), quantile(0.99));
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    Distribution { count, sum, min, max, mean, p50, p90, p99, buckets }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(values: &[i64], scale: Scale) -> Distribution {
        let words: Vec<AtomicU64> = (0..DISTRIBUTION_WORDS).map(|_| AtomicU64::new(0)).collect();
        values.iter().for_each(|value| record(&words, scale, *value));
        let words: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
        read(&words, scale)
    }

    #[test]
    fn quantiles_of_equal_values_are_that_value() {
        let d = recorded(&[1_055_672; 1000], HEAP);
        assert_eq!((d.p50, d.p99, d.mean), (1_055_672.0, 1_055_672.0, 1_055_672.0));
    }

    #[test]
    fn negative_readings_keep_the_sum_right() {
        let d = recorded(&[-500, 1500], HEAP);
        assert_eq!((d.sum, d.min, d.max), (1000.0, 0.0, 1500.0));
    }

    #[test]
    fn powers_of_two_fall_at_or_below_their_own_bound() {
        for exponent in 6..36 {
            let d = recorded(&[1 << exponent], WIRE);
            assert_eq!(d.buckets[0].up_to, (1u64 << exponent) as f64);
        }
    }

    proptest! {
        #[test]
        fn quantiles_lie_within_a_quarter_octave_of_the_true_ones(values in prop::collection::vec(300i64..1 << 34, 1..400)) {
            let d = recorded(&values, HEAP);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            for (q, got) in [(0.5, d.p50), (0.9, d.p90), (0.99, d.p99)] {
                let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
                let truth = sorted[rank - 1] as f64;
                prop_assert!((got / truth).log2().abs() <= 0.33, "q{q}: {got} for {truth}");
            }
            prop_assert_eq!(d.sum, values.iter().sum::<i64>() as f64);
        }

        #[test]
        fn merged_parts_equal_the_whole(a in prop::collection::vec(0i64..1 << 30, 0..200), b in prop::collection::vec(0i64..1 << 30, 0..200)) {
            let whole = recorded(&[a.clone(), b.clone()].concat(), WIRE);
            let mut merged = recorded(&a, WIRE);
            merge(&mut merged, &recorded(&b, WIRE));
            prop_assert_eq!(merged.count, whole.count);
            prop_assert_eq!(merged.sum, whole.sum);
            prop_assert_eq!((merged.min, merged.max), (whole.min, whole.max));
            let counts = |d: &Distribution| d.buckets.iter().map(|b| (b.up_to, b.count)).collect::<Vec<_>>();
            prop_assert_eq!(counts(&merged), counts(&whole));
        }

        #[test]
        fn any_words_read_as_finite_numbers(words in prop::collection::vec(any::<u64>(), DISTRIBUTION_WORDS)) {
            let d = read(&words, DURATION);
            prop_assert!([d.sum, d.mean, d.p50, d.p90, d.p99].iter().all(|n| n.is_finite()));
        }
    }
}
