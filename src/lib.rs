//! The native half of Plimsoll. Calls go in one direction: `binding`, the only module that uses N-API, calls `ledger`,
//! `payload`, `snapshot`, `leak`, `shed`, `export` and `cli`. These use `recorder` and `probe`. `binding` and `cli` also
//! use the crate `heap_snapshot`. Without the `node` feature all modules but `binding` compile, and their tests pass.

// Without the binding, what only the binding calls is unused. In test builds napi registers nothing.
#![cfg_attr(any(test, not(feature = "node")), allow(dead_code))]

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

pub mod cli;
pub mod export;
pub mod leak;
pub mod ledger;
pub mod payload;
pub mod probe;
pub mod recorder;
pub mod shed;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub mod snapshot;

#[cfg(feature = "node")]
mod binding;
