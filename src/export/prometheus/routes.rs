//! Metrics by route. These rows are most of a scrape: 300 of them are 19,000 lines if each has every histogram.
//!
//! So only latency is a histogram by default, with few bounds. Sizes have no label for the status: it is hardly useful
//! for large bodies, and it doubles the rows. A route without a body has no row for bodies, as in clients that create a
//! row with the first observation.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::metrics::MetricType;

use super::merged::{self, Route};
use super::{Families, Histogram, Histograms, Labels, Options, Value, labels};
use crate::recorder::distribution;
use crate::recorder::record::{Distribution, Record};
use crate::recorder::writer::LATENCY_BOUNDS_NS;

/// Upper bounds of the record's latency counts, seconds.
pub const LATENCY_BOUNDS: [f64; LATENCY_BOUNDS_NS.len()] = {
    let mut bounds = [0.0; LATENCY_BOUNDS_NS.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = LATENCY_BOUNDS_NS[index] as f64 / 1e9;
        index += 1;
    }
    bounds
};

/// The bounds of a scrape by default: 300 rows with more would exceed 300 KB.
const FEW_BOUNDS: [f64; 4] = [0.01, 0.1, 0.5, 2.5];

/// Powers of four, 256 B to 1 GiB. The recorder's own buckets have these bounds, so that nothing is interpolated.
const SIZE_BOUNDS: [f64; 12] = {
    let mut bounds = [256.0; 12];
    let mut index = 1;
    while index < bounds.len() {
        bounds[index] = bounds[index - 1] * 4.0;
        index += 1;
    }
    bounds
};

/// `counted`: the living records, and those of ended members of their run.
pub fn fill(families: &mut Families, counted: &[&Record], options: &Options) {
    let routes = merged::routes(counted.iter().copied());
    latency(families, &routes, options);
    sizes(families, &by_path(&routes), options.histograms);
}

fn latency(families: &mut Families, routes: &BTreeMap<(&str, &str, &str), Route>, options: &Options) {
    let bounds: &[f64] = match (&options.buckets, options.histograms) {
        (Some(buckets), _) => buckets,
        (None, Histograms::All) => &LATENCY_BOUNDS,
        (None, _) => &FEW_BOUNDS,
    };
    let rows = routes.iter().map(|((method, path, status), route)| {
        let counts = coarser(&route.latency, bounds);
        let histogram = Histogram::new(route.duration_ns as f64 / 1e9, bounds.iter().copied(), &counts);
        (labels([("method", method), ("path", path), ("status_code", status)]), histogram)
    });
    let name = "http_request_duration_seconds";
    let help = "Time from the start of a request to its end, by mounted pattern and class of status.";
    match options.histograms {
        Histograms::None => families.summaries(name, rows, help),
        _ => families.histograms(name, rows, help),
    }
}

/// Counts by some of the record's bounds, and one more for larger values.
fn coarser(counts: &[u64], bounds: &[f64]) -> Vec<u64> {
    let mut coarse = vec![0u64; bounds.len() + 1];
    let finer = LATENCY_BOUNDS.into_iter().chain([f64::INFINITY]);
    for (count, finer) in counts.iter().zip(finer) {
        let at = &mut coarse[bounds.partition_point(|bound| *bound < finer)];
        *at = at.saturating_add(*count);
    }
    coarse
}

/// Sizes of a route, for all statuses.
#[derive(Default)]
struct Sizes {
    aborted: u64,
    heap: Distribution,
    body: Distribution,
    response: Distribution,
}

fn by_path(routes: &BTreeMap<(&str, &str, &str), Route>) -> Vec<(Labels, Sizes)> {
    let mut merged: BTreeMap<(&str, &str), Sizes> = BTreeMap::new();
    for ((method, path, _), route) in routes {
        let sizes = merged.entry((method, path)).or_default();
        sizes.aborted = sizes.aborted.saturating_add(route.aborted);
        distribution::merge(&mut sizes.heap, &route.heap_bytes);
        distribution::merge(&mut sizes.body, &route.body_bytes);
        distribution::merge(&mut sizes.response, &route.response_bytes);
    }
    let labelled = |((method, path), sizes)| (labels([("method", method), ("path", path)]), sizes);
    merged.into_iter().map(labelled).collect()
}

fn sizes(families: &mut Families, rows: &[(Labels, Sizes)], histograms: Histograms) {
    let mut family = |name, help, of: fn(&Sizes) -> &Distribution, needed: fn(&Sizes) -> bool| {
        let rows = rows.iter().filter(|(_, sizes)| needed(sizes)).map(|(labels, sizes)| {
            let counts = merged::counts_by(of(sizes), &SIZE_BOUNDS);
            (Arc::clone(labels), Histogram::new(of(sizes).sum, SIZE_BOUNDS, &counts))
        });
        match histograms {
            Histograms::All => families.histograms(name, rows, help),
            _ => families.summaries(name, rows, help),
        }
    };
    family(
        "plimsoll_http_request_heap_bytes",
        "Bytes allocated on V8's heap by the code of a request.",
        |sizes| &sizes.heap,
        |_| true,
    );
    family(
        "plimsoll_http_request_body_bytes",
        "Bytes received of a request body, for routes that received one.",
        |sizes| &sizes.body,
        |sizes| sizes.body.sum > 0.0,
    );
    family(
        "plimsoll_http_response_bytes",
        "Bytes sent in a response, headers included.",
        |sizes| &sizes.response,
        |_| true,
    );
    let aborted = rows.iter().map(|(labels, sizes)| (Arc::clone(labels), Value::Counter(sizes.aborted.into())));
    families.push(
        "plimsoll_http_requests_aborted_total",
        "Requests that ended before their response was complete.",
        MetricType::Counter,
        aborted.collect(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarser_counts_lose_nothing() {
        let counts: Vec<u64> = (1..=LATENCY_BOUNDS.len() as u64 + 1).collect();
        assert_eq!(coarser(&counts, &LATENCY_BOUNDS), counts);
        assert_eq!(coarser(&counts, &[]), [counts.iter().sum::<u64>()]);
        let coarse = coarser(&counts, &FEW_BOUNDS);
        // 1, 2.5, 5, 10 ms; 25, 50, 100; 250, 500; 1,000, 2,500; the rest.
        assert_eq!(coarse, [1 + 2 + 3 + 4, 5 + 6 + 7, 8 + 9, 10 + 11, 12 + 13 + 14 + 15]);
    }
}
