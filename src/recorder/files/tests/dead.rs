use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Barrier;
use std::time::{Duration, SystemTime};

use super::super::super::writer::ExitKind;
use super::super::open;
use super::*;

fn path_of(death: Option<Death>) -> Option<PathBuf> {
    Some(death?.record.path.unwrap().into())
}

#[test]
fn the_newest_death_of_the_name_is_reported_once_and_older_ones_are_marked() {
    for dir in [memory(), disk()] {
        let older = dead(dir.path(), "api", 1_000);
        let newest = dead(dir.path(), "api", 3_000);
        let between = dead(dir.path(), "api", 2_000);
        let others = dead(dir.path(), "batch", 9_000);
        let (living, _writer) = create(dir.path(), "api");
        let folder = dir.path();
        let death = last_death(folder, "api").unwrap();
        assert_eq!((death.at, death.record.alive), (3_000, false));
        assert_eq!(path_of(Some(death)), Some(newest.clone()));
        assert!(last_death(folder, "api").is_none());
        for path in [older, between, newest] {
            assert!(open(&path).unwrap().reported);
        }
        assert!(!open(living.path().unwrap()).unwrap().reported);
        assert_eq!(path_of(last_death(folder, "batch")), Some(others));
    }
}

#[test]
fn the_end_of_a_worker_thread_is_no_death() {
    let dir = memory();
    let process = dead(dir.path(), "api", 1_000);
    let (worker, writer) = create(dir.path(), "api");
    writer.served();
    writer.exit(ExitKind::WorkerEnd, 1, "");
    worker.close(true);
    assert_eq!(path_of(last_death(dir.path(), "api")), Some(process));
    assert!(last_death(dir.path(), "api").is_none());
}

#[test]
fn of_many_threads_that_ask_at_once_one_gets_the_death() {
    let dir = memory();
    let folder = dir.path();
    for round in 1..20 {
        dead(dir.path(), "api", round * 1_000);
        dead(dir.path(), "api", round * 1_000 + 1);
        let start = Barrier::new(8);
        let ask = || {
            start.wait();
            last_death(folder, "api")
        };
        let told: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).map(|death| death.at).collect()
        });
        assert_eq!(told, [round * 1_000 + 1]);
        prune(folder, "api", 0);
    }
}

#[test]
fn dead_records_are_bounded_in_all_oldest_first() {
    let dir = memory();
    let dead: Vec<_> = (1..=5).map(|at| dead(dir.path(), "api", at * 1_000)).collect();
    let other = super::dead(dir.path(), "batch", 1);
    let (living, _writer) = create(dir.path(), "api");
    prune(dir.path(), "api", 3 * FILE_BYTES as u64 + 1);
    let kept: Vec<_> = dead.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [false, false, false, true, true]);
    assert!(other.exists(), "the death that another service is still to hear of goes before what has no news");
    prune(dir.path(), "api", FILE_BYTES as u64);
    assert_eq!([other.exists(), dead[3].exists(), dead[4].exists()], [false, false, true]);
    prune(dir.path(), "api", 0);
    assert!(dead[4].exists(), "what nobody was told of yet stays");
    last_death(dir.path(), "api").unwrap();
    prune(dir.path(), "api", 0);
    assert!(!dead[4].exists());
    assert!(living.path().unwrap().exists());
}

#[test]
fn of_many_services_none_takes_more_room_than_all_may() {
    let dir = memory();
    let paths: Vec<_> = (1..=12).map(|at| dead(dir.path(), &format!("release-{at}"), at)).collect();
    prune(dir.path(), "release-13", 2 * FILE_BYTES as u64);
    let kept: Vec<_> = paths.iter().map(|path| path.exists()).collect();
    assert_eq!(kept, [vec![false; 10], vec![true; 2]].concat());
}

#[test]
fn an_ordinary_stop_hides_no_death() {
    let dir = memory();
    let killed = dead(dir.path(), "api", 1_000);
    let (stopped, writer) = create(dir.path(), "api");
    writer.served();
    writer.exit(ExitKind::Exit, 0, "");
    stopped.close(true);
    assert_eq!(path_of(last_death(dir.path(), "api")), Some(killed));
    assert!(last_death(dir.path(), "api").is_none());
}

#[test]
fn a_query_leaves_the_death_to_a_server() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1_000);
    for _ in 0..2 {
        let seen = super::super::last_death(&bases(dir.path()), &service("api"), &NOW, false);
        assert_eq!(path_of(seen), Some(path.clone()));
    }
    assert_eq!(path_of(last_death(dir.path(), "api")), Some(path));
}

#[test]
fn a_script_that_served_no_request_has_no_death_and_leaves_no_record() {
    let dir = memory();
    let (script, _writer) = create(dir.path(), "api");
    let path = script.path().unwrap().to_owned();
    script.close(true);
    assert!(last_death(dir.path(), "api").is_none());
    prune(dir.path(), "api", u64::MAX);
    assert!(!path.exists());
}

#[test]
fn deaths_are_found_wherever_a_process_may_have_written() {
    let (one, other) = (memory(), disk());
    let older = dead(other.path(), "api", 1_000);
    let newest = dead(one.path(), "api", 2_000);
    let bases = [one.path().to_owned(), other.path().to_owned(), one.path().join("missing")];
    let death = super::super::last_death(&bases, &service("api"), &NOW, true);
    assert_eq!(path_of(death), Some(newest));
    assert!(open(&older).unwrap().reported);
}

#[test]
fn another_script_of_the_same_name_is_another_service() {
    let dir = memory();
    dead(dir.path(), "app", 1_000);
    let identity = Identity { entry: super::super::entry_of("blog/server.js"), ..identity() };
    let blog = Service::new(&Options { name: "app".into(), ..Options::default() }, &identity);
    assert!(super::super::last_death(&bases(dir.path()), &blog, &NOW, true).is_none());
    assert!(last_death(dir.path(), "app").is_some());
}

#[test]
fn unfinished_files_are_removed_and_foreign_ones_stay() {
    let dir = memory();
    let (living, _writer) = create(dir.path(), "api");
    let folder = living.folder().unwrap();
    let file = |name: &str, hours: u64| {
        let path = folder.join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        (path, file)
    };
    let stale = file("00112233aabbccdd.tmp", 1).0;
    let fresh = file("10112233aabbccdd.tmp", 0).0;
    let (locked, lock) = file("20112233aabbccdd.tmp", 1);
    unix::hold(&lock).unwrap();
    let foreign = file("notes.tmp", 9999).0;
    let unreadable = file("30112233aabbccdd.plimsoll", 25).0;
    let lately = file("40112233aabbccdd.plimsoll", 23).0;
    let copied = file("crash of tuesday.plimsoll", 9999).0;
    let link = folder.join("50112233aabbccdd.plimsoll");
    symlink(&foreign, &link).unwrap();
    prune(dir.path(), "api", 0);
    assert_eq!([stale, unreadable].map(|path| path.exists()), [false; 2]);
    assert_eq!([fresh, locked, foreign, lately, copied, link].map(|path| path.exists()), [true; 6]);
    assert!(living.path().unwrap().exists());
}

#[test]
fn what_cannot_be_read_counts_in_the_bound_and_goes_oldest_first() {
    let dir = memory();
    let (living, _writer) = create(dir.path(), "api");
    let folder = living.folder().unwrap();
    let paths = [1u64, 3, 2].map(|hours| {
        let path = folder.join(format!("{hours}0112233aabbccdd.plimsoll"));
        let file = fs::File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).unwrap();
        path
    });
    let left = || [0, 1, 2].map(|index: usize| paths[index].exists());
    prune(dir.path(), "api", 3 << 20);
    assert_eq!(left(), [true; 3]);
    prune(dir.path(), "api", 2 << 20);
    assert_eq!(left(), [true, false, true]);
    prune(dir.path(), "api", 1 << 20);
    assert_eq!(left(), [true, false, false]);
}

#[test]
fn a_folder_that_is_not_private_is_neither_pruned_nor_marked() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1_000);
    let linked = memory();
    symlink(private(dir.path()), private(linked.path())).unwrap();
    prune(linked.path(), "api", 0);
    assert!(last_death(linked.path(), "api").is_none());
    assert!(!open(&path).unwrap().reported);
    assert!(last_death(&dir.path().join("missing"), "api").is_none());
}
