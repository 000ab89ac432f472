//! The flight recorder: one fixed-size record of all that Plimsoll knows about a process. It consists of 8-byte words
//! in memory that is, where possible, a file, so that it outlives the process.
//!
//! Every field is an `AtomicU64`. So the writer, the sampler thread, in-process readers and the thread that mirrors to
//! disk may access the same memory without a lock and without undefined behaviour. Rows of several words carry a
//! sequence number that is odd during a write (a *seqlock*). A reader retries a torn row a bounded number of times and
//! then returns it marked `torn`.
//!
//! * `layout`: the offsets, which only this module knows. `kinds`: numbers that have names for users.
//! * `map`: the memory: a mapped file, or anonymous memory with a thread that mirrors it.
//! * `files`: folders, names, locks, pruning: which service a record belongs to, and whether its process is alive.
//! * `stops`: the handler that records the signal of an ordinary stop.
//! * `writer`, `reader`: the two sides. `record`: the reader's result, plain data.
//! * `distribution`: the histogram of each quantity of a route.
//! * `death`, `findings`: what a record shows about the end of its process, and about its limits.

pub mod death;
pub mod distribution;
pub mod files;
pub mod findings;
mod kinds;
mod layout;
pub mod map;
pub mod reader;
pub mod record;
pub mod shorten;
pub mod stops;
pub mod writer;

pub use kinds::{EventKind, GcKind, Quantity, Severity, StatusClass, TrendState};
pub use layout::{FILE_BYTES, FINDINGS_MAX, LAYER_ROWS_MAX, LAYERS_MAX, LEAKS_MAX, METHODS_MAX, ROUTES_MAX, SLOTS_MAX};
