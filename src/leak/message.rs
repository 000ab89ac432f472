//! The message of a leak: how much a request retains, where and in what, since when, how certain that is, and what to
//! do.

use super::detector::Verdict;
use super::owners::{MOST_NAMED, Owners, RouteShare};
use super::quantities::TrendEvent;
use super::sites::is_of_module;
use super::suspect::LeakSuspect;
use crate::recorder::Quantity;
use crate::recorder::record::Driver;
use crate::recorder::shorten::shortened;

const MIB: f64 = 1024.0 * 1024.0;

/// The allocation site of a leak of the heap.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The function's name.
    pub function: String,
    /// File and line.
    pub origin: String,
    /// The requests that allocate it.
    pub owners: Owners,
    /// Share of the heap's sampled growth, and the relative error of the call site's own sampled growth (half of its
    /// interval of 95 %).
    pub share: f64,
    pub looseness: f64,
}

impl Place {
    /// The route that is named first.
    pub fn route(&self) -> Option<&str> {
        self.owners.first()
    }

    /// Bytes that a request of the first route retains, with the interval of 95 %. It is the trend's interval, which is
    /// based on counted bytes, scaled by the share of the route, or of the allocation site if the owner is unknown.
    /// Sampling is random, but if nothing else grows the share is 1 in any case. So the interval is widened only by the
    /// part that others may have.
    pub fn bytes(&self, verdict: &Verdict) -> Option<[f64; 3]> {
        let trend = bytes_of(verdict)?;
        let requests_per = match &self.owners {
            Owners::Routes(routes) => return routes.first().map(|route| route.bytes(trend)),
            Owners::Likely { requests_per, .. } => *requests_per,
            Owners::Alike(_) | Owners::Nobody | Owners::Unknown => 1.0,
        };
        let [mean, low, high] = trend.map(|bytes| bytes * self.share * requests_per);
        let loose = mean * (1.0 - self.share) * self.looseness;
        Some([mean, mean - (mean - low).hypot(loose), mean + (high - mean).hypot(loose)])
    }
}

/// What is known of the heap's leak in addition to its size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub place: Option<&'a Place>,
    /// With the number of objects that a thousand requests leave behind.
    pub suspect: Option<(&'a LeakSuspect, f64)>,
    /// Where the snapshots that show it are stored.
    pub files: Option<&'a str>,
    /// Why the allocation site is unknown, if it was searched.
    pub no_site: Option<&'a str>,
    /// Why the class and the path are unknown.
    pub no_path: Option<&'a str>,
    /// Whether snapshots are taken, or will be.
    pub snapshots: bool,
    pub hours_to_limit: Option<f64>,
}

/// A finding has 2,048 bytes in the record. This bounds a reason and the file names. The rest is bounded by itself, but
/// for the routes, which come last.
const REASON_BYTES: usize = 320;

/// The finding's advice.
pub fn advice(quantity: Quantity, event: &TrendEvent, known: &Known) -> String {
    let (verdict, stands) = match event {
        TrendEvent::Leaks(verdict) => (verdict, true),
        TrendEvent::Stopped(verdict, _) => (verdict, false),
    };
    let subject = known.suspect.and_then(|(suspect, _)| suspect.subject());
    let mut text = match (subject, known.place) {
        (Some(subject), _) => held(&subject, known, verdict, stands),
        (None, Some(place)) => located(place, verdict, stands),
        (None, None) => grows(quantity, verdict, stands),
    };
    if let Some((suspect, per_thousand)) = known.suspect {
        text += &format!(": {}", suspect.describe(per_thousand));
        if let Some(adder) = suspect.explanation.added_by.as_deref().filter(|_| stands) {
            text += &format!(". Entries are added by {adder}");
        }
    }
    let since = clock(verdict.grown.map_or(0, |(began, _)| began.at));
    let limit = known.hours_to_limit.filter(|_| stands).map_or(String::new(), limit);
    text +=
        &format!(". Since {since} UTC: {:.1} MiB in total{limit}{}", verdict.kept_bytes() / MIB, certainty(verdict));
    match event {
        TrendEvent::Stopped(_, at) => format!("growth stopped by {} UTC: {text}", clock(*at)),
        TrendEvent::Leaks(_) => format!("{text}. {}{}", what_to_do(quantity, known), what_is_short(known)),
    }
}

/// The holder first: it is what has to be fixed. `AuditTrail.entries (a Map in services/audit.js) grows with requests: POST /orders retains …`.
fn held(subject: &str, known: &Known, verdict: &Verdict, stands: bool) -> String {
    let grows = if stands { "grows" } else { "grew" };
    let each = bytes_of(verdict)
        .map_or(String::new(), |bytes| format!(": {} per {}", bytes_in_words(bytes), verdict.driver.name()));
    let Some(place) = known.place else { return format!("{subject} {grows}{each}") };
    let site = format!(", allocated at {} ({})", place.origin, place.function);
    match &place.owners {
        Owners::Routes(routes) => format!("{subject} {grows} with requests: {}{site}", owned(routes, verdict, stands)),
        Owners::Alike(_) => format!("{subject} {grows} with requests of all routes alike{each}{site}"),
        Owners::Nobody => format!("{subject} {grows} {}{each}{site}", not_with_requests(verdict)),
        Owners::Unknown => format!("{subject} {grows} with requests{each}{site}"),
        Owners::Likely { .. } => format!("{subject} {grows} with requests: {}", located(place, verdict, stands)),
    }
}

/// `, limit reached in about 9 h`.
pub(super) fn limit(hours: f64) -> String {
    let text = match hours {
        hours if hours < 1.0 => format!("{:.0} min", (hours * 60.0).max(1.0)),
        hours if hours < 72.0 => format!("{hours:.0} h"),
        hours => format!("{:.0} days", hours / 24.0),
    };
    format!(", limit reached in about {text}")
}

fn located(place: &Place, verdict: &Verdict, stands: bool) -> String {
    let bytes = place.bytes(verdict).map_or(String::new(), |bytes| format!(" {}", bytes_in_words(bytes)));
    let Place { function, origin, owners, .. } = place;
    let retains = if stands { "retains" } else { "retained" };
    let what = match owners {
        Owners::Routes(routes) => owned(routes, verdict, stands),
        Owners::Alike(_) => format!("all routes alike: a request {retains}{bytes}"),
        Owners::Nobody => {
            let (grows, mean) = (if stands { "grows" } else { "grew" }, bytes);
            format!("the heap {grows} {}:{mean} per {}", not_with_requests(verdict), verdict.driver.name())
        }
        Owners::Likely { routes, .. } => {
            let route = match &routes[..] {
                [] => "the app".to_owned(),
                [route] => route.clone(),
                [route, other] => format!("{route} or {other}"),
                routes => format!("one of {} routes", routes.len()),
            };
            format!("{route} {retains}{bytes} per request")
        }
        Owners::Unknown => format!("the app {retains}{bytes} per {}", verdict.driver.name()),
    };
    format!("{what}, allocated at {origin} ({function})")
}

/// `POST /orders retains 2,409 B (2,300 to 2,500) per request, GET /reports/:id 2,380 B (…)`.
fn owned(routes: &[RouteShare], verdict: &Verdict, stands: bool) -> String {
    let trend = bytes_of(verdict);
    let bytes =
        |route: &RouteShare| trend.map(|trend| format!(" {}", bytes_in_words(route.bytes(trend)))).unwrap_or_default();
    let mut text = String::new();
    for (at, route) in routes.iter().take(MOST_NAMED).enumerate() {
        text += &match at {
            0 => format!("{} {}{} per request", route.route, if stands { "retains" } else { "retained" }, bytes(route)),
            _ => format!(", {}{}", route.route, bytes(route)),
        };
    }
    match routes.len().saturating_sub(MOST_NAMED) {
        0 => text,
        1 => text + ", and another route less",
        more => text + &format!(", and {more} other routes less"),
    }
}

fn bytes_in_words([mean, low, high]: [f64; 3]) -> String {
    format!("{mean:.0} B ({low:.0} to {high:.0})")
}

fn grows(quantity: Quantity, verdict: &Verdict, stands: bool) -> String {
    let what = match quantity {
        Quantity::Heap => "the heap",
        Quantity::External => "memory of Buffers and ArrayBuffers",
        Quantity::Native => "memory outside V8",
    };
    let figures = bytes_of(verdict)
        .map_or(String::new(), |bytes| format!(" by {} per {}", bytes_in_words(bytes), verdict.driver.name()));
    let with = if verdict.driver == Driver::Connections { " with connections, not with requests" } else { "" };
    format!("{what} {}{with}{figures}", if stands { "grows" } else { "grew" })
}

fn not_with_requests(verdict: &Verdict) -> &'static str {
    match verdict.driver {
        Driver::Connections => "with connections, not with requests",
        Driver::Requests | Driver::Time => "with time, not with requests",
    }
}

/// Bytes for each request by the trend, with the interval of 95 %.
pub fn bytes_of(verdict: &Verdict) -> Option<[f64; 3]> {
    verdict.figures.map(|figures| [figures.per_thousand, figures.low, figures.high].map(|bytes| bytes / 1e3))
}

/// A certainty of 100 % is never shown.
pub(super) fn certainty(verdict: &Verdict) -> String {
    let of = |p: f64| format!(", certainty {} %", ((1.0 - p) * 1e4).floor().clamp(0.0, 9999.0) / 100.0);
    verdict.figures.map_or(String::new(), |figures| of(figures.p))
}

fn what_to_do(quantity: Quantity, known: &Known) -> String {
    match quantity {
        Quantity::Heap => match (known.suspect, known.snapshots) {
            (Some((suspect, _)), _) => {
                let own = known.place.filter(|place| !is_of_module(&place.origin));
                suspect.what_to_do(own.map(|Place { function, origin, .. }| format!("{function} ({origin})")).as_deref())
            }
            (None, true) if known.no_path.is_none() => "Two heap snapshots are taken by child processes to find what retains it (off with leaks: { snapshots: false })".to_owned(),
            (None, _) => {
                "Find what retains it: two plimsoll.snapshot() and npx plimsoll heap diff"
                    .to_owned()
            }
        },
        Quantity::External => "Find what retains them: two plimsoll.snapshot() and npx plimsoll heap diff".to_owned(),
        Quantity::Native => "Native code leaks, or malloc is fragmented: plimsoll.memory() shows which. Against fragments: MALLOC_ARENA_MAX=2 or jemalloc, sharp.cache(false)".to_owned(),
    }
}

fn what_is_short(known: &Known) -> String {
    let cut = |text| shortened(text, REASON_BYTES);
    let mut text = String::new();
    if let Some(why) = known.no_site.filter(|_| known.place.is_none()) {
        text += &format!(". The allocation site is not known: {}", cut(why));
    }
    if let Some(why) = known.no_path.filter(|_| known.suspect.is_none()) {
        text += &format!(". What retains it is not known: {}", cut(why));
    }
    if let Some(files) = known.files {
        text += &format!(". Snapshots: {}", cut(files));
    }
    if let Some(Owners::Likely { why: Some(why), .. }) = known.place.map(|place| &place.owners) {
        text += &format!(". Whose requests they are is not counted: {}", cut(why));
    }
    // Last, because there may be many.
    if let Some(owners) = known.place.map(|place| &place.owners) {
        let named = owners.named();
        let others: Vec<&str> = owners.names().skip(named).collect();
        if !others.is_empty() {
            text += &format!(". {}: {}", if named == 0 { "The routes" } else { "The other routes" }, others.join(", "));
        }
    }
    text
}

/// Hours and minutes of a day (UTC).
pub(super) fn clock(epoch_ms: u64) -> String {
    let minutes = epoch_ms / 60_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}
