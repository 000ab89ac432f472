//! When V8 is asked what lives. By itself it collects a large heap rarely: at 170 MB live two major collections were seen in 60,000 requests, and a trend
//! needs sixteen. So it is asked for one, at a price that is bounded: marking costs CPU time by the byte that lives, on threads beside the program,
//! and so large a share of a core's time is spent on it. A server that serves nothing is not asked.

/// What it goes by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Of a clock that nobody sets.
    pub ms: u64,
    /// Major collections so far that are points of the trend: not the first ones, nor those with hardly a request before them.
    pub majors: u64,
    pub requests: u64,
    pub used_bytes: u64,
    /// A trend is suspicious or worse.
    pub suspicious: bool,
}

/// CPU time of a collection that is asked for, all threads: 0.9 to 1.4 ns a byte that lives, measured with 50 and 140 MiB of small objects on Node 20 and 24.
const NS_PER_BYTE: f64 = 1.5;
/// Of one core's time; four times that while there is something to look into.
const SHARE: f64 = 0.005;
const SUSPICIOUS_SHARE: f64 = 0.02;
/// However small the heap: what it is asked for besides (finalizers, code that is flushed) costs as well.
const LEAST_MS: u64 = 10_000;
const SUSPICIOUS_LEAST_MS: u64 = 2_500;
/// Between two collections, for them to say anything of requests.
const REQUESTS: u64 = 200;

/// Since the last collection, or since the last question: V8 may take its time to finish.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cadence {
    majors: u64,
    since_ms: u64,
    requests: u64,
}

impl Cadence {
    /// To be called when the event loop comes round. True if V8 is to be asked.
    pub fn due(&mut self, now: Now) -> bool {
        let Now { ms, majors, requests, .. } = now;
        let due = majors == self.majors
            && ms >= self.since_ms.saturating_add(interval_ms(now))
            && requests >= self.requests.saturating_add(REQUESTS);
        if due || majors != self.majors {
            *self = Self { majors, since_ms: ms, requests };
        }
        due
    }
}

fn interval_ms(now: Now) -> u64 {
    let (share, least) = if now.suspicious { (SUSPICIOUS_SHARE, SUSPICIOUS_LEAST_MS) } else { (SHARE, LEAST_MS) };
    let cost_ms = now.used_bytes as f64 * NS_PER_BYTE / 1e6;
    ((cost_ms / share) as u64).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// How often a server of a thousand requests a second is asked in an hour, looked at four times a second; V8 collects by itself every `own_ms`.
    fn asked(used_bytes: u64, suspicious: bool, requests_per_s: u64, own_ms: u64) -> usize {
        let mut cadence = Cadence::default();
        let mut asked = 0;
        for ms in (0..3_600_000).step_by(250) {
            let majors = asked as u64 + ms / own_ms;
            let now = Now { ms, majors, requests: ms * requests_per_s / 1000, used_bytes, suspicious };
            asked += usize::from(cadence.due(now));
        }
        asked
    }

    #[test]
    fn the_larger_the_heap_the_rarer_and_more_often_where_something_is_suspicious() {
        let day = u64::MAX;
        assert!((350..=360).contains(&asked(10 * MIB, false, 1000, day)));
        let [hundred, thousand] = [100, 1000].map(|mib| asked(mib * MIB, false, 1000, day));
        assert!((110..=116).contains(&hundred) && (10..=12).contains(&thousand), "{hundred} {thousand}");
        let spent = |asked: usize, mib: u64| asked as f64 * (mib * MIB) as f64 * NS_PER_BYTE / 3.6e12;
        assert!(spent(hundred, 100) <= SHARE && spent(thousand, 1000) <= SHARE);
        let suspicious = asked(100 * MIB, true, 1000, day);
        assert!(suspicious > 3 * hundred && spent(suspicious, 100) <= SUSPICIOUS_SHARE);
    }

    #[test]
    fn nobody_is_asked_who_collects_by_himself_or_serves_nothing() {
        assert_eq!(asked(100 * MIB, false, 1000, 20_000), 0);
        assert_eq!(asked(100 * MIB, false, 0, u64::MAX), 0);
        // One request a second: when there are enough of them.
        assert!((16..=18).contains(&asked(10 * MIB, false, 1, u64::MAX)));
    }
}
