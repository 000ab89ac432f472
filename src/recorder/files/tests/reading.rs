use std::fs;
use std::os::unix::fs::symlink;

use super::super::super::layout::header;
use super::super::super::reader::ReadError;
use super::super::super::writer::epoch_ms;
use super::super::reading::find_in;
use super::super::{FindError, find, open};
use super::*;

#[test]
fn ages_of_the_living_count_up_to_now_and_of_the_dead_to_their_last_sign_of_life() {
    let dir = memory();
    let (recorder, writer) = create(dir.path(), "api");
    writer.methods(["GET"].into_iter());
    writer.open_slot(0, 4096, 0, "/slow", 0);
    writer.running(4096);
    recorder.flush();
    let path = recorder.path().unwrap().to_owned();
    std::thread::sleep(std::time::Duration::from_millis(30));
    let record = open(&path).unwrap();
    assert!(record.in_flight[0].age_ms >= 30.0);
    assert!(record.in_flight[0].running);
    let heartbeat = record.in_flight[0].started_at + 5;
    set(&recorder, gauge::HEARTBEAT_AT, heartbeat);
    recorder.close(true);
    let record = open(&path).unwrap();
    assert_eq!((record.alive, record.in_flight[0].age_ms), (false, 5.0));
    assert!(record.in_flight[0].running);
}

#[test]
fn an_exit_that_was_recorded_ends_the_ages() {
    let dir = memory();
    let (recorder, writer) = create(dir.path(), "api");
    writer.open_slot(0, 4096, 0, "/", 0);
    writer.exit(super::super::super::writer::ExitKind::Exit, 3, "");
    let at = recorder.map().words()[header::EXIT_AT].load(Relaxed);
    set(&recorder, header::EXIT_AT, at + 70);
    let path = recorder.path().unwrap().to_owned();
    recorder.close(true);
    std::thread::sleep(std::time::Duration::from_millis(100));
    let record = open(&path).unwrap();
    assert!((70.0..100.0).contains(&record.in_flight[0].age_ms), "{}", record.in_flight[0].age_ms);
}

#[test]
fn times_from_a_damaged_file_make_no_absurd_ages() {
    let dir = memory();
    let (recorder, writer) = create(dir.path(), "api");
    writer.open_slot(0, 4096, 0, "/", 0);
    set(&recorder, gauge::HEARTBEAT_AT, u64::MAX);
    let path = recorder.path().unwrap().to_owned();
    recorder.close(true);
    assert!(open(&path).unwrap().in_flight[0].age_ms < 1e6);
}

#[test]
fn a_file_that_is_no_record_is_an_error_and_blocks_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
    assert!(made.success());
    fs::write(at("text"), "a file of somebody else's").unwrap();
    fs::write(at("empty"), "").unwrap();
    let whole = fs::read(dead(dir.path(), "api", 1)).unwrap();
    fs::write(at("short"), &whole[..1 << 20]).unwrap();
    let mut other_version = whole.clone();
    other_version[header::VERSION * 8] = 99;
    fs::write(at("version"), other_version).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    for (name, why) in [
        ("fifo", "a FIFO, not a regular file"),
        ("", "a folder, not a regular file"),
        ("text", "not a record of Plimsoll"),
        ("empty", "not a record of Plimsoll"),
        ("short", "truncated: 1048576 bytes"),
        ("version", "layout 99"),
        ("dangling", "No such file"),
        ("loop", "ymbolic link"),
        ("missing", "No such file"),
    ] {
        let error = open(&at(name)).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
    assert!(open(Path::new("/dev/zero")).unwrap_err().to_string().contains("a device"));
}

#[test]
fn a_link_that_the_user_names_is_followed_and_one_inside_a_folder_is_not() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1);
    let link = dir.path().join("link.plimsoll");
    symlink(&path, &link).unwrap();
    assert_eq!(open(&link).unwrap().name, "api");
    let found = find_in(dir.path().to_str(), &[]).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].record.as_ref().unwrap().name, "api");
    assert_eq!(found[1].path, link);
    assert!(found[1].record.as_ref().unwrap_err().to_string().contains("symbolic link"));
}

#[test]
fn finds_a_file_a_folder_a_private_folder_and_a_name() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1);
    let bases = [dir.path().to_owned()];
    let folder = private(dir.path());
    for target in [path.to_str(), dir.path().to_str(), folder.to_str(), Some("api"), None] {
        let found = find_in(target, &bases).unwrap();
        assert_eq!(found.iter().map(|found| &found.path).collect::<Vec<_>>(), [&path], "{target:?}");
        assert_eq!(found[0].record.as_ref().unwrap().path.as_deref(), path.to_str());
    }
    assert_eq!(find(path.to_str()).unwrap().len(), 1);
}

#[test]
fn the_living_come_first_then_the_newest_and_last_what_cannot_be_read() {
    let dir = memory();
    let start = epoch_ms();
    let started = |path: &Path, at: u64| {
        let mut bytes = fs::read(path).unwrap();
        bytes[header::STARTED_AT * 8..][..8].copy_from_slice(&at.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    let (old, _a) = create(dir.path(), "api");
    set(&old, header::STARTED_AT, start - 500);
    old.flush();
    let (new, _b) = create(dir.path(), "api");
    let [dead_old, dead_new] = [dead(dir.path(), "api", 1), dead(dir.path(), "api", 2)];
    started(&dead_old, start - 9);
    started(&dead_new, start + 9);
    let broken = private(dir.path()).join("broken.plimsoll");
    fs::write(&broken, "?").unwrap();
    let found = find_in(None, &[dir.path().to_owned()]).unwrap();
    let paths: Vec<_> = found.iter().map(|found| found.path.as_path()).collect();
    assert_eq!(paths, [new.path().unwrap(), old.path().unwrap(), &dead_new, &dead_old, &broken]);
    assert!(matches!(found[4].record, Err(ReadError::Foreign)));
}

#[test]
fn names_the_folders_that_were_searched() {
    let dir = memory();
    let bases = [dir.path().to_owned()];
    let place = dir.path().to_str().unwrap();
    let error = find_in(None, &bases).unwrap_err();
    assert!(matches!(error, FindError::Nothing { .. }));
    assert!(error.to_string().contains(place), "{error}");
    let _dead = dead(dir.path(), "api", 1);
    let error = find_in(Some("aip"), &bases).unwrap_err().to_string();
    assert!(error.contains("\"aip\"") && error.contains(place) && error.contains("there are: api"), "{error}");
    let error = find_in(Some("./aip"), &bases).unwrap_err().to_string();
    assert!(error.starts_with("./aip: No such file"), "{error}");
    let empty = memory();
    let error = find_in(empty.path().to_str(), &bases).unwrap_err().to_string();
    assert!(error.contains(empty.path().to_str().unwrap()) && !error.contains(place), "{error}");
}

#[test]
fn a_name_may_look_like_a_path() {
    let dir = memory();
    let path = dead(dir.path(), "@shop/api", 1);
    let found = find_in(Some("@shop/api"), &[dir.path().to_owned()]).unwrap();
    assert_eq!(found.iter().map(|found| &found.path).collect::<Vec<_>>(), [&path]);
}
