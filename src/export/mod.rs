//! From records to bytes: what other programs read.
//!
//! * `prometheus`: `plimsoll.metrics()`, Prometheus text and OpenMetrics.
//! * `stats`: the object of `plimsoll.stats()`.
//! * `findings`: what in them calls for action.
//! * `ndjson`: the heap statistics file, written by a thread of its own.

pub mod ndjson;
pub mod prometheus;
pub mod stats;

#[cfg(test)]
pub(crate) mod sample;
