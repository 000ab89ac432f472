use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command as Process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};

use serde_json::Value;
use tempfile::TempDir;

use super::file::Appender;
use super::*;
use crate::export::sample;

const MOMENT: Duration = Duration::from_secs(10);

fn options(file: &Path, max_bytes: u64, keep: u32) -> StatsFile {
    StatsFile { file: file.into(), interval: Duration::from_millis(10), max_bytes, keep }
}

/// The lines of a file. The last one may be incomplete.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn ends_with_a_whole_line(file: &Path) -> bool {
    fs::read_to_string(file).unwrap().ends_with('\n')
}

fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + MOMENT;
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(Instant::now() < until, "waited for {what} in vain"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not a macro of std: its output is captured, but a skipped test must be visible.
fn skip(reason: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
}

fn start(options: StatsFile) -> (StatsWriter, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let writer = StatsWriter::start(sample::map(), options, move |what| hears.lock().unwrap().push(what.to_owned()));
    (writer.unwrap(), said)
}

#[test]
fn each_line_holds_the_documented_fields() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("stats.ndjson");
    let (writer, said) = start(options(&file, 1 << 20, 3));
    wait_for("three lines", || (lines(&file).len() >= 3).then_some(()));
    assert!(writer.stop());
    let line = &lines(&file)[0];
    for (pointer, value) in [
        ("/pid", 4711),
        ("/thread", 0),
        ("/rssBytes", (120 + 239 / 2 - 39 / 4) << 20),
        ("/heap/usedBytes", 71 << 20),
        ("/heap/totalBytes", 96 << 20),
        ("/heap/liveBytes", 38 << 20),
        ("/heap/limitBytes", 512 << 20),
        ("/heap/externalBytes", 9 << 20),
        ("/heap/mallocedBytes", 1 << 20),
        ("/native/allocatedBytes", 5 << 20),
        ("/gc/scavenge/count", 2),
        ("/gc/mark-sweep-compact/pauseMs", 41),
        ("/eventLoop/blockedMs", 4500),
        ("/requests/total", 51),
        ("/requests/inFlight", 50),
        ("/requests/limited", 1),
        ("/dropped", 0),
    ] {
        let found = line.pointer(pointer).and_then(Value::as_f64);
        assert_eq!(found, Some(f64::from(value)), "{pointer}: {line}");
    }
    assert!(line["at"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{line}");
    assert_eq!(line["name"], "shop");
    assert_eq!(*said.lock().unwrap(), [""; 0]);
}

#[test]
fn rotates_before_a_line_would_exceed_the_size_and_keeps_so_many_files() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    let mut appender = Appender::new(options(&file, 20, 2));
    for index in 0..9 {
        appender.append(format!("{{\"n\":{index}}}\n").as_bytes()).unwrap();
    }
    let numbers = |name: &str| -> Vec<u64> {
        let file = folder.path().join(name);
        assert!(fs::metadata(&file).unwrap().len() <= 20);
        lines(&file).iter().map(|line| line["n"].as_u64().unwrap()).collect()
    };
    // Eight bytes for each line: the third would exceed twenty.
    assert_eq!((numbers("s"), numbers("s.1"), numbers("s.2")), (vec![8], vec![6, 7], vec![4, 5]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn keeps_no_old_file_if_asked_to_and_writes_lines_that_are_larger_than_the_size() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    let mut appender = Appender::new(options(&file, 4, 0));
    for index in 0..3 {
        appender.append(format!("{{\"n\":{index}}}\n").as_bytes()).unwrap();
    }
    assert_eq!(lines(&file).iter().map(|line| line["n"].clone()).collect::<Vec<_>>(), [2]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    Appender::new(options(&file, 99, 0)).append(b"{}\n").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn neither_follows_a_link_nor_writes_to_what_is_no_file() {
    let folder = TempDir::new().unwrap();
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    fs::write(&target, "mine").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(Appender::new(options(&link, 9, 0)).append(b"{}\n").is_err());
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");

    let error = Appender::new(options(Path::new("/dev/null"), 9, 0)).append(b"{}\n").unwrap_err();
    assert_eq!(error.to_string(), "not a regular file");
    let pipe = folder.path().join("pipe");
    if Process::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()) {
        assert!(Appender::new(options(&pipe, 9, 0)).append(b"{}\n").is_err());
    }
}

#[test]
fn a_line_after_one_that_was_cut_off_begins_a_new_one() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    fs::write(&file, "{\"n\":1}\n{\"n\":").unwrap();
    Appender::new(options(&file, 999, 0)).append(b"{\"n\":2}\n").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"n\":1}\n{\"n\":\n{\"n\":2}\n");
}

/// Locks and appending belong to the open file, not to the process. So writers with a file each behave like processes.
#[test]
fn several_writers_of_one_file_keep_lines_whole_and_lose_none() {
    const WRITERS: usize = 4;
    const EACH: usize = 300;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut appender = Appender::new(options(&file, 2000, 1000));
            scope.spawn(move || {
                for n in 0..EACH {
                    let line = format!("{{\"writer\":{writer},\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(n % 90));
                    // While this number of writers compete, a lock may be refused for longer than a writer waits.
                    while let Err(error) = appender.append(line.as_bytes()) {
                        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                    }
                }
            });
        }
    });
    let mut seen = vec![0; WRITERS];
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert!(fs::metadata(&path).unwrap().len() <= 2000 && ends_with_a_whole_line(&path));
        lines(&path).iter().for_each(|line| seen[line["writer"].as_u64().unwrap() as usize] += 1);
        files += 1;
    }
    assert_eq!(seen, [EACH; WRITERS]);
    assert!(files > 10);
}

#[test]
fn stop_writes_the_last_line_and_flush_one_now() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    let (writer, _) = start(StatsFile { interval: Duration::from_secs(3600), ..options(&file, 1 << 20, 1) });
    wait_for("the first line", || (lines(&file).len() == 1).then_some(()));
    assert!(writer.flush());
    assert_eq!(lines(&file).len(), 2);
    assert!(writer.stop());
    assert_eq!(lines(&file).len(), 3);
}

#[test]
fn a_folder_that_vanishes_is_reported_once_and_used_again_when_it_is_back() {
    let root = TempDir::new().unwrap();
    let folder = root.path().join("logs");
    let file = folder.join("s");
    fs::create_dir(&folder).unwrap();
    let (writer, said) = start(options(&file, 1 << 20, 1));
    wait_for("the first line", || (!lines(&file).is_empty()).then_some(()));
    fs::remove_dir_all(&folder).unwrap();
    wait_for("a report", || (!said.lock().unwrap().is_empty()).then_some(()));
    std::thread::sleep(Duration::from_millis(80));
    assert!(!folder.exists(), "a folder that somebody removed is not made again");
    assert_eq!(said.lock().unwrap().len(), 1);
    fs::create_dir(&folder).unwrap();
    let first = wait_for("a line in the new folder", || lines(&file).into_iter().next());
    assert!(first["dropped"].as_u64().unwrap() >= 2, "{first}");
    wait_for("the line after it", || lines(&file).get(1).map(|line| assert_eq!(line["dropped"], 0)));
    assert!(writer.stop());
}

#[test]
fn an_impossible_path_is_reported_and_the_end_is_quick() {
    let root = TempDir::new().unwrap();
    let no_folder = root.path().join("file");
    fs::write(&no_folder, "").unwrap();
    let (writer, said) = start(options(&no_folder.join("s"), 1 << 20, 1));
    wait_for("a report", || (!said.lock().unwrap().is_empty()).then_some(()));
    let stopping = Instant::now();
    assert!(writer.stop());
    assert!(stopping.elapsed() < Duration::from_millis(900));
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("/file/s: Not a directory"), "{said:?}");
}

struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount =
            Process::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "plimsoll"]).arg(folder.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_whole_lines_and_is_made_up_for_by_a_count() {
    let Some(disk) = Tmpfs::mount() else { return skip("no tmpfs can be mounted here") };
    let (file, filler) = (disk.0.path().join("s"), disk.0.path().join("filler"));
    let (writer, said) = start(options(&file, 1 << 20, 1));
    wait_for("the first line", || (!lines(&file).is_empty()).then_some(()));
    let mut other = fs::File::create(&filler).unwrap();
    while other.write_all(&[0; 4096]).is_ok() {}
    wait_for("a report", || said.lock().unwrap().iter().any(|what| what.contains("No space left")).then_some(()));
    let before = lines(&file).len();
    // The part that went into the last page is removed, unless another try is in progress.
    wait_for("a whole last line", || ends_with_a_whole_line(&file).then_some(()));
    fs::remove_file(&filler).unwrap();
    drop(other);
    let next = wait_for("a line once there is room", || lines(&file).into_iter().nth(before));
    assert!(next["dropped"].as_u64().unwrap() >= 1, "{next}");
    assert!(writer.stop());
    assert_eq!(said.lock().unwrap().len(), 1);
}

/// Hangs from the second line on until the end of the test, like a dead network disk.
struct Stuck(AtomicUsize, Sender<()>, Mutex<std::sync::mpsc::Receiver<()>>);

impl Sink for Stuck {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        if self.0.fetch_add(1, Relaxed) > 0 {
            let _ = self.1.send(());
            let _ = self.2.lock().unwrap().recv();
        }
        Ok(())
    }
}

#[test]
fn a_stuck_disk_does_not_hold_the_exit_for_longer_than_a_second_or_so() {
    let (hangs, hung) = channel();
    let (release, released) = channel();
    let stuck = Stuck(AtomicUsize::new(0), hangs, Mutex::new(released));
    let writer = StatsWriter::with_sink(sample::map(), Duration::from_millis(1), stuck, |_| {}).unwrap();
    hung.recv_timeout(MOMENT).unwrap();
    let stopping = Instant::now();
    assert!(!writer.stop());
    assert!(stopping.elapsed() >= EXIT_WAIT && stopping.elapsed() < MOMENT);
    drop(release);
}

#[test]
fn tries_are_spaced_out_up_to_a_minute() {
    let seconds = |interval, failures| retry_after(Duration::from_secs(interval), failures).as_secs();
    assert_eq!([0, 1, 2, 3, 4, 9, u32::MAX].map(|failures| seconds(5, failures)), [5, 10, 20, 40, 60, 60, 60]);
    assert_eq!([0, 1, 5].map(|failures| seconds(300, failures)), [300, 300, 300]);
}

/// Fails with one error, then with another.
struct Failing(Arc<AtomicUsize>);

impl Sink for Failing {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        match self.0.fetch_add(1, Relaxed) {
            0..=2 => Err(io::ErrorKind::StorageFull.into()),
            3..=4 => Err(io::ErrorKind::PermissionDenied.into()),
            5 => Ok(()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[test]
fn each_kind_of_error_is_reported_once_until_it_works_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let sink = Failing(Arc::clone(&tries));
    let report = move |error: &io::Error| hears.lock().unwrap().push(error.kind());
    let writer = StatsWriter::with_sink(sample::map(), Duration::from_millis(2), sink, report).unwrap();
    wait_for("eight tries", || (tries.load(Relaxed) >= 8).then_some(()));
    assert!(writer.stop());
    use io::ErrorKind::{PermissionDenied, StorageFull};
    assert_eq!(*said.lock().unwrap(), [StorageFull, PermissionDenied, StorageFull]);
}

#[test]
fn dropping_the_writer_ends_its_thread_with_a_last_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("s");
    let (writer, _) = start(StatsFile { interval: Duration::from_secs(3600), ..options(&file, 1 << 20, 1) });
    wait_for("the first line", || (lines(&file).len() == 1).then_some(()));
    drop(writer);
    wait_for("the last line", || (lines(&file).len() == 2).then_some(()));
}
