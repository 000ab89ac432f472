//! What the least costs that a reader of snapshots can do: read the file in chunks, and find its numbers without keeping any.
//! Prints the seconds of each and the sums, so that nothing is optimised away. Built by run.js: `rustc -O scan.rs`.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).expect("the path of a snapshot");
    let mut chunk = vec![0; 1 << 20];
    let mut chunks = |see: &mut dyn FnMut(&[u8])| -> std::io::Result<f64> {
        let began = Instant::now();
        let mut file = File::open(&path)?;
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(began.elapsed().as_secs_f64());
            }
            see(&chunk[..read]);
        }
    };
    let mut bytes = 0;
    let reading = chunks(&mut |chunk| bytes += chunk.len())?;
    let (mut count, mut sum, mut number, mut inside) = (0u64, 0u64, 0u64, false);
    let scanning = chunks(&mut |chunk| {
        for byte in chunk {
            let digit = byte.wrapping_sub(b'0');
            if digit < 10 {
                number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
                inside = true;
            } else if inside {
                sum = sum.wrapping_add(number);
                count += 1;
                (number, inside) = (0, false);
            }
        }
    })?;
    println!("{{\"bytes\":{bytes},\"reading\":{reading},\"scanning\":{scanning},\"numbers\":{count},\"sum\":{sum}}}");
    Ok(())
}
