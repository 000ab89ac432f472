//! Which function of the app allocates what stays: growth by allocation site. The profiles come from V8's sampling heap
//! profiler, which records where each live sample was allocated.
//!
//! An allocation site is judged by what the function and its callees have allocated. Its own allocations alone are not
//! enough: V8 inlines functions as they get hot, and from then on a constructor's objects are attributed to its caller.
//! Of functions that grow alike, one calling the other, the innermost is the allocation site.
//!
//! A handler is on the stack while its own code runs, also after its `await`s. It is not on the stack when a function
//! that it has awaited continues after an `await` of its own. So the route of an allocation site is determined by its
//! callers, which a profile of all allocations shows ([`Sites::callers`]). Before its first `await` the function is
//! below its handler, or below middleware that the route's requests pass. If V8 has inlined that part, the callers of
//! other functions in its file are used.
//!
//! Of several routes, those count whose traffic explains the growth, and whose handler's source calls a function of
//! that name.

use std::collections::{BTreeSet, HashMap, HashSet};

pub mod hysteresis;
pub mod schedule;
pub mod search;

use super::series::growth::{self, Figures, Growth, Point, Thresholds};
use crate::recorder::map::Map;
use crate::recorder::reader;
use crate::recorder::writer::epoch_ms;

/// A function, identified by where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Function {
    pub name: String,
    /// File and line, as they are shown.
    pub place: String,
}

/// The file of a place, without the line.
pub fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

/// Whether a place is in a package, and not in the app's own code.
pub fn is_of_module(place: &str) -> bool {
    place.contains("node_modules/") || place.contains("node_modules\\")
}

/// Names of the functions and methods that a source calls: identifiers before an opening parenthesis. Strings and
/// comments are not distinguished from code.
pub fn names_called(source: &str) -> impl Iterator<Item = &str> {
    let of_name = |each: char| each.is_alphanumeric() || each == '_' || each == '$';
    let before = source.match_indices('(').map(|(at, _)| source[..at].trim_end().trim_end_matches("?."));
    let names = before.map(move |before| &before[before.trim_end_matches(of_name).len()..]);
    names.filter(|name| !name.is_empty())
}

/// A node of the call tree, after its parent.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The root's parent is the root.
    pub parent: u32,
    /// Index of its function. None for code that is not the app's.
    pub function: Option<u32>,
    /// Live bytes that it allocated, on this path of the tree.
    pub bytes: f64,
}

/// One profile.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    pub functions: Vec<Function>,
    pub nodes: Vec<Node>,
}

/// When a profile was taken, and what had been served by then.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Epoch milliseconds.
    pub at: u64,
    pub requests: f64,
    pub in_flight: f64,
    /// Requests ever served, by route.
    pub routes: Vec<(String, f64)>,
}

impl Moment {
    /// The requests served so far, from the record.
    pub fn now(map: &Map) -> Self {
        let Ok(record) = reader::read(map) else { return Self::default() };
        let mut routes: HashMap<String, f64> = HashMap::new();
        for row in &record.routes {
            *routes.entry(format!("{} {}", row.method, row.route)).or_default() += row.count as f64;
        }
        Self {
            at: epoch_ms(),
            requests: record.requests.total as f64,
            in_flight: record.requests.in_flight as f64,
            routes: routes.into_iter().collect(),
        }
    }
}

/// A function whose allocations stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    pub function: Function,
    /// Growth against all requests.
    pub figures: Figures,
    /// Share of all sampled growth.
    pub share: f64,
    /// Handlers, ordered by what the function had allocated below them, the most first. These are the handlers next
    /// above it, or the function itself. If there are none, those next above other functions of its file.
    pub handlers: Vec<Function>,
}

/// Functions that are tracked. Further ones are left out.
const MOST_FUNCTIONS: usize = 512;
/// Profiles of a session.
pub const MOST_PROFILES: usize = 64;
/// A caller's growth is attributed to a callee that has at least this part of it.
const ALIKE: f64 = 0.7;
/// Allocation sites that are reported.
const MOST_SITES: usize = 3;
/// The least share of all sampled growth. An allocation site with less is not the cause of the trend.
const LEAST_SHARE: f64 = 0.25;
/// The least part of what a module's function has allocated that the app's function below it must have, to be taken for
/// the allocation site.
const LEAST_SEEN: f64 = 0.05;
/// A route explains growth as well as the best one if its unexplained rest is at most this many times as large.
const AS_WELL: f64 = 2.0;
/// Factor by which the unexplained rest counts less if the route's handler calls the allocation site by name. It is not
/// larger because other functions may have the same name.
const BY_NAME: f64 = 4.0;

/// A quarter of the growth that the whole heap must have: the search begins only after that.
const LEAST_GROWTH: f64 = 128.0 * 1024.0;

/// All profiles of a session.
pub struct Sites {
    gate: Thresholds,
    least_share: f64,
    moments: Vec<Moment>,
    numbers: HashMap<Function, usize>,
    functions: Vec<Function>,
    /// By function, then by profile: live bytes that it and its callees have allocated.
    inclusive: Vec<Vec<f64>>,
    total: Vec<f64>,
    /// Pairs of caller and callee that were seen.
    calls: HashSet<(usize, usize)>,
    /// Bytes of a function below the next handler above it, which may be the function itself.
    below: HashMap<(usize, usize), f64>,
}

impl Default for Sites {
    fn default() -> Self {
        Self::of_growth(LEAST_GROWTH, LEAST_SHARE)
    }
}

impl Sites {
    /// The least growth in bytes of an allocation site, and its least share of all growth.
    pub fn of_growth(bytes: f64, least_share: f64) -> Self {
        Self {
            gate: Thresholds::of_bytes(bytes),
            least_share,
            moments: Vec::new(),
            numbers: HashMap::new(),
            functions: Vec::new(),
            inclusive: Vec::new(),
            total: Vec::new(),
            calls: HashSet::new(),
            below: HashMap::new(),
        }
    }

    /// Adds a profile. `handlers` returns whether a function handles requests. Beyond [`MOST_PROFILES`] nothing is
    /// added.
    pub fn see(&mut self, moment: Moment, profile: &Profile, handlers: impl Fn(&Function) -> bool) {
        if self.moments.len() >= MOST_PROFILES {
            return;
        }
        let at = self.moments.len();
        self.moments.push(moment);
        self.inclusive.iter_mut().for_each(|series| series.push(0.0));
        self.total.push(0.0);
        self.walk(profile, handlers, |sites, path, bytes| {
            sites.total[at] += bytes;
            path.iter().for_each(|(number, _)| sites.inclusive[*number][at] += bytes);
            for (inner, (number, _)) in path.iter().enumerate() {
                path[inner + 1..].iter().for_each(|(above, _)| _ = sites.calls.insert((*above, *number)));
            }
        });
    }

    /// Adds the callers of each function, from a profile of all allocations, live and dead.
    pub fn callers(&mut self, profile: &Profile, handlers: impl Fn(&Function) -> bool) {
        self.walk(profile, handlers, |_, _, _| {});
    }

    /// Calls `visit` with the bytes of each node and the functions from there up to the root. Each function comes once,
    /// with whether it is a handler.
    fn walk(
        &mut self,
        profile: &Profile,
        handlers: impl Fn(&Function) -> bool,
        mut visit: impl FnMut(&mut Self, &[(usize, bool)], f64),
    ) {
        let numbers: Vec<Option<usize>> = profile.functions.iter().map(|function| self.number(function)).collect();
        let handles: Vec<bool> = profile.functions.iter().map(handlers).collect();
        let mut path: Vec<(usize, bool)> = Vec::new();
        for (index, node) in profile.nodes.iter().enumerate().filter(|(_, node)| node.bytes > 0.0) {
            path.clear();
            let mut index = index;
            loop {
                let step = profile.nodes[index];
                if let Some(function) = step.function.map(|function| function as usize)
                    && let Some(number) = numbers.get(function).copied().flatten()
                    && !path.iter().any(|(known, _)| *known == number)
                {
                    path.push((number, handles[function]));
                }
                // Parents come first, so this ends with any input.
                match step.parent as usize {
                    parent if parent < index => index = parent,
                    _ => break,
                }
            }
            for (inner, (number, _)) in path.iter().enumerate() {
                // Only the next handler: middleware that has passed the request on is above all later ones.
                if let Some((handler, _)) = path[inner..].iter().find(|(_, handles)| *handles) {
                    *self.below.entry((*number, *handler)).or_default() += node.bytes;
                }
            }
            visit(self, &path, node.bytes);
        }
    }

    fn number(&mut self, function: &Function) -> Option<usize> {
        if let Some(number) = self.numbers.get(function) {
            return Some(*number);
        }
        let number = self.functions.len();
        if number >= MOST_FUNCTIONS {
            return None;
        }
        self.functions.push(function.clone());
        self.inclusive.push(vec![0.0; self.moments.len()]);
        self.numbers.insert(function.clone(), number);
        Some(number)
    }

    fn points(&self, bytes: &[f64]) -> Vec<Point> {
        let point = |(moment, bytes): (&Moment, &f64)| Point {
            at: moment.at,
            requests: moment.requests,
            bytes: *bytes,
            in_flight: moment.in_flight,
        };
        self.moments.iter().zip(bytes).map(point).collect()
    }

    /// The allocation sites that grow, those that grow most first.
    pub fn verdict(&self) -> Vec<Site> {
        let Some(total) = growth::judge(&self.points(&self.total), &self.gate).1 else { return Vec::new() };
        let growing: Vec<(usize, Figures)> = (0..self.functions.len())
            .filter_map(|number| {
                // This runs on the event loop's thread. Most functions do not grow, which is cheap to detect.
                let points =
                    Some(self.points(&self.inclusive[number])).filter(|points| growth::may_grow(points, &self.gate))?;
                let (growth, figures) = growth::judge(&points, &self.gate);
                // Samples are random, so likely growth may be a coincidence.
                figures.filter(|_| growth == Growth::Sure).map(|figures| (number, figures))
            })
            .collect();
        let passes_on = |outer: &(usize, Figures)| {
            growing.iter().any(|inner| {
                let calls = self.calls.contains(&(outer.0, inner.0)) && !self.calls.contains(&(inner.0, outer.0));
                calls && inner.1.per_thousand >= ALIKE * outer.1.per_thousand
            })
        };
        let mut sites: Vec<Site> = (growing.iter())
            .filter(|each| !passes_on(each))
            .map(|(number, figures)| {
                let own = self.own(*number);
                Site {
                    function: self.functions[own].clone(),
                    figures: *figures,
                    share: figures.per_thousand / total.per_thousand.max(figures.per_thousand),
                    handlers: self.handlers_of(own),
                }
            })
            .filter(|site| site.share >= self.least_share)
            .collect();
        sites.sort_by(|a, b| b.figures.per_thousand.total_cmp(&a.figures.per_thousand));
        sites.truncate(MOST_SITES);
        sites
    }

    /// For a module's function (Express's call of the middleware, for example), the app's function that it was seen to
    /// call and that had allocated most of the live bytes when V8 inlined it there.
    fn own(&self, site: usize) -> usize {
        let place = |number: usize| self.functions[number].place.as_str();
        if !is_of_module(place(site)) {
            return site;
        }
        let last = |number: usize| self.inclusive[number].last().copied().unwrap_or(0.0);
        let called = (0..self.functions.len()).filter(|number| self.calls.contains(&(site, *number)));
        let own = called.filter(|number| !is_of_module(place(*number)) && last(*number) >= LEAST_SEEN * last(site));
        own.max_by(|a, b| last(*a).total_cmp(&last(*b))).unwrap_or(site)
    }

    /// All requests during the session, for each request of these routes.
    pub fn requests_per(&self, routes: &[String]) -> f64 {
        let (Some(first), Some(last)) = (self.moments.first(), self.moments.last()) else { return 1.0 };
        let of = |moment: &Moment| -> f64 {
            moment.routes.iter().filter(|(route, _)| routes.contains(route)).map(|(_, count)| count).sum()
        };
        let own = of(last) - of(first);
        if own > 0.0 { (last.requests - first.requests) / own } else { 1.0 }
    }

    fn handlers_of(&self, site: usize) -> Vec<Function> {
        let next_above = |below: &dyn Fn(usize) -> bool| -> Vec<(usize, f64)> {
            let mut handlers: HashMap<usize, f64> = HashMap::new();
            for ((_, handler), bytes) in self.below.iter().filter(|((function, _), _)| below(*function)) {
                *handlers.entry(*handler).or_default() += bytes;
            }
            handlers.into_iter().collect()
        };
        let mut handlers = next_above(&|function| function == site);
        if handlers.is_empty() {
            let file = |function: usize| file_of(&self.functions[function].place);
            handlers = next_above(&|function| file(function) == file(site));
        }
        handlers.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        handlers.into_iter().map(|(handler, _)| self.functions[handler].clone()).collect()
    }

    /// Names of the allocation site and of the app's functions seen above it. A caller of one of them may be a caller
    /// of the allocation site.
    pub fn names(&self, site: &Site) -> HashSet<&str> {
        let Some(site) = self.numbers.get(&site.function) else { return HashSet::new() };
        let above = self.calls.iter().filter(|(_, inner)| inner == site).map(|(outer, _)| outer);
        let own = above.chain([site]).map(|number| &self.functions[*number]).filter(|own| !is_of_module(&own.place));
        own.map(|function| function.name.as_str()).filter(|name| !name.is_empty()).collect()
    }

    /// The routes whose traffic explains the growth of the allocation site, the best first. `among` restricts them if
    /// it is not empty. There is more than one if they cannot be distinguished.
    ///
    /// Growth for each request of the route is constant, so its steps between profiles are proportional to the route's
    /// requests. `by_name` are the routes whose handlers call one of its [names](Self::names).
    pub fn routes(&self, site: &Site, among: &BTreeSet<String>, by_name: &BTreeSet<String>) -> Vec<String> {
        let Some((last, site)) = self.moments.last().zip(self.numbers.get(&site.function)) else { return Vec::new() };
        let steps = |values: Vec<f64>| -> Vec<f64> { values.windows(2).map(|pair| pair[1] - pair[0]).collect() };
        let grown = steps(self.inclusive[*site].clone());
        let whole: f64 = grown.iter().sum();
        let mut fits: Vec<(f64, &String)> = (last.routes.iter())
            .filter(|(route, _)| among.is_empty() || among.contains(route))
            .filter_map(|(route, _)| {
                let count =
                    |moment: &Moment| moment.routes.iter().find(|(name, _)| name == route).map_or(0.0, |found| found.1);
                let served = steps(self.moments.iter().map(count).collect());
                let all: f64 = served.iter().sum();
                let unexplained = |(grown, served): (&f64, &f64)| (grown - whole / all * served).powi(2);
                let doubt = if by_name.contains(route) { 1.0 / BY_NAME } else { 1.0 };
                (all > 0.0).then(|| (doubt * grown.iter().zip(&served).map(unexplained).sum::<f64>(), route))
            })
            .collect();
        fits.sort_by(|a: &(f64, &String), b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        let Some((best, _)) = fits.first().copied() else { return Vec::new() };
        fits.into_iter().take_while(|(left, _)| *left <= AS_WELL * best).map(|(_, route)| route.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
