use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

/// A process of 500 MiB: a heap, buffers of which some were never touched, and a fragmented malloc.
fn readings() -> Readings {
    Readings {
        mappings: Some(Mappings {
            code: 40 * MIB,
            files: 10 * MIB,
            shared: 6 * MIB,
            stacks: MIB,
            stack_count: 9,
            arenas: 300 * MIB,
            v8: 60 * MIB,
            unreserved: 3 * MIB,
            plain: 80 * MIB,
            ..Mappings::default()
        }),
        heap: Some(Heap { used: 45 * MIB, limit: 4096 * MIB, physical: 50 * MIB, malloced: MIB }),
        array_buffers: Some(250 * MIB),
        malloc: Some(Malloc { arenas: 310 * MIB, in_use: 130 * MIB, free: 180 * MIB, mapped: 178 * MIB }),
        jemalloc: Some(Jemalloc { allocated: MIB, active: MIB, resident: 2 * MIB, retained: 9 * MIB }),
        ..Readings::default()
    }
}

fn bytes(readings: &Readings, name: Name) -> Option<u64> {
    readings.parts().into_iter().find(|part| part.name == name).unwrap().bytes
}

fn mib(readings: &Readings) -> Vec<(Name, Option<u64>)> {
    readings.parts().into_iter().map(|part| (part.name, part.bytes.map(|bytes| bytes / MIB))).collect()
}

#[test]
fn each_figure_takes_from_the_mappings_that_it_lives_in() {
    let expected = [
        (Name::V8Heap, 50),
        (Name::V8Other, 10),
        // 308 MiB are in use, 210 of them resident. The other 98 are buffers that were never written to.
        (Name::ArrayBuffers, 152),
        (Name::V8Malloc, 1),
        (Name::MallocInUse, 57),
        (Name::MallocFree, 170),
        (Name::Jemalloc, 2),
        (Name::Code, 40),
        (Name::MappedFiles, 10),
        (Name::SharedMemory, 6),
        (Name::ThreadStacks, 1),
        (Name::Unexplained, 1),
    ];
    assert_eq!(mib(&readings()), expected.map(|(name, mib)| (name, Some(mib))));
    assert_eq!(readings().rss(), 500 * MIB);
}

#[test]
fn without_mallinfo_what_malloc_holds_is_one_part() {
    let readings = Readings { malloc: None, view: View::Outside, ..readings() };
    assert_eq!(bytes(&readings, Name::MallocFree), None);
    assert_eq!(bytes(&readings, Name::ArrayBuffers), Some(250 * MIB));
    assert_eq!(bytes(&readings, Name::MallocInUse), Some(129 * MIB));
    let part = readings.parts().into_iter().find(|part| part.name == Name::MallocInUse).unwrap();
    assert!(part.meaning.contains("in use or free"));
    assert!(part.advice.unwrap().contains("plimsoll.memory()"));
}

#[test]
fn without_mappings_only_the_given_figures_are_distinguished() {
    let readings = Readings { rss: 400 * MIB, mappings: None, malloc: None, ..readings() };
    let known: Vec<_> = mib(&readings).into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).collect();
    let expected = [
        (Name::V8Heap, 50),
        (Name::ArrayBuffers, 250),
        (Name::V8Malloc, 1),
        (Name::Jemalloc, 2),
        (Name::Unexplained, 97),
    ];
    assert_eq!(known, expected);
}

#[test]
fn buffers_in_a_malloc_other_than_glibcs_are_found() {
    let mut readings = readings();
    readings.malloc = Some(Malloc { arenas: MIB, in_use: MIB, free: 0, mapped: 0 });
    readings.mappings = Some(Mappings { arenas: MIB, v8: 60 * MIB, unreserved: 270 * MIB, ..Mappings::default() });
    assert_eq!(bytes(&readings, Name::ArrayBuffers), Some(250 * MIB));
}

#[test]
fn a_malloc_in_glibcs_place_takes_what_is_left_and_is_named() {
    let figures = Some(Figures { in_use: 320 * MIB, free: 40 * MIB });
    for (figures, in_use, free, unexplained) in [(figures, 69, Some(40), 21), (None, 130, None, 0)] {
        let readings = Readings { malloc: None, foreign: Some(Foreign { name: "jemalloc", figures }), ..readings() };
        let of = |name| bytes(&readings, name).map(|bytes| bytes / MIB);
        assert_eq!((of(Name::ArrayBuffers), of(Name::V8Malloc), of(Name::Jemalloc)), (Some(250), Some(1), Some(2)));
        assert_eq!((of(Name::MallocInUse), of(Name::MallocFree)), (Some(in_use), free));
        assert_eq!(of(Name::Unexplained), Some(unexplained));
        for part in readings.parts() {
            let text = format!("{} {}", part.meaning, part.advice.unwrap_or_default());
            let named = matches!(part.name, Name::MallocInUse | Name::MallocFree);
            assert_eq!(text.contains("jemalloc"), named, "{text}");
            assert!(!text.contains("MALLOC_ARENA_MAX"), "{text}");
        }
    }
}

#[test]
fn from_outside_a_malloc_is_known_by_its_library() {
    let mut outside = Readings { malloc: None, view: View::Outside, ..readings() };
    outside.mappings = outside.mappings.map(|mappings| Mappings { allocator: Some("mimalloc"), ..mappings });
    let parts = outside.parts();
    let part = parts.iter().find(|part| part.name == Name::MallocInUse).unwrap();
    assert!(part.meaning.contains("mimalloc, instead of glibc"), "{}", part.meaning);
    assert_eq!(bytes(&outside, Name::Unexplained), Some(0));
}

#[test]
fn advises_where_something_is_to_be_done_and_only_there() {
    let parts = readings().parts();
    let advised: Vec<Name> = parts.iter().filter(|part| part.advice.is_some()).map(|part| part.name).collect();
    assert_eq!(advised, [Name::ArrayBuffers, Name::MallocInUse, Name::MallocFree]);
    let free = parts.iter().find(|part| part.name == Name::MallocFree).unwrap();
    assert!(free.advice.as_deref().unwrap().starts_with("glibc has 170 MiB free: fragmentation. plimsoll.trim()"));
    assert!(parts.iter().all(|part| !part.meaning.is_empty()));
}

#[test]
fn advises_on_a_heap_near_its_limit_and_on_one_that_is_mostly_free() {
    let heap = |used, limit| Readings {
        mappings: Some(Mappings { v8: 400 * MIB, ..Mappings::default() }),
        heap: Some(Heap { used: used * MIB, limit: limit * MIB, physical: 400 * MIB, malloced: 0 }),
        ..Readings::default()
    };
    let advice = |readings: Readings| readings.parts().remove(0).advice;
    assert!(advice(heap(390, 400)).unwrap().contains("--max-old-space-size raises the limit"));
    assert!(advice(heap(100, 4000)).unwrap().starts_with("300 MiB of it is free"));
    assert_eq!(advice(heap(390, 4000)), None);
}

#[test]
fn an_unknown_part_reads_unsupported() {
    let readings = Readings { rss: MIB, ..Readings::default() };
    let json = serde_json::to_value(readings.parts()).unwrap();
    assert_eq!(json[0]["name"], "v8-heap");
    assert_eq!(json[0]["bytes"], "unsupported");
    assert_eq!(json[11]["bytes"], MIB);
    assert!(json[11]["advice"].is_null());
}

prop_compose! {
    fn sizes()(sizes in prop::array::uniform12(prop_oneof![Just(0), 0..1u64 << 40, Just(u64::MAX >> 8)])) -> [u64; 12] {
        sizes
    }
}

proptest! {
    #[test]
    fn parts_add_up_whatever_the_figures_say(
        rss in 0..1u64 << 40,
        figures in prop::option::of(sizes()),
        claims in prop::array::uniform12(prop_oneof![Just(0), 0..1u64 << 40, Just(u64::MAX)]),
        known in prop::array::uniform4(any::<bool>()),
        foreign in prop::option::of(any::<bool>()),
        outside: bool,
    ) {
        let mappings = figures.map(|[code, files, shared, stacks, arenas, v8, unreserved, plain, unknown, huge, swapped, stack_count]| {
            Mappings { code, files, shared, stacks, arenas, v8, unreserved, plain, unknown, huge, swapped, stack_count, allocator: None }
        });
        let [used, limit, physical, malloced, buffers, arenas, in_use, free, mapped, allocated, active, resident] = claims;
        let readings = Readings {
            view: if outside { View::Outside } else { View::Inside },
            rss,
            mappings,
            heap: known[0].then_some(Heap { used, limit, physical, malloced }),
            array_buffers: known[1].then_some(buffers),
            malloc: known[2].then_some(Malloc { arenas, in_use, free, mapped }),
            foreign: foreign.map(|told| Foreign { name: "jemalloc", figures: told.then_some(Figures { in_use, free }) }),
            jemalloc: known[3].then_some(Jemalloc { allocated, active, resident, retained: 0 }),
        };
        let parts = readings.parts();
        let sum: u128 = parts.iter().filter_map(|part| part.bytes).map(u128::from).sum();
        prop_assert_eq!(sum, u128::from(readings.rss()));
        prop_assert!(parts.last().unwrap().bytes.is_some());
    }
}
