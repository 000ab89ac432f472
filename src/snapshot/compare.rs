//! Compares two snapshots in a process of its own: `plimsoll heap diff --json`, at the lowest priority.
//!
//! A thread is not used. The memory of an open snapshot (about the file's size) would count in the server's RSS, which
//! `shed()`, process managers and autoscalers use. And if memory ran out, the kernel would kill the server. The process
//! is started from a thread with `posix_spawn`, which copies no page tables, so the event loop is not affected.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::{Pid, setpriority_process};

use super::memory_budget::Room;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For the whole comparison. A snapshot of a gigabyte takes some seconds on a free processor.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10 * 60);
/// The memory that it needs: a minimum, and a multiple of the heap's size. It reads one snapshot at a time, of about
/// two bytes for each byte of heap.
const FLOOR: u64 = 96 << 20;
const HEAPS: u64 = 3;
/// Its standard input, by a name that can be opened twice.
const EARLIER: &str = "/dev/stdin";
/// Where a process finds its inherited files.
const INHERITED: &str = "/proc/self/fd";
/// Limits on its answer, and on its error output.
const MOST_BYTES: u64 = 64 << 20;
const MOST_COMPLAINT: u64 = 4096;

/// The program that reads snapshots.
#[derive(Clone, Debug)]
pub struct Reader {
    pub node: PathBuf,
    /// `bin/plimsoll.js`.
    pub script: PathBuf,
}

/// The output of `plimsoll heap diff --json`. The files need no names. `heap`: live bytes, from which the required
/// memory is estimated.
///
/// # Errors
/// The reason why there is no output.
pub fn compare(reader: &Reader, before: File, after: File, heap: u64) -> Result<Vec<u8>, String> {
    let needed = FLOOR + HEAPS * heap;
    if let Some(room) = Room::now().filter(|room| room.left < needed) {
        let [needed, left] = [needed, room.left].map(|bytes| bytes >> 20);
        return Err(format!("not enough memory: the comparison may need {needed} MiB, and {left} MiB are available"));
    }
    // Only during the start. Another process that is started meanwhile inherits it, which does no harm.
    let kept = fcntl_getfd(&after).and_then(|flags| fcntl_setfd(&after, flags - FdFlags::CLOEXEC));
    kept.map_err(|error| error.to_string())?;
    let child = Command::new(&reader.node)
        .arg(&reader.script)
        .args(["heap", "diff", EARLIER])
        .arg(format!("{INHERITED}/{}", after.as_raw_fd()))
        .arg("--json")
        // The server's options must not affect a program that reads files.
        .env_remove("NODE_OPTIONS")
        .env_remove("NODE_V8_COVERAGE")
        .stdin(before)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    drop(after);
    let child = child.map_err(|error| format!("{}: {error}", reader.node.display()))?;
    watch(Ended(child), GIVE_UP_AFTER)
}

/// A child that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn watch(mut child: Ended, patience: Duration) -> Result<Vec<u8>, String> {
    go_last(child.0.id());
    let (answer, complaint) = (child.0.stdout.take(), child.0.stderr.take());
    let answer =
        answer.map(|pipe: ChildStdout| read(pipe, MOST_BYTES)).transpose().map_err(|error| error.to_string())?;
    let complaint =
        complaint.map(|pipe: ChildStderr| read(pipe, MOST_COMPLAINT)).transpose().map_err(|error| error.to_string())?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if let Some(room) = Room::now().filter(Room::is_tight) {
            let [left, whole] = [room.left, room.whole].map(|bytes| bytes >> 20);
            return Err(format!("memory ran short during the comparison: {left} of {whole} MiB were available"));
        }
        if began.elapsed() > patience {
            return Err(format!("the comparison took longer than {} s", patience.as_secs()));
        }
        sleep(LOOK_EVERY);
    };
    let [answer, complaint] =
        [answer, complaint].map(|thread| thread.and_then(|thread| thread.join().ok()).unwrap_or_default());
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        return Err(format!("the comparison failed ({status}): {}", complaint.trim()));
    }
    Ok(answer)
}

/// Reads all of it, so that the child never waits, but stores only `most` bytes.
fn read(mut pipe: impl Read + Send + 'static, most: u64) -> io::Result<JoinHandle<Vec<u8>>> {
    let work = move || {
        let mut bytes = Vec::new();
        let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
        bytes
    };
    std::thread::Builder::new().name("plimsoll-compare".into()).stack_size(256 << 10).spawn(work)
}

/// Lowest priority for the processor, and the first to be killed when memory runs short. Both may be denied, without
/// harm.
fn go_last(pid: u32) {
    let _ = setpriority_process(i32::try_from(pid).ok().and_then(Pid::from_raw), 19);
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "1000");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    /// A program instead of Node: `sh` with a script and its arguments. The files have no names any more.
    fn compared(script: &str) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            path
        };
        let nameless = |text: &str| {
            let path = file("nameless", text);
            let file = File::open(&path).unwrap();
            fs::remove_file(path).unwrap();
            file
        };
        let reader = Reader { node: "/bin/sh".into(), script: file("script", script) };
        compare(&reader, nameless("what was there"), nameless("what is there"), 0)
    }

    #[test]
    fn the_program_can_read_both_repeatedly_and_its_answer_is_returned() {
        let answer = compared(r#"cat "$3" "$4" "$3"; echo " $1 $2 $5""#).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), "what was therewhat is therewhat was there heap diff --json\n");
        // More than a pipe's buffer, on both of them.
        let answer = compared("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2").unwrap();
        assert_eq!(answer.len(), 300_000);
    }

    #[test]
    fn it_comes_last() {
        // The priority is set a moment after its start.
        let answer = compared(
            "while [ $(nice) != 19 ]; do :; done; while [ $(cat /proc/self/oom_score_adj) != 1000 ]; do :; done",
        );
        assert_eq!(answer, Ok(Vec::new()));
    }

    #[test]
    fn why_there_is_no_answer() {
        let failure = compared("echo 'it is no snapshot' >&2; exit 3").unwrap_err();
        assert!(failure.contains("exit status: 3") && failure.ends_with("it is no snapshot"), "{failure}");
        let reader = Reader { node: "/nowhere/node".into(), script: "x".into() };
        let null = || File::open("/dev/null").unwrap();
        let failure = compare(&reader, null(), null(), 0).unwrap_err();
        assert!(failure.starts_with("/nowhere/node: "), "{failure}");
        let failure = compare(&reader, null(), null(), 1 << 50).unwrap_err();
        assert!(failure.starts_with("not enough memory"), "{failure}");
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let mut sleeping = Command::new("sleep");
        let child = sleeping.arg("600").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let failure = watch(Ended(child), Duration::from_millis(1)).unwrap_err();
        assert!(failure.contains("longer than 0 s"), "{failure}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
