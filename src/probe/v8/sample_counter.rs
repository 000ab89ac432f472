//! The number of the newest sample of V8's sampling heap profiler. V8 numbers its samples in order of time, and a
//! profile has the number of each sample that is alive. So reading the counter at each switch between requests shows
//! which request allocated a sample.
//!
//! The counter is a field of an internal object, for which V8 has no function. No offset is assumed:
//!
//! 1. `Isolate::GetHeapProfiler` returns the internal `HeapProfiler`. Of its first words exactly one is null before the
//!    profiler
//!    starts and a pointer afterwards. It points to the sampling profiler ([`Before::started`]).
//! 2. Of the first words of that object, exactly one is between the numbers that a profile shows, round by round
//!    ([`Trial`]).
//!    It is the third word on Node 20, 22, 24 and 26.
//!
//! Words are copied through a pipe: for an address that is not mapped, the kernel returns an error instead of a signal.
//! Once the field is known, it is read directly: V8 sets the pointer to null when it deletes the object, and both
//! happen on this thread.

use std::ffi::c_void;

/// The words of the `HeapProfiler` that are searched for the pointer, and those of the sampling profiler for the counter.
const PROFILER_WORDS: usize = 40;
const SAMPLER_WORDS: usize = 8;
/// A profile can lack the last samples before it: V8 has not finished the object, or it is dead already.
const MISSED: u64 = 2;
/// Rounds that must agree, and samples in each. Other counters (of nodes) grow more slowly.
const ROUNDS: u32 = 3;
const SAMPLES_PER_ROUND: u64 = 8;

/// Where the counter is, once verified: the same in each session of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Index of the word of the `HeapProfiler` that points to the sampling profiler.
    pointer: usize,
    /// Index of the counter among the words of the sampling profiler.
    counter: usize,
}

/// The words of the `HeapProfiler` before the sampling profiler starts.
pub struct Before {
    profiler: *const usize,
    words: [usize; PROFILER_WORDS],
}

/// The sampling profiler that is on, by where V8 keeps the pointer to it.
#[derive(Clone, Copy, Debug)]
struct Started {
    slot: *const usize,
    pointer: usize,
    sampler: usize,
}

/// Rounds of a trial in which the field is found.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    started: Started,
    /// One bit for each word that may be the counter.
    candidates: u8,
    before: [u64; SAMPLER_WORDS],
    first: [u64; SAMPLER_WORDS],
    rounds: u32,
}

/// Reads the counter of the sampling profiler that is on.
#[derive(Clone, Copy, Debug)]
pub struct SampleCounter {
    started: Started,
    counter: usize,
}

impl Before {
    /// None if the words cannot be read.
    ///
    /// # Safety
    /// `profiler` is V8's `HeapProfiler` of this thread's isolate.
    pub unsafe fn of(profiler: *const c_void) -> Option<Self> {
        let profiler = profiler.cast::<usize>();
        Some(Self { profiler, words: copied(profiler)? })
    }

    fn started(&self) -> Option<Started> {
        let after: [usize; PROFILER_WORDS] = copied(self.profiler)?;
        let mut set = (0..PROFILER_WORDS).filter(|at| self.words[*at] == 0 && is_pointer(after[*at]));
        let (pointer, None) = (set.next()?, set.next()) else { return None };
        Some(Started { slot: self.profiler.wrapping_add(pointer), pointer, sampler: after[pointer] })
    }

    /// Begins a trial of the profiler that has just started. None if its object cannot be identified.
    pub fn trial(&self) -> Option<Trial> {
        let started = self.started()?;
        Some(Trial { started, candidates: u8::MAX, before: [0; SAMPLER_WORDS], first: started.words()?, rounds: 0 })
    }

    /// Reads the counter of the profiler that has just started, if a trial has found the field. None if V8 has not
    /// behaved as in the trial.
    pub fn counter(&self, field: Field) -> Option<SampleCounter> {
        let started = self.started().filter(|started| started.pointer == field.pointer)?;
        started.words()?;
        Some(SampleCounter { started, counter: field.counter })
    }
}

impl Started {
    fn words(&self) -> Option<[u64; SAMPLER_WORDS]> {
        copied::<SAMPLER_WORDS>(self.sampler as *const usize).map(|words| words.map(|word| word as u64))
    }
}

impl Trial {
    /// Call this right before a profile is read, after allocations that are alive.
    pub fn begin_round(&mut self) {
        match self.started.words() {
            Some(words) => self.before = words,
            None => self.candidates = 0,
        }
    }

    /// `greatest`: the number of the newest sample in the profile that was read since. The counter was at most a little above it before,
    /// is at least that now, and has grown with each round.
    pub fn end_round(&mut self, greatest: u64) {
        let after = self.started.words().unwrap_or_default();
        self.rounds += 1;
        for (at, ((before, first), after)) in self.before.iter().zip(&self.first).zip(&after).enumerate() {
            let grown = before.wrapping_sub(*first);
            let fits = *before <= greatest.saturating_add(MISSED)
                && greatest <= *after
                && (SAMPLES_PER_ROUND..u64::from(u32::MAX)).contains(&grown);
            if !fits {
                self.candidates &= !(1 << at);
            }
        }
        self.first = self.before;
    }

    /// The only word that fits all rounds.
    pub fn field(&self) -> Option<Field> {
        let only = self.rounds >= ROUNDS && self.candidates.count_ones() == 1;
        only.then(|| Field { pointer: self.started.pointer, counter: self.candidates.trailing_zeros() as usize })
    }
}

impl SampleCounter {
    /// The number of the newest sample. None if the profiler was stopped.
    pub fn read(&self) -> Option<u64> {
        // SAFETY: `slot` is a word of the `HeapProfiler`, which lives as long as its isolate. This type is not `Send`,
        // so the thread is the isolate's, and no V8 code runs concurrently.
        let sampler = unsafe { self.started.slot.read_volatile() };
        if sampler != self.started.sampler {
            return None;
        }
        // SAFETY: the pointer is unchanged, so the object is alive. The word was read in `Before::counter`, and is
        // aligned like all its words.
        Some(unsafe { (sampler as *const u64).add(self.counter).read_volatile() })
    }
}

/// The search for the counter: once in a process, by a trial, and then its use in each session.
#[derive(Default)]
pub struct CounterSearch {
    trial: Option<Trial>,
    field: Option<Field>,
}

impl CounterSearch {
    /// A trial begins. `before`: the words at its start.
    pub fn begin(&mut self, before: Option<Before>) {
        (self.trial, self.field) = (before.and_then(|before| before.trial()), None);
    }

    /// Call this right before a profile of the trial is read.
    pub fn begin_round(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.begin_round();
        }
    }

    /// A profile of the trial was read. `greatest`: the number of its newest sample.
    /// Returns whether the counter is found.
    pub fn end_round(&mut self, greatest: u64) -> bool {
        if let Some(trial) = &mut self.trial {
            trial.end_round(greatest);
            self.field = trial.field();
        }
        self.field.is_some()
    }

    /// A session begins. `before`: the words at its start. None if the counter is unknown.
    pub fn counter(&self, before: Option<Before>) -> Option<SampleCounter> {
        before?.counter(self.field?)
    }
}

fn is_pointer(word: usize) -> bool {
    word > 0xffff && word.is_multiple_of(align_of::<usize>())
}

/// Words at an unverified address. None if they cannot be read.
#[cfg(unix)]
fn copied<const WORDS: usize>(from: *const usize) -> Option<[usize; WORDS]> {
    use std::io::Read;

    let bytes = size_of::<[usize; WORDS]>();
    let (mut reader, writer) = std::io::pipe().ok()?;
    // SAFETY: the kernel copies from the address and returns EFAULT for memory that is not mapped. The program itself
    // reads nothing there.
    let written = unsafe { libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), from.cast(), bytes) };
    if written != bytes as isize {
        return None;
    }
    let mut words = [0u8; 8 * PROFILER_WORDS];
    reader.read_exact(&mut words[..bytes]).ok()?;
    let mut of_bytes = words.chunks_exact(size_of::<usize>());
    Some(std::array::from_fn(|_| of_bytes.next().and_then(|word| word.try_into().ok()).map_or(0, usize::from_ne_bytes)))
}

#[cfg(not(unix))]
fn copied<const WORDS: usize>(_: *const usize) -> Option<[usize; WORDS]> {
    None
}

#[cfg(test)]
#[cfg(unix)]
pub mod tests {
    use super::*;

    /// A `HeapProfiler` and its sampling profiler, as V8 lays them out.
    pub struct Fake {
        profiler: Box<[usize; PROFILER_WORDS]>,
        sampler: Box<[u64; SAMPLER_WORDS]>,
    }

    impl Fake {
        /// A profiler that is on, and its counter.
        pub fn started() -> (Self, SampleCounter) {
            let mut fake = Self::new();
            let before = fake.before();
            fake.start();
            let counter = before.counter(Field { pointer: 9, counter: 2 }).unwrap();
            (fake, counter)
        }

        pub fn set(&mut self, samples: u64) {
            self.sampler[2] = samples;
        }

        pub fn stop(&mut self) {
            self.profiler[9] = 0;
        }

        fn new() -> Self {
            let mut profiler = Box::new([7; PROFILER_WORDS]);
            (profiler[9], profiler[13], profiler[20]) = (0, 0, 0);
            Self { profiler, sampler: Box::new([0x7f00_1234_5678, 0x7f00_8765_4320, 0, 0, 0, 9, 0, 1]) }
        }

        fn before(&self) -> Before {
            // SAFETY: the words of the fake, which is alive.
            unsafe { Before::of(self.profiler.as_ptr().cast()) }.unwrap()
        }

        fn start(&mut self) {
            self.profiler[9] = self.sampler.as_ptr() as usize;
        }

        /// A trial with `samples` a round, of which a profile misses `missed`.
        fn trial(&mut self, samples: u64, missed: u64) -> Option<Field> {
            let before = self.before();
            self.start();
            let mut trial = before.trial()?;
            for _ in 0..ROUNDS {
                self.sampler[2] += samples;
                self.sampler[3] += 1;
                trial.begin_round();
                let greatest = self.sampler[2].saturating_sub(missed);
                self.sampler[2] += 5;
                trial.end_round(greatest);
            }
            self.profiler[9] = 0;
            trial.field()
        }
    }

    #[test]
    fn finds_the_counter_and_reads_it_until_the_profiler_stops() {
        let mut fake = Fake::new();
        let field = fake.trial(32, 0).unwrap();
        assert_eq!(field, Field { pointer: 9, counter: 2 });
        let before = fake.before();
        fake.start();
        let counter = before.counter(field).unwrap();
        fake.sampler[2] = 77;
        assert_eq!(counter.read(), Some(77));
        fake.profiler[9] = 0;
        assert_eq!(counter.read(), None);
    }

    #[test]
    fn finds_nothing_where_the_layout_is_another() {
        assert_eq!(Fake::new().trial(2, 0), None, "too few samples to tell");
        assert_eq!(Fake::new().trial(32, 20), None, "a profile that lacks many");
        // A second word that counts the same way.
        let mut fake = Fake::new();
        let before = fake.before();
        fake.start();
        let mut trial = before.trial().unwrap();
        for round in 1..=u64::from(ROUNDS) {
            (fake.sampler[2], fake.sampler[6]) = (round * 20, round * 20 + 1);
            trial.begin_round();
            trial.end_round(round * 20);
        }
        assert_eq!(trial.field(), None);
        // Two words that became pointers, or none.
        let mut fake = Fake::new();
        let before = fake.before();
        assert!(before.trial().is_none());
        fake.start();
        fake.profiler[13] = fake.profiler[9];
        assert!(before.trial().is_none());
        // A pointer to nothing.
        let mut fake = Fake::new();
        let before = fake.before();
        fake.profiler[9] = 0x10_0000;
        assert!(before.trial().is_none());
        // In a session, another word than in the trial.
        let field = Fake::new().trial(32, 0).unwrap();
        let mut fake = Fake::new();
        let before = fake.before();
        fake.profiler[13] = fake.sampler.as_ptr() as usize;
        assert!(before.counter(field).is_none());
    }

    #[test]
    fn memory_that_is_not_mapped_is_not_read() {
        assert_eq!(copied::<8>(std::ptr::null()), None);
        assert_eq!(copied::<8>(0x10_0000 as *const usize), None);
        let words = [3usize; 8];
        assert_eq!(copied::<8>(words.as_ptr()), Some(words));
    }
}
