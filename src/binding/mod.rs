//! The functions that JavaScript can call: the only module that uses N-API.
//!
//! Each environment (the main thread, each worker) has state of its own, which its thread owns and the environment's
//! cleanup hook releases. Every function catches panics: an internal error becomes a JS error, never the end of the
//! server.

mod announcements;
mod beside;
mod blocked;
mod body;
mod collections;
mod command;
mod counts;
mod environment;
mod functions;
mod heap;
mod heap_statistics;
mod inflate;
mod leak_snapshots;
mod lifecycle;
mod memory;
mod pressure;
mod profiling;
mod reports;
mod requests;
mod shedding;
mod snapshot;
mod soak;
mod spool;
mod start;
mod weak;
