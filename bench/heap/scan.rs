//! Measures a lower bound for readers of snapshots: the time to read the file in chunks, and to find its numbers without
//! storing them. Prints the seconds of both. It also prints the sums, so that the compiler cannot remove the work.
//! run.js builds it: `rustc -O scan.rs`.

use std::fs::File;
use std::io::Read;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let path = std::env::args_os().nth(1).expect("an argument: the path of a snapshot");
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
