//! Sources of figures: V8's heap, malloc, jemalloc, the operating system. Nothing here depends on the recorder.

pub mod allocator;
pub mod function;
pub mod glibc;
pub mod jemalloc;
pub mod memory;
pub mod process;
pub mod v8;
