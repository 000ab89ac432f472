//! Whether one series grows with requests, and whether that is a leak's way of growing.

use super::mann_kendall;
use super::theil_sen::{Slope, Slopes, median};

/// What lived at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Epoch milliseconds.
    pub at: u64,
    /// Served so far.
    pub requests: f64,
    pub bytes: f64,
    /// Requests in flight then: what they hold lives too. Always 0 where that is not known.
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
    /// None that is worth a word.
    None,
    /// More than noise, but it may be the end of a warm-up, a step, a cache that fills.
    Likely,
    /// A leak's: certain, steady to the end, and never given back.
    Sure,
}

/// What is asked of a series before anything is said.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// It must have grown by so many bytes, even if the slope is only what its interval begins with.
    pub bytes: f64,
    /// The largest p of likely growth, and of sure growth.
    pub likely: f64,
    pub sure: f64,
    /// Over fewer requests, and from before so many were served, growth is sure only if it is [`LARGE`] times as many bytes.
    pub requests: f64,
    /// Growth that bends is not sure. Not asked where single steps tell, as of a table that doubles, and the series is short.
    pub straight: bool,
}

impl Thresholds {
    /// For series that are looked at all day long: hence the small p. With it and the agreement that [`super::watch`] asks for, one of some
    /// thousands of flat series is called a leak over two hundred looks; the tests have the figures.
    pub const fn of_bytes(bytes: f64) -> Self {
        Self { bytes, likely: 0.01, sure: 5e-5, requests: 0.0, straight: false }
    }
}

/// Fewer points say nothing.
pub const MIN_POINTS: usize = 10;
/// And so few are never sure: of some ten the autocorrelation is anybody's guess.
const MIN_SURE: usize = 16;
/// A vanilla Express app grows by some 200 B per 1,000 requests for ever (measured over a million): five times that is no noise.
const MIN_PER_THOUSAND: f64 = 1024.0;
const LARGE: f64 = 8.0;
/// Growth over the noise around it, in standard deviations, from which on the noise cannot have made it.
const STANDS_OUT: f64 = 8.0;
/// The slope of the last third over that of the whole; what falls behind is on its way to a plateau.
const KEEPS_ON: f64 = 0.5;
/// The slope at the end over that of the whole, of a parabola: a cache that fills bends long before it is half as fast. …
const BENT: f64 = 0.8;
/// … If its square is so many standard errors off.
const SURELY: f64 = 3.0;
/// Of what has been gained, what may be given back in between: next-leak found that leaks give back a tenth at most and healthy routes 22 to
/// 33 %. Medians of quarters are compared, or noise would count as giving back.
const GIVES_BACK: f64 = 0.2;

/// Judges one series, in order of time. Bytes may be of anything that should not grow with requests.
pub fn judge(points: &[Point], gate: &Thresholds) -> (Growth, Option<Figures>) {
    let (growth, figures) = judge_all(points, gate);
    if growth < Growth::Sure {
        return (growth, figures);
    }
    let is_large = |figures: &Figures| grown(points, figures.low / 1e3) >= LARGE * gate.bytes;
    if points[0].requests >= gate.requests || figures.as_ref().is_some_and(is_large) {
        return (if gate.straight && bends(points) { Growth::Likely } else { Growth::Sure }, figures);
    }
    // What began as it warmed up has to go on behind that.
    let warm = &points[points.partition_point(|point| point.requests < gate.requests)..];
    match judge_all(warm, gate) {
        (Growth::Sure, figures) if !(gate.straight && bends(warm)) => (Growth::Sure, figures),
        (_, figures) => (Growth::Likely, figures),
    }
}

/// By so many bytes a request.
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
    // Autocorrelated noise makes trends of its own size, never of eight times that.
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

/// A cheap look, before [`judge`]: false if what was gained from the first third to the last is less than half of what is asked for, or if the plain
/// test, which corrections only make stricter, sees no trend.
pub fn may_grow(points: &[Point], gate: &Thresholds) -> bool {
    if points.len() < MIN_POINTS {
        return false;
    }
    let bytes: Vec<f64> = points.iter().map(|point| point.bytes).collect();
    let third = bytes.len() / 3;
    let gained = median(&bytes[bytes.len() - third..]) - median(&bytes[..third]);
    gained >= gate.bytes / 2.0 && mann_kendall::rises(&bytes, gate.likely)
}

/// Standard deviation, from the median absolute one: outliers do not count.
fn deviation(values: &[f64]) -> f64 {
    let middle = median(values);
    1.4826 * median(&values.iter().map(|value| (value - middle).abs()).collect::<Vec<_>>())
}

fn keeps_on(requests: &[f64], bytes: &[f64], slope: f64) -> bool {
    let from = last_third(requests.len());
    Slopes::between(&requests[from..], &bytes[from..]).median() >= KEEPS_ON * slope
}

/// Whether it grows more slowly at its end than on the whole, beyond the noise: by the parabola that fits best (least squares, with the t of its square).
fn bends(points: &[Point]) -> bool {
    let n = points.len() as f64;
    let (first, last) = (points[0], points[points.len() - 1]);
    let half = (last.requests - first.requests) / 2.0;
    // From −1 to 1, and less the first bytes, or the squares would swallow what they differ by.
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
    // Slopes of the parabola: between its ends, and at the last.
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

/// What the series has come to: the median of its last quarter.
pub fn level(points: &[Point]) -> f64 {
    let bytes: Vec<f64> = points[points.len() - points.len().div_ceil(4)..].iter().map(|point| point.bytes).collect();
    median(&bytes)
}

/// When it began to grow: where the line bends that is level first, then rises, and fits best by least squares.
pub fn onset(points: &[Point]) -> Option<Point> {
    let bend = |from: f64| {
        let u = points.iter().map(|point| (point.requests - from).max(0.0));
        let n = points.len() as f64;
        let (mut su, mut sy, mut suu, mut suy, mut syy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        // Less the first one's, or the squares would swallow what they differ by.
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
