//! Counts of what requests may forget to close: descriptors, timers, worker threads, child processes. They are judged
//! like memory, by [`super::series`], every ten seconds and without a collection.
//!
//! Some of these counts follow the load: the sockets of clients, their timers, a pool's connections. So sockets of clients
//! are not counted, and the load is given to the test as another possible cause: once the requests (in flight, and since
//! the last point), once the clients that are connected. Growth that one of them explains is no leak.
//!
//! The counts grow with requests, or with connections (WebSockets), or with time, if there are hardly any of both.

use std::collections::VecDeque;

use super::detector::{Change, Detector};
use super::message::{certainty, clock, limit};
use super::quantities::TrendEvent;
use super::series::growth::{Point, Thresholds};
use super::series::judge;
use crate::recorder::TrendState;
use crate::recorder::record::{Counts, Driver};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Descriptors,
    /// Referenced ones.
    Timers,
    Workers,
    Children,
}

impl Resource {
    pub const ALL: [Self; 4] = [Self::Descriptors, Self::Timers, Self::Workers, Self::Children];

    /// The origin of the finding.
    pub fn origin(self) -> &'static str {
        match self {
            Self::Descriptors => "(file descriptors)",
            Self::Timers => "(timers)",
            Self::Workers => "(worker threads)",
            Self::Children => "(child processes)",
        }
    }

    /// Growth below this is not reported.
    const fn least(self) -> f64 {
        match self {
            Self::Descriptors => 96.0,
            Self::Timers => 1000.0,
            Self::Workers | Self::Children => 8.0,
        }
    }
}

/// A point of all series.
#[derive(Clone, Copy, Debug)]
struct Row {
    counts: Counts,
    /// By requests and by clients.
    loads: [f64; 2],
}

impl Row {
    /// The counts' minimum, at the time in the middle, as for memory.
    fn merged(self, other: Self) -> Self {
        let (a, b) = (self.counts, other.counts);
        let counts = std::array::from_fn(|at| a.counts[at].min(b.counts[at]));
        let middle = |of: fn(&Counts) -> u64| u64::midpoint(of(&a), of(&b));
        Self {
            counts: Counts {
                at: middle(|row| row.at),
                requests: middle(|row| row.requests),
                connections: middle(|row| row.connections),
                counts,
                ..a
            },
            loads: std::array::from_fn(|at| self.loads[at].min(other.loads[at])),
        }
    }

    fn point(self, resource: Resource, driver: Driver, load: usize, began: u64) -> Option<Point> {
        let Counts { at, requests, connections, counts, .. } = self.counts;
        let count = counts[resource as usize]?;
        let x = match driver {
            Driver::Requests => requests as f64,
            Driver::Connections => connections as f64,
            Driver::Time => at.saturating_sub(began) as f64 / 1e3,
        };
        Some(Point { at, requests: x, bytes: count as f64 * UNIT, in_flight: self.loads[load] })
    }
}

/// One of them counts as that many bytes, since the statistics ask for 1 KiB per 1,000 requests.
pub const UNIT: f64 = 65_536.0;
/// Pools fill up and servers listen.
const STARTING_MS: u64 = 60_000;
const WINDOWS: usize = 12;
const ROWS: usize = 64;
/// Growth before this many requests, connections or seconds is sure only if it is large.
const WARM: f64 = 1_000.0;
const TENTH_MORE: f64 = 1.1;

/// Something has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceEvent {
    pub resource: Resource,
    pub driver: Driver,
    pub event: TrendEvent,
}

/// Whose requests forget to close it, as a trace of what is opened has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opener {
    pub route: Option<String>,
    /// The call site that opens it.
    pub origin: Option<String>,
}

/// What is known of the descriptors of this process.
#[derive(Clone, Debug, Default)]
pub struct Descriptors {
    pub open: u64,
    pub limit: u64,
    /// What they are, the most frequent first: `files in /tmp`, `sockets`.
    pub kinds: Vec<(String, u64)>,
}

/// The trends of all counts, in memory of fixed size.
#[derive(Default)]
pub struct Resources {
    windows: [VecDeque<Row>; WINDOWS],
    points: u64,
    /// Time of the first point.
    began: u64,
    watches: [Watch; 4],
}

#[derive(Default)]
struct Watch {
    detector: Detector,
    reported: f64,
}

impl Resources {
    /// A new point. Returns what has changed.
    pub fn see(&mut self, counts: Counts) -> Vec<ResourceEvent> {
        if self.began == 0 {
            self.began = counts.at;
        }
        if counts.at < self.began + STARTING_MS {
            return Vec::new();
        }
        let before = self.windows[0].back().map_or(counts.requests, |row| row.counts.requests);
        let recent = counts.requests.saturating_sub(before);
        self.add(Row { counts, loads: [(counts.in_flight + recent) as f64, counts.clients as f64] });
        let driver = self.driver();
        Resource::ALL.into_iter().filter_map(|resource| self.look(resource, driver)).collect()
    }

    /// Whether this count is uncertain, or leaks.
    pub fn is_suspicious(&self, resource: Resource) -> bool {
        let state = self.watches[resource as usize].detector.verdict().state;
        matches!(state, TrendState::Uncertain | TrendState::Leaking)
    }

    fn add(&mut self, mut row: Row) {
        self.points += 1;
        for window in 0..WINDOWS {
            if !self.points.is_multiple_of(1 << window) {
                break;
            }
            if window > 0 {
                let finer = &self.windows[window - 1];
                row = finer[finer.len() - 2].merged(finer[finer.len() - 1]);
            }
            let rows = &mut self.windows[window];
            if rows.len() == ROWS {
                rows.pop_front();
            }
            rows.push_back(row);
        }
    }

    fn driver(&self) -> Driver {
        let (Some(first), Some(last)) = (self.windows[0].front(), self.windows[0].back()) else {
            return Driver::Requests;
        };
        let requests = last.counts.requests.saturating_sub(first.counts.requests);
        let connections = last.counts.connections.saturating_sub(first.counts.connections);
        Driver::of(requests, connections)
    }

    fn look(&mut self, resource: Resource, driver: Driver) -> Option<ResourceEvent> {
        let began = self.began;
        let watch = &mut self.watches[resource as usize];
        let driver = watch.detector.drive(driver);
        let gate = Thresholds { requests: WARM, straight: true, ..Thresholds::of_bytes(resource.least() * UNIT) };
        let windows = &self.windows;
        let [by_requests, by_clients] = [0, 1].map(|load| {
            let point = |row: &Row| row.point(resource, driver, load, began);
            let series: Vec<Vec<Point>> = windows.iter().map(|rows| rows.iter().filter_map(point).collect()).collect();
            judge(&series, &gate)
        });
        let look = if by_clients.growth < by_requests.growth { by_clients } else { by_requests };
        let before = watch.detector.verdict();
        let (verdict, change) = watch.detector.see(&look);
        let event = match change {
            Change::None => None,
            Change::GoesOn if verdict.kept_bytes() < watch.reported * TENTH_MORE => None,
            Change::Began | Change::GoesOn => {
                watch.reported = verdict.kept_bytes();
                Some(TrendEvent::Leaks(verdict))
            }
            Change::Ended => Some(TrendEvent::Stopped(before, look.figures.map_or(0, |figures| figures.to))),
        };
        event.map(|event| ResourceEvent { resource, driver, event })
    }
}

impl ResourceEvent {
    /// Hours until the limit of descriptors, at the rate of the growth.
    pub fn hours_to_limit(&self, descriptors: &Descriptors) -> Option<f64> {
        let TrendEvent::Leaks(verdict) = &self.event else { return None };
        let (began, now) = verdict.grown.filter(|_| self.resource == Resource::Descriptors)?;
        let hours = now.at.saturating_sub(began.at) as f64 / 3.6e6;
        let left = descriptors.limit.checked_sub(descriptors.open)? as f64;
        let hours = left / (verdict.kept_bytes() / UNIT / hours);
        (hours.is_finite() && hours >= 0.0).then_some(hours)
    }

    /// How many a thousand requests leave behind. None if they do not grow with requests.
    pub fn per_thousand(&self) -> Option<f64> {
        let (TrendEvent::Leaks(verdict) | TrendEvent::Stopped(verdict, _)) = &self.event;
        verdict.figures.filter(|_| self.driver == Driver::Requests).map(|figures| figures.per_thousand / UNIT)
    }

    /// The finding's advice.
    pub fn advice(&self, opener: &Opener, descriptors: &Descriptors) -> String {
        let (TrendEvent::Leaks(verdict) | TrendEvent::Stopped(verdict, _)) = &self.event;
        let stands = matches!(self.event, TrendEvent::Leaks(_));
        let what = match self.resource {
            Resource::Descriptors => "open file descriptors",
            Resource::Timers => "timers",
            Resource::Workers => "worker threads",
            Resource::Children => "child processes",
        };
        let with = match self.driver {
            Driver::Requests => "requests",
            Driver::Connections => "connections, not with requests",
            Driver::Time => "time, not with requests",
        };
        let each = self.driver.name();
        let mut text = format!("{what} {} with {with}", if stands { "grow" } else { "grew" });
        if let Some(figures) = verdict.figures {
            let [mean, low, high] = [figures.per_thousand, figures.low, figures.high].map(|of| of / 1e3 / UNIT);
            text += &format!(": {mean:.2} ({low:.2} to {high:.2}) per {each}");
        }
        if let Some(route) = &opener.route {
            text += &format!(". Those of {route} stay open");
        }
        if let Some(origin) = &opener.origin {
            text += &format!(", opened at {origin}");
        }
        let since = clock(verdict.grown.map_or(0, |(began, _)| began.at));
        text += &format!(". Since {since} UTC: {:.0} more", verdict.kept_bytes() / UNIT);
        if self.resource == Resource::Descriptors && stands {
            text += &format!(", {} of at most {} are open", descriptors.open, descriptors.limit);
            text += &self.hours_to_limit(descriptors).map_or(String::new(), limit);
        }
        text += &certainty(verdict);
        match self.event {
            TrendEvent::Stopped(_, at) => format!("growth stopped by {} UTC: {text}", clock(at)),
            TrendEvent::Leaks(_) => format!("{text}. {}", self.what_to_do(descriptors)),
        }
    }

    fn what_to_do(&self, descriptors: &Descriptors) -> String {
        match self.resource {
            Resource::Descriptors => {
                let kinds: Vec<String> =
                    descriptors.kinds.iter().take(3).map(|(kind, number)| format!("{number} {kind}")).collect();
                let kinds = if kinds.is_empty() { String::new() } else { format!("They are {}. ", kinds.join(", ")) };
                format!(
                    "{kinds}Close each at the end of its request, also when the client disconnects: stream.pipeline, or req.scope.use(). A library that leaves files open after aborted uploads must be updated"
                )
            }
            Resource::Timers => {
                "Clear each when its request or connection ends: req.scope.use(setInterval(…))".to_owned()
            }
            Resource::Workers => "Terminate each worker when it is done, or use a pool of a fixed size".to_owned(),
            Resource::Children => {
                "End each child process when its request ends: child.kill(), or the option signal of spawn()".to_owned()
            }
        }
    }
}
