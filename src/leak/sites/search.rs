//! The search for the allocation site of a leak: the result of the profiling sessions, and the likeliest allocation
//! site.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::hysteresis::Hysteresis;
use super::schedule::{ProfilingSchedule, Situation, Step};
use super::{Moment, Profile, Site, Sites, file_of, names_called};
use crate::leak::message::Place;
use crate::leak::owners::{OwnedProfile, OwnerGrowth, Owners};
use crate::leak::series::growth::{Figures, Thresholds};

/// Handlers that are remembered. An app has some hundreds.
const MOST_HANDLERS: usize = 1024;
const MOST_ROUTES: usize = 16;
/// Function names called by a handler that are remembered.
const MOST_CALLS: usize = 256;
/// Places whose source positions are remembered.
const MOST_PLACES: usize = 4096;

/// By how much the live samples of a route must have grown, bytes.
const LEAST_OWNED: f64 = 128.0 * 1024.0;

/// The leak that was reported last, while it continues.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported<'a> {
    pub place: Option<&'a Place>,
    /// By the trend.
    pub bytes_per_request: Option<f64>,
}

/// Why samples have no owner, if no other reason is known.
const NO_OWNERS: &str =
    "V8's counter of samples could not be verified, or asynchronous spans are not metered (async: false)";

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
    /// Whose requests own the growth, where samples have an owner; and why they have none.
    owners: Option<OwnerGrowth>,
    no_owners: Option<String>,
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
        let found = self.found.as_ref().is_some_and(|place| place.owners != Owners::Unknown);
        let pending = self.owners.is_some() && self.no_owners.is_none() && !found;
        let step = self.schedule.step(now, found, pending);
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

    /// From here on samples have no owner in this session.
    pub fn lose_owners(&mut self, why: &str) {
        self.no_owners.get_or_insert_with(|| why.to_owned());
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

    /// A profile of the live heap, after the requests of `moment`. `owned`: its samples by owner, if they have one.
    pub fn profile(&mut self, moment: Moment, profile: &Profile, owned: Option<OwnedProfile>, leak: Reported) {
        match owned {
            Some(owned) if self.no_owners.is_none() => self.owners.get_or_insert_default().see(moment.clone(), &owned),
            Some(_) => {}
            None => self.lose_owners(NO_OWNERS),
        }
        let Self { sites, handlers, .. } = self;
        sites.see(moment, profile, |function| handlers.contains_key(&function.place));
        self.find(leak);
    }

    /// Chooses the likeliest allocation site that grows, or the known one while it is about as likely.
    fn find(&mut self, leak: Reported) {
        let Self { sites, handlers, shown, found, hysteresis: [of_place, of_route], owners, no_owners, .. } = self;
        let mut growing = sites.verdict();
        if growing.is_empty() || self.over {
            return;
        }
        let known = found.as_ref().or(leak.place);
        let origins: Vec<&str> = growing.iter().map(|site| shown_of(site, shown)).collect();
        let chosen = of_place.choose(&origins, known.map(|known| known.origin.as_str()));
        let mut place = place_of(growing.swap_remove(chosen), sites, handlers, shown);
        let certain = known.map(|known| &known.owners).filter(|owners| owners.is_counted()).cloned();
        let known = known.filter(|known| known.origin == place.origin);
        let mut of_route = |routes: &[&str]| of_route.choose(routes, known.and_then(|known| known.route()));
        match (owners.as_ref().filter(|_| no_owners.is_none()), &mut place.owners) {
            (Some(owners), counted) => {
                *counted = owners.verdict(&Thresholds::of_bytes(LEAST_OWNED), leak.bytes_per_request);
                if let Owners::Routes(routes) = counted {
                    let names: Vec<&str> = routes.iter().map(|share| share.route.as_str()).collect();
                    let chosen = of_route(&names);
                    routes[..=chosen].rotate_right(1);
                }
                // Samples come by chance: what was certain is not taken back because a later profile is less so.
                if let (Owners::Unknown, Some(certain)) = (&*counted, certain) {
                    *counted = certain;
                }
            }
            (None, Owners::Likely { routes, why, .. }) => {
                why.clone_from(no_owners);
                if !routes.is_empty() {
                    let names: Vec<&str> = routes.iter().map(String::as_str).collect();
                    let chosen = of_route(&names);
                    routes[..=chosen].rotate_right(1);
                }
            }
            _ => {}
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
        owners: Owners::Likely { requests_per: sites.requests_per(&routes), routes, why: None },
        share: site.share,
        looseness: (high - low) / 2.0 / per_thousand,
    }
}
