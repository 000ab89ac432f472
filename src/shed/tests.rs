use proptest::prelude::*;

use super::live_heap::{Estimate, Heap};
use super::*;

const MIB: u64 = 1 << 20;
const MARKS: Marks = Marks { lower: 0.8, upper: 0.9 };

fn level(heap: &Heap, guard: &mut Guard, now: Millis) -> f64 {
    guard.judge(&Readings { heap: heap.estimate(now), ..Readings::default() }, now)
}

fn guard() -> Guard {
    Guard::new(&Policy { heap: Some(MARKS), ..Policy::default() })
}

#[test]
fn refuses_the_more_the_nearer_the_upper_mark() {
    let mut signal = Signal::new(MARKS);
    assert_eq!(signal.level(0.79, 0), 0.0);
    assert!((signal.level(0.85, 0) - 0.5).abs() < 1e-9);
    assert_eq!(signal.level(0.9, 0), 1.0);
}

#[test]
fn lets_go_at_once_below_the_lower_mark_and_slowly_between_them() {
    let mut signal = Signal::new(MARKS);
    signal.level(0.95, 0);
    assert!((signal.level(0.85, 2_000) - 0.8).abs() < 1e-9, "held");
    assert!((signal.level(0.85, 9_000) - 0.5).abs() < 1e-9, "no lower than while it rises");
    assert_eq!(signal.level(0.79, 9_001), 0.0);
    assert!((signal.level(0.85, 9_002) - 0.5).abs() < 1e-9, "forgotten");
}

#[test]
fn garbage_is_no_pressure() {
    let (mut heap, mut guard) = (Heap::new(200 * MIB), guard());
    heap.collected(true, 30 * MIB, 1, 0);
    // Up to where V8 begins to collect, and while it marks.
    for used in [60, 90, 115, 130, 150] {
        heap.collected(false, used * MIB, 1, 100);
        assert_eq!(level(&heap, &mut guard, 100), 0.0, "{used} MiB");
    }
}

#[test]
fn a_heap_that_outruns_its_collections_is_pressure() {
    let (mut heap, mut guard) = (Heap::new(200 * MIB), guard());
    heap.collected(true, 100 * MIB, 1, 0);
    heap.collected(false, 185 * MIB, 1, 300);
    assert_eq!(level(&heap, &mut guard, 300), 1.0);
    heap.collected(true, 110 * MIB, 1, 400);
    assert_eq!(level(&heap, &mut guard, 400), 0.0, "it was garbage");
}

#[test]
fn what_requests_in_flight_have_allocated_may_live_as_long_as_they_do() {
    let (mut heap, mut guard) = (Heap::new(200 * MIB), guard());
    assert!(heap.charged(40 * MIB, 70 * MIB));
    heap.collected(true, 60 * MIB, 1, 0);
    assert!(heap.charged(170 * MIB, 210 * MIB));
    assert_eq!(level(&heap, &mut guard, 5_000), 1.0, "60 and 130 more, and no collection in between");
    assert!(heap.charged(165 * MIB, 120 * MIB));
    assert_eq!(level(&heap, &mut guard, 5_001), 0.0, "but not more than is used");
    assert!(heap.charged(20 * MIB, 180 * MIB));
    assert_eq!(level(&heap, &mut guard, 5_002), 0.0, "they have ended");
    assert!(heap.charged(30 * MIB, 180 * MIB) && !heap.charged(30 * MIB + 1000, 180 * MIB));
}

#[test]
fn the_live_heap_is_pressure_until_a_collection_frees_it() {
    let (mut heap, mut guard) = (Heap::new(200 * MIB), guard());
    heap.collected(true, 170 * MIB, 1, 0);
    assert!((level(&heap, &mut guard, 0) - 0.5).abs() < 1e-9);
    heap.collected(true, 181 * MIB, 1, 100);
    assert_eq!(level(&heap, &mut guard, 100), 1.0);
    heap.collected(true, 20 * MIB, 1, 200);
    assert_eq!(level(&heap, &mut guard, 200), 0.0);
}

#[test]
fn asks_for_collections_under_pressure_and_fades_a_figure_that_is_not_renewed() {
    let (mut heap, mut guard) = (Heap::new(200 * MIB), guard());
    heap.collected(true, 190 * MIB, 0, 0);
    assert!(!heap.wants_collection(499), "it has just been told");
    assert!(heap.wants_collection(500));
    assert!(!heap.wants_collection(2_400), "it has just asked");
    assert!(heap.wants_collection(2_500));
    assert_eq!(level(&heap, &mut guard, 2_000), 1.0);
    assert!(level(&heap, &mut guard, 3_500) < 0.3);
    assert_eq!(level(&heap, &mut guard, 4_000), 0.0);
}

#[test]
fn asks_seldom_where_an_answer_is_dear() {
    let mut heap = Heap::new(8192 * MIB);
    heap.collected(true, 8000 * MIB, 400_000_000, 0);
    assert!(heap.wants_collection(1_000));
    assert!(!heap.wants_collection(8_900));
    assert!(heap.wants_collection(9_000));
}

#[test]
fn knows_nothing_of_a_heap_whose_room_is_unknown() {
    let mut heap = Heap::new(0);
    heap.collected(true, 190 * MIB, 0, 0);
    assert_eq!(heap.estimate(0), None);
}

#[test]
fn each_signal_counts_and_the_hardest_pressed_decides() {
    let policy = Policy {
        heap: Some(MARKS),
        rss: Some(MARKS),
        delay_ms: Some(Marks { lower: 250.0, upper: 1000.0 }),
        native_bytes: Some(Marks { lower: 100.0, upper: 200.0 }),
    };
    let calm = Readings {
        heap: Some(Estimate { share: 0.1, freshness: 1.0 }),
        rss: Some(0.5),
        native_bytes: Some(1.0),
        ..Readings::default()
    };
    let judge = |readings: Readings| Guard::new(&policy).judge(&readings, 0);
    assert_eq!(judge(calm), 0.0);
    assert_eq!(judge(Readings { heap: Some(Estimate { share: 0.95, freshness: 1.0 }), ..calm }), 1.0);
    assert!((judge(Readings { rss: Some(0.85), ..calm }) - 0.5).abs() < 1e-9);
    assert!((judge(Readings { delay_ms: 625.0, rss: Some(0.81), ..calm }) - 0.5).abs() < 1e-9);
    assert!((judge(Readings { native_bytes: Some(150.0), ..calm }) - 0.5).abs() < 1e-9);
    assert_eq!(judge(Readings { near_limit: true, ..calm }), 1.0);
    let none = Readings { heap: None, rss: None, native_bytes: None, ..calm };
    assert_eq!(judge(none), 0.0, "what cannot be known is no pressure");
    assert_eq!(
        Guard::new(&Policy::default()).judge(&Readings { delay_ms: 1e9, ..none }, 0),
        0.0,
        "nor what is not asked"
    );
}

#[test]
fn at_full_for_long_it_lets_a_few_through() {
    let mut guard = Guard::new(&Policy { rss: Some(MARKS), ..Policy::default() });
    let full = Readings { rss: Some(0.99), ..Readings::default() };
    assert_eq!(guard.judge(&full, 0), 1.0);
    assert_eq!(guard.judge(&full, 9_999), 1.0);
    assert!((0.9..1.0).contains(&guard.judge(&full, 10_000)));
    assert_eq!(guard.judge(&Readings { near_limit: true, ..full }, 10_001), 1.0, "but not near V8's limit");
}

#[test]
fn near_the_limit_is_over_once_a_collection_shows_room() {
    let heap = |share, at| Some((Estimate { share, freshness: 1.0 }, at));
    assert!(!near_limit(None, None, 0.8, 0));
    assert!(near_limit(Some(100), heap(0.3, 50), 0.8, 200), "that was before");
    assert!(near_limit(Some(100), heap(0.9, 150), 0.8, 200));
    assert!(!near_limit(Some(100), heap(0.3, 150), 0.8, 200));
    assert!(!near_limit(Some(100), None, 0.8, 10_100));
}

proptest! {
    /// With any readings at any times, a level is a probability, and the marks hold.
    #[test]
    fn a_level_is_a_probability_and_the_marks_hold(
        lower in 0.0..1.0f64, width in 1e-6..1.0f64, values in prop::collection::vec((any::<f64>(), 0..30_000u64), 1..60)
    ) {
        let marks = Marks { lower, upper: lower + width };
        let mut signal = Signal::new(marks);
        let mut now = 0;
        for (value, later) in values {
            now += later;
            let level = signal.level(value, now);
            prop_assert!((0.0..=1.0).contains(&level), "{level}");
            if value >= marks.upper { prop_assert_eq!(level, 1.0) }
            if value < marks.lower { prop_assert_eq!(level, 0.0) }
        }
    }

    /// The level rises with the figure, and a fuller heap never causes less pressure than an emptier one.
    #[test]
    fn fuller_is_never_less_pressed(a in 0..400u64, b in 0..400u64, after in 0..400u64, age in 0..6_000u64) {
        let level = |live: u64| {
            let mut heap = Heap::new(200 * MIB);
            heap.collected(true, live * MIB, 0, 0);
            if after > live { heap.collected(false, after * MIB, 0, age); }
            level(&heap, &mut guard(), age)
        };
        let (less, more) = (level(a.min(b)), level(a.max(b)));
        // With a given size after the last collection, a heap with more live bytes has outrun less.
        if after <= a.min(b) { prop_assert!(less <= more + 1e-9) }
        prop_assert!((0.0..=1.0).contains(&less) && (0.0..=1.0).contains(&more));
    }
}
