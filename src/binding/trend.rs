//! The trend: looked at on the sampler's thread, told on the JavaScript thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use super::environment::Environment;
use crate::ledger::Ledger;
use crate::recorder::map::Map;
use crate::recorder::record::{Finding, Trend};
use crate::recorder::writer::{Evidence, SamplerWriter, epoch_ms};
use crate::recorder::{Quantity, Severity, TrendState, reader};
use crate::trend::cadence::Now;
use crate::trend::quantities::{News, Place, Quantities, advice, located_advice};

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

/// The event loop has come round: V8 is asked what lives where nothing else makes it look. Not within a collection.
pub fn ticked(environment: &mut Environment) {
    let Environment { ledger, cadence: Some(cadence), .. } = environment else { return };
    let map = ledger.writer().map();
    let suspicious = Quantity::ALL.into_iter().any(|quantity| is_suspicious(&**map, quantity));
    let now = Now {
        ms: epoch_ms(),
        majors: reader::points(&**map).unwrap_or(0),
        requests: reader::requests(&**map),
        used_bytes: ledger.in_flight_bytes().1,
        suspicious,
    };
    if cadence.due(now) {
        ledger.meter().ask_for_collection();
    }
}

/// Whether the trend of this quantity is suspicious, or worse.
pub fn is_suspicious(map: &Map, quantity: Quantity) -> bool {
    let state = reader::trend(map, quantity).map(|trend| trend.state);
    matches!(state, Some(TrendState::Suspicious | TrendState::Leaking))
}

/// What is told of the heap's leak, and by which name.
#[derive(Default)]
pub struct Leak {
    /// While it stands.
    news: Option<News>,
    place: Option<Place>,
}

impl Leak {
    fn evidence<'a>(&'a self, advice: &'a str) -> Evidence<'a> {
        let place = self.place.as_ref();
        let route = place.and_then(|place| place.routes.first());
        evidence(route.map(String::as_str), place.map(|place| place.origin.as_str()), advice)
    }
}

fn evidence<'a>(route: Option<&'a str>, origin: Option<&'a str>, advice: &'a str) -> Evidence<'a> {
    Evidence { kind: "leak", route, origin, severity: Severity::Critical, per_thousand: None, advice }
}

/// Puts it into the record's findings. What listeners must hear of: a leak that is new, and one that has stopped.
pub fn tell(environment: &mut Environment, quantity: Quantity, news: &News) -> Option<Value> {
    let Environment { ledger, leak, search, .. } = environment;
    let mut text = advice(quantity, news);
    match quantity {
        Quantity::Heap => {
            if leak.news.is_none() {
                leak.place = search.place();
            }
            leak.news = Some(news.clone()).filter(|news| matches!(news, News::Leaks(_)));
            match &leak.place {
                Some(place) => text = located_advice(place, news),
                None => text.extend(search.failure.iter().map(|why| format!(". Its site is not known: {why}"))),
            }
            let due = see(ledger, &leak.evidence(&text), news);
            due.then(|| message(ledger, &leak.evidence(&text)))?
        }
        Quantity::External | Quantity::Native => {
            let origin = if quantity == Quantity::External { "(external memory)" } else { "(native memory)" };
            let evidence = evidence(None, Some(origin), &text);
            see(ledger, &evidence, news).then(|| message(ledger, &evidence))?
        }
    }
}

fn see(ledger: &mut Ledger, evidence: &Evidence, news: &News) -> bool {
    match news {
        News::Leaks(_) => ledger.find(evidence, 1),
        News::Stopped(..) => ledger.withdraw(evidence),
    }
}

/// Gives the leak that stands its place, once that is known: listeners must hear of that too.
pub fn locate(environment: &mut Environment) -> Option<Value> {
    let Environment { ledger, leak, search, .. } = environment;
    let news = leak.news.clone()?;
    let place = search.place()?;
    let known = leak
        .place
        .as_ref()
        .is_some_and(|known| known.origin == place.origin && known.routes.first() == place.routes.first());
    if known {
        return None;
    }
    let text = located_advice(&place, &news);
    let located = Leak { news: Some(news), place: Some(place) };
    ledger.locate(&leak.evidence(""), &located.evidence(&text)).then_some(())?;
    *leak = located;
    message(ledger, &leak.evidence(&text))
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
