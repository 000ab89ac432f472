//! Mirrors anonymous memory to a file on a disk, on a thread of its own. A write to a mapped page that is being written
//! back could block, and a disk that fills up under a sparse or copied-on-write page is a SIGBUS. A failed write here
//! is counted and tried again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::super::map::Map;

/// The file is at most this much older than the memory.
const PERIOD: Duration = Duration::from_millis(250);
/// While writing fails, the pause doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub struct Mirror {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    map: Arc<Map>,
    file: Arc<File>,
    /// Locked while blocks are copied, so that a flush waits for what another thread has begun.
    copying: Mutex<()>,
    stop: Mutex<bool>,
    wake: Condvar,
    errors: AtomicU64,
    first_error: Mutex<Option<io::Error>>,
}

impl Mirror {
    /// Copies all of `map` that was written so far, and starts the thread.
    ///
    /// # Errors
    /// The first copy failed, or the thread could not be started.
    pub fn start(map: Arc<Map>, file: Arc<File>) -> io::Result<Self> {
        write(&map, &file)?;
        let shared = Arc::new(Shared {
            map,
            file,
            copying: Mutex::new(()),
            stop: Mutex::new(false),
            wake: Condvar::new(),
            errors: AtomicU64::new(0),
            first_error: Mutex::new(None),
        });
        let running = Arc::clone(&shared);
        let thread =
            Builder::new().name("plimsoll-mirror".into()).stack_size(128 << 10).spawn(move || running.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// On return, all that was written before the call is in the file, or an error is counted.
    pub fn flush(&self) {
        let _ = self.shared.copy();
    }

    pub fn errors(&self) -> u64 {
        self.shared.errors.load(Relaxed)
    }

    /// The first error, once.
    pub fn take_error(&self) -> Option<io::Error> {
        lock(&self.shared.first_error).take()
    }
}

impl Drop for Mirror {
    /// Stops the thread after a last flush.
    fn drop(&mut self) {
        *lock(&self.shared.stop) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.flush();
    }
}

impl Shared {
    fn run(&self) {
        let mut pause = PERIOD;
        loop {
            let waited = self.wake.wait_timeout_while(lock(&self.stop), pause, |stop| !*stop);
            let (stop, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if *stop {
                return;
            }
            drop(stop);
            pause = match self.copy() {
                Ok(()) => PERIOD,
                Err(()) => (pause * 2).min(LONGEST_PAUSE),
            };
        }
    }

    fn copy(&self) -> Result<(), ()> {
        let _copying = lock(&self.copying);
        write(&self.map, &self.file).map_err(|error| {
            if self.errors.fetch_add(1, Relaxed) == 0 {
                *lock(&self.first_error) = Some(error);
            }
        })
    }
}

fn write(map: &Map, file: &File) -> io::Result<()> {
    map.take_dirty(|offset, bytes| file.write_all_at(bytes, offset))
}

/// A poisoned lock is safe to use: it guards nothing that could be half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn dirty(map: &Map, word: usize, value: u64) {
        map.words()[word].store(value, Relaxed);
        map.touch(word, 1);
    }

    fn word(file: &File, word: usize) -> u64 {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, word as u64 * 8).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn preallocated() -> Arc<File> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(super::super::super::FILE_BYTES as u64).unwrap();
        Arc::new(file)
    }

    #[test]
    fn what_is_written_comes_to_the_file_by_itself() {
        let (map, file) = (Arc::new(Map::anonymous(true).unwrap()), preallocated());
        let mirror = Mirror::start(Arc::clone(&map), Arc::clone(&file)).unwrap();
        dirty(&map, 5000, 7);
        let start = Instant::now();
        while word(&file, 5000) != 7 {
            assert!(start.elapsed() < Duration::from_secs(20), "never mirrored");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(mirror.errors(), 0);
    }

    #[test]
    fn all_is_in_the_file_when_a_flush_returns_and_when_it_stops() {
        let (map, file) = (Arc::new(Map::anonymous(true).unwrap()), preallocated());
        let mirror = Mirror::start(Arc::clone(&map), Arc::clone(&file)).unwrap();
        for round in 1..200 {
            dirty(&map, 1000 + round as usize * 600, round);
            mirror.flush();
            assert_eq!(word(&file, 1000 + round as usize * 600), round);
        }
        dirty(&map, 9, 11);
        drop(mirror);
        assert_eq!(word(&file, 9), 11);
    }

    #[test]
    fn errors_are_counted_reported_once_and_failed_blocks_are_written_later() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let map = Arc::new(Map::anonymous(true).unwrap());
        let read_only = Arc::new(File::open(path.path()).unwrap());
        let mirror = Mirror::start(Arc::clone(&map), read_only).unwrap();
        dirty(&map, 0, 3);
        mirror.flush();
        mirror.flush();
        assert!(mirror.errors() >= 2);
        assert!(mirror.take_error().is_some());
        mirror.flush();
        assert!(mirror.take_error().is_none());
        let mut kept = false;
        map.take_dirty(|_, _| {
            kept = true;
            Ok(())
        })
        .unwrap();
        assert!(kept);
    }
}
