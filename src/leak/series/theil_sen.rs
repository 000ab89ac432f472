//! How fast does it grow? The slope of Theil (1950) and Sen (1968) is the median of the slopes between all pairs of
//! points. It tolerates outliers in just under 30 % of the points, while one collection at a bad moment bends a
//! least-squares line.

/// Slope with its interval, in units of y for one of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub slope: f64,
    pub low: f64,
    pub high: f64,
}

/// The slopes between all pairs whose x differ, ascending.
pub struct Slopes(Vec<f64>);

impl Slopes {
    pub fn between(x: &[f64], y: &[f64]) -> Self {
        let mut slopes = Vec::with_capacity(x.len() * x.len() / 2);
        for i in 0..x.len() {
            for j in i + 1..x.len() {
                if x[j] > x[i] {
                    slopes.push((y[j] - y[i]) / (x[j] - x[i]));
                }
            }
        }
        slopes.sort_unstable_by(f64::total_cmp);
        Self(slopes)
    }

    /// 0 if no two points differ in x.
    pub fn median(&self) -> f64 {
        median_of_sorted(&self.0)
    }

    /// The interval that contains the slope with the confidence of `z` (1.96: 95 %), by the ranks of Sen (1968; Gilbert
    /// 1987, 16.4.2). `variance` is that of the Mann–Kendall score: what widens it widens the interval too.
    pub fn with_interval(&self, variance: f64, z: f64) -> Slope {
        let slope = self.median();
        let Some(last) = self.0.len().checked_sub(1) else { return Slope { slope, low: slope, high: slope } };
        let half = z * variance.max(0.0).sqrt();
        let count = self.0.len() as f64;
        // Halves are rounded to even, as scipy does.
        let low = ((count - half) / 2.0).round_ties_even() - 1.0;
        let high = ((count + half) / 2.0).round_ties_even();
        let at = |rank: f64| self.0[(rank.max(0.0) as usize).min(last)];
        Slope { slope, low: at(low), high: at(high) }
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}
