//! The `plimsoll` command.

use std::io::{stderr, stdout};

use napi_derive::napi;

use crate::cli::{self, Terminal};

/// Runs the command with these arguments (without the program's name) and returns its exit code. Writes to the
/// process's own standard output.
#[napi(catch_unwind)]
pub fn cli(arguments: Vec<String>, width: u32, color: bool) -> i32 {
    cli::run(&arguments, &mut stdout().lock(), &mut stderr().lock(), Terminal { width: width as usize, color })
}
