//! The monitor on a simulated server: minutes of it run in milliseconds.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::leak::monitor::{Monitor, Options};
use crate::leak::sites::schedule::Step;
use crate::leak::sites::{Function, Node, Profile};
use crate::leak::suspect::comparison::Taking;
use crate::leak::trend_sampler::{SamplerEvent, TrendSampler};
use crate::ledger::{End, Ledger, Meter, PathMode};
use crate::recorder::map::Map;
use crate::recorder::record::{Driver, Finding, Record};
use crate::recorder::writer::{Identity, Writer};
use crate::recorder::{GcKind, TrendState, reader};

const KIB: u64 = 1024;
const BASE: u64 = 50_000 * KIB;
/// Requests between two major collections.
const REQUESTS: u64 = 400;
/// Milliseconds between two major collections.
const ROUND_MS: u64 = 2_000;

struct Server {
    ledger: Ledger,
    monitor: Monitor,
    sampler: TrendSampler,
    trends: Receiver<SamplerEvent>,
    now_ms: u64,
    rounds: u64,
    /// What requests have left behind, by the function that allocated it, bytes.
    retained: BTreeMap<&'static str, u64>,
    announced: Vec<Value>,
    /// Lines of the log.
    said: Vec<String>,
    steps: Vec<(u64, Step)>,
    forks: Vec<u64>,
}

/// Bytes that a request of `GET /leaky` retains, and where it allocates them.
#[derive(Clone, Copy)]
struct Leak {
    bytes: u64,
    function: &'static str,
}

const USERS: Leak = Leak { bytes: 4 * KIB, function: "getUser" };
const HEALTHY: Leak = Leak { bytes: 0, function: "getUser" };

impl Server {
    fn new(options: Options) -> Self {
        let map = Arc::new(Map::anonymous(false).unwrap());
        let writer = Writer::new(Arc::clone(&map), &Identity::default());
        let methods = ["GET".to_owned()];
        let (events, trends) = channel();
        Self {
            ledger: Ledger::new(writer, Meter::supplied(), &methods, PathMode::Masked),
            monitor: Monitor::new(options),
            sampler: TrendSampler::new(map, true, events),
            trends,
            now_ms: 0,
            rounds: 0,
            retained: BTreeMap::new(),
            announced: Vec::new(),
            said: Vec::new(),
            steps: Vec::new(),
            forks: Vec::new(),
        }
    }

    /// Requests of two routes, a major collection, and what follows from it.
    fn round(&mut self, leak: Leak) {
        for request in 0..REQUESTS {
            let handle = self.ledger.enter(0, "/").unwrap();
            let label = self.ledger.label(if request % 2 == 0 { "/leaky" } else { "/other" });
            self.ledger.end(handle, label, End { status: 200, ..End::default() });
        }
        *self.retained.entry(leak.function).or_default() += leak.bytes * REQUESTS / 2;
        let retained: u64 = self.retained.values().sum();
        self.rounds += 1;
        let noise = self.rounds * 7919 % 13 * KIB;
        self.ledger.writer().collection(GcKind::MarkSweepCompact, 0, 0, BASE + retained + noise, 0);
        self.sampler.tick();
        for _ in 0..10 {
            self.now_ms += ROUND_MS / 10;
            self.tick();
        }
    }

    /// Connections without requests, each of which retains some bytes, and a major collection.
    fn connections(&mut self, number: u64, bytes: u64) {
        (0..number).for_each(|_| self.ledger.writer().connection());
        *self.retained.entry("onConnection").or_default() += number * bytes;
        self.rounds += 1;
        let live = BASE + self.retained.values().sum::<u64>() + self.rounds * 7919 % 13 * KIB;
        self.ledger.writer().collection(GcKind::MarkSweepCompact, 0, 0, live, 0);
        self.sampler.tick();
        for _ in 0..10 {
            self.now_ms += ROUND_MS / 10;
            self.tick();
        }
    }

    fn tick(&mut self) {
        let Self { ledger, monitor, trends, announced, said, now_ms, .. } = self;
        announced.extend(trends.try_iter().filter_map(|event| monitor.on_trend(ledger, &event)));
        announced.extend(monitor.locate(ledger));
        let line = monitor.say(ledger.writer().map(), *now_ms);
        said.extend(line.map(|line| line["text"].as_str().unwrap().to_owned()));
        let step = self.monitor.profiling_step(self.ledger.writer().map(), self.now_ms);
        match step {
            Step::None => {}
            Step::Start => self.monitor.search.handler("show.js:1".into(), "GET /leaky".into(), None),
            Step::Callers => self.monitor.search.callers(&self.profile()),
            Step::Profile => {
                let profile = self.profile();
                self.monitor.on_profile(&mut self.ledger, &profile, &[]);
            }
            Step::Stop => {}
        }
        if step != Step::None {
            self.steps.push((self.now_ms, step));
        }
    }

    /// The live heap, as the sampling profiler shows it: the handler calls the functions.
    fn profile(&self) -> Profile {
        let function = |name: &str| Function { name: name.to_owned(), place: format!("{name}.js:1") };
        let node = |parent, function, bytes| Node { parent, function, bytes };
        let mut profile =
            Profile { functions: vec![function("show")], nodes: vec![node(0, None, 0.0), node(0, Some(0), 0.0)] };
        for (name, bytes) in &self.retained {
            profile.functions.push(function(name));
            profile.nodes.push(node(1, Some(profile.functions.len() as u32 - 1), *bytes as f64));
        }
        profile
    }

    /// Takes a snapshot if one is due; the comparison of two finds `class`.
    fn snapshot(&mut self, class: &'static str, bytes: u64) {
        let Self { ledger, monitor, now_ms, .. } = self;
        if !monitor.is_snapshot_due(ledger, *now_ms) {
            return;
        }
        monitor.on_fork(ledger.writer().map(), *now_ms);
        let taking = Taking { file: File::open("/dev/null").unwrap(), path: String::new(), is_retained: false };
        let diff = json!({ "classes": [{
            "name": class, "added": 2000, "removed": 0, "removedBytes": 0, "retainedBytes": bytes,
            "path": ["cache: Map", class], "module": "src/users.js", "location": {},
        }] });
        monitor.on_snapshot(ledger, *now_ms, Ok(taking), move |_, _, _| Ok(diff.to_string().into_bytes()));
        self.forks.push(self.now_ms);
    }

    fn record(&self) -> Record {
        reader::read(&**self.ledger.writer().map()).unwrap()
    }

    fn leaks(&self) -> Vec<Finding> {
        self.record().findings.into_iter().filter(|finding| finding.kind == "leak").collect()
    }

    fn state(&self) -> TrendState {
        self.record().trend.heap.unwrap().state
    }

    /// Rounds until `done`; fails after `most`.
    fn until(&mut self, leak: Leak, most: u64, done: impl Fn(&Self) -> bool) {
        for _ in 0..most {
            self.round(leak);
            if done(self) {
                return;
            }
        }
        panic!("not within {most} rounds: {:?}", self.leaks());
    }
}

const BOTH: Options = Options { trend: true, snapshots: true };

#[test]
fn a_healthy_server_is_never_profiled_nor_forked() {
    let mut server = Server::new(BOTH);
    for _ in 0..200 {
        server.round(HEALTHY);
        server.snapshot("Session", 0);
    }
    assert_eq!(server.state(), TrendState::Steady);
    assert_eq!((server.steps.len(), server.forks.len(), server.announced.len()), (0, 0, 0));
    let [line] = &server.said[..] else { panic!("{:?}", server.said) };
    assert!(line.starts_with("learning whether memory leaks (") && line.contains(" of 21 collections)"), "{line}");
}

#[test]
fn a_process_that_ends_early_or_has_no_requests_says_nothing() {
    let mut server = Server::new(BOTH);
    for _ in 0..14 {
        server.round(HEALTHY);
    }
    assert!(server.now_ms < 30_000 && server.said.is_empty(), "{:?}", server.said);
    let mut idle = Server::new(BOTH);
    for _ in 0..200 {
        idle.connections(0, 0);
    }
    assert!(idle.said.is_empty(), "{:?}", idle.said);
}

#[test]
fn the_log_says_when_to_expect_a_verdict_then_that_it_may_leak_and_no_more() {
    for bytes in [64, 256, 1024, 4 * KIB] {
        let mut server = Server::new(BOTH);
        server.until(Leak { bytes, ..USERS }, 200, |server| !server.announced.is_empty());
        for _ in 0..40 {
            server.round(Leak { bytes, ..USERS });
        }
        assert!(server.said[0].starts_with("learning whether memory leaks"), "{:?}", server.said);
        assert!(server.said.len() <= 2, "{:?}", server.said);
        assert!(server.said.iter().skip(1).all(|line| line.starts_with("the heap may leak: ")), "{:?}", server.said);
    }
}

#[test]
fn what_connections_leave_behind_grows_with_connections() {
    let mut server = Server::new(BOTH);
    for _ in 0..60 {
        server.connections(100, 20 * KIB);
    }
    let trend = server.record().trend.heap.unwrap();
    assert_eq!((trend.state, trend.per), (TrendState::Leaking, Driver::Connections));
    let bytes = trend.bytes_per_request.unwrap() / KIB as f64;
    assert!((bytes - 20.0).abs() < 0.5, "{bytes}");
    let [leak] = &server.leaks()[..] else { panic!("{:?}", server.leaks()) };
    assert!(leak.advice.contains(" per connection"), "{}", leak.advice);
    let mut healthy = Server::new(BOTH);
    for _ in 0..200 {
        healthy.connections(100, 0);
    }
    assert!(healthy.announced.is_empty() && healthy.leaks().is_empty());
}

#[test]
fn a_leak_is_announced_once_with_its_site_and_its_route() {
    let mut server = Server::new(BOTH);
    server.until(USERS, 80, |server| !server.announced.is_empty());
    for _ in 0..40 {
        server.round(USERS);
    }
    let [leak] = &server.leaks()[..] else { panic!("{:?}", server.leaks()) };
    assert_eq!((leak.route.as_deref(), leak.origin.as_deref()), (Some("GET /leaky"), Some("getUser.js:1")));
    assert!(leak.advice.contains("getUser"), "{}", leak.advice);
    // One announcement for the leak, and at most one more for an allocation site that is found later.
    assert!(server.announced.len() <= 2, "{:?}", server.announced);
    assert!(server.announced.iter().all(|message| message["channel"] == "finding" && message["kind"] == "leak"));
}

#[test]
fn a_profiling_session_samples_callers_first_and_ends() {
    let mut server = Server::new(Options { trend: true, snapshots: false });
    server.until(USERS, 200, |server| server.steps.last().is_some_and(|(_, step)| *step == Step::Stop));
    let steps: Vec<Step> = server.steps.iter().map(|(_, step)| *step).collect();
    assert_eq!(steps[..2], [Step::Start, Step::Callers]);
    let profiles: Vec<u64> =
        server.steps.iter().filter(|(_, step)| *step == Step::Profile).map(|(at, _)| *at).collect();
    assert_eq!(profiles.len(), steps.len() - 3, "{steps:?}");
    assert!(profiles.windows(2).all(|pair| pair[1] - pair[0] >= 1000), "{profiles:?}");
    // The next session begins after a pause of ten minutes.
    let stopped = server.now_ms;
    server.until(USERS, 600, |server| server.steps.last().is_some_and(|(_, step)| *step != Step::Stop));
    assert!(server.now_ms >= stopped + 10 * 60_000, "stopped at {stopped}, the next began by {}", server.now_ms);
}

#[test]
fn two_snapshots_show_what_leaks_and_the_listeners_receive_it() {
    let mut server = Server::new(BOTH);
    server.until(USERS, 200, |server| server.steps.last().is_some_and(|(_, step)| *step == Step::Stop));
    assert_eq!(server.forks.len(), 0, "not while a session runs");
    let announced = server.announced.len();
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.leaks()[0].class.is_none() {
        server.round(USERS);
        server.snapshot("Session", 100 << 20);
        assert!(Instant::now() < deadline, "no suspect: {:?}", server.leaks());
    }
    let leak = &server.leaks()[0];
    assert_eq!(leak.class.as_deref(), Some("Session"));
    assert_eq!(leak.path.as_deref(), Some(&["cache: Map".to_owned(), "Session".to_owned()][..]));
    assert_eq!(server.announced.len(), announced + 1);
    for _ in 0..50 {
        server.round(USERS);
        server.snapshot("Session", 100 << 20);
    }
    assert_eq!(server.forks.len(), 2, "there are no more than two");
}

#[test]
fn what_has_stopped_is_announced_and_the_next_leak_inherits_nothing() {
    let mut server = Server::new(BOTH);
    server.until(USERS, 80, |server| server.leaks().iter().any(|leak| leak.origin.is_some()));
    server.until(HEALTHY, 120, |server| server.state() == TrendState::Steady);
    let message = server.announced.last().unwrap();
    assert!(
        message["withdrawnAt"].is_u64() && message["advice"].as_str().unwrap().starts_with("growth stopped"),
        "{message}"
    );

    let other = Leak { bytes: 4 * KIB, function: "other" };
    // Its profiling session waits for the pause of ten minutes after the last one.
    server.until(other, 600, |server| {
        server.leaks().iter().any(|leak| leak.origin.as_deref() == Some("other.js:1") && leak.withdrawn_at.is_none())
    });
    let standing: Vec<Finding> = server.leaks().into_iter().filter(|leak| leak.withdrawn_at.is_none()).collect();
    assert_eq!(standing.len(), 1, "{standing:?}");
}

#[test]
fn without_the_trend_no_collection_is_asked_for() {
    let now = crate::leak::gc_schedule::Now {
        ms: u64::MAX / 2,
        majors: 1,
        requests: 1_000_000,
        used_bytes: 500 << 20,
        live_bytes: 100 << 20,
        limit_bytes: 2 << 30,
        suspicious: true,
        small: false,
    };
    assert!(!Monitor::new(Options::default()).is_collection_due(now));
}
