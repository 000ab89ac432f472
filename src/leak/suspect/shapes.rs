//! The shapes in which JavaScript retains objects: how each is recognised on a retaining path, and what to change.
//!
//! A shape is data. Its steps are a pattern: the first one is the holder by the app's own name, the others are Node's or the language's own
//! below it. A path that no shape fits ends with the last step that has a name.

use super::{INTERNALS, OF_LANGUAGE, class_of, names_nothing};

/// A shape of retention.
#[derive(Debug, PartialEq)]
pub struct Shape {
    /// In kebab-case.
    pub name: &'static str,
    /// Consecutive steps of the path, the holder first. Alternatives are separated by `|`. A step is `label`, `:Class`, `label:Class`, `()` for
    /// a function, or `*` for any. `*` at an end stands for any text. No step: only the class counts.
    steps: &'static [&'static str],
    /// The classes that are retained, in the same form, without the colon. Empty: any.
    classes: &'static str,
    /// What is retained, before the holder's name: `listeners of `. `{}` is the label of the last step.
    pub what: &'static str,
    /// The holder if nothing on the path has a name of the app's: Node's own list, for example. Empty: it has no name.
    pub instead: &'static str,
    /// What to change in the app's own code.
    pub advice: &'static str,
    /// What to change if a package has the holder. Empty: as above.
    in_package: &'static str,
}

const SHAPE: Shape = Shape { name: "", steps: &[], classes: "", what: "", instead: "", advice: "", in_package: "" };

/// What helps against a container that grows.
const BOUND: &str = "Delete entries when they are done, or bound the collection (LRU, time to live)";
const ONCE: &str = "Call it once and reuse the result, bound its cache by its options, or update the package";
const LISTEN_ONCE: &str = "Create that object once, outside of the handler, or close it when the request ends";

const ABORT_SIGNAL: Shape = Shape {
    name: "abort-signal-listeners",
    what: "listeners of ",
    advice: "Remove the listener when the request ends, or give each request an AbortController of its own",
    in_package: "Give each call an AbortSignal of its own, and drop it when the request ends",
    ..SHAPE
};
const TIMERS: Shape = Shape {
    name: "timers",
    instead: "Node's list of timers",
    advice: "Clear each timer when its request ends (clearInterval, clearTimeout), or use one timer for all requests",
    in_package: "Create that object once, or stop it when the request ends: it sets a timer",
    ..SHAPE
};
const PROMISES: Shape = Shape {
    name: "promises",
    what: "reactions of ",
    advice: "It does not settle, and each then(), await or Promise.race() on it adds a reaction. Settle it, or use an AbortSignal of the request",
    ..SHAPE
};

/// The shapes, the most specific first.
pub const SHAPES: &[Shape] = &[
    Shape { steps: &[":AbortController|:AbortSignal", "<symbol kEvents>"], ..ABORT_SIGNAL },
    Shape { steps: &[":AbortController|:AbortSignal", "*", "<symbol kEvents>"], ..ABORT_SIGNAL },
    Shape {
        name: "message-ports",
        classes: "MessagePort",
        instead: "the open message ports",
        advice: "Call port.close() when the port is done: an open MessagePort is retained with its other end",
        ..SHAPE
    },
    Shape {
        name: "event-target-listeners",
        steps: &["*", "<symbol kEvents>"],
        what: "listeners of ",
        advice: "Add the listener once, or remove it when the request ends: addEventListener() takes { once, signal }",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape {
        name: "process-listeners",
        steps: &["process|:process", "_events", "*:Array"],
        what: "'{}' listeners of ",
        advice: "Add the listener once when the app starts, or remove it with process.off() when the request ends",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape {
        name: "server-listeners",
        steps: &[":Server|:Http2Server|:WebSocketServer", "_events", "*:Array"],
        what: "'{}' listeners of ",
        advice: "Add the listener once when the server starts, not for each request",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape {
        name: "socket-listeners",
        steps: &[":Socket|:TLSSocket", "_events", "*:Array"],
        what: "'{}' listeners of ",
        advice: "A socket serves many requests: add the listener once for each socket, or remove it when the request ends",
        in_package: "Update the package, or use an agent without keep-alive: its sockets collect the listeners of all requests",
        ..SHAPE
    },
    Shape {
        name: "emitter-listeners",
        steps: &["*", "_events", "*:Array"],
        what: "'{}' listeners of ",
        advice: "Remove the listener with off() when the request ends, or add it once outside of the handler",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape {
        name: "agent-requests",
        steps: &[":*Agent", "requests", "*"],
        what: "waiting requests of ",
        advice: "Requests wait for a free socket: read or destroy each response, set a timeout, or raise maxSockets",
        ..SHAPE
    },
    Shape {
        name: "agent-sockets",
        steps: &[":*Agent|:Pool", "sockets|freeSockets|<symbol clients>", "*"],
        what: "sockets of ",
        advice: "Read or destroy the body of each response, so that its socket is free again, and share one agent",
        ..SHAPE
    },
    Shape {
        name: "writable-buffer",
        steps: &["*", "_writableState", "*"],
        what: "the buffer of ",
        advice: "Nothing reads what is written. Wait for 'drain' when write() returns false, give the stream a reader, or drop the data",
        in_package: "Give the stream that you pass to it a reader, or drop the data: nothing reads what is written",
        ..SHAPE
    },
    Shape {
        name: "readable-buffer",
        steps: &["*", "_readableState", "*"],
        what: "the buffer of ",
        advice: "Read the stream, resume() it, or destroy() it when the request ends",
        in_package: "Read the stream that it returns, or destroy() it when the request ends",
        ..SHAPE
    },
    Shape {
        name: "interceptors",
        steps: &[":InterceptorManager|*interceptors*|*Interceptors*|hooks|:Hooks|processors", "handlers|*:Array"],
        advice: "Add the interceptor once, where the client is created, or eject it when the request ends",
        in_package: "Add the interceptor once, where the client is created, or eject it when the request ends",
        ..SHAPE
    },
    Shape {
        name: "middleware",
        steps: &["*", "stack:Array"],
        classes: "Layer|Function|Object|Array|{*",
        what: "layers of ",
        advice: "Call use(), get() and the like once when the app starts, not for each request",
        in_package: "Call use(), get() and the like once when the app starts, not for each request",
        ..SHAPE
    },
    Shape {
        name: "diagnostics-subscribers",
        steps: &["*:ActiveChannel|*:Channel|*:TracingChannel|*", "_subscribers"],
        what: "subscribers of ",
        advice: "Subscribe once when the app starts, or unsubscribe when the request ends",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape {
        name: "domain-members",
        steps: &[":Domain", "members"],
        what: "members of ",
        advice: "Remove what was added with domain.remove(), or use a domain for each request",
        ..SHAPE
    },
    Shape {
        name: "performance-entries",
        classes: "PerformanceMark|PerformanceMeasure|PerformanceResourceTiming|PerformanceEntry",
        instead: "Node's list of performance entries",
        advice: "Node retains each entry of the timeline: call performance.clearMarks(), clearMeasures() or clearResourceTimings()",
        ..SHAPE
    },
    Shape {
        name: "async-context",
        steps: &["<symbol kResourceStore>|:AsyncContextFrame|<symbol async_context_frame>|*AsyncContextFrame*"],
        what: "the async context in ",
        advice: "What AsyncLocalStorage.run() begins retains its store until it is done: end it with the request, or begin it with exit()",
        in_package: "Begin it once, outside of any request: what begins in a request retains its AsyncLocalStorage",
        ..SHAPE
    },
    Shape {
        name: "immediates",
        classes: "Immediate",
        instead: "Node's queue of immediates",
        advice: "Call clearImmediate() when the request ends: an immediate that sets itself again never ends",
        ..SHAPE
    },
    Shape { classes: "Timeout|Timer|TimersList", ..TIMERS },
    Shape { steps: &["*", "_onTimeout|_timerArgs"], what: "timers of ", ..TIMERS },
    Shape { name: "promises", steps: &["*:Promise"], ..PROMISES },
    Shape {
        name: "weak-map",
        steps: &["*:WeakMap|*:WeakSet"],
        advice: "An entry lives as long as its key. Use a key that ends with the request, or delete what the value collects",
        ..SHAPE
    },
    Shape {
        name: "finalization-registry",
        steps: &["*:FinalizationRegistry"],
        advice: "The held value must not refer to the object, or neither is ever collected. Pass an id, or call unregister()",
        ..SHAPE
    },
    Shape {
        name: "module-cache",
        classes: "Module",
        instead: "Node's cache of modules",
        advice: "Load a module once: each require() after `delete require.cache[…]` adds another copy, which its parent retains",
        ..SHAPE
    },
    Shape {
        name: "connections",
        steps: &[
            "*clients:Set|*clients:Map|*Clients:Set|*connections:Set|*connections:Map|*Connections:Set|*sockets:Set|*sockets:Map",
        ],
        advice: "Delete the connection on its 'close' event, and end those that do not answer",
        ..SHAPE
    },
    Shape {
        name: "open-connections",
        classes: "Socket|TLSSocket|TCP|WebSocket|Http2Session|ServerHttp2Session|ServerHttp2Stream",
        instead: "the open connections",
        advice: "Connections stay open: close each one when it is done, and set a timeout for those whose peer is gone",
        ..SHAPE
    },
    Shape {
        name: "waiting-queue",
        steps: &["*waiting*:Array|*waiters*:Array|*pending*:Array|*queue*:Array|*Queue*:Array"],
        advice: "What waits here is never served. Return each resource in a `finally`, and let waiting time out",
        ..SHAPE
    },
    Shape {
        name: "unbounded-lru",
        steps: &[":*LRU*|:*Lru*|:*Cache*", "*"],
        advice: "Give the cache a limit: a maximum of entries or bytes, and a time to live",
        in_package: "Give the cache a limit by its options (max, maxSize, ttl): without one it keeps every entry",
        ..SHAPE
    },
    Shape {
        name: "errors",
        classes: "*Error",
        advice: "Retain the message instead of the Error: it retains its stack, its cause and what these refer to",
        ..SHAPE
    },
    Shape {
        name: "intl",
        classes: "NumberFormat|DateTimeFormat|Collator|PluralRules|RelativeTimeFormat|ListFormat|Segmenter|DisplayNames|Locale",
        advice: "Create one formatter for each locale and set of options, and reuse it. Bound the cache if users choose them",
        ..SHAPE
    },
    Shape {
        name: "regular-expressions",
        classes: "RegExp",
        advice: "Create the expression once. If it depends on the input, do not cache it, or bound the cache",
        ..SHAPE
    },
    Shape {
        name: "buffers",
        classes: "Buffer|FastBuffer|Uint8Array|ArrayBuffer",
        advice: "Delete the buffers when they are done. A small one retains the 8 KiB pool that it is a part of: retain a copy made with new Uint8Array(buffer)",
        ..SHAPE
    },
    Shape {
        name: "sliced-strings",
        classes: "(sliced string)",
        advice: "A slice retains the whole string that it is a part of: retain a copy, such as Buffer.from(text).toString()",
        ..SHAPE
    },
    Shape {
        name: "symbol-registry",
        classes: "(symbol)|Symbol",
        instead: "the registry of Symbol.for()",
        advice: "Symbol.for() retains its key forever: use fixed keys, a Map, or Symbol()",
        ..SHAPE
    },
    Shape {
        name: "open-responses",
        steps: &["*:Set|*:Map"],
        classes: "ServerResponse|Http2ServerResponse|Response",
        advice: "Delete the response on its 'close' event",
        ..SHAPE
    },
    Shape {
        name: "requests",
        classes: "IncomingMessage|ServerResponse|Request|Response|ClientRequest",
        advice: "Retain what is needed of the request, not the request itself, and delete it when the response is closed",
        ..SHAPE
    },
    Shape {
        name: "keys-of-text",
        steps: &["*"],
        classes: "(string)|(concatenated string)",
        advice: "Each request adds a text that is never deleted. Delete it when it is done, bound the collection, or use keys of a fixed set",
        in_package: ONCE,
        ..SHAPE
    },
    Shape {
        name: "global-variable",
        steps: &["global", "*"],
        advice: "It is a variable of the global object. Delete entries when they are done, or bound the collection (LRU, time to live)",
        ..SHAPE
    },
    Shape {
        name: "closures",
        steps: &["*:Array|*:Set|*:Map", "()"],
        advice: "Each function retains the variables of its call. Remove the functions when they are done, or add one for all requests",
        in_package: LISTEN_ONCE,
        ..SHAPE
    },
    Shape { name: "map", steps: &["*:Map"], advice: BOUND, in_package: ONCE, ..SHAPE },
    Shape { name: "set", steps: &["*:Set"], advice: BOUND, in_package: ONCE, ..SHAPE },
    Shape { name: "array", steps: &["*:Array"], advice: BOUND, in_package: ONCE, ..SHAPE },
];

/// A `Map` whose keys are objects that each request makes anew.
pub const KEYS_BY_IDENTITY: Shape = Shape {
    name: "keys-by-identity",
    advice: "Its keys are objects, and each request makes a new one, so no entry is found again. Make the key once, or use a string as the key",
    in_package: "It caches by the identity of what it is given. Make that object once, outside of the handler, and reuse the result",
    ..SHAPE
};

/// A list whose newest entry refers to the one before.
pub const LINKED_LIST: Shape = Shape {
    name: "linked-list",
    advice: "Each one refers to the one before: cut that reference when it is done",
    ..SHAPE
};

/// Objects in a property or a variable that has a name.
pub const NAMED: Shape = Shape { name: "object", advice: BOUND, in_package: ONCE, ..SHAPE };

/// Nothing on the path has a name.
pub const UNNAMED: Shape =
    Shape { name: "unnamed", advice: "Release these objects when they are done, or bound their number", ..SHAPE };

/// A shape on a path.
#[derive(Debug, PartialEq)]
pub struct Fit {
    pub shape: &'static Shape,
    /// Where the holder is on the path. None if the shape is one of the class alone.
    pub holder: Option<usize>,
    /// Where the last step of the pattern is.
    last: Option<usize>,
}

impl Fit {
    /// `'close' listeners of `.
    pub fn what(&self, path: &[String]) -> String {
        let label = self.last.and_then(|last| path.get(last)).map_or("", |step| label_of(step));
        self.shape.what.replace("{}", label.trim_end_matches("()"))
    }
}

impl Shape {
    pub fn advice(&self, is_of_package: bool) -> &'static str {
        if is_of_package && !self.in_package.is_empty() { self.in_package } else { self.advice }
    }

    fn fit(&'static self, path: &[String], class: &str) -> Option<Fit> {
        if !(self.classes.is_empty() || is_one_of(class, self.classes)) {
            return None;
        }
        if self.steps.is_empty() {
            return Some(Fit { shape: self, holder: None, last: None });
        }
        // The object itself is no holder.
        let before = path.split_last().map_or(path, |(_, before)| before);
        let shown: Vec<usize> = (0..before.len()).filter(|at| !is_elided(&path[*at])).collect();
        let is_below = |at: usize| shown.iter().all(|below| *below <= at || is_link(&path[*below], class));
        let is_it = |at: &&[usize]| {
            let all = || at.iter().zip(self.steps).all(|(at, step)| is_step(&path[*at], step));
            !names_nothing(&path[at[0]]) && at.last().is_some_and(|last| is_below(*last)) && all()
        };
        let at = shown.windows(self.steps.len()).rev().find(is_it)?;
        Some(Fit { shape: self, holder: at.first().copied(), last: at.last().copied() })
    }
}

/// The shape of a path to an object of `class`, and its holder. `own` is the index of the last step before the object that has a name.
pub fn find(path: &[String], class: &str, own: Option<usize>) -> Fit {
    if let Some(Fit { shape, holder, last }) = SHAPES.iter().find_map(|shape| shape.fit(path, class)) {
        return Fit { shape, holder: holder.or(own), last };
    }
    let is_list = path.len() > 1 && path[path.len() - 2..].iter().all(|step| class_of(step) == class);
    let shape = match own {
        _ if is_list => &LINKED_LIST,
        Some(_) => &NAMED,
        None => &UNNAMED,
    };
    Fit { shape, holder: own, last: None }
}

/// Whether a step below a container may lead to its objects: an index, a function, or another object of their class.
fn is_link(step: &str, class: &str) -> bool {
    let says_nothing = OF_LANGUAGE.contains(&step) || class_of(step) == "Listener";
    step.starts_with(['[', '<', '(']) || step.ends_with("()") || says_nothing || class_of(step) == class
}

/// Whether a step is left out of what is shown and compared.
pub fn is_elided(step: &str) -> bool {
    step.starts_with('…') || INTERNALS.contains(&label_of(step)) || INTERNALS.contains(&class_of(step))
}

/// `cache` for `cache: Map`, and the whole step if it is a label or a class alone.
fn label_of(step: &str) -> &str {
    step.rsplit_once(": ").map_or(step, |(label, _)| label)
}

fn is_step(step: &str, pattern: &str) -> bool {
    pattern.split('|').any(|pattern| match pattern.split_once(':') {
        _ if pattern == "()" => step.ends_with("()"),
        Some((label, class)) => (label.is_empty() || is_text(label_of(step), label)) && is_text(class_of(step), class),
        None => is_text(label_of(step), pattern),
    })
}

fn is_one_of(text: &str, patterns: &str) -> bool {
    patterns.split('|').any(|pattern| is_text(text, pattern))
}

/// `*` at either end stands for any text.
fn is_text(text: &str, pattern: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(rest), Some(_)) => text.contains(rest.trim_end_matches('*')),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => text == pattern,
    }
}
