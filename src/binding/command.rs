//! The `plimsoll` command.

use std::io::{IsTerminal, stderr, stdout};

use napi_derive::napi;

use crate::cli::{self, Terminal};

/// Runs the command with these arguments (without the program's name) and returns its exit code. Writes to the
/// process's own standard output.
#[napi(catch_unwind)]
pub fn cli(arguments: Vec<String>, width: u32, color: bool) -> i32 {
    // Standard error is not locked as a whole, because a progress bar writes to it too.
    let terminal = Terminal { width: width as usize, color, progress: stderr().is_terminal() };
    cli::run(&arguments, &mut stdout().lock(), &mut stderr(), terminal)
}
