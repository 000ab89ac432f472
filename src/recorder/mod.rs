//! The flight recorder: one fixed-size record of everything that plimsoll knows about a process, laid out as
//! 8-byte words in memory that is (where possible) a file, so that it outlives the process.
//!
//! Why words: every field is an `AtomicU64`, so the one writer, the sampler thread, in-process readers and the
//! thread that mirrors to disk may touch the same memory without a lock and without undefined behaviour.
//! Multi-word rows carry a sequence number (odd while being written, a *seqlock*): a reader retries a torn row a
//! bounded number of times and then shows it marked `torn`.
//!
//! * `layout`: where everything lies; nobody outside this module knows an offset. `kinds`: numbers that have names outside.
//! * `map`: the memory: a mapped file, or anonymous memory with a thread that mirrors it.
//! * `files`: folders, names, locks, pruning: whose record it is, and whether its process lives.
//! * `stops`: the handler that records the signal of an ordinary stop.
//! * `writer`, `reader`: the two sides; `record`: what a reader gets, plain data.
//! * `distribution`: the histogram that a route keeps of each quantity.

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
