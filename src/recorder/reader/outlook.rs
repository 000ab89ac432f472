//! What the figures of a trend mean for the next minutes and hours: when to expect the verdict, and when the memory reaches its limit.

use super::Source;
use crate::recorder::layout::Quantity;
use crate::recorder::record::{Driver, Live, Progress, Trend};
use crate::recorder::{TrendState, reader};

const HOUR_MS: f64 = 3_600_000.0;

/// The state of the process at the time of reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Present {
    /// Since the start, milliseconds.
    pub uptime_ms: u64,
    /// Requests, or connections if there are more.
    pub work: u64,
    /// Points of the trend so far.
    pub points: u64,
    pub live_bytes: u64,
    pub heap_limit_bytes: u64,
    pub rss_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
}

impl Present {
    fn room_bytes(&self, quantity: Quantity) -> Option<u64> {
        match quantity {
            Quantity::Heap => Some(self.heap_limit_bytes.saturating_sub(self.live_bytes)),
            Quantity::External | Quantity::Native => Some(self.memory_limit_bytes?.saturating_sub(self.rss_bytes)),
        }
    }
}

/// Adds what follows from the present to a trend. `recent`: the points of the finest window.
pub fn add(trend: &mut Trend, quantity: Quantity, now: &Present, recent: &[Live]) {
    trend.progress = progress(trend, now, recent);
    trend.hours_to_limit = hours_to_limit(trend, quantity, now, recent);
}

fn progress(trend: &Trend, now: &Present, recent: &[Live]) -> Progress {
    let Progress { of_requests, of_collections, .. } = trend.progress;
    let missing = |have: u64, need: u64| need.saturating_sub(have) as f64;
    let requests_ms = now.uptime_ms as f64 / now.work as f64 * missing(now.work, of_requests);
    let between_ms = match recent {
        [first, .., last] => (last.at.saturating_sub(first.at)) as f64 / (recent.len() - 1) as f64,
        _ => now.uptime_ms as f64 / now.points as f64,
    };
    let collections_ms = match missing(now.points, of_collections) {
        0.0 => 0.0,
        missing => between_ms * missing,
    };
    let eta_ms = requests_ms.max(collections_ms);
    let learning = trend.state == TrendState::Learning || eta_ms > 0.0;
    Progress {
        requests: now.work,
        collections: now.points,
        eta_ms: (learning && requests_ms.is_finite() && collections_ms.is_finite()).then_some(eta_ms as u64),
        ..trend.progress
    }
}

fn hours_to_limit(trend: &Trend, quantity: Quantity, now: &Present, recent: &[Live]) -> Option<f64> {
    if !matches!(trend.state, TrendState::Uncertain | TrendState::Leaking) {
        return None;
    }
    let bytes = trend.bytes_per_request.filter(|bytes| *bytes > 0.0)?;
    let [first, .., last] = recent else { return None };
    let work =
        |live: &Live| if trend.per == Driver::Connections { live.connections_total } else { live.requests_total };
    let per_ms = work(last).saturating_sub(work(first)) as f64 / last.at.checked_sub(first.at)? as f64;
    let hours = now.room_bytes(quantity)? as f64 / (bytes * per_ms) / HOUR_MS;
    hours.is_finite().then_some(hours)
}

/// The trend of one quantity, with what follows from the present. None before the first verdict.
pub fn trend<S: Source + ?Sized>(source: &S, quantity: Quantity) -> Option<Trend> {
    let mut trend = reader::trend(source, quantity)?;
    let recent = reader::windows(source).ok()?.into_iter().next().unwrap_or_default();
    add(&mut trend, quantity, &reader::present(source).ok()?, &recent);
    Some(trend)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Present = Present {
        uptime_ms: 60_000,
        work: 1_500,
        points: 4,
        live_bytes: 40 << 20,
        heap_limit_bytes: 2088 << 20,
        rss_bytes: 200 << 20,
        memory_limit_bytes: Some(456 << 20),
    };

    fn recent() -> Vec<Live> {
        (0..4).map(|n| Live { at: 1000 + n * 5000, requests_total: 1000 + n * 500, ..Live::default() }).collect()
    }

    fn outlook(trend: Trend, quantity: Quantity, now: Present) -> Trend {
        let progress = Progress { of_requests: 3_000, of_collections: 16, ..Progress::default() };
        let mut trend = Trend { progress, ..trend };
        add(&mut trend, quantity, &now, &recent());
        trend
    }

    #[test]
    fn the_verdict_is_expected_when_the_last_of_its_conditions_can_be_met() {
        let Progress { requests, of_requests, collections, of_collections, eta_ms } =
            outlook(Trend::default(), Quantity::Heap, NOW).progress;
        assert_eq!((requests, of_requests, collections, of_collections), (1_500, 3_000, 4, 16));
        assert_eq!(eta_ms, Some(60_000), "twelve more collections, five seconds apart; the requests take as long");
        let slow = Present { work: 10, ..NOW };
        assert_eq!(outlook(Trend::default(), Quantity::Heap, slow).progress.eta_ms, Some(17_940_000));
        let idle = Present { work: 0, ..NOW };
        assert_eq!(outlook(Trend::default(), Quantity::Heap, idle).progress.eta_ms, None);
        let steady = Trend { state: TrendState::Steady, ..Trend::default() };
        let done = Present { work: 5_000, points: 30, ..NOW };
        assert_eq!(outlook(steady, Quantity::Heap, done).progress.eta_ms, None);
    }

    #[test]
    fn hours_to_the_limit_follow_from_the_growth_and_the_rate_of_requests() {
        let leaking = Trend { state: TrendState::Leaking, bytes_per_request: Some(1024.0), ..Trend::default() };
        // 100 requests a second: 100 KiB a second for 2,048 MiB, or for 256 MiB of the container's limit.
        let hours = outlook(leaking.clone(), Quantity::Heap, NOW).hours_to_limit.unwrap();
        assert!((hours - 5.825).abs() < 0.01, "{hours}");
        let hours = outlook(leaking.clone(), Quantity::Native, NOW).hours_to_limit.unwrap();
        assert!((hours - 0.728).abs() < 0.01, "{hours}");
        let unlimited = Present { memory_limit_bytes: None, ..NOW };
        assert_eq!(outlook(leaking.clone(), Quantity::External, unlimited).hours_to_limit, None);
        let steady = Trend { state: TrendState::Steady, ..leaking.clone() };
        assert_eq!(outlook(steady, Quantity::Heap, NOW).hours_to_limit, None);
        let falling = Trend { bytes_per_request: Some(-3.0), ..leaking };
        assert_eq!(outlook(falling, Quantity::Heap, NOW).hours_to_limit, None);
    }
}
