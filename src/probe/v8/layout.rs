//! Which word of V8's `HeapStatistics` contains each figure, and how that is verified.
//!
//! Node fills the object of `v8.getHeapStatistics()` from the same struct, with the offsets of its own V8's header. A
//! reading between two of these must lie between their values, which are mostly equal. So a field that was inserted,
//! removed or moved is detected at once. A figure that equals another one proves nothing: each must differ from all
//! others in some round, and those that allocations change must have changed.

use super::ProbeError;

/// Words of the buffer for `HeapStatistics`. V8 writes 14 to 16 of them, and newer versions append.
pub const STATISTICS_WORDS: usize = 64;
/// Rounds that must agree. In other rounds a collection or a compiler thread may have changed a figure in between.
const AGREEING: usize = 3;
/// `GCType`: scavenge, mark-sweep-compact, incremental marking, weak callbacks.
const GC_TYPES: [u32; 4] = [1, 4, 8, 16];

/// Figures of one isolate's heap, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HeapStatistics {
    pub total: u64,
    pub executable: u64,
    pub physical: u64,
    pub used: u64,
    pub limit: u64,
    pub malloced: u64,
    pub external: u64,
}

/// Names of the figures in `v8.getHeapStatistics()`, in the order of [`HeapStatistics::figures`].
const NAMES: [&str; 7] = [
    "total_heap_size",
    "total_physical_size",
    "total_heap_size_executable",
    "used_heap_size",
    "heap_size_limit",
    "malloced_memory",
    "external_memory",
];
/// The first two are equal where all pages are committed.
const TWINS: usize = 2;
/// Figures that the allocations of each round change.
const MOVING: [usize; 2] = [3, 6];

impl HeapStatistics {
    pub fn of_words(words: &[u64; STATISTICS_WORDS]) -> Self {
        let [total, executable, physical, _, used, limit, malloced, external, ..] = *words;
        Self { total, executable, physical, used, limit, malloced, external }
    }

    fn figures(&self) -> [u64; 7] {
        let Self { total, executable, physical, used, limit, malloced, external } = *self;
        [total, physical, executable, used, limit, malloced, external]
    }
}

/// A reading between two of Node's own.
#[derive(Clone, Debug)]
pub struct Round {
    pub before: HeapStatistics,
    pub read: HeapStatistics,
    pub after: HeapStatistics,
    /// All other figures of `v8.getHeapStatistics()`.
    pub others: Vec<u64>,
}

impl Round {
    fn bounds(&self) -> [(u64, u64); 7] {
        let after = self.after.figures();
        let mut bounds = self.before.figures().map(|before| (before, before));
        for ((low, high), after) in bounds.iter_mut().zip(after) {
            (*low, *high) = (after.min(*low), after.max(*high));
        }
        bounds
    }

    /// The first figure that was read wrong.
    fn wrong(&self) -> Option<usize> {
        let read = self.read.figures();
        self.bounds().iter().zip(read).position(|((low, high), read)| !(*low..=*high).contains(&read))
    }

    /// Whether a figure differs from all others. A figure of 0 needs no proof.
    fn distinguishes(&self, figure: usize) -> bool {
        let bounds = self.bounds();
        let (low, high) = bounds[figure];
        let twins = |other: usize| figure < TWINS && other < TWINS;
        let meets =
            |(other, (from, to)): (usize, &(u64, u64))| other != figure && !twins(other) && *from <= high && *to >= low;
        high == 0
            || !bounds.iter().enumerate().any(meets) && !self.others.iter().any(|other| (low..=high).contains(other))
    }
}

/// Succeeds only if all rounds together prove each figure. `gc_types`: the values of V8's enum as `perf_hooks` has
/// them.
pub fn verify(rounds: &[Round], gc_types: &[u32]) -> Result<(), ProbeError> {
    let agreeing: Vec<&Round> = rounds.iter().filter(|round| round.wrong().is_none()).collect();
    if agreeing.len() < AGREEING {
        let wrong = rounds.iter().rev().find_map(|round| Some((round, round.wrong()?)));
        return Err(ProbeError::Layout(match wrong {
            Some((round, figure)) => format!(
                "{} was read as {}, but v8.getHeapStatistics() reports {}",
                NAMES[figure],
                round.read.figures()[figure],
                round.after.figures()[figure]
            ),
            None => "there were too few readings".into(),
        }));
    }
    for (figure, name) in NAMES.iter().enumerate() {
        if !agreeing.iter().any(|round| round.distinguishes(figure)) {
            return Err(ProbeError::Layout(format!("{name} equals another figure in each reading")));
        }
    }
    for figure in MOVING {
        let first = agreeing[0].read.figures()[figure];
        if agreeing.iter().all(|round| round.read.figures()[figure] == first) {
            return Err(ProbeError::Layout(format!("{} did not change during allocations", NAMES[figure])));
        }
    }
    if gc_types != GC_TYPES {
        return Err(ProbeError::Layout(format!("the kinds of collections are {gc_types:?}, not {GC_TYPES:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields of `HeapStatistics` on Node 20, in their order.
    const FIELDS: usize = 14;
    const TOTAL: usize = 0;
    const EXECUTABLE: usize = 1;
    const PHYSICAL: usize = 2;
    const USED: usize = 4;
    const MALLOCED: usize = 6;
    const EXTERNAL: usize = 7;
    const MOVING_WORDS: [usize; 2] = [USED, EXTERNAL];
    const READ: [usize; 7] = [TOTAL, EXECUTABLE, PHYSICAL, USED, 5, MALLOCED, EXTERNAL];

    /// A field of the struct as an unknown V8 fills it in: a known one, by its index, or a new one with some value.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Field {
        Known(usize),
        New(u64),
    }

    #[derive(Clone, Debug)]
    enum Change {
        Swap(usize, usize),
        Insert(usize, u64),
        Remove(usize),
    }

    /// Values as `v8.getHeapStatistics()` has them, from a fresh process to a large one.
    fn truth() -> impl Strategy<Value = [u64; FIELDS]> {
        (
            20u64..4000,
            0u64..40,
            any::<bool>(),
            60u64..95,
            100_000u64..900_000,
            50_000u64..600_000,
            1u64 << 20..1 << 28,
            0u64..3,
        )
            .prop_map(|(pages, code, committed, filled, malloced, peak, external, detached)| {
                let total = pages << 18;
                let used = total / 100 * filled + 8;
                let physical = if committed { total } else { total - 90_112 };
                let limit = 4_345_298_944;
                let (executable, available) = (code << 18, limit - used - 4096);
                [
                    total,
                    executable,
                    physical,
                    available,
                    used,
                    limit,
                    malloced,
                    external,
                    peak,
                    0,
                    1 + detached,
                    detached,
                    8192,
                    2176 + 32 * detached,
                ]
            })
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let value =
            prop_oneof![Just(0u64), 1u64..10, any::<u32>().prop_map(u64::from), Just(4_345_298_944), Just(1 << 18)];
        let change = prop_oneof![
            (0..FIELDS, 0..FIELDS).prop_map(|(a, b)| Change::Swap(a, b)),
            (0..FIELDS, value).prop_map(|(at, value)| Change::Insert(at, value)),
            (0..FIELDS).prop_map(Change::Remove),
        ];
        prop::collection::vec(change, 0..4)
    }

    fn foreign(changes: &[Change]) -> Vec<Field> {
        let mut fields: Vec<Field> = (0..FIELDS).map(Field::Known).collect();
        for change in changes {
            match *change {
                Change::Swap(a, b) if a < fields.len() && b < fields.len() => fields.swap(a, b),
                Change::Insert(at, value) if at <= fields.len() => fields.insert(at, Field::New(value)),
                Change::Remove(at) if at < fields.len() => drop(fields.remove(at)),
                _ => (),
            }
        }
        fields
    }

    fn words(fields: &[Field], truth: &[u64; FIELDS]) -> [u64; STATISTICS_WORDS] {
        let mut words = [0; STATISTICS_WORDS];
        for (word, field) in words.iter_mut().zip(fields) {
            *word = match *field {
                Field::Known(index) => truth[index],
                Field::New(value) => value,
            };
        }
        words
    }

    fn figures(truth: &[u64; FIELDS]) -> HeapStatistics {
        HeapStatistics::of_words(&words(&foreign(&[]), truth))
    }

    /// `disturbed`: a collection runs in each round that is a multiple of it.
    fn rounds(fields: &[Field], mut truth: [u64; FIELDS], disturbed: usize) -> Vec<Round> {
        (1..=8)
            .map(|round| {
                truth[EXTERNAL] += 1 << 16;
                truth[USED] += 900;
                let before = truth;
                truth[USED] += 400;
                if round % disturbed == 0 {
                    truth[USED] -= 5000;
                }
                let read = HeapStatistics::of_words(&words(fields, &truth));
                truth[USED] += 300;
                Round {
                    before: figures(&before),
                    read,
                    after: figures(&truth),
                    others: [3, 8, 9, 10, 11, 12, 13].map(|index| before[index]).to_vec(),
                }
            })
            .collect()
    }

    /// Whether a word contains the figure that is read from it. Without any code it is 0, and so are other fields.
    fn is_right(fields: &[Field], word: usize, truth: &[u64; FIELDS]) -> bool {
        let committed = truth[TOTAL] == truth[PHYSICAL];
        match fields.get(word) {
            _ if word == EXECUTABLE && truth[EXECUTABLE] == 0 => true,
            Some(Field::Known(TOTAL | PHYSICAL)) if committed && [TOTAL, PHYSICAL].contains(&word) => true,
            Some(Field::Known(known)) => *known == word,
            // A new field that always has the figure's value is as good as the figure's own.
            Some(Field::New(value)) => !MOVING_WORDS.contains(&word) && *value == truth[word],
            None => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn believes_only_a_layout_that_reads_the_right_figures(truth in truth(), changes in changes(), disturbed in 2usize..12) {
            let fields = foreign(&changes);
            if verify(&rounds(&fields, truth, disturbed), &GC_TYPES).is_ok() {
                for word in READ {
                    prop_assert!(is_right(&fields, word, &truth), "word {word} of {fields:?} was believed of {truth:?}");
                }
            }
        }

        #[test]
        fn believes_the_layout_that_it_knows(truth in truth(), disturbed in 2usize..12, appended in any::<u64>()) {
            let apart = |figure: usize, width: u64| {
                truth[figure] == 0 || (0..FIELDS).all(|other| other == figure || truth[other].abs_diff(truth[figure]) > width)
            };
            prop_assume!(apart(USED, 1 << 20) && apart(EXTERNAL, 1 << 20) && apart(MALLOCED, 0) && apart(EXECUTABLE, 0));
            let fields = foreign(&[Change::Insert(FIELDS, appended)]);
            prop_assert_eq!(verify(&rounds(&fields, truth, disturbed), &GC_TYPES), Ok(()));
        }
    }

    const TRUTH: [u64; FIELDS] = [
        4_431_872,
        262_144,
        3_936_256,
        4_342_628_280,
        3_608_960,
        4_345_298_944,
        262_312,
        1_330_945,
        107_696,
        0,
        1,
        0,
        8192,
        2176,
    ];

    #[test]
    fn disbelieves_other_kinds_of_collections() {
        let rounds = rounds(&foreign(&[]), TRUTH, 20);
        assert_eq!(verify(&rounds, &GC_TYPES), Ok(()));
        for kinds in [&[1, 2, 8, 16][..], &[1, 4, 8], &[2, 4, 8, 16], &[]] {
            assert!(verify(&rounds, kinds).is_err(), "{kinds:?}");
        }
    }

    #[test]
    fn disbelieves_what_stays_the_same_or_equals_another_figure() {
        let still: Vec<_> = std::iter::repeat_n(rounds(&foreign(&[]), TRUTH, 20).remove(0), 8).collect();
        assert!(verify(&still, &GC_TYPES).unwrap_err().to_string().contains("did not change"));
        let mut equal = TRUTH;
        equal[8] = equal[6];
        let error = verify(&rounds(&foreign(&[]), equal, 20), &GC_TYPES).unwrap_err().to_string();
        assert!(error.contains("malloced_memory equals another figure"), "{error}");
        assert!(verify(&[], &GC_TYPES).is_err());
    }
}
