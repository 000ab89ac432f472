//! Tests across processes: this test binary runs itself, with the child's task in the environment.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::super::super::death::Cause;
use super::super::{Recorder, open};
use super::*;

const NOBODY: u32 = 65534;

/// Not a test: the tasks of the children.
#[test]
fn child_process() {
    let Ok(task) = std::env::var("PLIMSOLL_TEST_TASK") else { return };
    let dir = PathBuf::from(std::env::var_os("PLIMSOLL_TEST_DIR").unwrap());
    match task.as_str() {
        "hold" => {
            let (recorder, writer) = create(&dir, "api");
            writer.methods(["GET"].into_iter());
            writer.open_slot(0, 4096, 0, "/report", 0);
            writer.running(4096);
            recorder.flush();
            fs::write(dir.join("ready"), recorder.path().unwrap().to_str().unwrap()).unwrap();
            std::thread::sleep(Duration::from_secs(60));
        }
        "claim" => {
            while !dir.join("go").exists() {
                std::thread::yield_now();
            }
            if last_death(&dir, "api").is_some() {
                fs::write(dir.join(format!("claimed-{}", std::process::id())), "").unwrap();
            }
        }
        "warned" => {
            let (recorder, _writer) = Recorder::create(&options(&dir, "api"), identity());
            assert!(recorder.warning().unwrap().contains("Permission denied"), "{:?}", recorder.warning());
            write_everywhere(&recorder);
        }
        "limited" => {
            let limit = rustix::process::Rlimit { current: Some(1 << 20), maximum: None };
            rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
            let (recorder, _writer) = Recorder::create(&options(&dir, "api"), identity());
            assert!(recorder.warning().unwrap().contains("ulimit -f"), "{:?}", recorder.warning());
        }
        "foreign" => {
            let error = open(&dir.join("foreign")).unwrap_err().to_string();
            assert!(error.contains("belongs to uid 0"), "{error}");
            let error = open(&dir.join("closed")).unwrap_err().to_string();
            assert!(error.contains("belongs to uid 0"), "{error}");
        }
        other => panic!("no task {other}"),
    }
}

fn child(task: &str, dir: &Path) -> Command {
    let test = format!("{}::child_process", module_path!().split_once("::").unwrap().1);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&test, "--exact", "--test-threads=1"]);
    command.env("PLIMSOLL_TEST_TASK", task).env("PLIMSOLL_TEST_DIR", dir).stdout(Stdio::null());
    command
}

/// Runs the task as a user who is not root, in a folder of its own. None if that is not possible.
fn as_another_user(task: &str, dir: &Path) -> Option<ExitStatus> {
    let mut command = child(task, dir);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    match command.status() {
        Ok(status) => Some(status),
        Err(error) => {
            skip(&format!("cannot run the test binary as uid {NOBODY}: {error}"));
            None
        }
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(50), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn holder(dir: &Path) -> (Child, PathBuf) {
    let child = child("hold", dir).spawn().unwrap();
    let ready = dir.join("ready");
    wait_for(|| fs::read(&ready).is_ok_and(|path| !path.is_empty()));
    (child, fs::read_to_string(&ready).unwrap().into())
}

#[test]
fn a_killed_process_is_dead_at_once_and_its_requests_are_named() {
    for dir in [memory(), disk()] {
        let (mut child, path) = holder(dir.path());
        let record = open(&path).unwrap();
        assert_eq!((record.alive, record.pid), (true, child.id()));
        assert!(last_death(dir.path(), "api").is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let death = last_death(dir.path(), "api").unwrap();
        assert_eq!((death.cause, death.record.pid, death.record.alive), (Cause::Signal, child.id(), false));
        let request = &death.record.in_flight[0];
        assert_eq!((request.method.as_str(), request.path.as_str(), request.running), ("GET", "/report", true));
        assert!(request.age_ms < 50_000.0);
    }
}

#[test]
fn life_is_the_lock_and_nothing_else() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1);
    assert!(!open(&path).unwrap().alive);
    let marker = dir.path().join("locked");
    let script = format!("touch '{}'; exec sleep 60", marker.display());
    let flock = Command::new("flock").arg("-x").arg(&path).args(["sh", "-c", &script]).spawn();
    let Ok(mut flock) = flock else { return skip("no flock(1)") };
    wait_for(|| marker.exists());
    assert!(open(&path).unwrap().alive);
    assert!(last_death(dir.path(), "api").is_none());
    prune(dir.path(), "api", 0);
    assert!(path.exists());
    // The command that flock(1) runs holds the lock too, so both are ended.
    let _ = Command::new("sh").args(["-c", &format!("kill $(ps -o pid= --ppid {})", flock.id())]).status();
    let _ = flock.kill();
    let _ = flock.wait();
    wait_for(|| !open(&path).unwrap().alive);
    assert!(last_death(dir.path(), "api").is_some());
}

#[test]
fn readers_are_not_taken_for_owners() {
    let dir = memory();
    let path = dead(dir.path(), "api", 1);
    let looking = fs::File::open(&path).unwrap();
    flock(&looking, FlockOperation::NonBlockingLockShared).unwrap();
    assert!(!open(&path).unwrap().alive);
    assert!(last_death(dir.path(), "api").is_some());
}

#[test]
fn of_many_processes_that_ask_at_once_one_gets_the_death() {
    let dir = memory();
    for at in 1..4 {
        dead(dir.path(), "api", at);
    }
    let mut children: Vec<_> = (0..6).map(|_| child("claim", dir.path()).spawn().unwrap()).collect();
    std::thread::sleep(Duration::from_millis(100));
    fs::write(dir.path().join("go"), "").unwrap();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let claims = entries(dir.path()).into_iter().filter(|path| path.to_str().unwrap().contains("claimed-"));
    assert_eq!(claims.count(), 1);
}

#[test]
fn a_folder_that_may_not_be_written_means_a_record_in_memory() {
    let dir = memory();
    if geteuid().is_root() {
        chown(dir.path(), Some(NOBODY), None).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let Some(status) = as_another_user("warned", dir.path()) else { return };
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(status.success());
}

#[test]
fn a_file_size_limit_ends_no_process() {
    let dir = memory();
    let status = child("limited", dir.path()).status().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(entries(&private(dir.path())), [] as [PathBuf; 0]);
}

#[test]
fn a_file_of_another_user_is_refused_with_his_number() {
    let dir = memory();
    if !geteuid().is_root() {
        return skip("only root can try what others may not read");
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dead(dir.path(), "api", 1);
    for (name, mode) in [("foreign", 0o644), ("closed", 0o600)] {
        fs::copy(&path, dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let Some(status) = as_another_user("foreign", dir.path()) else { return };
    assert!(status.success());
}

#[test]
fn descriptors_are_closed_in_programs_that_the_process_starts() {
    let dir = memory();
    let (recorder, _writer) = create(dir.path(), "api");
    let inode = recorder.path().unwrap().metadata().unwrap().ino();
    let inherited = Command::new("sh").args(["-c", "for fd in /proc/self/fd/*; do stat -L -c %i $fd; done"]).output();
    let inherited = String::from_utf8(inherited.unwrap().stdout).unwrap();
    assert!(!inherited.lines().any(|line| line == inode.to_string()), "{inherited}");
}
