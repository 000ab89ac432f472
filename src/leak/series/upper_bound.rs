//! Does a series stay under a bound? For a load test, which can continue until that is known. [`super::judge`] cannot
//! ask for more points.
//!
//! Each point is a block: live bytes after forced collections, against the requests of one route. During the warm-up
//! the series bends, caches fill and tables double. So only the end of the series counts, and there is no decision
//! while it bends. There are two decisions: the whole interval of the slope is under the bound, or it is above it and
//! the growth is that of a leak ([`growth::judge`]).

use super::growth::{self, Growth, Point, Thresholds};
use super::mann_kendall;
use super::theil_sen::{Slope, Slopes};

/// The bound of a series. All values are in the series' own unit, mostly bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Growth for each request that is still accepted.
    pub per_request: f64,
    /// Growth over the series that does not count as a leak yet.
    pub least: f64,
    /// Warming up ends after this many requests, or after this much growth. Growth before is not called a leak.
    pub enough_requests: f64,
    pub enough_growth: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Under,
    Over,
    /// More blocks may lead to a decision.
    Open,
}

/// Growth for each request, with its interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Points of the end: half of all, and at least this many.
const END: usize = 12;
/// The same for a leak: [`growth::judge`] requires as many.
const END_OVER: usize = 16;
/// A load test is judged some dozens of times, not all day.
const LIKELY: f64 = 0.01;
const SURE: f64 = 1e-3;

/// The decision with the slope of the end, if there are enough points. `points` are in order of time.
pub fn decide(points: &[Point], bound: &Bound) -> (Decision, Option<Rate>) {
    if points.len() < END {
        return (Decision::Open, None);
    }
    let end = end_of(points, END);
    let rate = rate(end);
    let (first, last) = (end[0], end[end.len() - 1]);
    // The slopes are medians and may miss a step, which may be the first of several.
    let mean = (last.bytes - first.bytes) / (last.requests - first.requests);
    if rate.high.max(mean) <= bound.per_request {
        return (Decision::Under, Some(rate));
    }
    let over = rate.low > bound.per_request && leaks(end_of(points, END_OVER), bound) && is_long(points, bound);
    (if over { Decision::Over } else { Decision::Open }, Some(rate))
}

fn end_of(points: &[Point], least: usize) -> &[Point] {
    &points[points.len().saturating_sub(points.len().div_ceil(2).max(least))..]
}

fn rate(points: &[Point]) -> Rate {
    let requests: Vec<f64> = points.iter().map(|point| point.requests).collect();
    let bytes: Vec<f64> = points.iter().map(|point| point.bytes).collect();
    let slopes = Slopes::between(&requests, &bytes);
    let slope = slopes.median();
    let detrended: Vec<f64> = bytes.iter().zip(&requests).map(|(bytes, x)| bytes - slope * x).collect();
    let test = mann_kendall::test(&bytes, &detrended, &vec![0.0; bytes.len()]);
    let Slope { slope, low, high } = slopes.with_interval(mann_kendall::variance(&requests) * test.widened, 1.959_964);
    Rate { value: slope, low, high }
}

fn leaks(points: &[Point], bound: &Bound) -> bool {
    let gate = Thresholds { likely: LIKELY, sure: SURE, ..Thresholds::of_bytes(bound.least) };
    growth::judge(points, &gate).0 == Growth::Sure
}

fn is_long(points: &[Point], bound: &Bound) -> bool {
    let (first, last) = (points[0], points[points.len() - 1]);
    last.requests - first.requests >= bound.enough_requests || last.bytes - first.bytes >= bound.enough_growth
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound =
        Bound { per_request: 64.0, least: 16_384.0, enough_requests: 2000.0, enough_growth: 64.0 * 1024.0 * 1024.0 };
    const BLOCK: f64 = 150.0;

    fn series(blocks: usize, bytes: impl Fn(f64) -> f64) -> Vec<Point> {
        let requests = (0..blocks).map(|at| at as f64 * BLOCK);
        requests.map(|requests| Point { requests, bytes: bytes(requests), ..Point::default() }).collect()
    }

    /// Runs blocks until there is a decision. Returns it with the number of blocks.
    fn run(bytes: impl Fn(f64) -> f64) -> (Decision, usize, Rate) {
        (1..=60)
            .find_map(|blocks| match decide(&series(blocks, &bytes), &BOUND) {
                (Decision::Open, _) => None,
                (decision, rate) => Some((decision, blocks, rate.unwrap())),
            })
            .expect("a decision")
    }

    #[test]
    fn what_does_not_grow_is_under_and_a_leak_is_over_with_its_size() {
        assert_eq!(run(|_| 5e6).0, Decision::Under);
        let noise = |requests: f64| (requests / BLOCK * 7919.0) % 13.0 * 20.0;
        let (decision, blocks, rate) = run(|requests| 5e6 + 4184.0 * requests + noise(requests));
        assert_eq!((decision, blocks), (Decision::Over, END_OVER));
        assert!(rate.low <= 4184.0 && 4184.0 <= rate.high && rate.high - rate.low < 5.0, "{rate:?}");
    }

    #[test]
    fn what_fills_up_is_under_in_the_end_however_it_fills() {
        let curve = |requests: f64| 1e6 * (1.0 - (-requests / 600.0).exp());
        let straight = |requests: f64| 600.0 * requests.min(1300.0);
        let stairs = |requests: f64| (1 << ((requests.min(1500.0) / 100.0).max(1.0).log2() as u32)) as f64 * 30_000.0;
        for (fills, bytes) in [&curve as &dyn Fn(f64) -> f64, &straight, &stairs].iter().enumerate() {
            assert_eq!(run(bytes).0, Decision::Under, "{fills}");
        }
    }

    #[test]
    fn a_bound_above_the_leak_lets_it_pass() {
        let points = series(20, |requests| 90.0 * requests);
        let bound = |per_request| Bound { per_request, ..BOUND };
        assert_eq!(decide(&points, &bound(100.0)).0, Decision::Under);
        assert_eq!(decide(&points, &bound(80.0)).0, Decision::Over);
        // A slope that equals the bound has no decision.
        assert_eq!(
            decide(&series(20, |requests| 64.0 * requests + (requests / BLOCK % 2.0) * 5e3), &BOUND).0,
            Decision::Open
        );
    }

    #[test]
    fn growth_is_no_leak_before_there_was_time_to_fill_up() {
        let short: Vec<Point> = series(20, |requests| 600.0 * requests)
            .into_iter()
            .map(|p| Point { requests: p.requests / 10.0, ..p })
            .collect();
        assert_eq!(decide(&short, &BOUND).0, Decision::Open);
        let large: Vec<Point> = short.into_iter().map(|p| Point { bytes: p.bytes * 60.0, ..p }).collect();
        assert_eq!(decide(&large, &BOUND).0, Decision::Over);
    }
}
