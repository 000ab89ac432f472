//! Decides when asynchronous spans are metered: in windows, so rarely that the total cost stays under a share of the
//! process's CPU time.
//!
//! Following a request through promises and callbacks has a cost at each of them. It is measured as CPU time for each
//! request in a window, compared with the time just before. The share of time follows from that. Before the first
//! measurement, the cost is assumed to be 100 % of a request's CPU time. The most that was measured is 84 % (Node 24, a
//! handler of ten awaits).

use std::time::{Duration, Instant};

/// The share of the process's CPU time that all windows may cost.
pub const BOUND: f64 = 0.02;
/// In a profiling session, it may cost this share of one core.
pub const SESSION_BOUND: f64 = 0.05;
/// Bounds of the share of time. Windows are not more frequent even if they seem to cost nothing: a changing mix of
/// requests can look like a gain or like a cost.
const SHARES: (f64, f64) = (0.002, 0.2);
/// What metering adds to a request's CPU time, as a part of that, if nothing is known.
const COST_UNKNOWN: f64 = 1.0;
/// A window that most of its requests outlast is doubled, up to the maximum. One into which nearly all fit is halved.
const LENGTHS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));
/// Fewer requests do not show what one costs.
const REQUESTS_MIN: u64 = 20;
/// Comparisons that are stored, and the least number of them.
const COSTS: usize = 15;
const COSTS_MIN: usize = 5;
/// In a session, utilization is measured over at least this time.
const SESSION_STRETCH: Duration = Duration::from_secs(1);

/// In a session there must be enough samples, and a cheap window need not be closed.
const SESSION_SHARES: (f64, f64) = (0.07, 1.0);

/// Totals since the start, from the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub cpu: Duration,
    pub ended: u64,
    /// Requests that entered in a window: all, and those that also ended in it.
    pub entered: u64,
    pub whole: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Stay,
    Open,
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    /// The time before a window, with which it is compared.
    Before(Instant, Totals),
    /// The window, and CPU time for each request before it, if known.
    Open(Instant, Totals, Option<f64>),
}

/// Decides at each tick whether a window opens or closes.
#[derive(Debug)]
pub struct Windows {
    phase: Phase,
    /// When the next window opens.
    due: Instant,
    length: Duration,
    /// The last comparisons: what metering added to a request's CPU time, as a part of that.
    costs: Vec<f64>,
    /// The bounds of a profiling session.
    session: Option<Session>,
}

/// The basis for the share of a session: CPU time over time, since it began.
#[derive(Clone, Copy, Debug)]
struct Session {
    since: Instant,
    from: Duration,
    utilization: f64,
}

impl Windows {
    pub fn new(now: Instant) -> Self {
        let length = LENGTHS.0;
        Self { phase: Phase::Idle, due: now + 2 * length, length, costs: Vec::new(), session: None }
    }

    /// A profiling session begins: more is metered, and soon. `cpu` was used so far.
    pub fn begin_session(&mut self, now: Instant, cpu: Duration) {
        // Before the first measurement a fully used core is assumed.
        self.session = Some(Session { since: now, from: cpu, utilization: 1.0 });
        self.due = self.due.min(now + self.length);
    }

    pub fn end_session(&mut self) {
        self.session = None;
    }

    pub fn turn(&mut self, now: Instant, totals: Totals) -> Turn {
        if let Some(session) = &mut self.session
            && now - session.since >= SESSION_STRETCH
        {
            let cpu = totals.cpu.saturating_sub(session.from);
            let utilization = cpu.as_secs_f64() / (now - session.since).as_secs_f64();
            *session = Session { since: now, from: totals.cpu, utilization };
        }
        match self.phase {
            Phase::Idle if now + self.length >= self.due => {
                self.phase = Phase::Before(now, totals);
                Turn::Stay
            }
            Phase::Before(since, before) if now >= self.due && now - since >= self.length => {
                self.phase = Phase::Open(now, totals, cpu_a_request(before, totals));
                Turn::Open
            }
            Phase::Open(since, opened, before) if now - since >= self.length && self.share() < 1.0 => {
                self.learn(opened, totals, before);
                self.phase = Phase::Idle;
                // The timer may have been late, so the actual duration of the window counts.
                self.due = since + (now - since).div_f64(self.share());
                Turn::Close
            }
            _ => Turn::Stay,
        }
    }

    fn learn(&mut self, opened: Totals, closed: Totals, before: Option<f64>) {
        if let (Some(before), Some(within)) = (before, cpu_a_request(opened, closed)) {
            if self.costs.len() == COSTS {
                self.costs.remove(0);
            }
            self.costs.push((within / before - 1.0).max(0.0));
        }
        let (entered, whole) = (closed.entered - opened.entered, closed.whole - opened.whole);
        let (shortest, longest) = LENGTHS;
        if entered >= REQUESTS_MIN && whole * 2 < entered {
            self.length = (self.length * 2).min(longest);
        } else if entered >= REQUESTS_MIN && whole * 10 > entered * 9 {
            self.length = (self.length / 2).max(shortest);
        }
    }

    /// The length of a window.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// What metering adds to a request's CPU time, as a part of that. It is an estimate from above: the third quartile
    /// of the comparisons.
    pub fn cost(&self) -> f64 {
        if self.costs.len() < COSTS_MIN {
            return COST_UNKNOWN;
        }
        let mut costs = self.costs.clone();
        costs.sort_by(f64::total_cmp);
        costs[costs.len() * 3 / 4]
    }

    /// The share of time that windows take.
    pub fn share(&self) -> f64 {
        let cost = self.cost().max(BOUND);
        match self.session {
            Some(Session { utilization, .. }) => {
                let (least, most) = SESSION_SHARES;
                (SESSION_BOUND / (cost * utilization.max(0.01))).clamp(least, most)
            }
            None => (BOUND / cost).clamp(SHARES.0, SHARES.1),
        }
    }
}

fn cpu_a_request(from: Totals, to: Totals) -> Option<f64> {
    let ended = to.ended - from.ended;
    let cpu = to.cpu.saturating_sub(from.cpu);
    (ended >= REQUESTS_MIN && !cpu.is_zero()).then(|| cpu.as_secs_f64() / ended as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(250);

    /// Runs a process whose requests cost more by `cost` in a window. Returns the share of its CPU time that metering
    /// took in the last half of the run, and the number of windows.
    fn run(turns: u32, requests_a_tick: u64, cost: f64, noise: impl Fn(u32) -> f64) -> (f64, u32) {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        let mut totals = Totals::default();
        let (mut open, mut opened, mut spent, mut all) = (false, 0, 0.0, 0.0);
        for turn in 1..=turns {
            let bare = 200e-6 * (1.0 + noise(turn)) * requests_a_tick as f64;
            let metering = if open { bare * cost } else { 0.0 };
            let cpu = bare + metering;
            totals.cpu += Duration::from_secs_f64(cpu);
            totals.ended += requests_a_tick;
            if open {
                totals.entered += requests_a_tick;
                totals.whole += requests_a_tick;
            }
            if turn > turns / 2 {
                all += cpu;
                spent += metering;
            }
            match windows.turn(start + TICK * turn, totals) {
                Turn::Open => (open, opened) = (true, opened + 1),
                Turn::Close => open = false,
                Turn::Stay => {}
            }
        }
        (spent / all, opened)
    }

    #[test]
    fn costly_metering_is_rare_and_cheap_metering_is_not() {
        let (spent, many) = run(40_000, 300, 0.05, |_| 0.0);
        assert!(spent <= BOUND, "{spent}");
        let (spent, few) = run(40_000, 300, 0.9, |_| 0.0);
        assert!(spent <= BOUND, "{spent}");
        // The load varies by a fifth from tick to tick.
        let (spent, _) = run(40_000, 300, 0.9, |turn| f64::from(turn * 7919 % 41) / 100.0 - 0.2);
        assert!(spent <= BOUND, "{spent}");
        assert!(many > 4 * few, "{many} windows where it is cheap, {few} where it is dear");
    }

    #[test]
    fn where_too_little_happens_to_compare_a_window_takes_the_bound_of_the_time() {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        let open = (1..=40_000)
            .scan(false, |open, turn| {
                match windows.turn(start + TICK * turn, Totals::default()) {
                    Turn::Open => *open = true,
                    Turn::Close => *open = false,
                    Turn::Stay => {}
                }
                Some(*open)
            })
            .filter(|open| *open)
            .count();
        assert!((600..=850).contains(&open), "{open} of 40,000 turns");
    }

    #[test]
    fn a_window_grows_until_most_requests_fit_into_it() {
        let start = Instant::now();
        let mut windows = Windows::new(start);
        let mut totals = Totals::default();
        let mut lengths = Vec::new();
        let mut opened = None;
        for turn in 1..4000u32 {
            totals.ended += 100;
            let now = start + TICK * turn;
            if let Some(at) = opened {
                totals.entered += 100;
                // Requests take 1.2 seconds.
                totals.whole += if now - at > Duration::from_millis(1200) { 100 } else { 0 };
            }
            match windows.turn(now, totals) {
                Turn::Open => opened = Some(now),
                Turn::Close => lengths.push(now - opened.take().unwrap()),
                Turn::Stay => {}
            }
        }
        assert_eq!(lengths[0], LENGTHS.0);
        assert!(*lengths.last().unwrap() >= Duration::from_secs(2), "{lengths:?}");
    }

    #[test]
    fn a_session_meters_as_much_as_a_twentieth_of_a_core_pays_for() {
        /// Share of the time that windows took, and share of a core that metering cost, for a server that is busy for
        /// this share of the time.
        fn session(utilization: f64, cost: f64) -> (f64, f64) {
            let start = Instant::now();
            let mut windows = Windows::new(start);
            let (mut totals, mut open, mut opened, mut spent) = (Totals::default(), false, 0u32, 0.0);
            let turns = 4000;
            for turn in 1..=2 * turns {
                if turn == turns {
                    windows.begin_session(start + TICK * turn, totals.cpu);
                }
                let bare = TICK.as_secs_f64() * utilization;
                let metering = if open { bare * cost } else { 0.0 };
                totals.cpu += Duration::from_secs_f64(bare + metering);
                totals.ended += 100;
                (totals.entered, totals.whole) = (totals.entered + 100, totals.whole + 100);
                if turn > turns {
                    opened += u32::from(open);
                    spent += metering;
                }
                match windows.turn(start + TICK * turn, totals) {
                    Turn::Open => open = true,
                    Turn::Close => open = false,
                    Turn::Stay => {}
                }
            }
            let time = TICK.as_secs_f64() * f64::from(turns);
            (f64::from(opened) / f64::from(turns), spent / time)
        }
        for utilization in [0.02, 0.1, 0.5, 0.9] {
            for cost in [0.05, 0.3, 0.84] {
                let (share, spent) = session(utilization, cost);
                assert!(spent <= SESSION_BOUND * 1.15, "{utilization} busy, {cost}: {spent}");
                assert!(share > 0.03, "{utilization} busy, {cost}: {share}");
            }
        }
        let (share, _) = session(0.1, 0.3);
        assert!(share > 0.95, "{share}: nothing is saved by closing");
    }

    proptest! {
        #[test]
        fn the_share_stays_between_its_bounds_whatever_is_measured(
            turns in prop::collection::vec((0u64..2_000_000, 0u64..500, 0u64..100, 0u64..100), 1..500)
        ) {
            let start = Instant::now();
            let mut windows = Windows::new(start);
            let mut totals = Totals::default();
            for (index, (cpu, ended, entered, whole)) in turns.into_iter().enumerate() {
                totals.cpu += Duration::from_nanos(cpu);
                totals.ended += ended;
                totals.entered += entered.max(whole);
                totals.whole += whole;
                windows.turn(start + TICK * index as u32, totals);
                prop_assert!((SHARES.0..=SHARES.1).contains(&windows.share()));
                prop_assert!(windows.length >= LENGTHS.0 && windows.length <= LENGTHS.1);
            }
        }
    }
}
