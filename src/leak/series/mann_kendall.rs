//! Is there a trend at all? The Mann–Kendall test (Mann 1945, Kendall 1975) counts, over all pairs of points, how many
//! more rise than fall. It uses only the order of values, so neither outliers nor the shape of the noise mislead it.
//!
//! Two things do mislead it, and both are corrected. The first is autocorrelation: most of what was live a minute ago
//! is still live, and the plain test then finds trends everywhere. The variance is widened as by Hamed & Rao (1998),
//! from the ranks of the detrended series. The alternative of Yue & Wang (2004) was rejected: it assumes a model of the
//! noise, and it sums over all lags, which is noise itself in a short series. The variance is never narrowed. For a
//! series that alternates, the formula would claim more certainty than there are points.
//!
//! The second is load. What is in flight at a collection is live too, so a rising load is a rising heap. If the load is
//! known, its effect is removed by the partial test of Libiseller & Grimvall (2002).

/// The result of the test on one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MannKendall {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// Variance of `s` without a trend, with ties, autocorrelation and load considered.
    pub variance: f64,
    /// Factor by which autocorrelation has widened it, at least 1.
    pub widened: f64,
    /// Probability of such an `s`, or one further from 0, without a trend.
    pub p: f64,
    /// The same, but not widened: as if the points were independent.
    pub independent_p: f64,
}

/// `detrended` is the series less its trend. `load` is another possible cause. Both are as long as `values`.
pub fn test(values: &[f64], detrended: &[f64], load: &[f64]) -> MannKendall {
    let widened = widened_by_autocorrelation(detrended);
    let (s, independent) = partial(values, load);
    let variance = independent * widened;
    MannKendall { s, variance, widened, p: p_of(s, variance), independent_p: p_of(s, independent) }
}

/// The plain test alone: whether there is a rise with at most this p.
pub fn rises(values: &[f64], p: f64) -> bool {
    let s = score(values);
    s > 0.0 && p_of(s, variance(values)) <= p
}

/// Two-sided, with the correction for continuity: the score takes only even (or only odd) numbers.
fn p_of(s: f64, variance: f64) -> f64 {
    let z = if variance > 0.0 { (s.abs() - 1.0).max(0.0) / variance.sqrt() } else { 0.0 };
    erfc(z / std::f64::consts::SQRT_2)
}

/// Pairs that rise less pairs that fall.
pub fn score(values: &[f64]) -> f64 {
    pairs(values.len()).map(|(i, j)| sign(values[j] - values[i])).sum()
}

/// Variance of the score if every order is equally likely. Ties make it smaller.
pub fn variance(values: &[f64]) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|equal| term(equal.len() as f64)).sum();
    (term(values.len() as f64) - ties) / 18.0
}

/// Score and variance given the score of `load`. The covariance of the two scores is that of Dietz & Killeen (1981).
fn partial(values: &[f64], load: &[f64]) -> (f64, f64) {
    let (s, var) = (score(values), variance(values));
    let load_variance = variance(load);
    if load_variance <= 0.0 {
        return (s, var);
    }
    let n = values.len() as f64;
    let concordance: f64 =
        pairs(values.len()).map(|(i, j)| sign(values[j] - values[i]) * sign(load[j] - load[i])).sum();
    let products: f64 = ranks(values).iter().zip(ranks(load)).map(|(a, b)| a * b).sum();
    let covariance = (concordance + 4.0 * products - n * (n + 1.0) * (n + 1.0)) / 3.0;
    let explained = covariance / load_variance;
    (s - explained * score(load), (var - explained * covariance).max(0.0))
}

/// n/n*: n* is the number of independent points that contain as much information.
pub fn widened_by_autocorrelation(detrended: &[f64]) -> f64 {
    let ranks = ranks(detrended);
    let n = ranks.len() as f64;
    let mean = ranks.iter().sum::<f64>() / n;
    let deviations: Vec<f64> = ranks.iter().map(|rank| rank - mean).collect();
    let total: f64 = deviations.iter().map(|d| d * d).sum();
    if total <= 0.0 || ranks.len() < 6 {
        return 1.0;
    }
    let correlation = |lag: usize| deviations.iter().zip(&deviations[lag..]).map(|(a, b)| a * b).sum::<f64>() / total;
    // In a short series the first lag's correlation is estimated too low, and is hardly ever significant.
    let first = ((n * correlation(1) + 1.0) / (n - 4.0)).clamp(0.0, 0.95);
    let persistent: f64 = (1..ranks.len()).map(|lag| (1.0 - lag as f64 / n) * first.powi(lag as i32)).sum();
    let significant = 1.959_964 / n.sqrt();
    let weighted: f64 = (1..ranks.len())
        .map(|lag| {
            let correlation = correlation(lag);
            let lag = lag as f64;
            let weight = (n - lag) * (n - lag - 1.0) * (n - lag - 2.0);
            if correlation.abs() > significant { weight * correlation } else { 0.0 }
        })
        .sum();
    (1.0 + 2.0 * weighted / (n * (n - 1.0) * (n - 2.0))).max(1.0 + 2.0 * persistent)
}

/// From 1; equal values share the middle of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = first as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|index| ranks[*index] = rank);
        first += equal.len();
    }
    ranks
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |i| (i + 1..n).map(move |j| (i, j)))
}

fn sign(difference: f64) -> f64 {
    if difference > 0.0 {
        1.0
    } else if difference < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// The complementary error function for `x` of 0 and more, to 1.2e-7 of its value (Press et al., Numerical Recipes, 6.2.2).
fn erfc(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    let polynomial = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| sum * t + coefficient);
    t * (polynomial - x * x).exp()
}
