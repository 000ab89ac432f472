//! Counts of descriptors, timers and processes of simulated servers: healthy ones of many kinds, and leaks.

use proptest::prelude::*;

use super::series::Random;
use crate::leak::quantities::TrendEvent;
use crate::leak::resources::{Descriptors, Opener, Resource, ResourceEvent, Resources};
use crate::recorder::record::{Counts, Driver};

const POINT_MS: u64 = 10_000;
/// Half an hour.
const POINTS: u64 = 180;
const POINT_S: f64 = 10.0;

/// A server whose load walks up and down at random. A point is ten seconds.
#[derive(Clone, Copy, Debug)]
struct Server {
    resource: Resource,
    /// Requests a second at first, and what they become by the end.
    rates: [f64; 2],
    /// What is there from the start.
    base: f64,
    noise: f64,
    /// For each request in flight: an upstream connection, a timer.
    each_in_flight: f64,
    /// A pool that fills up in as many seconds.
    pool: f64,
    fills: f64,
    /// A step up: log rotation, a new upstream.
    step: f64,
    step_at: f64,
    /// Sockets of clients, connected and disconnected in bursts.
    clients: f64,
    websockets: f64,
    /// Left behind by a request, a connection, a second.
    left: [f64; 3],
}

impl Server {
    fn run(self, seed: u64) -> Vec<(u64, ResourceEvent)> {
        let mut random = Random(seed);
        let mut resources = Resources::default();
        let (mut requests, mut connections, mut burst, mut wave) = (0.0, 0.0, 0.0, 0.0);
        let mut events = Vec::new();
        for point in 0..POINTS {
            let part = point as f64 / POINTS as f64;
            wave = 0.9 * wave + 0.1 * random.normal();
            let rate = ((self.rates[0] + part * (self.rates[1] - self.rates[0])) * (1.0 + wave)).max(0.0);
            requests += rate * POINT_S;
            connections += self.websockets * POINT_S + if random.next() < 0.5 { rate } else { 0.0 };
            if random.next() < 0.05 {
                burst = self.clients * random.next();
            }
            let in_flight = rate * 0.2 * (0.5 + random.next());
            let pool = self.pool * (point as f64 * POINT_S / self.fills).min(1.0);
            let step = if part > self.step_at { self.step } else { 0.0 };
            let kept = self.left[0] * requests + self.left[1] * connections + self.left[2] * point as f64 * POINT_S;
            let count =
                self.base + self.each_in_flight * in_flight + pool + step + kept + self.noise * random.normal().abs();
            let mut counts = [None; 4];
            counts[self.resource as usize] = Some(count as u64);
            let at = 1_000_000 + point * POINT_MS;
            let now = Counts {
                at,
                requests: requests as u64,
                connections: connections as u64,
                in_flight: in_flight as u64,
                clients: burst as u64,
                counts,
            };
            events.extend(resources.see(now).into_iter().map(|event| (point, event)));
        }
        events
    }
}

fn healthy() -> impl Strategy<Value = Server> {
    let resource = prop::sample::select(&Resource::ALL[..]);
    let load = (resource, prop::array::uniform2(0.0..400.0), 10.0..600.0, 0.0..40.0, 0.0..3.0);
    let shapes = (0.0..200.0, 5.0..200.0, 0.0..300.0, 0.0..1.0, 0.0..5_000.0, 0.0..20.0);
    (load, shapes).prop_map(|(load, (pool, fills, step, step_at, clients, websockets))| {
        let (resource, rates, base, noise, each_in_flight) = load;
        Server {
            resource,
            rates,
            base,
            noise,
            each_in_flight,
            pool,
            fills,
            step,
            step_at,
            clients,
            websockets,
            left: [0.0; 3],
        }
    })
}

const QUIET: Server = Server {
    resource: Resource::Descriptors,
    rates: [50.0; 2],
    base: 40.0,
    noise: 4.0,
    each_in_flight: 1.0,
    pool: 10.0,
    fills: 5.0,
    step: 0.0,
    step_at: 0.5,
    clients: 100.0,
    websockets: 0.0,
    left: [0.0; 3],
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_said_of_a_healthy_server(server in healthy(), seed in any::<u64>()) {
        let events = server.run(seed);
        prop_assert!(events.is_empty(), "{events:?}");
    }

    #[test]
    fn what_requests_leave_open_is_found(
        a_request in 0.02..1.0,
        rate in 20.0..300.0,
        noise in 0.0..20.0,
        seed in any::<u64>(),
    ) {
        let leaky = Server { left: [a_request, 0.0, 0.0], rates: [rate; 2], noise, ..QUIET };
        let events = leaky.run(seed);
        let Some((_, first)) = events.first() else { return Err(TestCaseError::fail("not found")) };
        prop_assert_eq!((first.resource, first.driver), (Resource::Descriptors, Driver::Requests));
        let per_request = first.per_thousand().unwrap() / 1e3;
        prop_assert!((per_request / a_request - 1.0).abs() < 0.3, "{per_request} of {a_request}");
        prop_assert!(events.iter().all(|(_, event)| matches!(event.event, TrendEvent::Leaks(_))));
    }
}

#[test]
fn what_it_grows_with_is_told_apart() {
    let leaks = [
        (Server { left: [0.5, 0.0, 0.0], ..QUIET }, Driver::Requests, "grow with requests: 0.5"),
        (
            Server { left: [0.0, 1.0, 0.0], rates: [0.0; 2], websockets: 5.0, ..QUIET },
            Driver::Connections,
            "grow with connections, not with requests: 1.00",
        ),
        (
            Server { left: [0.0, 0.0, 1.0], rates: [0.0; 2], ..QUIET },
            Driver::Time,
            "grow with time, not with requests: 1.00",
        ),
    ];
    for (server, driver, words) in leaks {
        for seed in 0..3 {
            let events = server.run(seed);
            let (_, first) = events.first().unwrap_or_else(|| panic!("{driver:?} is not found"));
            assert_eq!(first.driver, driver);
            let advice = first.advice(&Opener::default(), &Descriptors::default());
            assert!(advice.starts_with(&format!("open file descriptors {words}")), "{advice}");
        }
    }
}

#[test]
fn the_advice_names_the_owner_the_kinds_and_the_time_that_is_left() {
    let events = Server { left: [1.0, 0.0, 0.0], ..QUIET }.run(1);
    let opener = Opener { route: Some("POST /upload".to_owned()), origin: Some("src/app.js:12:5".to_owned()) };
    let kinds = vec![("files in /tmp/uploads".to_owned(), 1900), ("sockets".to_owned(), 20)];
    let descriptors = Descriptors { open: 2_000, limit: 20_000, kinds };
    let (_, first) = &events[0];
    let advice = first.advice(&opener, &descriptors);
    for words in [
        ". Those of POST /upload stay open, opened at src/app.js:12:5. Since 00:",
        " more, 2000 of at most 20000 are open, limit reached in about ",
        ". They are 1900 files in /tmp/uploads, 20 sockets. Close each at the end of its request",
    ] {
        assert!(advice.contains(words), "{advice}");
    }
    assert!(advice.len() < 1024, "{}", advice.len());
    // 50 a second.
    let hours = first.hours_to_limit(&descriptors).unwrap();
    assert!((hours - 0.1).abs() < 0.03, "{hours}");
}

#[test]
fn what_stops_growing_is_withdrawn() {
    let mut resources = Resources::default();
    let mut changes = Vec::new();
    for point in 0..400_u64 {
        let open = 40 + 20 * point.min(100);
        let counts = Counts {
            at: point * POINT_MS,
            requests: point * 250,
            connections: point,
            counts: [Some(open), None, None, None],
            ..Counts::default()
        };
        changes.extend(resources.see(counts).into_iter().map(|event| (point, event)));
    }
    assert!(matches!(changes[0].1.event, TrendEvent::Leaks(_)));
    let (point, last) = changes.last().unwrap();
    assert!(matches!(last.event, TrendEvent::Stopped(..)) && (110..220).contains(point), "{point} {last:?}");
    let advice = last.advice(&Opener::default(), &Descriptors::default());
    assert!(advice.starts_with("growth stopped by ") && advice.contains("grew with requests"), "{advice}");
}
