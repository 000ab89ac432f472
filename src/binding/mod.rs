//! What JavaScript can call: the only module that says `napi`.
//!
//! Each environment (the main thread, each worker) has state of its own, held by the thread that runs it and taken down by the
//! environment's cleanup hook. Every function catches panics: an internal error becomes a JS error, never the end of the server.

mod beside;
mod body;
mod command;
mod environment;
mod functions;
mod heap;
mod inflate;
mod memory;
mod paths;
mod pressure;
mod reports;
mod requests;
mod sites;
mod snapshot;
mod soak;
mod spool;
mod trend;
mod weak;
