//! Whether one series grows with requests, and whether it grows in the way of a leak.

use super::mann_kendall;
use super::theil_sen::{Slope, Slopes, median};

/// The live bytes at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Epoch milliseconds.
    pub at: u64,
    /// Requests served so far.
    pub requests: f64,
    pub bytes: f64,
    /// Requests in flight at that moment: what they retain is live too. Always 0 if that is not known.
    pub in_flight: f64,
}

/// The statistics of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub samples: usize,
    /// Theil–Sen slope, bytes per 1,000 requests, with its interval of 95 %.
    pub per_thousand: f64,
    pub low: f64,
    pub high: f64,
    /// Of the Mann–Kendall test, two-sided.
    pub p: f64,
    /// Times of the first point and of the last.
    pub from: u64,
    pub to: u64,
}

/// What kind of growth a series shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// None that is worth reporting.
    None,
    /// More than noise, but possibly the end of a warm-up, a step, or a cache that fills.
    Likely,
    /// A leak's growth: certain, steady to the end, and never given back.
    Sure,
}

/// The thresholds for growth to be reported.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// The least growth in bytes, computed from the lower end of the slope's interval.
    pub bytes: f64,
    /// The largest p of likely growth, and of sure growth.
    pub likely: f64,
    pub sure: f64,
    /// Growth over fewer requests, or from before that many were served, is sure only with [`LARGE`] times as many
    /// bytes.
    pub requests: f64,
    /// Growth that bends is not sure. False if single steps matter and the series is short: a table doubles in steps.
    pub straight: bool,
}

impl Thresholds {
    /// For series that are judged all day long, hence the small p. With it and with the agreement that
    /// [`super::super::detector`] requires, one of some thousands of flat series is called a leak over two hundred
    /// looks. The tests have the figures.
    pub const fn of_bytes(bytes: f64) -> Self {
        Self { bytes, likely: 0.01, sure: 5e-5, requests: 0.0, straight: false }
    }
}

/// Fewer points are not judged.
pub const MIN_POINTS: usize = 10;
/// Fewer points are never sure: the autocorrelation of ten points is unknown.
pub const MIN_SURE: usize = 16;
/// A bare Express app grows by some 200 B per 1,000 requests forever (measured over a million). Five times that is
/// growth.
const MIN_PER_THOUSAND: f64 = 1024.0;
const LARGE: f64 = 8.0;
/// Growth in standard deviations of the noise around it. From this value on, noise cannot have caused it.
const STANDS_OUT: f64 = 8.0;
/// The least slope of the last third as a part of the whole slope. A slower end approaches a plateau.
const KEEPS_ON: f64 = 0.5;
/// Slope at the end of the fitted parabola as a part of the whole slope. A cache that fills bends long before its
/// growth has halved. …
const BENT: f64 = 0.8;
/// … It counts if the square's coefficient is at least this many standard errors from 0.
const SURELY: f64 = 3.0;
/// The share of the growth that may be given back in between. next-leak found that leaks give back at most a tenth, and
/// healthy routes 22 to 33 %. Medians of quarters are compared, since noise would count as giving back.
const GIVES_BACK: f64 = 0.2;

/// Judges one series, in order of time. `bytes` may be any quantity that must not grow with requests.
pub fn judge(points: &[Point], gate: &Thresholds) -> (Growth, Option<Figures>) {
    let (growth, figures) = judge_all(points, gate);
    if growth < Growth::Sure {
        return (growth, figures);
    }
    let is_large = |figures: &Figures| grown(points, figures.low / 1e3) >= LARGE * gate.bytes;
    if points[0].requests >= gate.requests || figures.as_ref().is_some_and(is_large) {
        return (if gate.straight && bends(points) { Growth::Likely } else { Growth::Sure }, figures);
    }
    // Growth that began during the warm-up must continue after it.
    let warm = &points[points.partition_point(|point| point.requests < gate.requests)..];
    match judge_all(warm, gate) {
        (Growth::Sure, figures) if !(gate.straight && bends(warm)) => (Growth::Sure, figures),
        (_, figures) => (Growth::Likely, figures),
    }
}

/// Growth in bytes over the series at this slope.
fn grown(points: &[Point], per_request: f64) -> f64 {
    per_request * (points[points.len() - 1].requests - points[0].requests)
}

fn judge_all(points: &[Point], gate: &Thresholds) -> (Growth, Option<Figures>) {
    if points.len() < MIN_POINTS {
        return (Growth::None, None);
    }
    let requests: Vec<f64> = points.iter().map(|point| point.requests).collect();
    let bytes: Vec<f64> = points.iter().map(|point| point.bytes).collect();
    let in_flight: Vec<f64> = points.iter().map(|point| point.in_flight).collect();

    let slopes = Slopes::between(&requests, &bytes);
    let slope = slopes.median();
    let detrended: Vec<f64> = bytes.iter().zip(&requests).map(|(bytes, x)| bytes - slope * x).collect();
    let test = mann_kendall::test(&bytes, &detrended, &in_flight);
    let whole_variance = mann_kendall::variance(&bytes) * test.widened;
    let Slope { slope, low, high } = slopes.with_interval(whole_variance, 1.959_964);
    let (first, last) = (points[0], points[points.len() - 1]);
    let grown = grown(points, low);
    // Autocorrelated noise causes trends of its own size, but never of eight times that.
    let p = if grown >= STANDS_OUT * deviation(&detrended) { test.independent_p } else { test.p };
    let figures = Figures {
        samples: points.len(),
        per_thousand: slope * 1e3,
        low: low * 1e3,
        high: high * 1e3,
        p,
        from: first.at,
        to: last.at,
    };

    let enough = last.requests - first.requests >= gate.requests || grown >= LARGE * gate.bytes;
    let beyond_noise = test.s > 0.0 && low * 1e3 >= MIN_PER_THOUSAND && grown >= gate.bytes;
    let growth = if !beyond_noise || p > gate.likely || !keeps_on(&requests, &bytes, slope) {
        Growth::None
    } else if points.len() < MIN_SURE || p > gate.sure || !enough || gives_back(&bytes) {
        Growth::Likely
    } else {
        Growth::Sure
    };
    (growth, Some(figures))
}

/// A cheap test before [`judge`]. It returns false in two cases: the growth from the first third to the last is less
/// than half of the threshold, or the plain test finds no trend. The corrections only make that test stricter.
pub fn may_grow(points: &[Point], gate: &Thresholds) -> bool {
    if points.len() < MIN_POINTS {
        return false;
    }
    let bytes: Vec<f64> = points.iter().map(|point| point.bytes).collect();
    let third = bytes.len() / 3;
    let gained = median(&bytes[bytes.len() - third..]) - median(&bytes[..third]);
    gained >= gate.bytes / 2.0 && mann_kendall::rises(&bytes, gate.likely)
}

/// Standard deviation, estimated from the median absolute deviation so that outliers do not count.
fn deviation(values: &[f64]) -> f64 {
    let middle = median(values);
    1.4826 * median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

fn keeps_on(requests: &[f64], bytes: &[f64], slope: f64) -> bool {
    let from = last_third(requests.len());
    Slopes::between(&requests[from..], &bytes[from..]).median() >= KEEPS_ON * slope
}

/// Whether it grows more slowly at its end than on the whole, beyond the noise. Uses the parabola of the least-squares
/// fit, and the t value of its square.
fn bends(points: &[Point]) -> bool {
    let n = points.len() as f64;
    let (first, last) = (points[0], points[points.len() - 1]);
    let half = (last.requests - first.requests) / 2.0;
    // Scaled to −1 to 1, and relative to the first value, for the precision of the squares.
    let u: Vec<f64> = points.iter().map(|point| (point.requests - first.requests) / half - 1.0).collect();
    let y: Vec<f64> = points.iter().map(|point| point.bytes - first.bytes).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    // Polynomials of the first and the second degree, orthogonal over these points.
    let middle = mean(&u);
    let line: Vec<f64> = u.iter().map(|u| u - middle).collect();
    let squares: Vec<f64> = u.iter().map(|u| u * u).collect();
    let (level, tilt) = (mean(&squares), dot(&squares, &line) / dot(&line, &line));
    let square: Vec<f64> = squares.iter().zip(&line).map(|(square, line)| square - level - tilt * line).collect();
    let (b, c) = (dot(&y, &line) / dot(&line, &line), dot(&y, &square) / dot(&square, &square));
    let height = mean(&y);
    let rest = |((y, line), square): ((&f64, &f64), &f64)| y - height - b * line - c * square;
    let rests: Vec<f64> = y.iter().zip(&line).zip(&square).map(rest).collect();
    let variance = dot(&rests, &rests) / (n - 3.0) * mann_kendall::widened_by_autocorrelation(&rests);
    let t = c / (variance / dot(&square, &square)).sqrt();
    // Slopes of the parabola: between its ends, and at the last point.
    let (whole, end) = (b - c * tilt, b + c * (2.0 - tilt));
    t < -SURELY && end < BENT * whole
}

fn last_third(len: usize) -> usize {
    len - len.div_ceil(3)
}

fn gives_back(bytes: &[f64]) -> bool {
    let quarters = quarters(bytes);
    let gained = quarters[3] - quarters[0];
    let given_back = quarters.windows(2).map(|pair| pair[0] - pair[1]).fold(0.0, f64::max);
    given_back > GIVES_BACK * gained
}

fn quarters(values: &[f64]) -> [f64; 4] {
    [0, 1, 2, 3].map(|quarter| median(&values[values.len() * quarter / 4..values.len() * (quarter + 1) / 4]))
}

/// The present level of the series: the median of its last quarter.
pub fn level(points: &[Point]) -> f64 {
    let bytes: Vec<f64> = points[points.len() - points.len().div_ceil(4)..].iter().map(|point| point.bytes).collect();
    median(&bytes)
}

/// When it began to grow: the bend of a line that is level first, then rises, and fits best by least squares.
pub fn onset(points: &[Point]) -> Option<Point> {
    let bend = |from: f64| {
        let u = points.iter().map(|point| (point.requests - from).max(0.0));
        let n = points.len() as f64;
        let (mut su, mut sy, mut suu, mut suy, mut syy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        // Relative to the first value, for the precision of the squares.
        for (u, y) in u.zip(points.iter().map(|point| point.bytes - points[0].bytes)) {
            su += u;
            sy += y;
            suu += u * u;
            suy += u * y;
            syy += y * y;
        }
        let (uu, uy) = (suu - su * su / n, suy - su * sy / n);
        let rest = syy - sy * sy / n;
        // A line that falls is no growth.
        if uu > 0.0 && uy > 0.0 { rest - uy * uy / uu } else { rest }
    };
    points.iter().copied().min_by(|a, b| bend(a.requests).total_cmp(&bend(b.requests)))
}
