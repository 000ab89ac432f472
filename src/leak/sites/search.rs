//! The search for the allocation site of a leak: the result of the profiling sessions, and the likeliest site.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::hysteresis::Hysteresis;
use super::schedule::{ProfilingSchedule, Situation, Step};
use super::{Moment, Profile, Site, Sites, file_of, names_called};
use crate::leak::message::Place;
use crate::leak::series::growth::Figures;

/// Handlers that are remembered. An app has some hundreds.
const MOST_HANDLERS: usize = 1024;
const MOST_ROUTES: usize = 16;
/// Function names called by a handler that are remembered.
const MOST_CALLS: usize = 256;
/// Places whose source positions are remembered.
const MOST_PLACES: usize = 4096;

/// A function that handles requests.
#[derive(Default)]
struct Handler {
    routes: BTreeSet<String>,
    /// Names of the functions that it calls.
    calls: HashSet<String>,
}

/// What is known of the allocation sites at which the heap grows.
#[derive(Default)]
pub struct Search {
    schedule: ProfilingSchedule,
    sites: Sites,
    /// By place.
    handlers: HashMap<String, Handler>,
    /// Places as they are shown: in the original source, if there is a source map.
    shown: HashMap<String, String>,
    /// The allocation site that grows most, of this session or the last.
    found: Option<Place>,
    /// For the place, and for the first of its routes.
    hysteresis: [Hysteresis; 2],
    /// Whether the growth that this session samples has stopped.
    over: bool,
    /// Why the last session failed.
    pub failure: Option<String>,
}

impl Search {
    pub fn is_on(&self) -> bool {
        self.schedule.is_on()
    }

    pub fn place(&self) -> Option<Place> {
        self.found.clone()
    }

    /// What the profiler must do now.
    pub fn step(&mut self, now: Situation) -> Step {
        if self.schedule.is_calm(&now) {
            self.forget();
        }
        if !now.suspicious && !self.schedule.is_on() {
            return Step::None;
        }
        let step = self.schedule.step(now, self.found.is_some());
        if step == Step::Start {
            let schedule = std::mem::take(&mut self.schedule);
            *self = Self { schedule, ..Self::default() };
        }
        step
    }

    /// The sampler cannot be started, or another profiler has stopped it.
    pub fn fail(&mut self, now_ms: u64, reason: String) {
        self.schedule.fail(now_ms);
        self.failure = Some(reason);
    }

    /// CPU time of the last profile, milliseconds.
    pub fn took(&mut self, ms: f64) {
        self.schedule.took(ms);
    }

    /// The function at `place` handles requests of a route. `source`: its source, or the beginning of it.
    pub fn handler(&mut self, place: String, route: String, source: Option<&str>) {
        if self.handlers.len() >= MOST_HANDLERS && !self.handlers.contains_key(&place) {
            return;
        }
        let handler = self.handlers.entry(place).or_default();
        if handler.routes.len() < MOST_ROUTES {
            handler.routes.insert(route);
        }
        if let Some(source) = source {
            handler.calls.extend(names_called(source).take(MOST_CALLS).map(str::to_owned));
        }
    }

    /// How places are shown.
    pub fn show(&mut self, places: impl IntoIterator<Item = (String, String)>) {
        if self.shown.len() < MOST_PLACES {
            self.shown.extend(places);
        }
    }

    /// A profile of all allocations. It shows callers.
    pub fn callers(&mut self, profile: &Profile) {
        let Self { sites, handlers, .. } = self;
        sites.callers(profile, |function| handlers.contains_key(&function.place));
    }

    /// A profile of the live heap, after the requests of `moment`. `reported`: where the leak was reported last.
    pub fn profile(&mut self, moment: Moment, profile: &Profile, reported: Option<&Place>) {
        let Self { sites, handlers, .. } = self;
        sites.see(moment, profile, |function| handlers.contains_key(&function.place));
        self.find(reported);
    }

    /// Chooses the likeliest allocation site that grows, or the known one while it is about as likely.
    fn find(&mut self, reported: Option<&Place>) {
        let Self { sites, handlers, shown, found, hysteresis: [of_place, of_route], .. } = self;
        let mut growing = sites.verdict();
        if growing.is_empty() || self.over {
            return;
        }
        let known = found.as_ref().or(reported);
        let origins: Vec<&str> = growing.iter().map(|site| shown_of(site, shown)).collect();
        let chosen = of_place.choose(&origins, known.map(|known| known.origin.as_str()));
        let mut place = place_of(growing.swap_remove(chosen), sites, handlers, shown);
        if !place.routes.is_empty() {
            let known = known.filter(|known| known.origin == place.origin);
            let first = known.and_then(|known| known.routes.first()).map(String::as_str);
            let routes: Vec<&str> = place.routes.iter().map(String::as_str).collect();
            let chosen = of_route.choose(&routes, first);
            place.routes[..=chosen].rotate_right(1);
        }
        *found = Some(place);
    }

    /// There is another leak.
    pub fn renew(&mut self) {
        self.schedule.renew();
    }

    /// The growth is over. The result belongs to it, and so does what this session finds later.
    pub fn forget(&mut self) {
        (self.found, self.over) = (None, true);
    }
}

/// The place of the allocation site as it is shown.
fn shown_of<'a>(site: &'a Site, shown: &'a HashMap<String, String>) -> &'a str {
    shown.get(&site.function.place).unwrap_or(&site.function.place)
}

fn place_of(site: Site, sites: &Sites, handlers: &HashMap<String, Handler>, shown: &HashMap<String, String>) -> Place {
    let routes_of = |chosen: &dyn Fn(&str, &Handler) -> bool| -> BTreeSet<String> {
        let chosen = handlers.iter().filter(|(place, handler)| chosen(place, handler));
        chosen.flat_map(|(_, handler)| handler.routes.iter().cloned()).collect()
    };
    let seen = routes_of(&|place, _| site.handlers.iter().any(|handler| handler.place == place));
    // Used if no handler is seen above: allocations of a handler may be too few to be sampled.
    let neighbours = || routes_of(&|place, _| file_of(place) == file_of(&site.function.place));
    let names = sites.names(&site);
    let by_name = routes_of(&|_, handler| handler.calls.iter().any(|name| names.contains(name.as_str())));
    let routes = sites.routes(&site, &if seen.is_empty() { neighbours() } else { seen }, &by_name);
    let Figures { per_thousand, low, high, .. } = site.figures;
    Place {
        origin: shown_of(&site, shown).to_owned(),
        function: site.function.name,
        requests_per: sites.requests_per(&routes),
        routes,
        share: site.share,
        looseness: (high - low) / 2.0 / per_thousand,
    }
}
