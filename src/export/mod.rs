//! From records to the formats that other programs read.
//!
//! * `prometheus`: `plimsoll.metrics()`, Prometheus text and OpenMetrics.
//! * `stats`: the object of `plimsoll.stats()`.
//! * `ndjson`: the heap statistics file, written by a thread of its own.
//! * `sample`: a record for tests.

pub mod ndjson;
pub mod prometheus;
pub mod stats;

#[cfg(test)]
pub(crate) mod sample;
