//! Decides when V8 is asked for a collection. V8 collects a large heap rarely: at 170 MB live, two major collections
//! were seen in 60,000 requests, but a trend needs sixteen. The price of a requested collection is bounded. Concurrent
//! marking costs CPU time for each live byte, on threads of V8, and a fixed share of a core's time is spent on it. A
//! server without requests is not asked, nor one that is still warming up.
//!
//! V8 can collect a small heap only in its mode that reduces memory ([`crate::probe::v8::marking`]), which slows the
//! program down. But V8 often collects by itself while a small heap fills up: 5 to 20 times on the way to half of 64,
//! 100 and 128 MB (Node 20 to 26). So a small heap is asked only while each collection finds more than all before, or
//! while a trend is suspicious. Tried with 100 MB, 200 requests a second and 1 KB retained by each: a leak was found at
//! 26 MB (Node 20) and 40 MB (Node 24), after 10 and 18 requested collections. A healthy server was never asked.

//!
//! The faster a heap grows, the rarer V8 collects it. At 31 KB for each request, V8 made twelve major collections in 150 s
//! while the process grew to 434 MB. So it is also asked when the used size has grown by [`GROWTH_BYTES`] since the last
//! collection, during the warm-up too. If that collection finds no growth, the next one needs twice as much. If it finds
//! much, the following ones come about once a second until the growth is judged.

use super::series::growth;
use crate::recorder::writer::WARM_UP_REQUESTS;

/// The input of the decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// Monotonic clock, milliseconds.
    pub ms: u64,
    /// Major collections so far that are points of the trend. The first ones do not count, nor those after hardly any
    /// requests.
    pub majors: u64,
    pub requests: u64,
    pub used_bytes: u64,
    /// Live bytes after the last major collection.
    pub live_bytes: u64,
    /// V8's heap limit.
    pub limit_bytes: u64,
    /// A trend is suspicious or worse.
    pub suspicious: bool,
    /// V8 can be asked only in its mode that reduces memory.
    pub small: bool,
}

/// CPU time of a requested collection on all threads. Measured with 50 and 140 MiB of small objects on Node 20 and 24:
/// 0.9 to 1.4 ns for each live byte.
const NS_PER_BYTE: f64 = 1.5;
/// Share of one core's time for requested collections. It is four times that while a trend is suspicious.
const SHARE: f64 = 0.005;
const SUSPICIOUS_SHARE: f64 = 0.02;
/// The shortest interval, for any size of heap: a collection has a fixed cost of 8 to 14 ms of CPU time in a bare
/// Express app (all threads, Node 20 and 24). At 1,200 requests a second, one every 20 s is 0.6 % of the app's CPU
/// time.
const LEAST_MS: u64 = 20_000;
/// The same until there are as many points as the first verdict needs.
const LEARNING_LEAST_MS: u64 = 10_000;
/// The same while the last collection has found more than all before.
const GROWING_LEAST_MS: u64 = 5_000;
const GROWING_SHARE: f64 = 0.01;
const SUSPICIOUS_LEAST_MS: u64 = 2_500;
/// The same while each collection finds at least [`FAST_BYTES`] more than all before: until the verdict, a fifth of a core.
const FAST_SHARE: f64 = 0.2;
const FAST_LEAST_MS: u64 = 1_000;
const FAST_BYTES: u64 = 1 << 20;
/// That many in a row, and the search for the cause begins.
const FAST_CERTAIN: u32 = 4;
/// Collections at that rate: more than a verdict needs.
const FAST_MOST: u32 = 60;
/// Growth of the used size for which V8 is asked. It is at most a part of the room below the heap limit.
const GROWTH_BYTES: u64 = 24 << 20;
const GROWTH_PART: u64 = 16;
/// Requests that must have ended since the last collection, if the heap grows as fast.
const FAST_REQUESTS: u64 = 20;
/// The fewest requests between two collections for them to say anything about requests.
const REQUESTS: u64 = 200;
/// "More than all before" means by at least this: half of the growth that a leak needs.
const HIGHER_BYTES: u64 = 256 << 10;

/// Counts from the last collection or the last request for one, since V8 may take its time to finish.
#[derive(Clone, Copy, Debug, Default)]
pub struct GcSchedule {
    majors: u64,
    since_ms: u64,
    requests: u64,
    /// The most live bytes after a major collection, and whether the last one exceeded all before.
    most_bytes: u64,
    higher: bool,
    /// How many collections in a row have found much more.
    fast: u32,
    /// How many times in a row growth of the used size was garbage.
    garbage: u32,
    /// The last collection was requested because of that growth.
    by_growth: bool,
}

impl GcSchedule {
    /// Call this at each tick. True if V8 must be asked for a collection.
    pub fn due(&mut self, now: Now) -> bool {
        let Now { ms, majors, requests, .. } = now;
        if majors != self.majors {
            self.collected(now);
            return false;
        }
        let in_time = ms >= self.since_ms.saturating_add(self.interval_ms(now))
            && requests >= self.requests.saturating_add(REQUESTS).max(WARM_UP_REQUESTS)
            && (!now.small || self.higher || now.suspicious);
        let by_growth = !in_time && self.has_grown(now);
        if in_time || by_growth {
            (self.since_ms, self.requests, self.by_growth) = (ms, requests, by_growth);
        }
        in_time || by_growth
    }

    /// Whether the next collection cannot wait, by the growth of the used size or by what the last collections have found.
    fn has_grown(&self, now: Now) -> bool {
        let cost_ms = (now.used_bytes as f64 * NS_PER_BYTE / 1e6 / FAST_SHARE) as u64;
        let growth = now.used_bytes.saturating_sub(now.live_bytes.max(self.most_bytes));
        let room = now.limit_bytes.saturating_sub(now.live_bytes) / GROWTH_PART;
        let least = GROWTH_BYTES.min(room.max(FAST_BYTES)) << self.garbage.min(16);
        let fast = (1..FAST_MOST).contains(&self.fast);
        !now.small
            && (fast || growth >= least)
            && now.ms >= self.since_ms.saturating_add(cost_ms.max(FAST_LEAST_MS))
            && now.requests >= self.requests.saturating_add(FAST_REQUESTS)
    }

    /// Whether the heap grows so fast that the search for its cause cannot wait for the verdict.
    pub fn is_fast(&self) -> bool {
        self.fast >= FAST_CERTAIN
    }

    fn collected(&mut self, now: Now) {
        let first = self.majors == 0;
        let higher = !first && now.live_bytes >= self.most_bytes.saturating_add(HIGHER_BYTES);
        let much = !first && now.live_bytes >= self.most_bytes.saturating_add(FAST_BYTES);
        let most_bytes = self.most_bytes.max(now.live_bytes);
        *self = Self {
            majors: now.majors,
            since_ms: now.ms,
            requests: now.requests,
            most_bytes,
            higher,
            fast: if much { self.fast + 1 } else { 0 },
            garbage: if higher { 0 } else { self.garbage + u32::from(self.by_growth) },
            by_growth: false,
        };
    }

    fn interval_ms(&self, now: Now) -> u64 {
        let (share, least) = match (now.suspicious, self.higher) {
            (true, _) => (SUSPICIOUS_SHARE, SUSPICIOUS_LEAST_MS),
            (false, true) => (GROWING_SHARE, GROWING_LEAST_MS),
            (false, false) if now.majors < growth::MIN_POINTS as u64 => (GROWING_SHARE, LEARNING_LEAST_MS),
            (false, false) => (SHARE, LEAST_MS),
        };
        let cost_ms = now.used_bytes as f64 * NS_PER_BYTE / 1e6;
        ((cost_ms / share) as u64).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A server under load, sampled four times a second.
    #[derive(Clone, Copy)]
    struct Server {
        live_bytes: u64,
        suspicious: bool,
        requests_per_s: u64,
        /// Interval at which V8 collects by itself.
        own_ms: u64,
        small: bool,
        /// Bytes that each request retains.
        kept: u64,
        /// Garbage that comes into the old generation within 250 ms, bytes.
        garbage: u64,
    }

    const NEVER: u64 = u64::MAX;

    impl Server {
        const fn of(mib: u64) -> Self {
            Self {
                live_bytes: mib * MIB,
                suspicious: false,
                requests_per_s: 1000,
                own_ms: NEVER,
                small: false,
                kept: 0,
                garbage: 0,
            }
        }

        /// How often it is asked in an hour.
        fn asked(self) -> usize {
            self.asked_within(3_600_000)
        }

        fn asked_within(self, end_ms: u64) -> usize {
            let mut cadence = GcSchedule::default();
            let mut asked = 0;
            let mut found = self.live_bytes;
            let (mut majors, mut collected) = (0, 0);
            for ms in (0..end_ms).step_by(250) {
                let requests = ms * self.requests_per_s / 1000;
                let live_bytes = self.live_bytes + requests * self.kept;
                let now_majors = asked as u64 + ms / self.own_ms;
                if now_majors != majors {
                    (majors, found, collected) = (now_majors, live_bytes, ms);
                }
                let Self { suspicious, small, .. } = self;
                let used_bytes = live_bytes + self.garbage * ((ms - collected) / 250);
                let limit_bytes = 2048 * MIB;
                let now = Now { ms, majors, requests, used_bytes, live_bytes: found, limit_bytes, suspicious, small };
                asked += usize::from(cadence.due(now));
            }
            asked
        }
    }

    #[test]
    fn the_larger_the_heap_the_rarer_and_more_often_where_something_is_suspicious() {
        let ten = Server::of(10).asked();
        assert!((178..=188).contains(&ten), "{ten}");
        let growing = Server { kept: 50, ..Server::of(1) }.asked_within(600_000);
        assert!((100..=120).contains(&growing), "{growing}");
        let [hundred, thousand] = [100, 1000].map(|mib| Server::of(mib).asked());
        assert!((110..=122).contains(&hundred) && (10..=17).contains(&thousand), "{hundred} {thousand}");
        let spent = |asked: usize, mib: u64| asked as f64 * (mib * MIB) as f64 * NS_PER_BYTE / 3.6e12;
        assert!(spent(hundred, 100) <= 1.1 * SHARE && spent(thousand, 1000) <= GROWING_SHARE);
        let suspicious = Server { suspicious: true, ..Server::of(100) }.asked();
        assert!(suspicious > 3 * hundred && spent(suspicious, 100) <= SUSPICIOUS_SHARE);
    }

    #[test]
    fn a_server_that_collects_by_itself_or_has_no_requests_is_not_asked() {
        assert_eq!(Server { own_ms: 10_000, ..Server::of(100) }.asked(), 0);
        let learning = Server { own_ms: 20_000, ..Server::of(10) }.asked();
        assert!((1..=6).contains(&learning), "{learning}: until there are ten points");
        assert_eq!(Server { requests_per_s: 0, ..Server::of(100) }.asked(), 0);
        // At one request a second it is asked after the warm-up, whenever there are enough requests.
        assert!((8..=9).contains(&Server { requests_per_s: 1, ..Server::of(10) }.asked()));
    }

    #[test]
    fn a_heap_that_grows_fast_is_asked_before_it_is_large() {
        // 31 KB for each request, at 100 requests a second; V8 collects it every ten seconds.
        let leaking = Server { kept: 31_000, requests_per_s: 100, own_ms: 10_000, ..Server::of(30) };
        let within_45_s = leaking.asked_within(45_000);
        assert!(within_45_s >= 24, "{within_45_s}: a verdict needs some thirty collections");
        // It has an end, whatever is found.
        let per_hour = leaking.asked();
        assert!(per_hour < 1200, "{per_hour}");
    }

    #[test]
    fn garbage_that_grows_fast_is_asked_for_ever_more_rarely() {
        let churning = Server { garbage: 2 * MIB, own_ms: 60_000, ..Server::of(100) };
        let quiet = Server { own_ms: 60_000, ..Server::of(100) };
        let (churning, quiet) = (churning.asked(), quiet.asked());
        assert!(churning <= quiet + 8, "{churning} and {quiet}");
    }

    #[test]
    fn a_small_heap_is_asked_only_while_it_grows() {
        let small = Server { small: true, own_ms: 300_000, ..Server::of(20) };
        assert_eq!(small.asked(), 0);
        assert_eq!(Server { own_ms: NEVER, ..small }.asked(), 0);
        // From the second collection by V8 itself on.
        let leaking = Server { kept: 50, ..small };
        assert_eq!(leaking.asked_within(590_000), 0);
        let asked = leaking.asked_within(1_200_000);
        assert!((20..=60).contains(&asked), "{asked}");
        assert!(Server { suspicious: true, ..small }.asked() > 250);
    }
}
