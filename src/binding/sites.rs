//! Allocation sites: the campaign's steps, and the profiles that JavaScript takes in it.

use std::collections::{BTreeSet, HashMap, HashSet};

use napi::bindgen_prelude::{Float64Array, Int32Array, Uint32Array};
use napi_derive::napi;

use super::environment::{Environment, trusts_v8, with};
use super::trend::is_suspicious;
use crate::probe::v8::sampling;
use crate::recorder::writer::epoch_ms;
use crate::recorder::{EventKind, Quantity, reader};
use crate::trend::advice::Place;
use crate::trend::campaign::{Campaign, Situation, Step};
use crate::trend::sites::{Function, Moment, Node, Profile, Site, Sites, file_of, names_called};
use crate::trend::steady::Steady;
use crate::trend::window::Figures;

/// Places of handlers that are kept; an app has some hundreds.
const MOST_HANDLERS: usize = 1024;
const MOST_ROUTES: usize = 16;
/// Calls of a handler that are looked at.
const MOST_CALLS: usize = 256;
/// Places whose sources are kept.
const MOST_PLACES: usize = 4096;

/// A function that handles requests.
#[derive(Default)]
struct Handler {
    routes: BTreeSet<String>,
    /// Names of the functions that it calls.
    calls: HashSet<String>,
}

/// What the environment knows of the sites where the heap's growth is allocated.
#[derive(Default)]
pub struct Search {
    campaign: Campaign,
    sites: Sites,
    /// By their places.
    handlers: HashMap<String, Handler>,
    /// Places as they are shown: of the source, where there is a map.
    shown: HashMap<String, String>,
    /// Of this campaign, or the last: the one that grows most.
    found: Option<Place>,
    /// By which its place stays, and the first of its routes.
    steady: [Steady; 2],
    /// What this campaign has seen grow has stopped.
    over: bool,
    /// Why the last campaign was not.
    pub failure: Option<String>,
}

impl Search {
    pub fn is_on(&self) -> bool {
        self.campaign.is_on()
    }

    pub fn place(&self) -> Option<Place> {
        self.found.clone()
    }

    /// Among the sites that grow: the likeliest, or what was found or `told` before, as long as that is about as likely.
    fn find(&mut self, told_before: Option<&Place>) {
        let Self { sites, handlers, shown, found, steady: [of_place, of_route], .. } = self;
        let mut growing = sites.verdict();
        if growing.is_empty() || self.over {
            return;
        }
        let known = found.as_ref().or(told_before);
        let origins: Vec<&str> = growing.iter().map(|site| shown_of(site, shown)).collect();
        let chosen = of_place.choose(&origins, known.map(|known| known.origin.as_str()));
        let mut place = told(growing.swap_remove(chosen), sites, handlers, shown);
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
        self.campaign.renew();
    }

    /// What was found was of a growth that is over; what the campaign finds yet is so too.
    pub fn forget(&mut self) {
        (self.found, self.over) = (None, true);
    }
}

/// What is to be done with the sampling heap profiler now: 0 nothing, 1 start it with all allocations, 2 take a profile of callers and sample what
/// lives from then on, 3 take a profile of that, 4 stop it.
#[napi(catch_unwind)]
pub fn site_step() -> u32 {
    with(|environment| match step(environment) {
        Step::None => 0,
        Step::Start => 1,
        Step::Callers => 2,
        Step::Profile => 3,
        Step::Stop => 4,
    })
    .unwrap_or(0)
}

fn step(environment: &mut Environment) -> Step {
    let Environment { ledger, search, .. } = environment;
    let map = ledger.writer().map();
    let suspicious = is_suspicious(map, Quantity::Heap);
    let now = Situation {
        now_ms: ledger.uptime_ms(),
        suspicious,
        majors: reader::points(&**map).unwrap_or(0),
        requests: reader::requests(&**map),
    };
    if search.campaign.is_calm(&now) {
        search.forget();
    }
    if !suspicious && !search.campaign.is_on() {
        return Step::None;
    }
    let step = search.campaign.step(now, search.found.is_some());
    if step == Step::Start {
        let campaign = std::mem::take(&mut search.campaign);
        *search = Search { campaign, ..Search::default() };
    }
    step
}

/// Starts V8's sampling heap profiler, with a sample every `interval` bytes on average, of what lives or of all that is allocated, and so that to read a
/// profile collects no garbage. False if it is on already; nothing where it cannot be started so.
#[napi(catch_unwind)]
pub fn site_sample(interval: u32, all: bool) -> Option<bool> {
    // Not within the environment: V8 is called.
    if trusts_v8() { sampling::start(u64::from(interval), all) } else { None }
}

/// The sampler is not to be had, or was lost: `reason` goes into the record.
#[napi(catch_unwind)]
pub fn site_failed(reason: String) {
    with(|environment| {
        environment.search.campaign.fail(environment.ledger.uptime_ms());
        environment.ledger.writer().event(EventKind::Sites, None, &reason);
        environment.search.failure = Some(reason);
    });
}

/// The function at `place` handles requests of a route; its source, of which a part will do, the first time.
#[napi(catch_unwind)]
pub fn site_handler(place: String, route: String, source: Option<String>) {
    with(|environment| {
        let handlers = &mut environment.search.handlers;
        if handlers.len() < MOST_HANDLERS || handlers.contains_key(&place) {
            let handler = handlers.entry(place).or_default();
            if handler.routes.len() < MOST_ROUTES {
                handler.routes.insert(route);
            }
            if let Some(source) = source {
                handler.calls.extend(names_called(&source).take(MOST_CALLS).map(str::to_owned));
            }
        }
    });
}

/// CPU milliseconds that the last profile took, with what became of it here.
#[napi(catch_unwind)]
pub fn site_took(ms: f64) {
    with(|environment| environment.search.campaign.took(ms));
}

/// A profile: functions by name, place and place as shown; and the nodes of the tree of calls, each behind its parent: the parent's number, the
/// function's (-1 for what is not the program's) and bytes: those that live, or for `callers` all that were allocated.
#[napi(catch_unwind)]
pub fn site_profile(
    names: Vec<String>,
    places: Vec<String>,
    shown: Vec<String>,
    parents: Uint32Array,
    of: Int32Array,
    bytes: Float64Array,
    callers: bool,
) {
    let nodes = parents.iter().zip(of.iter()).zip(bytes.iter()).map(|((parent, function), bytes)| Node {
        parent: *parent,
        function: u32::try_from(*function).ok(),
        bytes: *bytes,
    });
    let functions = names.into_iter().zip(&places).map(|(name, place)| Function { name, place: place.clone() });
    let profile = Profile { functions: functions.collect(), nodes: nodes.collect() };
    with(|environment| {
        let moment = if callers { Moment::default() } else { moment(environment) };
        let Search { sites, handlers, shown: known, .. } = &mut environment.search;
        if known.len() < MOST_PLACES {
            known.extend(places.into_iter().zip(shown));
        }
        let handles = |function: &Function| handlers.contains_key(&function.place);
        if callers {
            return sites.callers(&profile, handles);
        }
        sites.see(moment, &profile, handles);
        environment.search.find(environment.leak.place());
    });
}

/// What has been served by now.
pub fn moment(environment: &Environment) -> Moment {
    let record = reader::read(&**environment.ledger.writer().map()).ok();
    let Some(record) = record else { return Moment::default() };
    let mut routes: HashMap<String, f64> = HashMap::new();
    for row in &record.routes {
        *routes.entry(format!("{} {}", row.method, row.route)).or_default() += row.count as f64;
    }
    Moment {
        at: epoch_ms(),
        requests: record.requests.total as f64,
        in_flight: record.requests.in_flight as f64,
        routes: routes.into_iter().collect(),
    }
}

/// The site's place as it is shown.
fn shown_of<'a>(site: &'a Site, shown: &'a HashMap<String, String>) -> &'a str {
    shown.get(&site.function.place).unwrap_or(&site.function.place)
}

fn told(site: Site, sites: &Sites, handlers: &HashMap<String, Handler>, shown: &HashMap<String, String>) -> Place {
    let routes_of = |chosen: &dyn Fn(&str, &Handler) -> bool| -> BTreeSet<String> {
        let chosen = handlers.iter().filter(|(place, handler)| chosen(place, handler));
        chosen.flat_map(|(_, handler)| handler.routes.iter().cloned()).collect()
    };
    let seen = routes_of(&|place, _| site.handlers.iter().any(|handler| handler.place == place));
    // Handlers that allocate nothing that is sampled are known by their place alone.
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
