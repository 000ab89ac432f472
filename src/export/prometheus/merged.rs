//! Merges several records into one.
//!
//! * Counters and histograms are summed, including those of ended members while others of their run are alive:
//!   Prometheus
//!   interprets a falling sum as a restart. Sums are integers (nanoseconds, microseconds, bytes), since floats that are added
//!   in another order may differ by a bit.
//! * Figures of an isolate (heap, requests, collections) are summed over all records.
//! * Figures of a process (RSS, CPU time, descriptors, the addon's own allocator) count once for each process, from the
//!   record that was sampled last: each thread of a process has a record, and each samples the whole process.
//! * A cgroup usually contains all the processes. Its figures are those of the process nearest its limit, not a sum.
//! * Lag, utilisation and blocking are the worst of all event loops: an average would hide a blocked one.

use std::collections::{BTreeMap, HashMap};

use crate::recorder::distribution;
use crate::recorder::record::{Distribution, Record};

/// One row: method × route × status class, over all records.
#[derive(Debug, Default)]
pub struct Route {
    pub aborted: u64,
    pub duration_ns: u64,
    pub heap_bytes: Distribution,
    pub body_bytes: Distribution,
    pub response_bytes: Distribution,
    /// Counts by latency, not cumulative.
    pub latency: Vec<u64>,
}

/// In the order of method, route, status: the same from scrape to scrape.
pub fn routes<'a>(records: impl IntoIterator<Item = &'a Record>) -> BTreeMap<(&'a str, &'a str, &'a str), Route> {
    let mut routes: BTreeMap<_, Route> = BTreeMap::new();
    for row in records.into_iter().flat_map(|record| &record.routes) {
        let route = routes.entry((row.method.as_str(), row.route.as_str(), row.status)).or_default();
        route.aborted = route.aborted.saturating_add(row.aborted);
        route.duration_ns = route.duration_ns.saturating_add(units(row.duration_ms.sum, 1e6));
        distribution::merge(&mut route.heap_bytes, &row.heap_bytes);
        distribution::merge(&mut route.body_bytes, &row.body_bytes);
        distribution::merge(&mut route.response_bytes, &row.response_bytes);
        add_counts(&mut route.latency, &row.latency_buckets);
    }
    routes
}

/// A figure in the whole units in which it was recorded.
pub fn units(figure: f64, per_unit: f64) -> u64 {
    (figure * per_unit).round() as u64
}

pub fn add_counts(into: &mut Vec<u64>, counts: &[u64]) {
    into.resize(into.len().max(counts.len()), 0);
    into.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
}

/// One record for each process: that of the thread whose sampler wrote last. Totals of ended processes, which have no
/// pid, each count separately.
pub fn processes<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<&'a Record> {
    let mut newest: HashMap<_, &Record> = HashMap::new();
    let (totals, records): (Vec<&Record>, Vec<&Record>) = records.into_iter().partition(|record| record.pid == 0);
    for record in records {
        let process = (record.pid, record.process_start_ticks, record.boot_id.as_str());
        let known = newest.entry(process).or_insert(record);
        if record.last_heartbeat > known.last_heartbeat {
            *known = record;
        }
    }
    newest.into_values().chain(totals).collect()
}

/// Sums one figure of all.
pub fn sum<'a>(records: impl IntoIterator<Item = &'a Record>, figure: impl Fn(&Record) -> u64) -> u64 {
    records.into_iter().fold(0, |sum, record| sum.saturating_add(figure(record)))
}

/// Sums the known values. None if no record has the figure.
pub fn sum_known<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    figure: impl Fn(&Record) -> Option<u64>,
) -> Option<u64> {
    records.into_iter().filter_map(figure).reduce(u64::saturating_add)
}

pub fn max(records: &[Record], figure: impl Fn(&Record) -> f64) -> Option<f64> {
    records.iter().map(figure).max_by(f64::total_cmp)
}

/// (used, limit) of the process nearest its cgroup's limit. Without a limit, of the largest.
pub fn cgroup(processes: &[&Record]) -> (Option<u64>, Option<u64>) {
    let fullness = |record: &Record| match (record.cgroup.used_bytes, record.cgroup.limit_bytes) {
        (Some(used), Some(limit)) => (used as f64 / limit.max(1) as f64, used),
        (used, _) => (0.0, used.unwrap_or(0)),
    };
    let nearest = processes.iter().max_by(|a, b| {
        let (a, b) = (fullness(a), fullness(b));
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    });
    nearest.map_or((None, None), |record| (record.cgroup.used_bytes, record.cgroup.limit_bytes))
}

/// Quantiles of the loop's delay in seconds over the last minute's samples of one record. A blocked loop counts with
/// the time for which it has been blocked. None without samples.
pub fn lag_quantiles(record: &Record, quantiles: [f64; 3]) -> Option<[f64; 3]> {
    let since = record.last_heartbeat.saturating_sub(60_000);
    let recent = record.samples.iter().filter(|sample| sample.at >= since);
    let mut lags: Vec<f64> = recent.map(|sample| sample.lag_ms.max(sample.blocked_ms) / 1e3).collect();
    lags.sort_unstable_by(f64::total_cmp);
    let rank = |q: f64| ((q * lags.len() as f64).ceil() as usize).saturating_sub(1);
    (!lags.is_empty()).then(|| quantiles.map(|q| lags[rank(q)]))
}

/// Counts of a distribution by coarser bounds, and one more for larger values. They are exact if each bound is one of
/// the distribution's own (powers of two are).
pub fn counts_by(distribution: &Distribution, bounds: &[f64]) -> Vec<u64> {
    let mut counts = vec![0u64; bounds.len() + 1];
    for bucket in &distribution.buckets {
        let at = &mut counts[bounds.partition_point(|bound| *bound < bucket.up_to)];
        *at = at.saturating_add(bucket.count);
    }
    // A bucket's own count stops at 2^32 − 1 (fifty days at a thousand a second). The total shows what it missed.
    let counted = counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
    if let Some(missed) = distribution.count.checked_sub(counted)
        && let Some(fullest) = counts.iter_mut().max()
    {
        *fullest = fullest.saturating_add(missed);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::record::{Bucket, Cgroup, Sample};

    fn distribution(count: u64, buckets: &[(f64, u64)]) -> Distribution {
        let buckets = buckets.iter().map(|(up_to, count)| Bucket { up_to: *up_to, count: *count, mean: 0.0 });
        Distribution { count, buckets: buckets.collect(), ..Default::default() }
    }

    #[test]
    fn bounds_of_the_histogram_are_exact_at_powers_of_two() {
        let distribution = distribution(11, &[(1024.0, 3), (1280.0, 1), (4096.0, 2), (f64::INFINITY, 5)]);
        assert_eq!(counts_by(&distribution, &[256.0, 1024.0, 4096.0]), [0, 3, 3, 5]);
    }

    #[test]
    fn a_bucket_that_has_stopped_counting_does_not_stop_the_histogram() {
        let distribution = distribution(5_000_000_009, &[(512.0, u64::from(u32::MAX)), (8192.0, 9)]);
        assert_eq!(counts_by(&distribution, &[1024.0]), [5_000_000_000, 9]);
    }

    #[test]
    fn threads_of_a_process_count_as_one_and_processes_of_the_same_pid_as_two() {
        let record = |ticks, thread, last_heartbeat| Record {
            pid: 1,
            process_start_ticks: ticks,
            thread,
            last_heartbeat,
            ..Default::default()
        };
        let records = [record(50, 0, 10), record(50, 1, 20), record(70, 0, 5)];
        let found: Vec<_> = processes(&records).iter().map(|one| (one.process_start_ticks, one.thread)).collect();
        assert_eq!(found.len(), 2);
        assert!(found.contains(&(50, 1)) && found.contains(&(70, 0)));
    }

    #[test]
    fn a_cgroup_shared_by_all_counts_once() {
        let record = |used_bytes, limit_bytes| Record {
            cgroup: Cgroup { used_bytes, limit_bytes, ..Default::default() },
            ..Default::default()
        };
        let (roomy, tight) = (record(Some(900), Some(9000)), record(Some(500), Some(512)));
        assert_eq!(cgroup(&[&roomy, &tight]), (Some(500), Some(512)));
        assert_eq!(cgroup(&[&record(Some(3), None), &record(Some(4), None)]), (Some(4), None));
        assert_eq!(cgroup(&[]), (None, None));
    }

    #[test]
    fn lag_of_the_last_minute_counts_a_blocked_loop_with_the_time_it_has_been() {
        let sample = |at, lag_ms, blocked_ms| Sample { at, lag_ms, blocked_ms, ..Default::default() };
        let mut record = Record { last_heartbeat: 100_000, ..Default::default() };
        record.samples = vec![sample(10_000, 9e9, 0.0), sample(99_000, 2.0, 0.0), sample(100_000, 1.0, 3000.0)];
        assert_eq!(lag_quantiles(&record, [0.5, 0.9, 0.99]), Some([0.002, 3.0, 3.0]));
        assert_eq!(lag_quantiles(&Record::default(), [0.5, 0.9, 0.99]), None);
    }
}
