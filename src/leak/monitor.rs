//! The driver of leak detection on the JavaScript thread. It decides when V8 is asked for a collection, when a profiling session runs,
//! when the snapshots of a leak are taken, and what of all that is reported. Time comes from the caller.

use std::fs::File;
use std::sync::Arc;

use serde_json::{Value, json};

use super::backoff::Backoff;
use super::detector::Verdict;
use super::gc_schedule::{self, GcSchedule};
use super::message::{Known, Place, advice, bytes_of};
use super::owners::OwnedProfile;
use super::quantities::TrendEvent;
use super::resources::{Descriptors, Opener, Resource, ResourceEvent};
use super::sites::schedule::{Situation as SearchSituation, Step};
use super::sites::search::{Reported, Search};
use super::sites::{Moment, Profile};
use super::suspect::comparison::{Comparison, Taking};
use super::suspect::schedule::Situation as SnapshotSituation;
use super::trend_sampler::SamplerEvent;
use crate::ledger::Ledger;
use crate::probe::{glibc, process};
use crate::recorder::map::Map;
use crate::recorder::reader::outlook;
use crate::recorder::record::{Finding, Progress, RouteBytes};
use crate::recorder::writer::{Evidence, GrowthEvidence};
use crate::recorder::{EventKind, Quantity, Severity, TrendState, reader};

/// What listeners of findings receive: a finding of the record, with its channel.
pub type Announcement = Value;

/// What leak detection does in this environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether growth with requests is detected at all.
    pub trend: bool,
    /// Whether heap snapshots of a leak are taken.
    pub snapshots: bool,
}

/// The state of leak detection.
pub struct Monitor {
    pub search: Search,
    comparison: Comparison,
    leak: HeapLeak,
    gc: Option<GcSchedule>,
    snapshots: bool,
    open_files: OpenFiles,
    /// Why memory outside V8 grows, while it does.
    native: Option<NativeCause>,
    said: Said,
}

/// What is known of descriptors that stay open.
#[derive(Default)]
struct OpenFiles {
    /// While they grow.
    event: Option<ResourceEvent>,
    opener: Opener,
    pause: Backoff,
}

/// Why resident memory outside V8 grows. That malloc does not return what was freed is no leak of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NativeCause {
    Live,
    /// Bytes that malloc has free.
    Free(u64),
    Unknown,
}

/// glibc locks malloc while it adds up its free blocks. With more memory than this that may take too long.
const MOST_NATIVE_BYTES: f64 = 256.0 * 1024.0 * 1024.0;

impl NativeCause {
    fn of(verdict: &Verdict) -> Self {
        let is_small = verdict.grown.is_some_and(|(_, now)| now.bytes <= MOST_NATIVE_BYTES);
        match is_small.then(glibc::malloc).flatten() {
            Some(malloc) if malloc.arenas > 0 => Self::by(verdict.kept_bytes(), malloc.free),
            _ => Self::Unknown,
        }
    }

    fn by(grown_bytes: f64, free_bytes: u64) -> Self {
        if free_bytes as f64 >= grown_bytes / 2.0 { Self::Free(free_bytes) } else { Self::Live }
    }

    fn kind(self) -> &'static str {
        if self == Self::Live { "leak" } else { "native-growth" }
    }

    fn severity(self) -> Severity {
        if self == Self::Live { Severity::Critical } else { Severity::Warning }
    }

    fn words(self) -> String {
        match self {
            Self::Free(bytes) => format!("not a leak, malloc has {} MiB free (fragments): ", bytes >> 20),
            Self::Live | Self::Unknown => String::new(),
        }
    }
}

/// Lines of the log about the heap's trend, each once.
#[derive(Default)]
struct Said {
    /// When the verdict is expected.
    expected: bool,
    /// That it may leak.
    suspected: bool,
    /// When the trend was last read, and whether it was suspicious then.
    read_ms: u64,
    suspicious: bool,
}

/// The log says nothing before, nor with fewer requests: a script, a test.
const SAY_AFTER_MS: u64 = 30_000;
const SAY_REQUESTS: u64 = 200;
/// Interval of reading the trend for the log.
const SAY_MS: u64 = 15_000;

/// What was reported of the heap's leak.
#[derive(Default)]
struct HeapLeak {
    /// While it goes on.
    event: Option<TrendEvent>,
    place: Option<Place>,
    /// Whether the suspect was reported, and why there is none.
    has_suspect: bool,
    failure: Option<String>,
}

/// A finding before it is in the record.
struct Draft<'a> {
    kind: &'static str,
    severity: Severity,
    route: Option<&'a str>,
    origin: Option<&'a str>,
    per_thousand: Option<f64>,
    advice: String,
    growth: GrowthEvidence<'a>,
    routes: Vec<RouteBytes>,
    holder: Option<String>,
}

impl Draft<'_> {
    fn evidence(&self) -> Evidence<'_> {
        let Self { kind, severity, route, origin, per_thousand, ref advice, growth, ref routes, ref holder } = *self;
        let growth = GrowthEvidence { routes, holder: holder.as_deref(), ..growth };
        Evidence { kind, route, origin, severity, per_thousand, advice, momentary: false, kept: Some(growth) }
    }
}

impl Monitor {
    pub fn new(options: Options) -> Self {
        Self {
            search: Search::default(),
            comparison: Comparison::default(),
            leak: HeapLeak::default(),
            gc: options.trend.then(GcSchedule::default),
            snapshots: options.snapshots,
            open_files: OpenFiles::default(),
            native: None,
            said: Said::default(),
        }
    }

    /// Whether V8 must be asked for a collection now, where it makes none by itself.
    pub fn is_collection_due(&mut self, now: gc_schedule::Now) -> bool {
        self.gc.as_mut().is_some_and(|gc| gc.due(now))
    }

    /// A trend has changed. Returns what listeners must receive: a new leak, or one that has stopped.
    pub fn on_trend(&mut self, ledger: &mut Ledger, event: &SamplerEvent) -> Option<Announcement> {
        match event {
            SamplerEvent::Memory(Quantity::Heap, event) => self.on_heap(ledger, event),
            SamplerEvent::Memory(quantity, event) => self.on_other(ledger, *quantity, event),
            SamplerEvent::Count(event) => self.on_count(ledger, event),
        }
    }

    fn on_count(&mut self, ledger: &mut Ledger, event: &ResourceEvent) -> Option<Announcement> {
        if event.resource == Resource::Descriptors {
            let leaks = matches!(event.event, TrendEvent::Leaks(_));
            self.open_files.event = leaks.then(|| event.clone());
        }
        let unknown = Opener::default();
        let opener = if event.resource == Resource::Descriptors { &self.open_files.opener } else { &unknown };
        let draft = count_draft(ledger.writer().map(), event, opener);
        let announcement = report(ledger, &draft, &event.event);
        if self.open_files.event.is_none() && event.resource == Resource::Descriptors {
            self.open_files.opener = Opener::default();
        }
        announcement
    }

    /// Whether it must be traced now which requests open files and do not close them.
    pub fn is_trace_due(&self, map: &Map, now_ms: u64) -> bool {
        self.open_files.opener == Opener::default()
            && reader::is_suspicious(map, Resource::Descriptors as usize)
            && self.open_files.pause.is_over(now_ms)
    }

    /// A trace has ended. `opener`: of most of the files that stayed open, if there were enough. Returns what listeners
    /// must receive.
    pub fn on_traced(&mut self, ledger: &mut Ledger, now_ms: u64, opener: Option<Opener>) -> Option<Announcement> {
        self.open_files.pause.begin(now_ms);
        let before = std::mem::replace(&mut self.open_files.opener, opener?);
        let event = self.open_files.event.as_ref()?;
        let map = Arc::clone(ledger.writer().map());
        let located = count_draft(&map, event, &self.open_files.opener);
        let due = ledger.locate(&count_draft(&map, event, &before).evidence(), &located.evidence());
        due.then(|| announcement(ledger, &located.evidence()))?
    }

    fn on_heap(&mut self, ledger: &mut Ledger, event: &TrendEvent) -> Option<Announcement> {
        if self.leak.event.is_none() {
            // Another leak than the last.
            self.comparison.renew();
            self.search.renew();
            self.leak = HeapLeak { place: self.search.place(), ..HeapLeak::default() };
        }
        // The figures of an allocation site get more exact while a session continues.
        let better =
            self.search.place().filter(|place| self.leak.place.as_ref().is_some_and(|known| is_same(known, place)));
        self.leak.place = better.or_else(|| self.leak.place.take());
        self.leak.event = Some(event.clone()).filter(|event| matches!(event, TrendEvent::Leaks(_)));
        let announcement = report(ledger, &self.draft(ledger.writer().map(), self.leak.place.as_ref(), event), event);
        if self.leak.event.is_none() {
            self.search.forget();
        }
        announcement
    }

    fn on_other(&mut self, ledger: &mut Ledger, quantity: Quantity, event: &TrendEvent) -> Option<Announcement> {
        let (TrendEvent::Leaks(verdict) | TrendEvent::Stopped(verdict, _)) = event;
        let cause = match (quantity, event) {
            (Quantity::Native, TrendEvent::Leaks(_)) => *self.native.get_or_insert_with(|| NativeCause::of(verdict)),
            (Quantity::Native, TrendEvent::Stopped(..)) => self.native.take().unwrap_or(NativeCause::Unknown),
            _ => NativeCause::Live,
        };
        let hours_to_limit = outlook::trend(&**ledger.writer().map(), quantity).and_then(|trend| trend.hours_to_limit);
        let known = Known { hours_to_limit, ..Known::default() };
        let draft = Draft {
            kind: cause.kind(),
            severity: cause.severity(),
            route: None,
            origin: Some(if quantity == Quantity::External { "(external memory)" } else { "(native memory)" }),
            per_thousand: None,
            advice: cause.words() + &advice(quantity, event, &known),
            routes: Vec::new(),
            holder: None,
            growth: GrowthEvidence {
                bytes: bytes_of(verdict),
                p: verdict.figures.map(|figures| figures.p),
                hours_to_limit,
                ..GrowthEvidence::default()
            },
        };
        report(ledger, &draft, event)
    }

    /// Checks whether more is known of the present leak: its allocation site, or its suspect. Returns what listeners
    /// must receive.
    pub fn locate(&mut self, ledger: &mut Ledger) -> Option<Announcement> {
        let event = self.leak.event.clone()?;
        let place =
            self.search.place().filter(|place| !self.leak.place.as_ref().is_some_and(|known| is_same(known, place)));
        let has_suspect = self.comparison.suspect(&[]).is_some();
        let mut due = has_suspect && !self.leak.has_suspect;
        if place.is_none() && !due && self.comparison.failure == self.leak.failure {
            return None;
        }
        (self.leak.has_suspect, self.leak.failure) = (has_suspect, self.comparison.failure.clone());
        if let Some(place) = place {
            let before = self.draft(ledger.writer().map(), self.leak.place.as_ref(), &event);
            let located = self.draft(ledger.writer().map(), Some(&place), &event);
            // Of functions that grow alike now one is the likeliest and now another. That is no news.
            let is_news = self.leak.place.as_ref().is_none_or(|known| known.route() != place.route());
            due |= ledger.locate(&before.evidence(), &located.evidence()) && is_news;
            self.leak.place = Some(place);
        }
        let draft = self.draft(ledger.writer().map(), self.leak.place.as_ref(), &event);
        ledger.find(&draft.evidence(), 0);
        due.then(|| announcement(ledger, &draft.evidence()))?
    }

    /// A line for the log: when a verdict is expected, once, and that the heap may leak, once before a finding. What grew
    /// only for a moment is not worth a line, so two readings must agree.
    pub fn say(&mut self, map: &Map, now_ms: u64) -> Option<Announcement> {
        let Said { expected, suspected, read_ms, suspicious } = &mut self.said;
        if self.gc.is_none() || (*expected && *suspected) || now_ms < SAY_AFTER_MS.max(*read_ms + SAY_MS) {
            return None;
        }
        *read_ms = now_ms;
        let trend = outlook::trend(map, Quantity::Heap).filter(|trend| trend.progress.requests >= SAY_REQUESTS)?;
        let per = trend.per.name();
        let was_suspicious = std::mem::replace(suspicious, false);
        let Progress { requests, of_requests, collections, of_collections, eta_ms } = trend.progress;
        let is_complete = requests >= of_requests && collections >= of_collections;
        let text = match (trend.state, trend.bytes_per_request, trend.low.zip(trend.high)) {
            (TrendState::Leaking, ..) => return None,
            _ if !is_complete && *expected => return None,
            _ if !is_complete => {
                *expected = true;
                let seconds = eta_ms.unwrap_or(0).div_ceil(1000);
                let eta = match seconds {
                    0 => String::new(),
                    1..120 => format!(": verdict in about {seconds} s at this rate"),
                    _ => format!(": verdict in about {} min at this rate", seconds.div_ceil(60)),
                };
                format!(
                    "learning whether memory leaks ({requests} of {of_requests} {per}s, {collections} of {of_collections} collections){eta}"
                )
            }
            (TrendState::Uncertain, Some(mean), Some((low, high))) if low > 0.0 => {
                *suspicious = true;
                if !was_suspicious || *suspected || self.leak.event.is_some() {
                    return None;
                }
                (*expected, *suspected) = (true, true);
                format!("the heap may leak: it grows by {mean:.0} B ({low:.0} to {high:.0}) per {per}. Not certain yet")
            }
            _ => {
                *expected = true;
                return None;
            }
        };
        Some(json!({ "channel": "log", "text": text }))
    }

    /// Withdraws what has not occurred for long. Returns what listeners must receive.
    pub fn withdraw_past(&self, ledger: &mut Ledger, now_ms: u64) -> Vec<Announcement> {
        ledger.withdraw_past(now_ms).iter().map(message).collect()
    }

    /// All that is known of the heap's leak with the allocation site `place`.
    fn draft<'a>(&'a self, map: &Map, place: Option<&'a Place>, event: &TrendEvent) -> Draft<'a> {
        let (TrendEvent::Leaks(verdict) | TrendEvent::Stopped(verdict, _)) = event;
        let hours_to_limit = outlook::trend(map, Quantity::Heap).and_then(|trend| trend.hours_to_limit);
        let routes: Vec<&str> = place.map_or(Vec::new(), |place| place.owners.names().collect());
        let suspect = self.comparison.suspect(&routes);
        let known = Known {
            place,
            suspect,
            files: self.comparison.files.as_deref(),
            no_site: self.search.failure.as_deref(),
            no_path: self.comparison.failure.as_deref(),
            snapshots: self.snapshots,
            hours_to_limit,
        };
        Draft {
            kind: "leak",
            severity: Severity::Critical,
            route: place.and_then(|place| place.owners.first()),
            origin: place.map(|place| place.origin.as_str()),
            per_thousand: suspect.map(|(_, per_thousand)| per_thousand),
            advice: advice(Quantity::Heap, event, &known),
            routes: place.map_or(Vec::new(), |place| routes_of(place, verdict)),
            holder: suspect.and_then(|(suspect, _)| suspect.subject()),
            growth: GrowthEvidence {
                added_by: suspect.and_then(|(suspect, _)| suspect.explanation.added_by.as_deref()),
                package: suspect.and_then(|(suspect, _)| suspect.explanation.package.as_deref()),
                hours_to_limit,
                bytes: place.map_or_else(|| bytes_of(verdict), |place| place.bytes(verdict)),
                p: verdict.figures.map(|figures| figures.p),
                class: suspect.map(|(suspect, _)| suspect.class.as_str()),
                path: suspect.map_or(&[], |(suspect, _)| &suspect.path),
                ..GrowthEvidence::default()
            },
        }
    }

    /// What the sampling heap profiler must do now.
    pub fn profiling_step(&mut self, map: &Map, now_ms: u64) -> Step {
        let fast = self.gc.as_ref().is_some_and(GcSchedule::is_fast);
        self.search.step(SearchSituation {
            now_ms,
            suspicious: is_suspicious(map, Quantity::Heap) || fast,
            fast,
            majors: reader::points(map).unwrap_or(0),
            requests: reader::work(map),
        })
    }

    /// A profile of the live heap, taken now.
    /// `samples`: by number and bytes.
    pub fn on_profile(&mut self, ledger: &mut Ledger, profile: &Profile, samples: &[(u64, f64)]) {
        let owned = match OwnedProfile::of(ledger, samples) {
            Some(Err(why)) => {
                self.search.lose_owners(why);
                None
            }
            owned => owned.and_then(Result::ok),
        };
        let map = ledger.writer().map();
        let reported = Reported {
            place: self.leak.event.as_ref().and(self.leak.place.as_ref()),
            bytes_per_request: reader::trend(&**map, Quantity::Heap).and_then(|trend| trend.bytes_per_request),
        };
        self.search.profile(Moment::now(map), profile, owned, reported);
    }

    /// Whether a heap snapshot must be taken now.
    pub fn is_snapshot_due(&mut self, ledger: &Ledger, now_ms: u64) -> bool {
        let map = ledger.writer().map();
        let slope = reader::trend(&**map, Quantity::Heap).and_then(|trend| trend.bytes_per_request);
        if let Some(said) = self.comparison.receive(now_ms, slope.unwrap_or(0.0)) {
            ledger.writer().event(EventKind::Path, None, &said);
        }
        self.snapshot_situation(map, now_ms).is_some_and(|now| self.comparison.step(now))
    }

    /// The event loop's thread has just forked for a snapshot.
    pub fn on_fork(&mut self, map: &Map, now_ms: u64) {
        if let Some(now) = self.snapshot_situation(map, now_ms) {
            self.comparison.forked(now, Moment::now(map));
        }
    }

    /// A snapshot was taken, or has failed. For `compare` see [`Comparison::taken`].
    pub fn on_snapshot(
        &mut self,
        ledger: &Ledger,
        now_ms: u64,
        taking: Result<Taking, String>,
        compare: impl FnOnce(File, File, u64) -> Result<Vec<u8>, String> + Send + 'static,
    ) {
        let taken = taking.and_then(|taking| self.comparison.taken(taking, compare));
        if let Err(why) = taken {
            ledger.writer().event(EventKind::Path, None, &self.comparison.fail(now_ms, why));
        }
    }

    fn snapshot_situation(&self, map: &Map, now_ms: u64) -> Option<SnapshotSituation> {
        // The trend's state cannot be used here. It changes a little earlier, and a snapshot taken then would count for
        // the last leak.
        let leaking = self.leak.event.is_some();
        if !leaking && !self.comparison.is_on() {
            return None;
        }
        let trend = reader::trend(map, Quantity::Heap);
        Some(SnapshotSituation {
            now_ms,
            leaking,
            // A heap that grows fast has no time for one after the other.
            searching: self.search.is_on() && !self.gc.as_ref().is_some_and(GcSchedule::is_fast),
            majors: reader::points(map).unwrap_or(0),
            requests: reader::work(map),
            bytes_per_request: trend.and_then(|trend| trend.bytes_per_request).unwrap_or(0.0),
            live_bytes: reader::live_bytes(map),
        })
    }
}

/// The routes that own the growth, with the bytes of each.
fn routes_of(place: &Place, verdict: &Verdict) -> Vec<RouteBytes> {
    let Some(trend) = bytes_of(verdict) else { return Vec::new() };
    let shares = place.owners.shares().iter();
    shares
        .map(|share| {
            let [bytes_per_request, low, high] = share.bytes(trend);
            RouteBytes { route: share.route.clone(), bytes_per_request, low, high }
        })
        .collect()
}

/// Whether the trend of this quantity is uncertain, or a leak.
pub fn is_suspicious(map: &Map, quantity: Quantity) -> bool {
    let state = reader::trend(map, quantity).map(|trend| trend.state);
    matches!(state, Some(TrendState::Uncertain | TrendState::Leaking))
}

fn is_same(known: &Place, place: &Place) -> bool {
    known.origin == place.origin && known.owners.first() == place.owners.first()
}

fn report(ledger: &mut Ledger, draft: &Draft, event: &TrendEvent) -> Option<Announcement> {
    let due = match event {
        TrendEvent::Leaks(_) => ledger.find(&draft.evidence(), 1),
        TrendEvent::Stopped(..) => ledger.withdraw(&draft.evidence()),
    };
    due.then(|| announcement(ledger, &draft.evidence()))?
}

/// All that is known of a count that grows.
fn count_draft<'a>(map: &Map, event: &'a ResourceEvent, opener: &'a Opener) -> Draft<'a> {
    let (open, limit) = reader::descriptors(map);
    let kinds = if event.resource == Resource::Descriptors { process::descriptor_kinds() } else { Vec::new() };
    let descriptors = Descriptors { open, limit, kinds };
    let (TrendEvent::Leaks(verdict) | TrendEvent::Stopped(verdict, _)) = &event.event;
    Draft {
        kind: "leak",
        severity: Severity::Critical,
        route: opener.route.as_deref(),
        origin: Some(opener.origin.as_deref().unwrap_or(event.resource.origin())),
        per_thousand: event.per_thousand(),
        advice: event.advice(opener, &descriptors),
        routes: Vec::new(),
        holder: None,
        growth: GrowthEvidence {
            p: verdict.figures.map(|figures| figures.p),
            hours_to_limit: event.hours_to_limit(&descriptors),
            class: Some(event.resource.origin().trim_matches(['(', ')'])),
            ..GrowthEvidence::default()
        },
    }
}

fn announcement(ledger: &Ledger, evidence: &Evidence) -> Option<Announcement> {
    Some(message(&ledger.finding(evidence)?))
}

fn message(finding: &Finding) -> Announcement {
    let mut message = json!(finding);
    message["channel"] = "finding".into();
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_malloc_has_free_is_no_leak() {
        const MIB: u64 = 1 << 20;
        assert_eq!(NativeCause::by(20e6, 2 * MIB).kind(), "leak");
        let fragments = NativeCause::by(20e6, 15 * MIB);
        assert_eq!((fragments.kind(), fragments.severity()), ("native-growth", Severity::Warning));
        assert_eq!(fragments.words(), "not a leak, malloc has 15 MiB free (fragments): ");
        assert_eq!(NativeCause::of(&Verdict::default()).kind(), "native-growth", "nothing is known");
    }
}
