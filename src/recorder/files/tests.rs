//! Tests on real folders, file systems and processes.
#![cfg(unix)]

mod dead;
#[cfg(target_os = "linux")]
mod disks;
mod keeping;
mod members;
mod processes;
mod reading;

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::geteuid;
use tempfile::TempDir;

use super::super::FILE_BYTES;
use super::super::death::{Death, Surroundings};
use super::super::layout::{gauge, header};
use super::super::writer::Run;
use super::super::writer::{Identity, UNKNOWN, Writer};
use super::{Options, Recorder, Service, unix};

fn options(dir: &Path, name: &str) -> Options {
    Options { name: name.into(), dir: Some(dir.to_owned()), ..Options::default() }
}

fn identity() -> Identity {
    let run = Run { pid: std::process::id(), ticks: 5, boot_id: 7 };
    Identity { pid: std::process::id(), script: "server.js".into(), boot_id: 7, run, ..Identity::default() }
}

/// The service of a process with this name.
fn service(name: &str) -> Service {
    Service::new(&Options { name: name.into(), ..Options::default() }, &identity())
}

fn bases(dir: &Path) -> Vec<PathBuf> {
    vec![dir.to_owned()]
}

fn prune(dir: &Path, name: &str, max_dead_bytes: u64) {
    super::prune(&bases(dir), &service(name), &Options { max_dead_bytes, ..Options::default() });
}

fn last_death(dir: &Path, name: &str) -> Option<Death> {
    super::last_death(&bases(dir), &service(name), &NOW, true)
}

const NOW: Surroundings = Surroundings { boot_id: 7, cgroup_oom_kills: None };

fn create(dir: &Path, name: &str) -> (Recorder, Writer) {
    let (recorder, writer) = Recorder::create(&options(dir, name), identity());
    assert_eq!(recorder.warning(), None);
    (recorder, writer)
}

/// A folder on tmpfs if there is one, so that the record is mapped.
fn memory() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

/// A folder on a disk, so that the record is mirrored.
fn disk() -> TempDir {
    let dir = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    if unix::in_memory(&std::fs::File::open(dir.path()).unwrap()) {
        skip("the build folder is on tmpfs: what this says of disks is not tried");
    }
    dir
}

fn private(dir: &Path) -> PathBuf {
    dir.join(format!("plimsoll-{}", geteuid().as_raw()))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    dir.read_dir().map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
}

/// Sets a word as its writer would.
fn set(recorder: &Recorder, word: usize, value: u64) {
    recorder.map().words()[word].store(value, Relaxed);
    recorder.map().touch(word, 1);
}

/// A server's record whose process and run are gone, with its last heartbeat at `at`.
fn dead(dir: &Path, name: &str, at: u64) -> PathBuf {
    let (recorder, _) = create(dir, name);
    for word in [header::SERVED, header::RUN_PID, header::RUN_TICKS] {
        set(&recorder, word, 1);
    }
    for word in [gauge::HEARTBEAT_AT, gauge::LOOP_TICK_AT] {
        set(&recorder, word, at);
    }
    let path = recorder.path().unwrap().to_owned();
    recorder.close(true);
    path
}

/// Writes to every page: a hole in a mapped file would be fatal there.
fn write_everywhere(recorder: &Recorder) {
    let words = recorder.map().words();
    for word in (gauge::SAMPLER_END..words.len()).step_by(64) {
        words[word].store(UNKNOWN, Relaxed);
        recorder.map().touch(word, 1);
    }
}

fn allocated(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

/// Prints why a test is skipped.
fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

#[test]
fn the_default_folders_are_memory_first_then_the_temporary_one() {
    let folders = super::default_folders();
    assert_eq!(folders.last(), Some(&std::env::temp_dir()));
    assert_eq!(folders.len(), if cfg!(target_os = "linux") { 2 } else { 1 });
    assert_eq!(Options::default().max_dead_bytes, 32 << 20);
    const { assert!(4 * FILE_BYTES < 32 << 20) };
}
