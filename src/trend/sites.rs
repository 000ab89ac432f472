//! Which function of the program allocates what stays: growth by allocation site, from profiles of V8's sampling heap profiler, which knows of
//! each sample that still lives where it was allocated.
//!
//! A site is judged by what it and all it calls have allocated. What it allocates itself will not do: V8 inlines functions as they get hot, and
//! from then on a constructor's objects are its caller's. Of functions that grow alike, one calling the other, the innermost is the site.
//!
//! A handler is on the stack while its own code runs, behind its `await`s too, but not while a function that it has awaited goes on behind an
//! `await` of its own. So whose requests a site grows with is told by who calls it, which a profile of all allocations shows ([`Sites::callers`]):
//! up to its first `await` it is below its handler, or below middleware that the route's requests pass. Where that is not to be seen (V8 has inlined what
//! comes before the `await`), by who calls other functions of its file. Of several routes, by whose traffic explains the growth.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::window::{self, Figures, Gate, Growth, Point};

/// A function by where it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Function {
    pub name: String,
    /// As it is shown: file and line.
    pub place: String,
}

/// The file of a place, without the line.
pub fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

/// A node of the tree of calls, behind its parent.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The root's is itself.
    pub parent: u32,
    /// Its number among the functions; none for code that is not the program's.
    pub function: Option<u32>,
    /// Bytes that live and were allocated by it, in this place of the tree.
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
    /// Requests ever served by route.
    pub routes: Vec<(String, f64)>,
}

/// A function whose allocations stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    pub function: Function,
    /// Against all requests.
    pub figures: Figures,
    /// Of all growth that is sampled.
    pub share: f64,
    /// Handlers, by what it had allocated below them, the most first: those seen next above it (itself, if it is one); where there is none, those
    /// next above other functions of its file.
    pub handlers: Vec<Function>,
}

/// Functions that are followed; new ones beyond are left out.
const MOST_FUNCTIONS: usize = 512;
/// Profiles of a campaign.
pub const MOST_PROFILES: usize = 64;
/// A caller's growth is another function's that grows by so much of it.
const ALIKE: f64 = 0.7;
/// Sites told.
const MOST_SITES: usize = 3;
/// A site has at least this part of all growth that is sampled: what has less is not what the trend is about.
const LEAST_SHARE: f64 = 0.25;
/// A route explains growth as well as the best one if what is left unexplained is at most so much more.
const AS_WELL: f64 = 2.0;

/// Half of what the whole heap must grow by: a site is only looked for once that has grown.
const LEAST_GROWTH: f64 = 128.0 * 1024.0;

/// All profiles of a campaign.
pub struct Sites {
    gate: Gate,
    least_share: f64,
    moments: Vec<Moment>,
    numbers: HashMap<Function, usize>,
    functions: Vec<Function>,
    /// By function, then by profile: what it and its callees have allocated of what lives.
    inclusive: Vec<Vec<f64>>,
    total: Vec<f64>,
    /// Who was seen above whom.
    calls: HashSet<(usize, usize)>,
    /// Bytes of a function below the next handler above it, which may be itself.
    below: HashMap<(usize, usize), f64>,
}

impl Default for Sites {
    fn default() -> Self {
        Self::of_growth(LEAST_GROWTH, LEAST_SHARE)
    }
}

impl Sites {
    /// Of which a site must have grown by `bytes`, and by this share of all growth.
    pub fn of_growth(bytes: f64, least_share: f64) -> Self {
        Self {
            gate: Gate::of_bytes(bytes),
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

    /// Takes up a profile; `handlers` says which functions handle requests. Beyond [`MOST_PROFILES`] nothing is taken.
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

    /// Takes up who calls whom, from a profile of all allocations, of those that do not live any more too.
    pub fn callers(&mut self, profile: &Profile, handlers: impl Fn(&Function) -> bool) {
        self.walk(profile, handlers, |_, _, _| {});
    }

    /// Calls `visit` with what each node has allocated and the functions from there up to the root, each once, and whether it is a handler.
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
                // Parents come first; so this ends, whatever is handed over.
                match step.parent as usize {
                    parent if parent < index => index = parent,
                    _ => break,
                }
            }
            for (inner, (number, _)) in path.iter().enumerate() {
                // Only the next one: middleware that has passed the request on is above all that come later.
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

    /// The sites that grow, those that grow most first.
    pub fn verdict(&self) -> Vec<Site> {
        let Some(total) = window::judge(&self.points(&self.total), &self.gate).1 else { return Vec::new() };
        let growing: Vec<(usize, Figures)> = (0..self.functions.len())
            .filter_map(|number| {
                // On the event loop's thread: most functions do not grow, which is cheap to see.
                let points =
                    Some(self.points(&self.inclusive[number])).filter(|points| window::may_grow(points, &self.gate))?;
                let (growth, figures) = window::judge(&points, &self.gate);
                // Samples come by chance, so what is only likely here is as likely chance.
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
            .map(|(number, figures)| Site {
                function: self.functions[*number].clone(),
                figures: *figures,
                share: figures.per_thousand / total.per_thousand.max(figures.per_thousand),
                handlers: self.handlers_of(*number),
            })
            .filter(|site| site.share >= self.least_share)
            .collect();
        sites.sort_by(|a, b| b.figures.per_thousand.total_cmp(&a.figures.per_thousand));
        sites.truncate(MOST_SITES);
        sites
    }

    /// All requests during the campaign, for each one of these routes.
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

    /// Of these routes, or of all if there are none, those whose traffic explains the site's growth, the best first: more than one where they
    /// cannot be told apart. Growth is a constant a request of the route, so its steps between profiles are as large as the route's steps.
    pub fn routes(&self, site: &Site, among: &BTreeSet<String>) -> Vec<String> {
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
                (all > 0.0).then(|| (grown.iter().zip(&served).map(unexplained).sum(), route))
            })
            .collect();
        fits.sort_by(|a: &(f64, &String), b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        let Some((best, _)) = fits.first().copied() else { return Vec::new() };
        fits.into_iter().take_while(|(left, _)| *left <= AS_WELL * best).map(|(_, route)| route.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;

    fn function(name: &str) -> Function {
        Function { name: name.to_owned(), place: format!("{name}.js:1") }
    }

    /// Paths from the root, each with its bytes.
    fn profile(paths: &[(&[&str], f64)]) -> Profile {
        let mut profile = Profile { nodes: vec![Node { parent: 0, function: None, bytes: 0.0 }], ..Profile::default() };
        for (path, bytes) in paths {
            let mut parent = 0;
            for name in *path {
                let known = profile.functions.iter().position(|known| known.name == *name);
                let number = known.unwrap_or_else(|| {
                    profile.functions.push(function(name));
                    profile.functions.len() - 1
                });
                profile.nodes.push(Node { parent, function: Some(number as u32), bytes: 0.0 });
                parent = profile.nodes.len() as u32 - 1;
            }
            profile.nodes[parent as usize].bytes = *bytes;
        }
        profile
    }

    /// The moment of a profile, with what two routes have served by then.
    fn moment(at: usize, requests: [f64; 2]) -> Moment {
        let routes = ["GET /leaky", "GET /other"].map(str::to_owned).into_iter().zip(requests).collect();
        Moment { at: at as u64 * 1000, requests: requests.iter().sum(), in_flight: 0.0, routes }
    }

    /// Some noise that is always the same.
    fn noise(at: usize) -> f64 {
        ((at * 7919) % 13) as f64 / 13.0
    }

    #[test]
    fn the_innermost_function_that_grows_is_the_site_also_when_it_is_inlined() {
        let mut sites = Sites::default();
        for at in 0..20 {
            let kept = at as f64 * 500.0 * 600.0;
            // From the sixth profile on the constructor is inlined.
            let own = kept.min(6.0 * 500.0 * 600.0);
            let lru = MIB + noise(at) * 0.3 * MIB;
            let paths: [(&[&str], f64); 4] = [
                (&["getUser", "Session"], own),
                (&["getUser"], kept - own),
                (&["show", "getUser", "Session"], 30_000.0),
                (&["lru"], lru),
            ];
            sites.see(moment(at, [at as f64 * 500.0, at as f64 * 500.0]), &profile(&paths), |f| f.name == "show");
        }
        let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
        assert_eq!(site.function, function("getUser"));
        assert_eq!(site.handlers, [function("show")]);
        // Of every second request.
        assert!((site.figures.per_thousand / 1000.0 - 300.0).abs() < 3.0, "{:?}", site.figures);
        assert!(site.share > 0.9);
    }

    #[test]
    fn nothing_is_a_site_where_nothing_grows() {
        let mut sites = Sites::default();
        for at in 0..MOST_PROFILES + 10 {
            let lru = 4.0 * MIB + noise(at) * MIB;
            let starting = (MIB * at as f64).min(3.0 * MIB);
            let paths: [(&[&str], f64); 2] = [(&["handler", "lru"], lru), (&["cache"], starting)];
            sites.see(moment(at, [at as f64 * 500.0, 0.0]), &profile(&paths), |_| false);
        }
        assert_eq!(sites.moments.len(), MOST_PROFILES);
        assert_eq!(sites.verdict(), []);
    }

    #[test]
    fn who_calls_it_is_known_from_what_does_not_live() {
        let mut sites = Sites::default();
        let calls: [(&[&str], f64); 2] = [(&["show", "getUser"], 1e3), (&["list", "getUser"], 4e3)];
        sites.callers(&profile(&calls), |f| ["show", "list"].contains(&f.name.as_str()));
        for at in 0..20 {
            let served = at as f64 * 500.0;
            sites.see(moment(at, [served, served]), &profile(&[(&["getUser"], served * 600.0)]), |_| false);
        }
        let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
        assert_eq!((&site.function, &site.handlers), (&function("getUser"), &vec![function("list"), function("show")]));
    }

    #[test]
    fn middleware_is_the_handler_of_what_it_calls_and_not_of_what_comes_behind_it() {
        let mut sites = Sites::default();
        let handlers = ["session", "show"];
        let calls: [(&[&str], f64); 2] = [(&["session", "load"], 1e3), (&["session", "next", "show", "getUser"], 4e3)];
        sites.callers(&profile(&calls), |f| handlers.contains(&f.name.as_str()));
        for at in 0..20 {
            let served = at as f64 * 500.0;
            let paths: [(&[&str], f64); 3] =
                [(&["getUser"], served * 600.0), (&["load"], served * 590.0), (&["session"], served * 580.0)];
            sites.see(moment(at, [served, served]), &profile(&paths), |f| handlers.contains(&f.name.as_str()));
        }
        let seen = sites.verdict().into_iter().map(|site| (site.function.name, site.handlers[0].name.clone()));
        let seen: Vec<(String, String)> = seen.collect();
        let expected = [("getUser", "show"), ("load", "session"), ("session", "session")];
        assert_eq!(seen, expected.map(|(site, handler)| (site.to_owned(), handler.to_owned())));
    }

    #[test]
    fn a_function_that_is_never_seen_below_a_handler_is_taken_for_its_neighbours() {
        let mut sites = Sites::default();
        let mut calls = profile(&[(&["show", "getUser"], 1e3), (&["list", "getRows"], 9e3)]);
        let mut lives = profile(&[(&["load"], 0.0)]);
        for function in calls.functions.iter_mut().chain(&mut lives.functions) {
            let file = if ["list", "getRows"].contains(&function.name.as_str()) { "rows" } else { "users" };
            function.place = format!("{file}.js:{}", function.name.len());
        }
        sites.callers(&calls, |f| ["show", "list"].contains(&f.name.as_str()));
        for at in 0..20 {
            let served = at as f64 * 500.0;
            lives.nodes[1].bytes = served * 600.0;
            sites.see(moment(at, [served, served]), &lives, |_| false);
        }
        let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
        assert_eq!((site.function.name.as_str(), site.handlers[0].name.as_str()), ("load", "show"));
        assert_eq!(site.handlers.len(), 1);
    }

    #[test]
    fn the_route_is_the_one_whose_traffic_explains_the_growth() {
        let mut sites = Sites::default();
        let (mut leaky, mut other) = (0.0, 0.0);
        for at in 0..20 {
            leaky += 200.0 + 400.0 * noise(at);
            other += 200.0 + 400.0 * noise(at + 5);
            let kept = leaky * 900.0 + 20_000.0 * noise(at + 3);
            sites.see(moment(at, [leaky, other]), &profile(&[(&["keep"], kept)]), |_| false);
        }
        let site = &sites.verdict()[0];
        assert_eq!(sites.routes(site, &BTreeSet::new()), ["GET /leaky"]);
        assert_eq!(
            sites.routes(site, &["GET /other".to_owned()].into()),
            ["GET /other"],
            "it is known to be among these"
        );
    }

    #[test]
    fn routes_that_come_in_step_are_both_named() {
        let mut sites = Sites::default();
        for at in 0..20 {
            let served = 300.0 * at as f64;
            let kept = served * 900.0 + 20_000.0 * noise(at);
            sites.see(moment(at, [served, served]), &profile(&[(&["keep"], kept)]), |_| false);
        }
        assert_eq!(sites.routes(&sites.verdict()[0], &BTreeSet::new()), ["GET /leaky", "GET /other"]);
    }

    #[test]
    fn what_is_handed_over_wrong_is_left_out() {
        let mut sites = Sites::default();
        let nodes = vec![
            Node { parent: 7, function: Some(9), bytes: 1.0 },
            Node { parent: 1, function: Some(0), bytes: 2.0 },
            Node { parent: 0, function: None, bytes: f64::NAN },
        ];
        sites.see(moment(0, [1.0, 1.0]), &Profile { functions: vec![function("a")], nodes }, |_| true);
        assert_eq!(sites.total, [3.0]);
        let many = (0..MOST_FUNCTIONS + 9).map(|at| function(&at.to_string())).collect();
        sites.see(moment(1, [2.0, 2.0]), &Profile { functions: many, nodes: Vec::new() }, |_| true);
        assert_eq!(sites.functions.len(), MOST_FUNCTIONS);
        assert_eq!(sites.verdict(), []);
    }
}
