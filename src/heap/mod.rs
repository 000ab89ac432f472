//! Reading heap snapshots: what Chrome DevTools shows of one, in seconds and without a browser.

mod bits;
pub mod error;
pub mod graph;
pub mod lexer;
pub mod snapshot;
pub mod source;
pub mod strings;
mod threads;
