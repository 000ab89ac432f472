//! Which requests own what survives: growth by route, from the samples of V8's sampling heap profiler whose owner is
//! known ([`crate::ledger::sample_owners`]).
//!
//! Each profile after a major collection has the samples that are alive. A route leaks if its samples grow with its own
//! requests, by the same tests as the heap as a whole. Samples are taken in windows and at random, so they give a
//! route's *part* of the growth. Its size comes from the trend, which is counted.

use std::collections::HashMap;

use crate::ledger::Ledger;
use crate::ledger::sample_owners::Owner;

use super::series::growth::{self, Growth, Point, Thresholds};
use super::series::theil_sen::median;
use super::sites::Moment;

/// The growth of a route must be this part of all growth with an owner.
const LEAST_SHARE: f64 = 0.05;
/// The same while its growth is likely only: the content of a full cache is replaced, which looks like growth for a while.
const LIKELY_SHARE: f64 = 0.2;
/// Growth that no request owns is reported if it is this part of all.
const NOBODY_SHARE: f64 = 0.5;
/// The routes that grow for certain must have this part of all growth with an owner: another one that grows too may not be certain yet.
const EXPLAINED: f64 = 0.8;
/// All samples may have grown by this times what the heap has. A larger factor means that new objects replace older
/// ones. A full cache does that too, until all of its content is new.
const TURNOVER: f64 = 1.5;
/// Samples that a route's growth must be made of.
const LEAST_SAMPLES: f64 = 8.0;
/// Routes are alike if one retains at least this part of what another one does, and if there are at least this many.
const ALIKE: f64 = 0.4;
const LEAST_ALIKE: usize = 3;
/// Profiles that are remembered.
const MOST_PROFILES: usize = 64;
/// Routes that are tracked.
const MOST_ROUTES: usize = 1024;
/// For 95 % of a normal distribution.
const Z: f64 = 1.96;

/// The live samples of one owner in a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alive {
    pub bytes: f64,
    pub samples: u32,
}

impl std::ops::Add for Alive {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, samples: self.samples + other.samples }
    }
}

/// The live samples of one profile, by owner.
#[derive(Clone, Debug, Default)]
pub struct OwnedProfile {
    /// `GET /users/:id` → its live samples.
    pub routes: HashMap<String, Alive>,
    /// Samples of requests in flight.
    pub in_flight: Alive,
    /// Samples of code that runs for no request.
    pub nobody: Alive,
    /// Samples allocated while owners were not tracked.
    pub unknown: Alive,
}

impl OwnedProfile {
    /// The samples of a profile that was read just now, by number and bytes. None if samples have no owner in this
    /// session.
    ///
    /// # Errors
    /// V8's counter of samples does not fit the profile.
    pub fn of(ledger: &mut Ledger, samples: &[(u64, f64)]) -> Option<Result<Self, &'static str>> {
        let numbers: Vec<u64> = samples.iter().map(|(number, _)| *number).collect();
        let owners = match ledger.sample_owners(&numbers)? {
            Ok(owners) => owners,
            Err(why) => return Some(Err(why)),
        };
        let mut profile = Self::default();
        let mut routes = HashMap::new();
        for (owner, (_, bytes)) in owners.into_iter().zip(samples) {
            let alive: &mut Alive = match owner {
                Owner::Route(route) => routes.entry(route).or_default(),
                Owner::Request(_) => &mut profile.in_flight,
                Owner::Nobody => &mut profile.nobody,
                Owner::Unknown => &mut profile.unknown,
            };
            alive.bytes += bytes;
            alive.samples += 1;
        }
        profile.routes = routes.into_iter().map(|(route, alive)| (ledger.route_name(route), alive)).collect();
        Some(Ok(profile))
    }
}

/// Routes that a message names with their bytes. The others are listed at its end.
pub const MOST_NAMED: usize = 3;

/// A route whose requests own a part of the growth.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteShare {
    pub route: String,
    /// Share of all growth with an owner, with its interval of 95 %.
    pub share: f64,
    pub low: f64,
    pub high: f64,
    /// All requests for each request of the route.
    pub requests_per: f64,
}

impl RouteShare {
    /// Bytes that a request of the route retains, from the trend of all requests, with the interval of 95 %.
    pub fn bytes(&self, [mean, low, high]: [f64; 3]) -> [f64; 3] {
        [mean * self.share, low * self.low, high * self.high].map(|bytes| bytes * self.requests_per)
    }
}

/// The owner of the growth.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Owners {
    /// Not certain yet.
    #[default]
    Unknown,
    /// The requests of these routes, the largest share first.
    Routes(Vec<RouteShare>),
    /// The requests of all routes, each about as much: what retains it is shared by them.
    Alike(Vec<RouteShare>),
    /// No request: it grows with time. A timer, a queue.
    Nobody,
    /// Estimated from callers, names and traffic, where samples have no owner. Several routes if these cannot be distinguished.
    Likely {
        routes: Vec<String>,
        /// All requests for each request of these routes.
        requests_per: f64,
        /// Why samples have no owner.
        why: Option<String>,
    },
}

impl Owners {
    /// The routes, such as `GET /users/:id`, the most important first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (shares, likely) = match self {
            Self::Routes(routes) => (&routes[..], &[][..]),
            Self::Likely { routes, .. } => (&[][..], &routes[..]),
            Self::Alike(_) | Self::Nobody | Self::Unknown => (&[][..], &[][..]),
        };
        shares.iter().map(|share| share.route.as_str()).chain(likely.iter().map(String::as_str))
    }

    /// The route that the finding belongs to. None if it is one of several and unknown which.
    pub fn first(&self) -> Option<&str> {
        match self {
            Self::Likely { routes, .. } if routes.len() > 1 => None,
            _ => self.names().next(),
        }
    }

    /// How many routes the first part of a message names.
    pub fn named(&self) -> usize {
        match self {
            Self::Likely { routes, .. } if routes.len() > 2 => 0,
            _ => MOST_NAMED,
        }
    }

    /// Whether samples were counted, and are enough.
    pub fn is_counted(&self) -> bool {
        matches!(self, Self::Routes(_) | Self::Alike(_) | Self::Nobody)
    }

    /// The routes with their shares.
    pub fn shares(&self) -> &[RouteShare] {
        match self {
            Self::Routes(routes) | Self::Alike(routes) => routes,
            _ => &[],
        }
    }
}

/// The profiles of a session, by owner.
#[derive(Debug, Default)]
pub struct OwnerGrowth {
    moments: Vec<Moment>,
    routes: HashMap<String, Vec<Alive>>,
    nobody: Vec<Alive>,
    /// All samples whose owner is known, and those whose owner is not.
    owned: Vec<Alive>,
    unknown: Vec<Alive>,
    /// Profiles of the session, and how often half of them were left out.
    seen: u32,
    thinned: u32,
}

impl OwnerGrowth {
    /// Takes a profile of `moment`.
    pub fn see(&mut self, moment: Moment, profile: &OwnedProfile) {
        self.seen += 1;
        if !self.seen.is_multiple_of(1 << self.thinned) {
            return;
        }
        if self.moments.len() >= MOST_PROFILES {
            self.thin();
        }
        let at = self.moments.len();
        self.moments.push(moment);
        self.nobody.push(profile.nobody);
        self.unknown.push(profile.unknown);
        self.owned.push(profile.routes.values().fold(profile.nobody, |sum, alive| sum + *alive));
        for (route, alive) in &profile.routes {
            if self.routes.len() < MOST_ROUTES || self.routes.contains_key(route) {
                let series = self.routes.entry(route.clone()).or_default();
                series.resize(at, Alive::default());
                series.push(*alive);
            }
        }
        self.routes.values_mut().for_each(|series| series.resize(at + 1, Alive::default()));
    }

    /// Leaves out every second profile, and from now on takes every second one less: they stay evenly apart.
    fn thin(&mut self) {
        self.thinned += 1;
        fn every_second<T>(series: &mut Vec<T>) {
            let mut number = 0;
            series.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        every_second(&mut self.moments);
        [&mut self.nobody, &mut self.owned, &mut self.unknown].into_iter().for_each(every_second);
        self.routes.values_mut().for_each(every_second);
    }

    /// The owner of the growth. `bytes_per_request`: the trend's.
    pub fn verdict(&self, gate: &Thresholds, bytes_per_request: Option<f64>) -> Owners {
        self.certain(gate, bytes_per_request).unwrap_or_default()
    }

    fn certain(&self, gate: &Thresholds, bytes_per_request: Option<f64>) -> Option<Owners> {
        let (first, last) = (self.moments.first()?, self.moments.last()?);
        let requests = last.requests - first.requests;
        let own = |route: &str| served(last, route) - served(first, route);
        let total = self.part(None, &self.owned, gate)?;
        if let Some(expected) = bytes_per_request.map(|bytes| bytes * requests)
            && expected > 0.0
            && total.bytes + self.growth_of(&self.unknown) > TURNOVER * expected
        {
            return None;
        }
        let mut owned: Vec<(Option<&str>, Part)> = self
            .routes
            .iter()
            .filter_map(|(route, series)| Some((Some(route.as_str()), self.part(Some(route), series, gate)?)))
            .collect();
        owned.extend(self.part(None, &self.nobody, gate).map(|part| (None, part)));
        let certain: f64 = owned.iter().map(|(_, part)| part.bytes).sum();
        if certain < EXPLAINED * total.bytes {
            return None;
        }
        let all = certain.max(total.bytes);
        // With many similar routes, each has a small part.
        let counts = |route: Option<&str>, part: &Part| {
            let usual = route.map_or(f64::INFINITY, |route| all / requests.max(1.0) * own(route));
            let large = if part.sure { LEAST_SHARE } else { LIKELY_SHARE };
            part.bytes >= large * all || part.bytes >= ALIKE * usual
        };
        owned.retain(|(route, part)| counts(*route, part));
        owned.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes).then(a.0.cmp(&b.0)));
        if owned.iter().any(|(route, part)| route.is_none() && part.bytes >= NOBODY_SHARE * all) {
            return Some(Owners::Nobody);
        }
        let routes: Vec<RouteShare> = owned
            .iter()
            .filter_map(|(route, part)| {
                let route = (*route)?;
                let own = own(route);
                let share = part.bytes / all;
                // The variance of a part of independent samples.
                let loose = Z * (share * (1.0 - share) / total.samples.max(1.0)).sqrt();
                Some(RouteShare {
                    route: route.to_owned(),
                    share,
                    low: (share - loose).max(0.0),
                    high: (share + loose).min(1.0),
                    requests_per: if own > 0.0 { requests / own } else { 1.0 },
                })
            })
            .collect();
        if self.are_all(&routes, total.samples) {
            return Some(Owners::Alike(routes));
        }
        (!routes.is_empty()).then_some(Owners::Routes(routes))
    }

    /// Whether these are all the routes in which it would show, each with about the same bytes for each request.
    fn are_all(&self, owned: &[RouteShare], samples: f64) -> bool {
        let (Some(first), Some(last)) = (self.moments.first(), self.moments.last()) else { return false };
        let each = |route: &RouteShare| route.share * route.requests_per;
        let (least, most) =
            owned.iter().map(each).fold((f64::INFINITY, 0.0), |(least, most), each| (each.min(least), each.max(most)));
        let requests = (last.requests - first.requests).max(1.0);
        let would_show = |route: &str| {
            let part = (served(last, route) - served(first, route)) / requests;
            // Half of the expected value may be missing by chance.
            part * samples >= 2.0 * LEAST_SAMPLES
        };
        let shows = |route: &str| owned.iter().any(|share| share.route == route);
        owned.len() >= LEAST_ALIKE
            && least >= ALIKE * most
            && last.routes.iter().all(|(route, _)| shows(route) || !would_show(route))
    }

    /// Bytes by which a series has grown, certain or not.
    fn growth_of(&self, series: &[Alive]) -> f64 {
        let third = series.len() / 3;
        let level = |part: &[Alive]| median(&part.iter().map(|alive| alive.bytes).collect::<Vec<_>>());
        if third == 0 { 0.0 } else { 1.5 * (level(&series[series.len() - third..]) - level(&series[..third])).max(0.0) }
    }

    /// By how much an owner's live samples have grown, if they grow for certain.
    fn part(&self, route: Option<&str>, series: &[Alive], gate: &Thresholds) -> Option<Part> {
        let points: Vec<Point> = self
            .moments
            .iter()
            .zip(series)
            .map(|(moment, alive)| Point {
                at: moment.at,
                requests: route.map_or(moment.requests, |route| served(moment, route)),
                bytes: alive.bytes,
                in_flight: 0.0,
            })
            .collect();
        let samples = f64::from(series.last()?.samples);
        if samples < LEAST_SAMPLES || !growth::may_grow(&points, gate) {
            return None;
        }
        let (growth, figures) = growth::judge(&points, gate);
        // That the heap leaks is certain already. So it is enough that this series grows more than by chance, and keeps on.
        let figures = figures.filter(|_| growth >= Growth::Likely)?;
        let served = points.last()?.requests - points.first()?.requests;
        Some(Part { sure: growth == Growth::Sure, bytes: figures.per_thousand / 1e3 * served, samples })
    }
}

/// The growth of one owner.
struct Part {
    /// As certain as the growth of a whole heap must be.
    sure: bool,
    bytes: f64,
    samples: f64,
}

fn served(moment: &Moment, route: &str) -> f64 {
    moment.routes.iter().find(|(name, _)| name == route).map_or(0.0, |(_, count)| *count)
}

#[cfg(test)]
mod tests;
