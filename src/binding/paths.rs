//! Heap snapshots of a leak, for what it is and what holds it: when JavaScript takes them, and what becomes of them. Nothing of that is on the event
//! loop but the fork.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use napi_derive::napi;

use super::environment::{Environment, with};
use super::sites::moment;
use crate::recorder::{EventKind, Quantity, reader};
use crate::trend::kept::{self, Diff, Kept};
use crate::trend::pair::{Pair, Situation, Taken};
use crate::trend::sites::Moment;

/// What the environment knows of what the heap's leak is, and what holds it.
#[derive(Default)]
pub struct Paths {
    pair: Pair,
    /// When the last snapshot was forked.
    forked: Option<(Situation, Moment)>,
    first: Option<First>,
    comparing: Option<Comparing>,
    found: Option<Found>,
    /// Why there is nothing, where it was looked for.
    pub failure: Option<String>,
    /// Where the snapshots are, if they are kept.
    pub files: Option<String>,
}

struct First {
    /// Without a name, unless it is kept.
    file: File,
    path: String,
    served: Moment,
}

struct Comparing {
    answer: Receiver<Result<Vec<u8>, String>>,
    /// What was served between the two snapshots.
    served: Moment,
}

struct Found {
    kept: Kept,
    served: Moment,
}

impl Paths {
    /// What the leak's memory is, with how many a thousand requests of these routes leave behind; of no route: of all.
    pub fn kept(&self, routes: &[String]) -> Option<(&Kept, f64)> {
        let Found { kept, served } = self.found.as_ref()?;
        let own: f64 = served.routes.iter().filter(|(route, _)| routes.contains(route)).map(|(_, count)| count).sum();
        let requests = if own > 0.0 { own } else { served.requests };
        Some((kept, kept.instances / requests.max(1.0) * 1e3))
    }

    /// Another leak: what was found was the last one's.
    pub fn renew(&mut self) {
        self.pair.renew();
        // The first snapshot goes at the next step: to close it takes a while.
        self.comparing = None;
        (self.found, self.failure, self.files) = (None, None, None);
    }
}

/// Whether a heap snapshot is to be taken now.
#[napi(catch_unwind)]
pub fn path_step() -> bool {
    with(|environment| {
        receive(environment);
        let Some(now) = situation(environment) else { return false };
        let paths = &mut environment.paths;
        let due = (now.leaking || paths.pair.is_on()) && paths.pair.step(now);
        if !paths.pair.waits()
            && let Some(first) = paths.first.take()
        {
            // To close a file without a name is to delete it, which takes a while.
            let _ = thread::Builder::new().spawn(move || drop(first));
        }
        due
    })
    .unwrap_or(false)
}

fn situation(environment: &Environment) -> Option<Situation> {
    let map = environment.ledger.writer().map();
    let trend = reader::trend(&**map, Quantity::Heap);
    // Not the trend's state, which is there a little earlier: what is taken then would be the last leak's.
    let leaking = environment.leak.stands();
    if !leaking && !environment.paths.pair.is_on() {
        return None;
    }
    Some(Situation {
        now_ms: environment.ledger.uptime_ms(),
        leaking,
        searching: environment.search.is_on(),
        majors: reader::points(&**map).unwrap_or(0),
        requests: reader::requests(&**map),
        bytes_per_thousand: trend.and_then(|trend| trend.bytes_per_thousand).unwrap_or(0.0),
        live_bytes: reader::live_bytes(&**map),
    })
}

/// The event loop's thread has just forked: what a snapshot shows is of this moment.
pub fn forked(environment: &mut Environment) {
    if let Some(now) = situation(environment) {
        environment.paths.forked = Some((now, moment(environment)));
    }
}

/// Who reads the snapshots.
#[napi(object)]
pub struct PathTools {
    /// The path of a `node`, and of `bin/plimsoll.js`.
    pub node: String,
    pub script: String,
    /// Whether the files stay.
    pub keep: bool,
    /// A folder of our own, which goes with the file.
    pub folder: Option<String>,
}

impl PathTools {
    /// Takes its name from a snapshot that is open: so nothing is left of it, whenever and however the process ends.
    fn discard(&self, path: &str) -> io::Result<()> {
        if self.keep {
            return Ok(());
        }
        fs::remove_file(path)?;
        self.folder.iter().try_for_each(fs::remove_dir)
    }
}

/// A snapshot was taken: it is at `path`.
#[napi(catch_unwind)]
pub fn path_taken(path: String, tools: PathTools) {
    with(|environment| {
        let taken = take(environment, &path, tools);
        if let Err(why) = taken {
            fail(environment, why);
        }
    });
}

fn take(environment: &mut Environment, path: &str, tools: PathTools) -> Result<(), String> {
    let paths = &mut environment.paths;
    let (at, served) = paths.forked.take().unwrap_or_default();
    let file = File::open(path).and_then(|file| tools.discard(path).map(|()| file));
    let file = file.map_err(|error| format!("{path}: {error}"))?;
    match paths.pair.taken(at) {
        Taken::First => paths.first = Some(First { file, path: path.to_owned(), served }),
        Taken::Second => {
            let First { file: before, path: first, served: earlier } =
                paths.first.take().ok_or("the first snapshot is gone")?;
            paths.files = tools.keep.then(|| format!("{first}, {path}"));
            let (answered, answer) = channel();
            // Nobody listens any more when the environment has ended.
            let work = move || drop(answered.send(compare(&tools, before, file, at.live_bytes)));
            let thread = thread::Builder::new().name("plimsoll-compare".into()).stack_size(512 << 10).spawn(work);
            thread.map_err(|error| format!("no thread to compare them: {error}"))?;
            paths.comparing = Some(Comparing { answer, served: between(&earlier, &served) });
        }
        Taken::Late => {}
    }
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn compare(tools: &PathTools, before: File, after: File, heap: u64) -> Result<Vec<u8>, String> {
    use crate::snapshot::compare::{Reader, compare};
    let reader = Reader { node: (&tools.node).into(), script: (&tools.script).into() };
    compare(&reader, before, after, heap)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn compare(_: &PathTools, _: File, _: File, _: u64) -> Result<Vec<u8>, String> {
    Err("needs Linux with glibc".into())
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

/// The answer of who compares, once it is there.
fn receive(environment: &mut Environment) {
    let Some(comparing) = &environment.paths.comparing else { return };
    let answer = match comparing.answer.try_recv() {
        Err(TryRecvError::Empty) => return,
        Err(TryRecvError::Disconnected) => Err("the thread that compared them panicked".to_owned()),
        Ok(answer) => answer,
    };
    let Some(Comparing { served, .. }) = environment.paths.comparing.take() else { return };
    let diff = answer.and_then(|json| {
        serde_json::from_slice::<Diff>(&json).map_err(|error| format!("what was said of their difference: {error}"))
    });
    match diff {
        Err(why) => fail(environment, why),
        Ok(diff) => {
            let slope = reader::trend(&**environment.ledger.writer().map(), Quantity::Heap)
                .and_then(|trend| trend.bytes_per_thousand);
            let grown = slope.unwrap_or(0.0) / 1e3 * served.requests;
            let paths = &mut environment.paths;
            paths.found = kept::find(&diff, grown, shown).map(|kept| Found { kept, served });
            match paths.found {
                Some(_) => paths.pair.compared(),
                // Another time there may be more of it.
                None => paths.pair.fail(environment.ledger.uptime_ms()),
            }
            let said = match &paths.found {
                Some(Found { kept, .. }) => format!("{}: {}", kept.class, kept.path.join(" → ")),
                None => "of two snapshots, no class explains the growth".to_owned(),
            };
            paths.failure = paths.found.is_none().then(|| said.clone());
            environment.ledger.writer().event(EventKind::Path, None, &said);
        }
    }
}

/// A file as seen from where the process runs.
fn shown(file: &str) -> String {
    let file = file.strip_prefix("file://").unwrap_or(file);
    let own = std::env::current_dir().ok();
    let relative = own.and_then(|own| Path::new(file).strip_prefix(own).ok().map(|path| path.display().to_string()));
    relative.unwrap_or_else(|| match file.rfind("/node_modules/") {
        Some(at) => file[at + 1..].to_owned(),
        None => file.to_owned(),
    })
}

/// No snapshot could be taken: why.
#[napi(catch_unwind)]
pub fn path_failed(reason: String) {
    with(|environment| fail(environment, reason));
}

fn fail(environment: &mut Environment, why: String) {
    let paths = &mut environment.paths;
    paths.pair.fail(environment.ledger.uptime_ms());
    (paths.first, paths.comparing) = (None, None);
    environment.ledger.writer().event(EventKind::Path, None, &why);
    paths.failure = Some(why);
}
