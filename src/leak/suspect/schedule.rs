//! Decides when the two heap snapshots of a leak are taken. Each costs the server a fork, and a child process that is
//! busy for seconds or minutes. So there are two for each confirmed leak, with enough growth between them to stand out.
//! After that there are more only if one failed.

use crate::leak::backoff::Backoff;

/// The input of the schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation {
    /// Monotonic clock.
    pub now_ms: u64,
    /// The trend of the heap is a leak.
    pub leaking: bool,
    /// Allocation sites are being searched. Only one of the two is done at a time.
    pub searching: bool,
    /// Major collections so far that are points of the trend. The first ones do not count, nor those after hardly any
    /// requests.
    pub majors: u64,
    pub requests: u64,
    /// Slope of the trend.
    pub bytes_per_request: f64,
    /// Live heap.
    pub live_bytes: u64,
}

/// Growth between the two snapshots, so that the leak exceeds what comes and goes with a request or a cache: bytes, …
const GROWN_BYTES: f64 = 1024.0 * 1024.0;
/// … a share of the live heap, …
const GROWN_SHARE: f64 = 0.02;
/// … and requests.
const GROWN_REQUESTS: u64 = 1000;
/// A leak that has not grown enough by then will not, and the file takes space.
const LONGEST_MS: u64 = 24 * 60 * 60_000;
/// For one leak.
const MOST_ATTEMPTS: u32 = 5;

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    /// A snapshot is being taken: the first, or the second after this one.
    Taking(Option<Situation>),
    /// The first was taken.
    Between(Situation),
    /// They are being compared.
    Comparing,
    /// All that can be known of this leak is known.
    Done,
}

/// What a finished snapshot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    First,
    Second,
    /// No leak waits for it any more.
    Late,
}

#[derive(Debug, Default)]
pub struct SnapshotSchedule {
    state: State,
    attempts: u32,
    /// Between attempts for the same leak.
    rest: Backoff,
}

impl SnapshotSchedule {
    /// Whether a step may change anything although nothing leaks.
    pub fn is_on(&self) -> bool {
        self.attempts > 0
    }

    /// Whether the first snapshot is still useful.
    pub fn waits(&self) -> bool {
        matches!(self.state, State::Taking(Some(_)) | State::Between(_))
    }

    /// There is another leak. It has snapshots of its own, and does not wait for the pauses of earlier ones.
    pub fn renew(&mut self) {
        self.rest.shorten();
        *self = Self { rest: self.rest, ..Self::default() };
    }

    /// True if a snapshot is to be taken now.
    pub fn step(&mut self, now: Situation) -> bool {
        match self.state {
            State::Idle if !now.leaking => self.attempts = 0,
            State::Idle if !now.searching && self.rest.is_over(now.now_ms) && self.attempts < MOST_ATTEMPTS => {
                self.attempts += 1;
                self.state = State::Taking(None);
                return true;
            }
            State::Between(_) | State::Done if !now.leaking => self.rest(now.now_ms),
            State::Between(first) if now.now_ms >= first.now_ms + LONGEST_MS => self.rest(now.now_ms),
            State::Between(first) if has_grown(&first, &now) => {
                self.state = State::Taking(Some(first));
                return true;
            }
            _ => {}
        }
        false
    }

    /// A snapshot of this moment was taken.
    pub fn taken(&mut self, at: Situation) -> Taken {
        match self.state {
            State::Taking(None) => {
                self.state = State::Between(at);
                Taken::First
            }
            State::Taking(Some(_)) => {
                self.state = State::Comparing;
                Taken::Second
            }
            _ => Taken::Late,
        }
    }

    /// They were compared, and show the leak's class.
    pub fn compared(&mut self) {
        self.state = State::Done;
    }

    /// A snapshot could not be taken, or the two could not be compared, or do not show the class.
    pub fn fail(&mut self, now_ms: u64) {
        self.rest(now_ms);
    }

    fn rest(&mut self, now_ms: u64) {
        self.state = State::Idle;
        self.rest.begin(now_ms);
    }
}

/// By the slope, because the live heap fluctuates.
fn has_grown(first: &Situation, now: &Situation) -> bool {
    let requests = now.requests.saturating_sub(first.requests);
    let grown = now.bytes_per_request * requests as f64;
    let enough = GROWN_BYTES.max(GROWN_SHARE * now.live_bytes as f64);
    now.majors > first.majors && requests >= GROWN_REQUESTS && grown >= enough
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::backoff::FIRST_MS as REST_MS;

    const MIB: u64 = 1024 * 1024;

    /// A server that leaks a kilobyte a request and serves a hundred a second, `seconds` after its start.
    fn at(seconds: u64) -> Situation {
        Situation {
            now_ms: seconds * 1000,
            leaking: true,
            searching: false,
            majors: seconds / 10,
            requests: seconds * 100,
            bytes_per_request: 1e3,
            live_bytes: 50 * MIB,
        }
    }

    /// When snapshots were due.
    fn steps(pair: &mut SnapshotSchedule, from: u64, to: u64, situation: impl Fn(u64) -> Situation) -> Vec<u64> {
        (from..to).filter(|now| pair.step(situation(*now))).collect()
    }

    #[test]
    fn no_snapshot_is_taken_without_a_leak_or_while_allocation_sites_are_searched() {
        let mut pair = SnapshotSchedule::default();
        let healthy = |now| Situation { leaking: false, ..at(now) };
        assert!(steps(&mut pair, 0, 100_000, healthy).is_empty());
        assert!(!pair.is_on());
        assert!(steps(&mut pair, 0, 100_000, |now| Situation { searching: true, ..at(now) }).is_empty());
    }

    #[test]
    fn the_second_is_taken_when_enough_has_grown_and_then_no_more() {
        let mut pair = SnapshotSchedule::default();
        assert_eq!(steps(&mut pair, 100, 200, at), [100]);
        assert_eq!(pair.taken(at(105)), Taken::First);
        assert!(pair.waits());
        // A MiB at 100 kB a second.
        assert_eq!(steps(&mut pair, 105, 300, at), [116]);
        assert_eq!(pair.taken(at(120)), Taken::Second);
        pair.compared();
        assert!(steps(&mut pair, 120, 200_000, at).is_empty());
        assert_eq!(pair.taken(at(200_000)), Taken::Late);
    }

    #[test]
    fn a_large_heap_or_a_slow_leak_waits_longer_and_no_collection_for_ever() {
        let second = |situation: &dyn Fn(u64) -> Situation| {
            let mut pair = SnapshotSchedule::default();
            assert!(pair.step(situation(0)));
            pair.taken(situation(0));
            steps(&mut pair, 0, 10_000, situation)
        };
        assert_eq!(second(&|now| Situation { live_bytes: 1000 * MIB, ..at(now) }), [210]);
        assert_eq!(second(&|now| Situation { bytes_per_request: 50.0, ..at(now) }), [210]);
        assert_eq!(second(&|now| Situation { bytes_per_request: 50e3, ..at(now) }), [10]);
        assert!(second(&|now| Situation { majors: 3, ..at(now) }).is_empty());
    }

    #[test]
    fn what_failed_is_tried_again_later_each_time_and_not_for_ever() {
        let mut pair = SnapshotSchedule::default();
        let mut asked = Vec::new();
        for now in 0..1_000_000 {
            if pair.step(at(now)) {
                asked.push(now * 1000);
                pair.fail(now * 1000);
            }
        }
        let rests: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(rests, [REST_MS, 2 * REST_MS, 4 * REST_MS, 8 * REST_MS]);
        // Another leak has its own attempts.
        pair.step(Situation { leaking: false, ..at(1_000_000) });
        assert!(pair.step(at(1_000_001)));
        pair.fail(1_000_001_000);
        // It begins with the pause of the first one.
        pair.renew();
        let rest = REST_MS / 1000;
        assert_eq!(steps(&mut pair, 1_000_002, 1_010_000, at), [1_000_001 + rest]);
    }

    #[test]
    fn snapshots_of_one_leak_are_none_of_the_next_one() {
        let mut pair = SnapshotSchedule::default();
        let taken = |pair: &mut SnapshotSchedule, now| (pair.step(at(now)), pair.taken(at(now)));
        assert_eq!(taken(&mut pair, 100), (true, Taken::First));
        pair.renew();
        assert!(!pair.waits());
        // It is the first snapshot of the next leak, not the second of the last.
        assert_eq!(taken(&mut pair, 200), (true, Taken::First));
        assert!(pair.step(at(300)));
        pair.renew();
        assert_eq!(pair.taken(at(310)), Taken::Late, "it was on its way");
        assert_eq!(taken(&mut pair, 400), (true, Taken::First));
    }

    #[test]
    fn a_leak_that_is_over_needs_no_second_one() {
        let mut pair = SnapshotSchedule::default();
        pair.step(at(0));
        pair.taken(at(0));
        assert!(!pair.step(Situation { leaking: false, ..at(100) }));
        assert!(!pair.waits());
        // Neither does a leak that hardly continues.
        let mut pair = SnapshotSchedule::default();
        pair.step(at(0));
        pair.taken(at(0));
        assert_eq!(steps(&mut pair, 1, 25 * 3600, |now| Situation { bytes_per_request: 1e-3, ..at(now) }), [87_000]);
        assert!(!pair.waits(), "it is the first of another pair");
    }
}
