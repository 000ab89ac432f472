//! Which request allocated each sample of V8's sampling heap profiler.
//!
//! V8 numbers its samples in order of time. The counter is read at each switch between spans: the samples since the
//! last switch belong to the request that ran until now. A request is identified by its route once that is known, at
//! its end at the latest. Samples that no request's code allocated have no owner. The owner is unknown for allocations
//! while asynchronous spans were not metered, and for what the bounds below left out.

use std::collections::{HashMap, VecDeque};

use super::Handle;
use crate::probe::v8::sample_counter::SampleCounter;

/// Switches with new samples that are remembered until a profile is read. Each takes 16 bytes.
const MOST_RUNS: usize = 1 << 17;
/// Ended requests whose route is remembered, for code of theirs that still runs.
const MOST_ENDED: usize = 1 << 14;
/// Ended requests with samples that are remembered until a profile is read.
const MOST_SAMPLED: usize = 1 << 16;

/// A route: method and label, as the ledger numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId {
    pub method: u8,
    pub label: u16,
}

/// The owner of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    Route(RouteId),
    /// A request in flight, whose route may not be known yet.
    Request(Handle),
    /// No request's code was running.
    Nobody,
    /// Unknown.
    Unknown,
}

/// The samples up to this number, from the one after the run before.
#[derive(Clone, Copy, Debug)]
struct Run {
    upto: u64,
    owner: Owner,
}

/// The owners of the samples of one profiling session.
pub struct SampleOwners {
    counter: SampleCounter,
    last: u64,
    runs: VecDeque<Run>,
    /// Samples up to this number were forgotten.
    forgotten: u64,
    /// Requests that have ended, the oldest first.
    order: VecDeque<Handle>,
    ended: HashMap<Handle, RouteId>,
    /// Requests with samples that were in flight then, and have ended since.
    sampled: HashMap<Handle, Option<RouteId>>,
    /// Owners of the samples that were alive at the last profile.
    alive: HashMap<u64, Owner>,
    /// Why owners are unknown from now on.
    failure: Option<&'static str>,
}

impl SampleOwners {
    pub fn new(counter: SampleCounter) -> Self {
        let last = counter.read().unwrap_or(0);
        Self {
            counter,
            last,
            runs: VecDeque::new(),
            forgotten: last,
            order: VecDeque::new(),
            ended: HashMap::new(),
            sampled: HashMap::new(),
            alive: HashMap::new(),
            failure: None,
        }
    }

    /// The span of `handle` ran until now, 0 for none. `metered`: whether all code of requests runs in spans.
    pub fn pass(&mut self, handle: Handle, metered: bool) {
        match self.counter.read() {
            Some(now) => self.passed(now, handle, metered),
            None => self.failure = Some("other code stopped the sampling heap profiler"),
        }
    }

    fn passed(&mut self, now: u64, handle: Handle, metered: bool) {
        if now == self.last {
            return;
        }
        if now < self.last {
            self.failure = Some("V8's counter of samples went back");
            return;
        }
        self.last = now;
        let owner = match (handle, self.ended.get(&handle)) {
            _ if !metered => Owner::Unknown,
            (0, _) => Owner::Nobody,
            (_, Some(route)) => Owner::Route(*route),
            _ => {
                if self.sampled.len() < MOST_SAMPLED {
                    self.sampled.entry(handle).or_insert(None);
                }
                Owner::Request(handle)
            }
        };
        match self.runs.back_mut() {
            Some(run) if run.owner == owner => run.upto = now,
            _ => self.runs.push_back(Run { upto: now, owner }),
        }
        if self.runs.len() > MOST_RUNS
            && let Some(run) = self.runs.pop_front()
        {
            self.forgotten = run.upto;
        }
    }

    /// A request has ended.
    pub fn end(&mut self, handle: Handle, route: RouteId) {
        if let Some(known) = self.sampled.get_mut(&handle) {
            *known = Some(route);
        }
        if self.ended.insert(handle, route).is_some() {
            return;
        }
        self.order.push_back(handle);
        if self.order.len() > MOST_ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// The owner of each sample of a profile that was read just now: all that are alive. Drops the others.
    ///
    /// # Errors
    /// The counter does not fit the profile, or the profiler was stopped. There are no owners in this session any more.
    pub fn of_profile(&mut self, samples: &[u64]) -> Result<Vec<Owner>, &'static str> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let greatest = samples.iter().copied().max().unwrap_or(0);
        if self.counter.read().is_none_or(|now| now < greatest) {
            self.failure = Some("V8's counter of samples does not fit its profile");
            return Err("V8's counter of samples does not fit its profile");
        }
        Ok(self.look_up(samples))
    }

    fn look_up(&mut self, samples: &[u64]) -> Vec<Owner> {
        let owners: Vec<Owner> = samples.iter().map(|sample| self.resolved(self.found(*sample))).collect();
        self.alive = samples.iter().copied().zip(owners.iter().copied()).collect();
        if let Some(run) = self.runs.back() {
            self.forgotten = run.upto;
        }
        self.runs.clear();
        let in_flight: HashMap<Handle, Option<RouteId>> = owners
            .iter()
            .filter_map(|owner| if let Owner::Request(handle) = owner { Some((*handle, None)) } else { None })
            .collect();
        self.sampled = in_flight;
        owners
    }

    fn found(&self, sample: u64) -> Owner {
        if let Some(owner) = self.alive.get(&sample) {
            return *owner;
        }
        if sample <= self.forgotten {
            return Owner::Unknown;
        }
        let run = self.runs.partition_point(|run| run.upto < sample);
        self.runs.get(run).map_or(Owner::Unknown, |run| run.owner)
    }

    fn resolved(&self, owner: Owner) -> Owner {
        let Owner::Request(handle) = owner else { return owner };
        let route = self.sampled.get(&handle).copied().flatten().or_else(|| self.ended.get(&handle).copied());
        route.map_or(owner, Owner::Route)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::probe::v8::sample_counter::tests::Fake;

    const USERS: RouteId = RouteId { method: 0, label: 1 };
    const ORDERS: RouteId = RouteId { method: 1, label: 2 };

    fn session() -> (Fake, SampleOwners) {
        let (fake, counter) = Fake::started();
        (fake, SampleOwners::new(counter))
    }

    #[test]
    fn a_sample_belongs_to_the_request_that_ran_and_then_to_its_route() {
        let (mut fake, mut owners) = session();
        let mut run = |owners: &mut SampleOwners, upto, handle, metered| {
            fake.set(upto);
            owners.pass(handle, metered);
        };
        run(&mut owners, 3, 7, true);
        run(&mut owners, 5, 9, true);
        run(&mut owners, 6, 7, true);
        run(&mut owners, 8, 0, true);
        run(&mut owners, 9, 7, false);
        owners.end(7, USERS);
        // Code of a request that runs after its end.
        run(&mut owners, 12, 7, true);
        let of = owners.of_profile(&[1, 3, 4, 6, 8, 9, 12]).unwrap();
        let (users, unknown) = (Owner::Route(USERS), Owner::Unknown);
        assert_eq!(of, [users, users, Owner::Request(9), users, Owner::Nobody, unknown, users]);
        owners.end(9, ORDERS);
        assert_eq!(
            owners.of_profile(&[4, 12]).unwrap(),
            [Owner::Route(ORDERS), users],
            "known from the profile before"
        );
        assert_eq!(owners.of_profile(&[3]).unwrap(), [unknown], "it was not alive then");
    }

    #[test]
    fn there_are_no_owners_where_the_counter_does_not_fit() {
        let (mut fake, mut owners) = session();
        fake.set(5);
        owners.pass(1, true);
        assert!(owners.of_profile(&[6]).unwrap_err().contains("does not fit"));
        assert!(owners.of_profile(&[5]).is_err(), "nor later in the session");
        let (mut fake, mut owners) = session();
        fake.set(5);
        owners.pass(1, true);
        fake.set(4);
        owners.pass(1, true);
        assert!(owners.of_profile(&[1]).unwrap_err().contains("went back"));
        let (mut fake, mut owners) = session();
        fake.stop();
        owners.pass(1, true);
        assert!(owners.of_profile(&[]).unwrap_err().contains("other code stopped"));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut fake, mut owners) = session();
        for request in 1..=3 * MOST_RUNS as u32 {
            fake.set(u64::from(request));
            owners.pass(request, true);
            owners.end(request, USERS);
        }
        assert!(
            owners.runs.len() <= MOST_RUNS && owners.ended.len() <= MOST_ENDED && owners.sampled.len() <= MOST_SAMPLED
        );
        let last = 3 * MOST_RUNS as u64;
        let of = owners.of_profile(&[1, last]).unwrap();
        assert_eq!(of, [Owner::Unknown, Owner::Route(USERS)], "what was forgotten is unknown");
    }

    proptest! {
        /// Against a table that has the owner of each sample.
        #[test]
        fn owners_are_those_of_a_plain_table(
            steps in prop::collection::vec((0u32..6, 0u64..4, any::<bool>(), prop::bool::weighted(0.2)), 1..120),
            alive in prop::collection::vec(any::<bool>(), 400)
        ) {
            let (mut fake, mut owners) = session();
            let mut table: BTreeMap<u64, Option<u32>> = BTreeMap::new();
            let mut ended: HashMap<u32, RouteId> = HashMap::new();
            let mut now = 0;
            for (handle, samples, metered, ends) in steps {
                for sample in now + 1..=now + samples {
                    table.insert(sample, metered.then_some(handle));
                }
                now += samples;
                fake.set(now);
                owners.pass(handle, metered);
                if ends && handle != 0 {
                    let route = RouteId { method: 0, label: handle as u16 };
                    owners.end(handle, route);
                    ended.insert(handle, route);
                }
            }
            let samples: Vec<u64> = table.keys().copied().filter(|sample| alive[*sample as usize % alive.len()]).collect();
            let expected: Vec<Owner> = samples
                .iter()
                .map(|sample| match table[sample] {
                    None => Owner::Unknown,
                    Some(0) => Owner::Nobody,
                    Some(handle) => ended.get(&handle).map_or(Owner::Request(handle), |route| Owner::Route(*route)),
                })
                .collect();
            prop_assert_eq!(owners.of_profile(&samples).unwrap(), expected.clone());
            // The same again, from what the profile before has shown.
            prop_assert_eq!(owners.of_profile(&samples).unwrap(), expected);
        }
    }
}
