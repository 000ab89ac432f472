//! Prints the ten classes of a snapshot that retain most.
//!
//! ```sh
//! cargo run --release -p plimsoll-heap-snapshot --example summary -- app.heapsnapshot
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use heap_snapshot::source::Source;
use heap_snapshot::{Heap, Roots};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from).ok_or("the path of a snapshot is missing")?;
    let heap = Heap::read(&mut Source::open(&path)?, Roots::DevTools)?;
    let summary = heap.summary();
    let mut out = io::stdout().lock();
    writeln!(out, "{} bytes in {} nodes, {} references", summary.total_bytes, summary.nodes, summary.edges)?;
    writeln!(out, "{:>14} {:>14} {:>9}  class", "retained bytes", "own bytes", "objects")?;
    for class in summary.classes.iter().take(10) {
        writeln!(out, "{:>14} {:>14} {:>9}  {}", class.retained_bytes, class.self_bytes, class.count, class.name)?;
    }
    Ok(())
}
