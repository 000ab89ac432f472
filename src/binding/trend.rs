//! The trend: looked at on the sampler's thread, told on the JavaScript thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use napi::{Env, Result};
use napi_derive::napi;
use serde_json::{Value, json};

use super::environment::{Environment, with};
use super::paths::Paths;
use super::pressure::Pressure;
use super::sites::Search;
use crate::ledger::Ledger;
use crate::probe::v8::marking;
use crate::recorder::map::Map;
use crate::recorder::record::{Finding, Trend};
use crate::recorder::writer::{Evidence, Kept, SamplerWriter};
use crate::recorder::{Quantity, Severity, TrendState, reader};
use crate::trend::advice::{Known, Place, advice, bytes_of};
use crate::trend::cadence::Now;
use crate::trend::quantities::{News, Quantities};

/// Looks at the record whenever there was a major collection, and writes what it sees there.
pub struct Looks {
    map: Arc<Map>,
    writer: SamplerWriter,
    quantities: Quantities,
    points: Option<u64>,
    main_thread: bool,
    news: Sender<(Quantity, News)>,
}

impl Looks {
    pub fn new(map: Arc<Map>, main_thread: bool, news: Sender<(Quantity, News)>) -> Self {
        let writer = SamplerWriter::new(Arc::clone(&map));
        Self { map, writer, quantities: Quantities::default(), points: None, main_thread, news }
    }

    /// To be called on the sampler's thread, at each of its turns.
    pub fn turn(&mut self) {
        let points = reader::points(&*self.map).ok();
        if points == self.points {
            return;
        }
        self.points = points;
        let Ok(windows) = reader::windows(&*self.map) else { return };
        // The last point of a coarse window lies a little back.
        let newest = windows.first().and_then(|finest| finest.last()).map(|live| live.at);
        for seen in self.quantities.see(&windows) {
            // What is resident beside V8 is the process's, not a worker's.
            if seen.quantity == Quantity::Native && !self.main_thread {
                continue;
            }
            let trend = Trend { to: newest, ..Trend::from(&seen.verdict) };
            self.writer.trend(seen.quantity, &trend);
            if let Some(news) = seen.news {
                // Nobody listens any more when the environment has ended.
                let _ = self.news.send((seen.quantity, news));
            }
        }
    }
}

/// To be called at each tick: asks V8 for a collection where it makes none by itself. Not within a collection.
pub fn ticked(environment: &mut Environment, env: &Env) {
    let Environment { ledger, cadence: Some(cadence), pressure, .. } = environment else { return };
    // No other meter knows of collections.
    if !ledger.meter().exact() {
        return;
    }
    let map = ledger.writer().map();
    let bytes = external_bytes(env, pressure);
    let now = Now {
        ms: ledger.uptime_ms(),
        majors: reader::points(&**map).unwrap_or(0),
        requests: reader::requests(&**map),
        used_bytes: ledger.in_flight_bytes().1,
        live_bytes: pressure.watch.borrow().live().unwrap_or(0),
        suspicious: Quantity::ALL.into_iter().any(|quantity| is_suspicious(map, quantity)),
        small: bytes.is_none(),
    };
    if !cadence.due(now) {
        return;
    }
    // Where V8 cannot be asked there is no collection, and the next question comes in time.
    let _asked = match bytes {
        Some(bytes) => announce(env, bytes).is_ok(),
        None => ledger.meter().reduce_memory(),
    };
}

/// The external memory to announce for a concurrent marking; none where there is no room for that.
fn external_bytes(env: &Env, pressure: &Pressure) -> Option<u64> {
    let external = env.adjust_external_memory(0).ok()?;
    marking::external_bytes(external.max(0) as u64, pressure.old_generation)
}

/// Announces external memory and takes it back. Returns V8's count of it afterwards, bytes.
fn announce(env: &Env, bytes: u64) -> Result<i64> {
    env.adjust_external_memory(bytes as i64)?;
    env.adjust_external_memory(-(bytes as i64))
}

/// Asks V8 for a concurrent marking at once. Returns V8's count of external memory afterwards, bytes; none where there is no room for the question.
#[napi(catch_unwind)]
pub fn start_marking(env: Env) -> Option<f64> {
    with(|environment| {
        let bytes = external_bytes(&env, &environment.pressure)?;
        announce(&env, bytes).ok().map(|external| external as f64)
    })
    .flatten()
}

/// Whether the trend of this quantity is suspicious, or worse.
pub fn is_suspicious(map: &Map, quantity: Quantity) -> bool {
    let state = reader::trend(map, quantity).map(|trend| trend.state);
    matches!(state, Some(TrendState::Uncertain | TrendState::Leaking))
}

/// What is told of the heap's leak, and by which name.
#[derive(Default)]
pub struct Leak {
    /// While it stands.
    news: Option<News>,
    place: Option<Place>,
    /// Whether it was told what it is and what holds it; and why not.
    held: bool,
    failure: Option<String>,
}

/// A finding before it is in the record.
struct Told<'a> {
    route: Option<&'a str>,
    origin: Option<&'a str>,
    per_thousand: Option<f64>,
    advice: String,
    kept: Kept<'a>,
}

impl Told<'_> {
    fn evidence(&self) -> Evidence<'_> {
        let Self { route, origin, per_thousand, ref advice, kept } = *self;
        Evidence { kind: "leak", route, origin, severity: Severity::Critical, per_thousand, advice, kept: Some(kept) }
    }
}

impl Leak {
    /// It was told, and has not been taken back.
    pub fn stands(&self) -> bool {
        self.news.is_some()
    }

    /// Where it was told to be, while it stands.
    pub fn place(&self) -> Option<&Place> {
        self.news.as_ref().and(self.place.as_ref())
    }
}

fn is_same(known: &Place, place: &Place) -> bool {
    known.origin == place.origin && known.routes.first() == place.routes.first()
}

/// All that is known of the heap's leak, which is allocated at `place`.
fn told<'a>(place: Option<&'a Place>, search: &'a Search, paths: &'a Paths, snapshots: bool, news: &News) -> Told<'a> {
    let (News::Leaks(verdict) | News::Stopped(verdict, _)) = news;
    let kept = paths.kept(place.map_or(&[], |place| &place.routes));
    let known = Known {
        place,
        kept,
        files: paths.files.as_deref(),
        no_site: search.failure.as_deref(),
        no_path: paths.failure.as_deref(),
        snapshots,
    };
    Told {
        route: place.and_then(|place| place.routes.first()).map(String::as_str),
        origin: place.map(|place| place.origin.as_str()),
        per_thousand: kept.map(|(_, per_thousand)| per_thousand),
        advice: advice(Quantity::Heap, news, &known),
        kept: Kept {
            bytes: place.map_or_else(|| bytes_of(verdict), |place| place.bytes(verdict)),
            p: verdict.figures.map(|figures| figures.p),
            class: kept.map(|(kept, _)| kept.class.as_str()),
            path: kept.map_or(&[], |(kept, _)| &kept.path),
        },
    }
}

/// Puts it into the record's findings. What listeners must hear of: a leak that is new, and one that has stopped.
pub fn tell(environment: &mut Environment, quantity: Quantity, news: &News) -> Option<Value> {
    let Environment { ledger, leak, search, paths, snapshots, .. } = environment;
    if quantity == Quantity::Heap {
        if leak.news.is_none() {
            // Another one than the last.
            paths.renew();
            search.renew();
            *leak = Leak { place: search.place(), ..Leak::default() };
        }
        // Its figures get better while a campaign goes on.
        let better = search.place().filter(|place| leak.place.as_ref().is_some_and(|known| is_same(known, place)));
        leak.place = better.or_else(|| leak.place.take());
        leak.news = Some(news.clone()).filter(|news| matches!(news, News::Leaks(_)));
        let heard = see(ledger, &told(leak.place.as_ref(), search, paths, *snapshots, news), news);
        if leak.news.is_none() {
            search.forget();
        }
        return heard;
    }
    let (News::Leaks(verdict) | News::Stopped(verdict, _)) = news;
    let told = Told {
        route: None,
        origin: Some(if quantity == Quantity::External { "(external memory)" } else { "(native memory)" }),
        per_thousand: None,
        advice: advice(quantity, news, &Known::default()),
        kept: Kept { bytes: bytes_of(verdict), p: verdict.figures.map(|figures| figures.p), ..Kept::default() },
    };
    see(ledger, &told, news)
}

fn see(ledger: &mut Ledger, told: &Told, news: &News) -> Option<Value> {
    let due = match news {
        News::Leaks(_) => ledger.find(&told.evidence(), 1),
        News::Stopped(..) => ledger.withdraw(&told.evidence()),
    };
    due.then(|| message(ledger, &told.evidence()))?
}

/// Tells more of the leak that stands, once more is known: its place, what it is and what holds it. Listeners must hear of that too.
pub fn locate(environment: &mut Environment) -> Option<Value> {
    let Environment { ledger, leak, search, paths, snapshots, .. } = environment;
    let news = leak.news.clone()?;
    let place = search.place().filter(|place| !leak.place.as_ref().is_some_and(|known| is_same(known, place)));
    let held = paths.kept(&[]).is_some();
    let mut due = held && !leak.held;
    if place.is_none() && !due && paths.failure == leak.failure {
        return None;
    }
    (leak.held, leak.failure) = (held, paths.failure.clone());
    if let Some(place) = place {
        let before = told(leak.place.as_ref(), search, paths, *snapshots, &news);
        let located = told(Some(&place), search, paths, *snapshots, &news);
        due |= ledger.locate(&before.evidence(), &located.evidence());
        leak.place = Some(place);
    }
    let told = told(leak.place.as_ref(), search, paths, *snapshots, &news);
    ledger.find(&told.evidence(), 0);
    due.then(|| message(ledger, &told.evidence()))?
}

fn message(ledger: &Ledger, evidence: &Evidence) -> Option<Value> {
    let record = reader::read(&**ledger.writer().map()).ok()?;
    let told = |finding: &&Finding| {
        finding.kind == evidence.kind
            && finding.origin.as_deref() == evidence.origin
            && finding.route.as_deref() == evidence.route
    };
    let mut message = json!(record.findings.iter().find(told)?);
    message["channel"] = "finding".into();
    Some(message)
}
