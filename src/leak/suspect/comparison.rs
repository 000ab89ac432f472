//! The two heap snapshots of a leak, from the first fork to the result of their comparison. Only the fork blocks the
//! event loop.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use super::adders::STACK_BYTES;
use super::explanation::{Explanation, explain};
use super::schedule::{Situation, SnapshotSchedule, Taken};
use super::{Diff, LeakSuspect};
use crate::leak::sites::Moment;

/// What is known of the class that leaks, and of what retains it.
#[derive(Default)]
pub struct Comparison {
    schedule: SnapshotSchedule,
    /// When the last snapshot was forked.
    forked: Option<(Situation, Moment)>,
    first: Option<First>,
    comparing: Option<Comparing>,
    explaining: Option<Explaining>,
    found: Option<Found>,
    /// Why nothing was found.
    pub failure: Option<String>,
    /// Where the snapshots are, if they are retained.
    pub files: Option<String>,
}

struct First {
    /// The file has no name, unless it is retained.
    file: File,
    path: String,
    served: Moment,
}

struct Comparing {
    answer: Receiver<Result<Vec<u8>, String>>,
    /// What was served between the two snapshots.
    served: Moment,
}

/// The class is known; its holder's module is being read.
struct Explaining {
    answer: Receiver<Explanation>,
    suspect: LeakSuspect,
    served: Moment,
}

struct Found {
    suspect: LeakSuspect,
    served: Moment,
}

/// A snapshot that was taken.
pub struct Taking {
    pub file: File,
    pub path: String,
    /// Whether the file stays.
    pub is_retained: bool,
}

impl Comparison {
    pub fn is_on(&self) -> bool {
        self.schedule.is_on()
    }

    /// The suspect, and how many of it 1,000 requests of these routes leave behind. Without routes, 1,000 of all
    /// requests.
    pub fn suspect(&self, routes: &[&str]) -> Option<(&LeakSuspect, f64)> {
        let Found { suspect, served } = self.found.as_ref()?;
        let own: f64 =
            served.routes.iter().filter(|(route, _)| routes.contains(&route.as_str())).map(|(_, count)| count).sum();
        let requests = if own > 0.0 { own } else { served.requests };
        Some((suspect, suspect.instances / requests.max(1.0) * 1e3))
    }

    /// There is another leak: what was found belongs to the last one.
    pub fn renew(&mut self) {
        self.schedule.renew();
        // The next step drops the first snapshot, because closing it takes a while.
        (self.comparing, self.explaining) = (None, None);
        (self.found, self.failure, self.files) = (None, None, None);
    }

    /// Whether a heap snapshot must be taken now.
    pub fn step(&mut self, now: Situation) -> bool {
        let due = (now.leaking || self.schedule.is_on()) && self.schedule.step(now);
        if !self.schedule.waits()
            && let Some(first) = self.first.take()
        {
            // Closing a file without a name deletes it, which takes a while.
            let _ = thread::Builder::new().spawn(move || drop(first));
        }
        due
    }

    /// The event loop's thread has just forked. The snapshot shows this moment.
    pub fn forked(&mut self, now: Situation, served: Moment) {
        self.forked = Some((now, served));
    }

    /// A snapshot was taken. `compare(before, after, live_bytes)` runs on a thread of its own and returns the
    /// difference of the two as JSON.
    ///
    /// # Errors
    /// The first snapshot is gone, or the thread could not be started.
    pub fn taken(
        &mut self,
        taking: Taking,
        compare: impl FnOnce(File, File, u64) -> Result<Vec<u8>, String> + Send + 'static,
    ) -> Result<(), String> {
        let (at, served) = self.forked.take().unwrap_or_default();
        let Taking { file, path, is_retained } = taking;
        match self.schedule.taken(at) {
            Taken::First => self.first = Some(First { file, path, served }),
            Taken::Second => {
                let First { file: before, path: first, served: earlier } =
                    self.first.take().ok_or("the first snapshot is missing")?;
                self.files = is_retained.then(|| format!("{first}, {path}"));
                let (answered, answer) = channel();
                // The receiver is gone once the environment has ended.
                let work = move || drop(answered.send(compare(before, file, at.live_bytes)));
                let thread = thread::Builder::new().name("plimsoll-compare".into()).stack_size(512 << 10).spawn(work);
                thread.map_err(|error| format!("no thread for the comparison: {error}"))?;
                self.comparing = Some(Comparing { answer, served: between(&earlier, &served) });
            }
            Taken::Late => {}
        }
        Ok(())
    }

    /// Receives the answer of the thread, if there is one. `bytes_per_request`: the trend's slope. Returns the text
    /// for the record.
    pub fn receive(&mut self, now_ms: u64, bytes_per_request: f64) -> Option<String> {
        if self.explaining.is_some() {
            return self.explained();
        }
        let answer = match self.comparing.as_ref()?.answer.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("the thread of the comparison panicked".to_owned()),
            Ok(answer) => answer,
        };
        let Comparing { served, .. } = self.comparing.take()?;
        let diff = match answer.and_then(|json| read(&json)) {
            Err(why) => return Some(self.fail(now_ms, why)),
            Ok(diff) => diff,
        };
        let grown = bytes_per_request * served.requests;
        let Some(suspect) = super::find(&diff, grown, shown) else {
            // A later attempt may show more growth.
            return Some(self.fail(now_ms, "no class in the two snapshots explains the growth".to_owned()));
        };
        self.explain(&diff, suspect, served);
        None
    }

    /// Reads the holder's module, on a thread. Without one, the suspect has no explanation.
    fn explain(&mut self, diff: &Diff, suspect: LeakSuspect, served: Moment) {
        let (answered, answer) = channel();
        if let Some(work) = explanation_of(diff, &suspect) {
            // The receiver is gone once the environment has ended.
            let _ = on_large_stack(move || drop(answered.send(work())));
        }
        self.explaining = Some(Explaining { answer, suspect, served });
    }

    /// Receives the explanation of a suspect, once there is one. Returns the text for the record.
    fn explained(&mut self) -> Option<String> {
        let explanation = match self.explaining.as_ref()?.answer.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Explanation::default(),
            Ok(explanation) => explanation,
        };
        let Explaining { mut suspect, served, .. } = self.explaining.take()?;
        suspect.explanation = explanation;
        let said = format!("{}: {}", suspect.class, suspect.path.join(" → "));
        self.schedule.compared();
        self.failure = None;
        self.found = Some(Found { suspect, served });
        Some(said)
    }

    /// No snapshot could be taken, or the two could not be compared. Returns the reason.
    pub fn fail(&mut self, now_ms: u64, why: String) -> String {
        self.schedule.fail(now_ms);
        (self.first, self.comparing, self.explaining) = (None, None, None);
        self.failure = Some(why.clone());
        why
    }
}

/// The class that explains growth of `grown_bytes`, with its explanation, from the output of `plimsoll heap diff --json`. None if no class
/// stands out. It reads files, so do not call it on the event loop.
///
/// # Errors
/// The output cannot be read.
pub fn explained(json: &[u8], grown_bytes: f64) -> Result<Option<LeakSuspect>, String> {
    let diff = read(json)?;
    let Some(mut suspect) = super::find(&diff, grown_bytes, shown) else { return Ok(None) };
    if let Some(work) = explanation_of(&diff, &suspect) {
        let thread = on_large_stack(work).map_err(|error| error.to_string())?;
        suspect.explanation = thread.join().unwrap_or_default();
    }
    Ok(Some(suspect))
}

fn read(json: &[u8]) -> Result<Diff, String> {
    serde_json::from_slice(json).map_err(|error| format!("the output of the comparison cannot be read: {error}"))
}

/// What reads the module of the suspect's holder. None if it has none.
fn explanation_of(diff: &Diff, suspect: &LeakSuspect) -> Option<impl FnOnce() -> Explanation + Send + use<>> {
    let class = diff.classes.iter().find(|class| class.name == suspect.class)?;
    let file = path_of(class.module.as_deref()?);
    let (container, owner) = (suspect.container()?.to_owned(), suspect.owner.clone());
    Some(move || explain(&file, &container, owner.as_deref(), shown))
}

fn on_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().name("plimsoll-explain".into()).stack_size(STACK_BYTES).spawn(work)
}

fn between(before: &Moment, after: &Moment) -> Moment {
    let earlier: HashMap<&str, f64> = before.routes.iter().map(|(route, count)| (route.as_str(), *count)).collect();
    let since = |route: &str, count: f64| count - earlier.get(route).copied().unwrap_or(0.0);
    Moment {
        requests: after.requests - before.requests,
        routes: after.routes.iter().map(|(route, count)| (route.clone(), since(route, *count))).collect(),
        ..after.clone()
    }
}

/// The path of a module, which may be a URL.
fn path_of(file: &str) -> PathBuf {
    file.strip_prefix("file://").unwrap_or(file).into()
}

/// A file, relative to the working directory.
pub fn shown(file: &str) -> String {
    let file = file.strip_prefix("file://").unwrap_or(file);
    let own = std::env::current_dir().ok();
    let relative = own.and_then(|own| Path::new(file).strip_prefix(own).ok().map(|path| path.display().to_string()));
    relative.unwrap_or_else(|| match file.rfind("/node_modules/") {
        Some(at) => file[at + 1..].to_owned(),
        None => file.to_owned(),
    })
}
