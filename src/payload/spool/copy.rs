//! Copies a body to a path, if it cannot be linked there. The file gets its name when it is complete, so that no
//! partial file is visible.

use std::io;
use std::path::PathBuf;

use super::file::Target;
use super::{BLOCK, Content, Pool};

/// Other jobs run between two steps: a large copy must not block a thread that uploads need.
const STEP: u64 = 16 * BLOCK as u64;

struct Copying<F> {
    from: Content,
    size: u64,
    to: Target,
    at: u64,
    overwrite: bool,
    done: F,
}

pub fn start<F>(from: Content, size: u64, path: PathBuf, overwrite: bool, pool: &'static Pool, done: F)
where
    F: FnOnce(io::Result<()>) + Send + 'static,
{
    match Target::create(path) {
        Ok(to) => step(Copying { from, size, to, at: 0, overwrite, done }, pool),
        Err(error) => done(Err(error)),
    }
}

fn step<F>(mut copying: Copying<F>, pool: &'static Pool)
where
    F: FnOnce(io::Result<()>) + Send + 'static,
{
    match advance(&mut copying) {
        Ok(true) => pool.run(move || step(copying, pool)),
        Ok(false) => {
            let Copying { to, done, .. } = copying;
            drop(to);
            done(Ok(()));
        }
        Err(error) => {
            let Copying { to, done, .. } = copying;
            // The partial file is removed before the failure is reported.
            drop(to);
            done(Err(error));
        }
    }
}

/// Returns true if there is more to do.
fn advance<F>(copying: &mut Copying<F>) -> io::Result<bool> {
    let until = copying.size.min(copying.at + STEP);
    while copying.at < until {
        let part = copying.from.read(copying.at, (until - copying.at).min(BLOCK as u64) as usize)?;
        copying.to.write_at(&part, copying.at)?;
        copying.at += part.len() as u64;
    }
    if copying.at < copying.size {
        return Ok(true);
    }
    if copying.to.place(copying.overwrite)? {
        return Ok(false);
    }
    copying.to.restart_named()?;
    copying.at = 0;
    Ok(true)
}
