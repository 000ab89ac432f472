//! Where numbers come from: V8's heap, malloc, jemalloc, the operating system. Nothing here knows the recorder.

pub mod allocator;
pub mod function;
pub mod glibc;
pub mod jemalloc;
pub mod memory;
pub mod process;
pub mod v8;
