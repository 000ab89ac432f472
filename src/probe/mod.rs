//! Where numbers come from: V8's heap, jemalloc, the operating system. Nothing here knows the recorder.

pub mod function;
pub mod jemalloc;
pub mod process;
pub mod v8;
