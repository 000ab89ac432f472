use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::super::super::FILE_BYTES;
use super::super::super::reader;
use super::super::{Recorder, open};
use super::*;

#[test]
fn the_file_is_private_allocated_in_full_and_named_when_it_is_whole() {
    for dir in [memory(), disk()] {
        let (recorder, _writer) = create(dir.path(), "api");
        assert_eq!(recorder.folder(), Some(private(dir.path()).as_path()));
        assert_eq!(private(dir.path()).metadata().unwrap().mode() & 0o777, 0o700);
        let path = recorder.path().unwrap();
        let file = path.metadata().unwrap();
        assert_eq!((file.mode() & 0o777, file.len()), (0o600, FILE_BYTES as u64));
        assert!(allocated(path) >= FILE_BYTES as u64);
        assert_eq!(entries(recorder.folder().unwrap()), [path]);
        assert!(unix::is_ours(path.file_name().unwrap().to_str().unwrap(), "plimsoll"));
    }
}

#[test]
fn two_records_never_share_a_file() {
    let dir = memory();
    let [(one, _w), (other, _v)] = [create(dir.path(), "api"), create(dir.path(), "api")];
    assert_ne!(one.path(), other.path());
    assert_eq!(entries(&private(dir.path())).len(), 2);
}

#[test]
fn what_is_written_is_read_by_others_mapped_and_mirrored() {
    for (dir, mirrored) in [(memory(), cfg!(not(target_os = "linux"))), (disk(), true)] {
        let (recorder, writer) = create(dir.path(), "api");
        writer.methods(["GET"].into_iter());
        writer.open_slot(3, 4099, 0, "/slow", 0);
        recorder.flush();
        let record = open(recorder.path().unwrap()).unwrap();
        assert_eq!((record.alive, record.name.as_str(), record.script.as_str()), (true, "api", "server.js"));
        assert_eq!((record.in_flight[0].method.as_str(), record.in_flight[0].path.as_str()), ("GET", "/slow"));
        // If even the disk is tmpfs, nothing is mirrored.
        let on_tmpfs = unix::in_memory(&fs::File::open(recorder.path().unwrap()).unwrap());
        assert_eq!(record.mirrored, mirrored && !on_tmpfs);
    }
}

#[test]
fn a_private_folder_that_is_not_private_is_refused() {
    let other_user = |dir: &Path| {
        fs::create_dir(private(dir)).unwrap();
        std::os::unix::fs::chown(private(dir), Some(65534), None).unwrap();
    };
    let link = |dir: &Path| {
        fs::create_dir(dir.join("elsewhere")).unwrap();
        symlink(dir.join("elsewhere"), private(dir)).unwrap();
    };
    let open_to_all = |dir: &Path| {
        fs::create_dir(private(dir)).unwrap();
        fs::set_permissions(private(dir), fs::Permissions::from_mode(0o755)).unwrap();
    };
    let file = |dir: &Path| fs::write(private(dir), "").unwrap();
    type Case<'a> = (&'a dyn Fn(&Path), &'a str);
    let mut cases: Vec<Case> = vec![(&link, "symbolic link"), (&open_to_all, "mode 755"), (&file, "not a folder")];
    if geteuid().is_root() {
        cases.push((&other_user, "belongs to uid 65534"));
    } else {
        skip("only root can make a folder of another user");
    }
    for (prepare, why) in cases {
        let dir = memory();
        prepare(dir.path());
        let (recorder, writer) = Recorder::create(&options(dir.path(), "api"), identity());
        let warning = recorder.warning().unwrap();
        assert!(warning.contains(why), "{warning}");
        assert_eq!((recorder.path(), recorder.folder()), (None, None));
        assert_eq!(entries(&private(dir.path())), [] as [PathBuf; 0]);
        writer.open_slot(0, 4096, 0, "/", 0);
        assert_eq!(reader::read(&**recorder.map()).unwrap().in_flight.len(), 1);
    }
}

#[test]
fn a_folder_that_was_asked_for_and_is_missing_is_warned_of_and_not_made() {
    let dir = memory();
    let missing = dir.path().join("missing");
    let (recorder, _writer) = Recorder::create(&options(&missing, "api"), identity());
    let warning = recorder.warning().unwrap();
    for part in [missing.to_str().unwrap(), "No such file", "post-mortem", "recorder.dir"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert!(!warning.contains('\n'), "one line: {warning}");
    assert!(!missing.exists());
    recorder.touch();
    recorder.flush();
    recorder.close(false);
}

#[test]
fn the_next_folder_is_taken_without_a_word() {
    let dir = disk();
    let folders = [dir.path().join("missing"), dir.path().to_owned()];
    let (recorder, _writer) =
        Recorder::create_in(&folders, &Options { name: "api".into(), ..Options::default() }, identity());
    assert_eq!(recorder.warning(), None);
    assert_eq!(recorder.folder(), Some(private(dir.path()).as_path()));
}

#[test]
fn a_worker_that_ended_leaves_no_file_and_a_process_does() {
    for dir in [memory(), disk()] {
        let (worker, _writer) = create(dir.path(), "api");
        worker.close(false);
        assert_eq!(entries(&private(dir.path())), [] as [PathBuf; 0]);

        let (process, writer) = create(dir.path(), "api");
        let path = process.path().unwrap().to_owned();
        writer.request_untracked();
        process.close(true);
        let record = open(&path).unwrap();
        // The writer and its map still exist, and so does the process of that pid: only the lock counts.
        assert_eq!((record.alive, record.pid, record.requests.untracked), (false, std::process::id(), 1));
        writer.request_untracked();
    }
}

#[test]
fn a_file_deleted_while_in_use_does_no_harm() {
    for dir in [memory(), disk()] {
        let (recorder, writer) = create(dir.path(), "api");
        fs::remove_file(recorder.path().unwrap()).unwrap();
        write_everywhere(&recorder);
        writer.request_untracked();
        recorder.flush();
        recorder.touch();
        assert_eq!((recorder.write_errors(), recorder.take_write_warning()), (0, None));
        assert_eq!(entries(&private(dir.path())), [] as [PathBuf; 0]);
        recorder.close(false);
    }
}

#[test]
fn a_mirrored_file_that_is_truncated_does_no_harm() {
    let dir = disk();
    let (recorder, writer) = create(dir.path(), "api");
    fs::File::options().write(true).open(recorder.path().unwrap()).unwrap().set_len(0).unwrap();
    write_everywhere(&recorder);
    writer.request_untracked();
    recorder.flush();
    assert_eq!(recorder.write_errors(), 0);
}

#[test]
fn its_age_is_renewed_once_a_minute() {
    let dir = memory();
    let (recorder, _writer) = create(dir.path(), "api");
    let path = recorder.path().unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let age = || path.metadata().unwrap().modified().unwrap().elapsed().unwrap_or_default().as_secs();
    let make_old = || fs::File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    let held = recorder.held.as_ref().unwrap();
    make_old();
    recorder.touch();
    held.touch_at(59);
    assert!(age() > 3000);
    held.touch_at(60);
    assert!(age() < 60);
    make_old();
    held.touch_at(119);
    assert!(age() > 3000);
    held.touch_at(120);
    assert!(age() < 60);
}

#[test]
fn a_name_longer_than_its_field_still_finds_its_records() {
    let dir = memory();
    let name = "a service with quite a long name, of which the header holds the first 64 bytes\n";
    let (_recorder, writer) = create(dir.path(), name);
    writer.served();
    let living = |name: &str| super::super::members(&bases(dir.path()), &service(name), None).living.len();
    assert_eq!((living(name), living("a service")), (1, 0));
}
