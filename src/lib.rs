//! The native half of plimsoll. Data flows one way: `binding` (the only module that says `napi`) calls
//! `ledger`, `payload`, `leak`, `export` and `cli`, which stand on `recorder` and `probe`.
//! Without the `node` feature everything but `binding` compiles and passes its tests.

// Without the binding, what only the binding calls is unused; and in test builds napi registers nothing.
#![cfg_attr(any(test, not(feature = "node")), allow(dead_code))]

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: jemallocator::Jemalloc = jemallocator::Jemalloc;

pub mod cli;
pub mod export;
pub mod heap;
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
