//! Which line blocks the event loop: asks for an interrupt, chooses the frame to report, and formats it.
//!
//! The rules for a frame are those of `lib/core/call-site.js`: the app's nearest frame, with the package that it called
//! if code of one runs. Without a frame of the app it is the package's own.

mod source_map;

use std::collections::{HashMap, VecDeque};
use std::path::{MAIN_SEPARATOR_STR, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::probe::v8::stack::Interrupts;
use crate::recorder::record::BlockedBy;
use crate::recorder::writer::epoch_ms;
use source_map::{Position, SourceMap, path_of};

/// The most stacks that are captured within [`PERIOD`].
const CAPTURES_MAX: usize = 6;
const PERIOD: Duration = Duration::from_secs(60);
/// V8 runs the interrupt within this time if JavaScript runs. Later, native code has run until then.
const PROMPT: Duration = Duration::from_millis(100);
/// Frames that are recorded.
const STACK_FRAMES: usize = 8;
/// Characters of a place, as `PLACE_LENGTH` in `lib/core/call-site.js`.
const PLACE_LENGTH: usize = 100;
const NODE_MODULES: &str = "node_modules";
/// Where Express and connect dispatch requests. A frame of the app beyond has only passed the request on.
const DISPATCH: [&str; 7] = [
    "router/layer.js",
    "router/route.js",
    "router/index.js",
    "router/lib/layer.js",
    "router/lib/route.js",
    "router/lib/index.js",
    "connect/index.js",
];

/// A frame as V8 has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Path, `file:` or `node:` URL, or a name that the app gave. Empty for native code.
    pub script: String,
    /// Empty for an anonymous function.
    pub function: String,
    /// Both counted from 1.
    pub line: u32,
    pub column: u32,
    /// The script's source map: its URL. Empty without one.
    pub source_map: String,
}

/// A stack that an interrupt has captured, innermost frame first.
#[derive(Clone, Debug)]
pub struct Captured {
    pub number: usize,
    pub at: Instant,
    pub frames: Vec<Frame>,
}

/// The isolate's side of a search: what its interrupt callback needs.
pub struct Listener {
    wanted: Arc<AtomicUsize>,
    found: Sender<Captured>,
    wake: Box<dyn Fn()>,
}

impl Listener {
    /// Whether the stack is still wanted. True once for each number.
    pub fn takes(&self, number: usize) -> bool {
        number != 0 && self.wanted.compare_exchange(number, 0, Relaxed, Relaxed).is_ok()
    }

    pub fn found(&self, captured: Captured) {
        // The sampler thread has ended if the channel is closed.
        if self.found.send(captured).is_ok() {
            (self.wake)();
        }
    }
}

/// The sampler thread's side of a search.
pub struct Search {
    interrupts: Interrupts,
    /// Number of the capture that is wanted, or 0.
    wanted: Arc<AtomicUsize>,
    found: Receiver<Captured>,
    last: usize,
    asked: VecDeque<Instant>,
    /// The folder of Plimsoll's own scripts.
    own: String,
}

/// Both sides. `wake` is called on the isolate's thread when a stack was captured.
pub fn search(interrupts: Interrupts, own: String, wake: impl Fn() + 'static) -> (Search, Listener) {
    let wanted = Arc::<AtomicUsize>::default();
    let (sender, found) = channel();
    let listener = Listener { wanted: Arc::clone(&wanted), found: sender, wake: Box::new(wake) };
    (Search { interrupts, wanted, found, last: 0, asked: VecDeque::new(), own }, listener)
}

impl Search {
    /// Asks for the stack, unless there were too many captures.
    pub fn ask(&mut self, now: Instant) {
        while self.asked.front().is_some_and(|at| now.saturating_duration_since(*at) >= PERIOD) {
            self.asked.pop_front();
        }
        if self.asked.len() >= CAPTURES_MAX {
            return;
        }
        self.last += 1;
        self.wanted.store(self.last, Relaxed);
        if self.interrupts.ask(self.last) {
            self.asked.push_back(now);
        } else {
            self.drop();
        }
    }

    /// The loop ticks again. A stack that is captured from now on does not show what has blocked it.
    pub fn drop(&self) {
        self.wanted.store(0, Relaxed);
    }

    /// The code that blocks the loop, if its stack has been captured since the last call.
    pub fn take(&self) -> Option<BlockedBy> {
        let captured = self.found.try_iter().last()?;
        let asked = self.asked.back().filter(|_| captured.number == self.last)?;
        let late = captured.at.saturating_duration_since(*asked) > PROMPT;
        let from = std::env::current_dir().ok();
        blocked_by(&captured.frames, &self.own, from.as_deref(), late)
    }
}

/// None if no code of the app or of a package is on the stack.
fn blocked_by(frames: &[Frame], own: &str, from: Option<&Path>, late: bool) -> Option<BlockedBy> {
    let theirs = |frame: &&Frame| is_theirs(&frame.script, own);
    let (frame, called) = nearest(frames.iter().filter(theirs))?;
    let mut places = Places { from, maps: HashMap::new() };
    let stack = frames.iter().filter(theirs).take(STACK_FRAMES).map(|frame| places.described(frame)).collect();
    Some(BlockedBy {
        at: epoch_ms(),
        function: Some(frame.function.clone()).filter(|name| !name.is_empty()),
        // Native code has returned by now, and the package may only be what the app called next.
        origin: places.of(frame, &called.filter(|_| !late).map_or(String::new(), |module| format!(" ({module})"))),
        stack,
        native: late,
    })
}

/// Neither Node's nor Plimsoll's.
fn is_theirs(script: &str, own: &str) -> bool {
    let path = script.strip_prefix("file://").unwrap_or(script);
    !script.is_empty() && !script.starts_with("node:") && (own.is_empty() || !path.starts_with(own))
}

/// The frame to report, and the package that it called.
fn nearest<'a>(frames: impl Iterator<Item = &'a Frame>) -> Option<(&'a Frame, Option<&'a str>)> {
    let mut module: Option<(&Frame, &str)> = None;
    for frame in frames {
        let Some(name) = module_of(&frame.script) else { return Some((frame, module.map(|(_, name)| name))) };
        let script = frame.script.replace('\\', "/");
        if DISPATCH.iter().any(|end| script.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'))) {
            break;
        }
        module.get_or_insert((frame, name));
    }
    module.map(|(frame, _)| (frame, None))
}

/// The package of a script. None for the app's own scripts.
fn module_of(script: &str) -> Option<&str> {
    let (_, within) = within_modules(script)?;
    let name = within.split(['/', '\\']).next()?;
    if !name.starts_with('@') {
        return Some(name);
    }
    let rest = &within[name.len()..];
    let end = rest.get(1..).and_then(|rest| rest.find(['/', '\\'])).map_or(within.len(), |at| name.len() + 1 + at);
    Some(&within[..end])
}

/// Splits a path at its last `node_modules`.
fn within_modules(script: &str) -> Option<(usize, &str)> {
    script.rmatch_indices(NODE_MODULES).find_map(|(at, _)| {
        let separator = |text: &str| text.starts_with(['/', '\\']);
        let after = &script[at + NODE_MODULES.len()..];
        (script[..at].ends_with(['/', '\\']) && separator(after)).then(|| (at, &after[1..]))
    })
}

/// Formats places.
struct Places<'a> {
    from: Option<&'a Path>,
    /// Source maps by script. They may be large, so each is read once.
    maps: HashMap<&'a str, Option<SourceMap>>,
}

impl<'a> Places<'a> {
    /// `slow (src/report.js:12:5)`
    fn described(&mut self, frame: &'a Frame) -> String {
        let place = self.of(frame, "");
        if frame.function.is_empty() { place } else { format!("{} ({place})", frame.function) }
    }

    /// `src/report.js:12:5`, of the source if there is a source map. `behind` follows.
    fn of(&mut self, frame: &'a Frame, behind: &str) -> String {
        let Frame { script, line, column, source_map, .. } = frame;
        let map = self.maps.entry(script).or_insert_with(|| SourceMap::load(source_map, script));
        let mapped = map.as_ref().and_then(|map| map.original(*line, *column));
        let Position { script, line, column } =
            mapped.unwrap_or_else(|| Position { script: script.clone(), line: *line, column: *column });
        let place = format!("{}:{line}:{column}", shown(&script, self.from));
        let room = PLACE_LENGTH.saturating_sub(behind.chars().count());
        match place.chars().count().checked_sub(room) {
            None | Some(0) => place + behind,
            // The end is more specific.
            Some(over) => format!("…{}{behind}", place.chars().skip(over + 1).collect::<String>()),
        }
    }
}

/// Relative to the working directory. Outside of it, a module's path within `node_modules`, which may be hoisted.
fn shown(script: &str, from: Option<&Path>) -> String {
    if script.starts_with("data:") {
        return "data:".to_owned();
    }
    let Some(path) = path_of(script) else { return script.to_owned() };
    if let Some(relative) = from.and_then(|from| path.strip_prefix(from).ok()) {
        return relative.display().to_string();
    }
    let path = path.display().to_string();
    match within_modules(&path) {
        Some((_, within)) => [NODE_MODULES, within].join(MAIN_SEPARATOR_STR),
        None => path,
    }
}

#[cfg(test)]
mod tests;
