use super::super::super::StatusClass;
use super::super::super::writer::{Ended, ExitKind, NativeUse};
use super::super::{Members, members};
use super::*;

/// A server's record with `requests` to one route.
fn serving(dir: &Path, name: &str, requests: u64) -> (Recorder, Writer) {
    let (recorder, writer) = create(dir, name);
    writer.served();
    writer.methods(["GET"].into_iter());
    writer.label(0, "/users/:id");
    writer.open_route(0, 0, 0, StatusClass::of(200));
    for index in 0..requests {
        writer.open_slot(0, 4096 * (1 + index as u32), 0, "/users/1", 0);
        writer.end_request(0, StatusClass::of(200), &ended(index));
    }
    recorder.flush();
    (recorder, writer)
}

fn ended(index: u64) -> Ended {
    Ended {
        duration_ns: 1_234_567 + index * 1_000_003,
        heap_bytes: Some(4_000 + index as i64),
        external_bytes: None,
        body_bytes: 0,
        response_bytes: 100,
        native: NativeUse::default(),
        spans: 1,
        aborted: index % 2 == 1,
        limited: false,
        whole: false,
    }
}

fn found(dir: &Path, except: Option<&Path>) -> Members {
    members(&bases(dir), &service("api"), except)
}

/// Requests, aborted ones, nanoseconds and heap bytes, summed over all members that count.
fn sums(dir: &Path) -> (u64, u64, u64, u64) {
    let Members { living, past } = found(dir, None);
    let rows = living.iter().chain(&past).flat_map(|record| &record.routes);
    rows.fold((0, 0, 0, 0), |(requests, aborted, ns, bytes), row| {
        let latency: u64 = row.latency_buckets.iter().sum();
        assert_eq!((row.count, latency, row.heap_bytes.count), (row.duration_ms.count, row.count, row.count));
        let took = (row.duration_ms.sum * 1e6).round() as u64;
        (requests + row.count, aborted + row.aborted, ns + took, bytes + row.heap_bytes.sum as u64)
    })
}

#[test]
fn living_siblings_are_servers_of_the_service_but_oneself() {
    let dir = memory();
    let (own, _a) = serving(dir.path(), "api", 1);
    let (sibling, _b) = serving(dir.path(), "api", 1);
    let (_other, _c) = serving(dir.path(), "batch", 1);
    let (_script, _d) = create(dir.path(), "api");
    dead(dir.path(), "api", 1);
    let siblings = found(dir.path(), own.path()).living;
    let paths: Vec<_> = siblings.into_iter().map(|record| record.path.unwrap()).collect();
    assert_eq!(paths, [sibling.path().unwrap().to_str().unwrap()]);
    let all = found(dir.path(), None);
    assert_eq!((all.living.len(), all.past.len()), (2, 0));
    assert!(all.living.iter().all(|record| record.alive));
    assert!(found(Path::new("/nowhere"), None).living.is_empty());
}

#[test]
fn a_process_that_falls_back_to_another_folder_is_covered_too() {
    let (full, temporary) = (memory(), disk());
    let (_one, _a) = serving(full.path(), "api", 1);
    let (_other, _b) = serving(temporary.path(), "api", 1);
    let bases = [full.path().to_owned(), temporary.path().to_owned()];
    assert_eq!(members(&bases, &service("api"), None).living.len(), 2);
}

#[test]
fn no_sum_falls_while_members_of_a_run_end_are_replaced_and_pruned() {
    for dir in [memory(), disk()] {
        let (_living, writer) = serving(dir.path(), "api", 3);
        let mut before = sums(dir.path());
        for round in 1..12 {
            let (worker, _writer) = serving(dir.path(), "api", round);
            let now = sums(dir.path());
            assert!(now.0 >= before.0 + round && now.1 >= before.1 && now.2 > before.2 && now.3 > before.3);
            worker.close(true);
            assert_eq!(sums(dir.path()), now, "killed");
            prune(dir.path(), "api", if round % 2 == 0 { 0 } else { FILE_BYTES as u64 });
            assert_eq!(sums(dir.path()), now, "pruned");
            before = now;
        }
        let records = entries(&private(dir.path())).into_iter().filter(|path| path.extension().unwrap() == "plimsoll");
        assert!(records.count() <= 3, "what is kept is bounded");
        assert_eq!(before.0, 3 + (1..12).sum::<u64>());
        writer.exit(ExitKind::Exit, 0, "");
    }
}

#[test]
fn what_a_thread_has_counted_outlives_it_and_its_file_does_not() {
    for dir in [memory(), disk()] {
        let (_main, _a) = serving(dir.path(), "api", 2);
        for _ in 0..3 {
            let (thread, writer) = serving(dir.path(), "api", 5);
            writer.exit(ExitKind::WorkerEnd, 0, "");
            thread.close(false);
        }
        let past = found(dir.path(), None).past;
        assert_eq!(past.len(), 1, "one file, whatever there was");
        assert_eq!(sums(dir.path()).0, 17);
    }
}

#[test]
fn a_new_run_starts_anew_and_the_old_one_leaves_nothing() {
    let dir = memory();
    let (thread, _a) = serving(dir.path(), "api", 5);
    thread.close(false);
    let totals =
        || entries(&private(dir.path())).into_iter().filter(|path| path.extension().unwrap() == "totals").count();
    assert_eq!(totals(), 1);
    let next = Identity { run: Run { pid: 1, ticks: 99, boot_id: 7 }, ..identity() };
    let next = Service::new(&Options { name: "api".into(), ..Options::default() }, &next);
    let found = members(&bases(dir.path()), &next, None);
    assert_eq!((found.living.len(), found.past.len()), (0, 0));
    super::super::prune(&bases(dir.path()), &next, &Options::default());
    assert_eq!(totals(), 0);
}
