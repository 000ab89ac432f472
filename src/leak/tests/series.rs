//! Series in the form of a record's windows, from a generator that is the same on every machine.

use crate::leak::detector::{Change, Detector};
use crate::leak::quantities::gate;
use crate::leak::series::growth::{Growth, Point, Thresholds};
use crate::leak::series::{Look, accused};
use crate::recorder::Quantity;

pub const MB: f64 = 1_048_576.0;
pub const GATE: Thresholds = gate(Quantity::Heap);

/// SplitMix64 (Steele et al. 2014).
pub struct Random(pub u64);

impl Random {
    /// From 0 to 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }

    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.next()).ln()
    }
}

/// How the live heap differs from collection to collection. The standard deviation is 1 each (2 between the heights of
/// `Modes`).
///
/// Measured by the live heap of an Express 5 app on Node 20, with 10 to 20 connections and 20 to 300 rows a response.
/// After collections that V8 made by itself or was asked for, the standard deviations were 0.48, 0.63, 0.73 and 1.23 MB
/// (at 9 MB and at 106 MB of live heap), skewed upwards. In one run of four there were two heights 2.7 MB apart, each
/// for some collections. After collections forced between requests it was 0.05 MB.
#[derive(Clone, Copy, Debug)]
pub enum Noise {
    Normal,
    /// Added to a floor.
    Exponential,
    /// Two heights, each for four collections on average.
    Modes,
    /// Half of the last value remains.
    Autocorrelated,
}

pub const ALL: [Noise; 4] = [Noise::Normal, Noise::Exponential, Noise::Modes, Noise::Autocorrelated];

impl Noise {
    fn next(self, state: &mut f64, random: &mut Random) -> f64 {
        match self {
            Noise::Normal => random.normal(),
            Noise::Exponential => random.exponential(),
            Noise::Modes => {
                if random.next() < 0.25 {
                    *state = 1.0 - *state;
                }
                2.0 * *state + 0.2 * random.normal()
            }
            Noise::Autocorrelated => {
                *state = 0.5 * *state + 0.866 * random.normal();
                *state
            }
        }
    }
}

/// The windows of a record (`recorder/writer/windows.rs`), as plain vectors.
#[derive(Default)]
pub struct Windows {
    pub windows: Vec<Vec<Point>>,
    points: u64,
}

impl Windows {
    pub fn push(&mut self, point: Point) {
        self.points += 1;
        let mut point = point;
        for window in 0..12usize {
            if !self.points.is_multiple_of(1 << window) {
                break;
            }
            if let Some(finer) = window.checked_sub(1) {
                let [.., a, b] = &self.windows[finer][..] else { break };
                point = Point {
                    at: u64::midpoint(a.at, b.at),
                    requests: f64::midpoint(a.requests, b.requests),
                    bytes: a.bytes.min(b.bytes),
                    in_flight: a.in_flight.min(b.in_flight),
                };
            }
            if self.windows.len() <= window {
                self.windows.push(Vec::new());
            }
            if self.windows[window].len() == 64 {
                self.windows[window].remove(0);
            }
            self.windows[window].push(point);
        }
    }
}

/// A server from its warm-up on: what it retains by requests served, and its noise.
pub struct Server<'a> {
    pub keeps: &'a (dyn Fn(f64) -> f64 + Sync),
    /// By requests served.
    pub in_flight: &'a (dyn Fn(f64) -> f64 + Sync),
    pub in_flight_bytes: f64,
    pub noise: Noise,
    pub noise_bytes: f64,
    pub requests_a_collection: f64,
}

pub const QUIET: Server = Server {
    keeps: &|_| 0.0,
    in_flight: &|_| 0.0,
    in_flight_bytes: 0.0,
    noise: Noise::Exponential,
    noise_bytes: 0.65 * MB,
    requests_a_collection: 250.0,
};

/// The requests at which the verdict changed, and the change.
pub type Changes = Vec<(f64, Change)>;

impl Server<'_> {
    /// Looks after each of `collections`.
    pub fn run(&self, seed: u64, collections: u32) -> Changes {
        let (mut random, mut state) = (Random(seed), 0.0);
        let (mut windows, mut watch, mut changes) = (Windows::default(), Detector::default(), Changes::new());
        let mut requests = 2_000.0;
        for collection in 0..collections {
            requests += self.requests_a_collection * (0.5 + random.next());
            let in_flight = ((self.in_flight)(requests) * (0.7 + 0.6 * random.next())).round();
            let noise = self.noise_bytes * self.noise.next(&mut state, &mut random);
            let bytes = 100.0 * MB + (self.keeps)(requests) + in_flight * self.in_flight_bytes + noise;
            windows.push(Point { at: u64::from(collection) * 1000, requests, bytes, in_flight });
            let (_, change) = watch.see(&look(&windows.windows));
            if matches!(change, Change::Began | Change::Ended) {
                changes.push((requests, change));
            }
        }
        changes
    }
}

/// As [`crate::leak::series::judge`], without the figures of series that do not grow: those take most of its time.
fn look(windows: &[Vec<Point>]) -> Look {
    let accused = accused(windows, &GATE);
    let growth = accused.map_or(Growth::None, |(growth, _)| growth);
    Look { growth, figures: accused.map(|(_, figures)| figures), grown: None }
}
