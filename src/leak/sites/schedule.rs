//! Decides when allocation sites are searched. Sampling is cheap, but a profile blocks the event loop for some
//! milliseconds. If V8 makes a full collection for it (as the inspector does), that is 12 to 40 ms in a small heap, and
//! more in a large one.
//!
//! So profiles are taken in sessions, while the trend is suspicious, each after a major collection. There are never two
//! in a second, they take a small share of the time, and after a session there is a pause.

use super::MOST_PROFILES;
use crate::leak::backoff::Backoff;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    None,
    /// Begin to sample all allocations.
    Start,
    /// Take a profile that shows callers, and sample the live heap from now on.
    Callers,
    Profile,
    Stop,
}

/// The input of the schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation {
    /// Monotonic clock.
    pub now_ms: u64,
    /// The trend of the heap is suspicious or worse.
    pub suspicious: bool,
    /// It grows so fast that there is no time for a long profile of callers.
    pub fast: bool,
    /// Major collections so far that are points of the trend. The first ones do not count, nor those after hardly any
    /// requests.
    pub majors: u64,
    pub requests: u64,
}

/// Least time between profiles: at 40 ms each that is 4 % of a core. …
const BETWEEN_MS: u64 = 1000;
/// … And at least this many times what the last one took, so that the share is no larger with a large heap.
const BETWEEN_TIMES: u64 = 25;
/// Longest session. If collections are rare, a session has few profiles.
const LONGEST_MS: u64 = 60 * 60_000;
/// All allocations are sampled for this many requests, and at most for this time: samples of dead objects are retained
/// too.
const CALLERS_REQUESTS: u64 = 1000;
const CALLERS_MS: u64 = 30_000;
const FAST_CALLERS_MS: u64 = 2_000;
/// A young leak's trend may look harmless for a while. A session ends after this time and this many collections of it.
const CALM_MS: u64 = 60_000;
const CALM_MAJORS: u64 = 3;
/// While the owner of the growth is not certain: where metering is rare, few samples have one.
const MOST_PENDING: usize = 4 * MOST_PROFILES;
/// Usually enough to be sure. The session continues if these were not.
const ENOUGH_PROFILES: usize = 20;

/// Since when the trend has looked harmless.
#[derive(Clone, Copy, Debug, Default)]
struct Calm {
    since_ms: u64,
    majors: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sampling {
    since_ms: u64,
    profile_ms: u64,
    majors: u64,
    requests: u64,
    profiles: usize,
    callers: bool,
    /// Time until the next profile.
    between_ms: u64,
}

#[derive(Debug, Default)]
pub struct ProfilingSchedule {
    sampling: Option<Sampling>,
    calm: Calm,
    /// Between sessions for the same growth.
    rest: Backoff,
}

impl ProfilingSchedule {
    pub fn is_on(&self) -> bool {
        self.sampling.is_some()
    }

    /// Whether the growth of the session is over.
    pub fn is_calm(&mut self, now: &Situation) -> bool {
        if now.suspicious {
            self.calm = Calm { since_ms: now.now_ms, majors: now.majors };
        }
        now.now_ms >= self.calm.since_ms + CALM_MS && now.majors >= self.calm.majors + CALM_MAJORS
    }

    /// `found`: whether the allocation sites are known well enough. `pending`: whether their owners are not.
    pub fn step(&mut self, now: Situation, found: bool, pending: bool) -> Step {
        let Situation { now_ms, suspicious, fast, majors, requests } = now;
        let calm = self.is_calm(&now);
        let Some(sampling) = &mut self.sampling else {
            if !suspicious || !self.rest.is_over(now_ms) {
                return Step::None;
            }
            self.sampling = Some(Sampling {
                since_ms: now_ms,
                profile_ms: now_ms,
                majors,
                requests,
                profiles: 0,
                callers: false,
                between_ms: BETWEEN_MS,
            });
            return Step::Start;
        };
        let over = now_ms >= sampling.since_ms + LONGEST_MS
            || sampling.profiles >= if pending { MOST_PENDING } else { MOST_PROFILES }
            || found && sampling.profiles >= ENOUGH_PROFILES
            // The trend was noise, so the profiles so far are worthless.
            || calm;
        if over {
            self.rest(now_ms);
            return Step::Stop;
        }
        if !sampling.callers {
            if requests < sampling.requests + CALLERS_REQUESTS
                && now_ms < sampling.since_ms + if fast { FAST_CALLERS_MS } else { CALLERS_MS }
            {
                return Step::None;
            }
            *sampling = Sampling { profile_ms: now_ms, majors, requests, callers: true, ..*sampling };
            return Step::Callers;
        }
        let due = majors > sampling.majors && requests > sampling.requests;
        if !due || now_ms < sampling.profile_ms + sampling.between_ms {
            return Step::None;
        }
        *sampling = Sampling { profile_ms: now_ms, majors, requests, profiles: sampling.profiles + 1, ..*sampling };
        Step::Profile
    }

    /// There is another leak. It does not wait for the pauses of earlier ones.
    pub fn renew(&mut self) {
        if self.is_on() {
            // The pause belongs to the new leak.
            self.rest = Backoff::default();
        } else {
            self.rest.shorten();
        }
    }

    /// CPU time of a profile.
    pub fn took(&mut self, ms: f64) {
        if let Some(sampling) = &mut self.sampling {
            sampling.between_ms = (ms.clamp(0.0, 1e6) as u64 * BETWEEN_TIMES).max(BETWEEN_MS);
        }
    }

    /// The session could not begin or continue: another profiler uses the sampler.
    pub fn fail(&mut self, now_ms: u64) {
        if self.sampling.is_some() {
            self.rest(now_ms);
        }
    }

    fn rest(&mut self, now_ms: u64) {
        self.sampling = None;
        self.rest.begin(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leak::backoff::{FIRST_MS as REST_MS, LONGEST_MS as LONGEST_REST_MS};

    /// Steps of a server that collects every `major_ms`, sampled four times a second for `for_ms`.
    fn run(
        schedule: &mut ProfilingSchedule,
        from_ms: u64,
        for_ms: u64,
        major_ms: u64,
        suspicious: bool,
        found: bool,
    ) -> Vec<(u64, Step)> {
        let situation =
            |now_ms| Situation { now_ms, suspicious, fast: false, majors: now_ms / major_ms, requests: now_ms };
        let times = (from_ms..from_ms + for_ms).step_by(250);
        times
            .map(|now| (now, schedule.step(situation(now), found, false)))
            .filter(|(_, step)| *step != Step::None)
            .collect()
    }

    #[test]
    fn nothing_runs_while_nothing_is_suspicious() {
        assert_eq!(run(&mut ProfilingSchedule::default(), 0, 3_600_000, 1000, false, false), []);
    }

    #[test]
    fn profiles_come_after_collections_and_never_two_in_a_second() {
        let mut schedule = ProfilingSchedule::default();
        let steps = run(&mut schedule, 0, 600_000, 300, true, true);
        assert_eq!(steps[..2], [(0, Step::Start), (CALLERS_REQUESTS, Step::Callers)]);
        let profiles: Vec<u64> = steps.iter().filter(|(_, step)| *step == Step::Profile).map(|(at, _)| *at).collect();
        assert_eq!(profiles.len(), ENOUGH_PROFILES);
        assert!(profiles.windows(2).all(|pair| pair[1] - pair[0] >= BETWEEN_MS));
        assert_eq!(steps.last().unwrap().1, Step::Stop);
        assert!(!schedule.is_on());
        // With a collection every two minutes there are as many profiles.
        let steps = run(&mut ProfilingSchedule::default(), 0, 50 * 60_000, 120_000, true, true);
        assert_eq!(steps.iter().filter(|(_, step)| *step == Step::Profile).count(), ENOUGH_PROFILES);
    }

    #[test]
    fn it_is_bounded_where_it_finds_nothing_and_rests_longer_each_time() {
        let mut schedule = ProfilingSchedule::default();
        let steps = run(&mut schedule, 0, 48 * 3_600_000, 5000, true, false);
        let starts: Vec<u64> = steps.iter().filter(|(_, step)| *step == Step::Start).map(|(at, _)| *at).collect();
        let stops: Vec<u64> = steps.iter().filter(|(_, step)| *step == Step::Stop).map(|(at, _)| *at).collect();
        let rests: Vec<u64> = starts[1..].iter().zip(&stops).map(|(start, stop)| start - stop).collect();
        assert!(starts.iter().zip(&stops).all(|(start, stop)| stop - start <= LONGEST_MS));
        assert_eq!(rests[..3], [REST_MS, 2 * REST_MS, 4 * REST_MS]);
        assert_eq!(rests.last(), Some(&LONGEST_REST_MS));
        // Another leak begins. It waits as long as the first one did.
        let stopped = *stops.last().unwrap();
        schedule.renew();
        let steps = run(&mut schedule, stopped + 250, LONGEST_REST_MS, 5000, true, false);
        assert_eq!(steps[0], (stopped + REST_MS, Step::Start));
    }

    #[test]
    fn profiles_take_a_small_part_of_the_time_however_large_the_heap() {
        let mut schedule = ProfilingSchedule::default();
        let mut times = Vec::new();
        for now in (0..600_000).step_by(250) {
            let situation = Situation { now_ms: now, suspicious: true, fast: false, majors: now / 300, requests: now };
            if schedule.step(situation, false, false) == Step::Profile {
                times.push(now);
                schedule.took(200.0);
            }
        }
        assert!(times.len() > 50 && times.windows(2).all(|pair| pair[1] - pair[0] >= 25 * 200), "{times:?}");
    }

    #[test]
    fn it_ends_when_the_suspicion_has_gone_for_good_and_where_the_sampler_is_taken() {
        let mut schedule = ProfilingSchedule::default();
        run(&mut schedule, 0, 5000, 5000, true, false);
        let steps = run(&mut schedule, 5000, CALM_MS - 1000, 5000, false, false);
        assert!(steps.iter().all(|(_, step)| *step == Step::Profile), "{steps:?}");
        run(&mut schedule, CALM_MS + 4000, 250, 5000, true, false);
        let steps = run(&mut schedule, CALM_MS + 4250, 2 * CALM_MS, 5000, false, false);
        assert_eq!(steps.last(), Some(&(2 * CALM_MS + 4000, Step::Stop)));
        // If collections are rare, the session is over when three have shown no growth.
        let mut schedule = ProfilingSchedule::default();
        run(&mut schedule, 0, 250, 100_000, true, false);
        let steps = run(&mut schedule, 250, 400_000, 100_000, false, false);
        assert_eq!(steps.last(), Some(&(300_000, Step::Stop)), "{steps:?}");
        let mut schedule = ProfilingSchedule::default();
        run(&mut schedule, 0, 250, 300, true, false);
        schedule.fail(250);
        assert_eq!(run(&mut schedule, 500, 60_000, 300, true, false), []);
    }
}
