use std::collections::BTreeMap;
use std::fs::{read, read_dir};
use std::os::unix::fs::PermissionsExt;
use std::sync::Condvar;
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// A disk that writes only as much as the test allows, and stores what it has written.
#[derive(Default)]
struct Slow {
    state: Mutex<SlowState>,
    changed: Condvar,
}

#[derive(Default)]
struct SlowState {
    allowed: u64,
    written: u64,
    /// Writes fail once this much is written.
    room: Option<u64>,
    open: usize,
    blocks: BTreeMap<u64, Vec<u8>>,
}

struct SlowFile(Arc<Slow>);

impl Slow {
    fn allow(&self, bytes: u64) {
        locked(&self.state).allowed += bytes;
        self.changed.notify_all();
    }

    fn state<T>(&self, look: impl FnOnce(&mut SlowState) -> T) -> T {
        look(&mut locked(&self.state))
    }

    fn content(&self) -> Vec<u8> {
        self.state(|state| state.blocks.values().flatten().copied().collect())
    }
}

struct SlowDisk(Arc<Slow>);

impl Disk for SlowDisk {
    fn create(&self) -> io::Result<Arc<dyn BodyFile>> {
        self.0.state(|state| state.open += 1);
        Ok(Arc::new(SlowFile(Arc::clone(&self.0))))
    }
}

impl BodyFile for SlowFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = locked(&self.0.state);
        while state.allowed < state.written + bytes.len() as u64 {
            state = self.0.changed.wait(state).unwrap();
        }
        if state.room.is_some_and(|room| state.written + bytes.len() as u64 > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.written += bytes.len() as u64;
        state.blocks.insert(offset, bytes.to_vec());
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.0.content();
        let offset = offset as usize;
        let part = content.get(offset..offset + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(part);
        Ok(())
    }
}

impl Drop for SlowFile {
    fn drop(&mut self) {
        self.0.state(|state| state.open -= 1);
    }
}

fn pool(threads: usize) -> &'static Pool {
    Box::leak(Box::new(Pool::new(threads)))
}

fn spool_on(disk: Arc<dyn Disk>, memory: u64, pool: &'static Pool) -> (Spool, Receiver<()>) {
    let (wake, woken) = channel();
    let wake = Mutex::new(wake);
    (
        Spool::new(disk, memory, pool, move || {
            let _ = locked(&wake).send(());
        }),
        woken,
    )
}

fn slow(memory: u64) -> (Arc<Slow>, &'static Pool, Spool, Receiver<()>) {
    let disk = Arc::new(Slow::default());
    let pool = pool(2);
    let (spool, woken) = spool_on(Arc::new(SlowDisk(Arc::clone(&disk))), memory, pool);
    (disk, pool, spool, woken)
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        sleep(Duration::from_millis(1));
    }
}

/// Acts as the producer: stops on `Wait`, continues when woken.
fn settle(spool: &mut Spool, mut flow: Flow, woken: &Receiver<()>) -> Flow {
    while flow == Flow::Wait {
        woken.recv_timeout(Duration::from_secs(10)).expect("woken");
        flow = spool.poll();
    }
    flow
}

#[test]
fn a_slow_disk_stops_the_body_and_bounds_its_memory() {
    let (disk, pool, mut spool, woken) = slow(1000);
    let chunk = [7; 10_000];
    let mut sent = 0;
    while spool.write(&chunk) == Flow::Go {
        sent += 1;
        assert!(sent < 100, "never told to stop");
    }
    assert!(pool.queued() <= HIGH_WATER + BLOCK as u64);
    assert!(woken.try_recv().is_err());
    disk.allow(BLOCK as u64);
    until("a block is written", || disk.state(|state| state.written) == BLOCK as u64);
    assert_eq!(spool.poll(), Flow::Wait, "not before it has drained to the low water mark");
    disk.allow(2 * BLOCK as u64);
    assert_eq!(settle(&mut spool, Flow::Wait, &woken), Flow::Go);
    disk.allow(u64::MAX / 2);
    let flow = spool.finish();
    assert_eq!(settle(&mut spool, flow, &woken), Flow::Go);
    assert_eq!(disk.content(), vec![7; (sent + 1) * chunk.len()]);
    assert_eq!(pool.queued(), 0);
}

#[test]
fn behind_a_burst_memory_goes_back_to_the_system_once() {
    let pool = pool(1);
    for burst in [false, true, true] {
        let bytes = if burst { 4 << 20 } else { (4 << 20) - 1 };
        pool.queue(bytes - 1);
        pool.queue(1);
        assert!(!pool.wrote(bytes - 1), "some of it is not written yet");
        assert_eq!(pool.wrote(1), burst);
        pool.queue(1);
        assert!(!pool.wrote(1), "one block is no burst");
    }
}

#[test]
fn many_bodies_on_a_slow_disk_are_bounded_together() {
    let pool = pool(1);
    let disk = Arc::new(Slow::default());
    let mut spools: Vec<_> = (0..100).map(|_| spool_on(Arc::new(SlowDisk(Arc::clone(&disk))), 0, pool)).collect();
    let mut stopped = 0;
    for (spool, _) in &mut spools {
        let chunk = [1; BLOCK];
        while spool.write(&chunk) == Flow::Go {}
        stopped += 1;
        assert!(pool.queued() <= QUEUED_IN_ALL + (stopped * BLOCK) as u64);
    }
    assert!(pool.queued() < 100 * HIGH_WATER, "the later ones were stopped sooner");
    disk.allow(u64::MAX / 2);
    for (spool, woken) in &mut spools {
        assert_eq!(settle(spool, Flow::Wait, woken), Flow::Go);
    }
    until("all is written", || pool.queued() == 0);
}

#[test]
fn small_bodies_go_to_disk_when_all_together_hold_too_much() {
    let pool = pool(1);
    let disk = Arc::new(Slow::default());
    disk.allow(u64::MAX / 2);
    pool.held.store(HELD_IN_ALL - 150, Ordering::SeqCst);
    let (mut first, _) = spool_on(Arc::new(SlowDisk(Arc::clone(&disk))), 1000, pool);
    let (mut second, woken) = spool_on(Arc::new(SlowDisk(Arc::clone(&disk))), 1000, pool);
    assert_eq!((first.write(&[1; 100]), first.finish()), (Flow::Go, Flow::Go));
    assert!(matches!(first.content(), Some(Content::Memory(_))));
    second.write(&[2; 100]);
    let flow = second.finish();
    assert_eq!(settle(&mut second, flow, &woken), Flow::Go);
    assert!(matches!(second.content(), Some(Content::File(_))));
    drop((first, second));
    assert_eq!(pool.held.load(Ordering::SeqCst), HELD_IN_ALL - 150);
}

#[test]
fn a_full_disk_fails_the_body_and_frees_it() {
    let (disk, pool, mut spool, woken) = slow(0);
    disk.allow(u64::MAX / 2);
    disk.state(|state| state.room = Some(2 * BLOCK as u64));
    let mut flow = Flow::Go;
    for _ in 0..8 {
        if flow == Flow::Go {
            flow = spool.write(&[0; BLOCK]);
            flow = settle(&mut spool, flow, &woken);
        }
    }
    if flow == Flow::Go {
        flow = spool.finish();
        flow = settle(&mut spool, flow, &woken);
    }
    assert_eq!(flow, Flow::Failed);
    assert!(is_full(&spool.failure().unwrap()));
    assert_eq!(spool.write(&[0; 10]), Flow::Failed);
    drop(spool);
    until("the file is closed", || disk.state(|state| state.open) == 0);
    until("nothing is queued", || pool.queued() == 0);
}

#[test]
fn a_body_that_is_dropped_while_it_waits_is_not_written() {
    let (disk, pool, mut spool, _woken) = slow(0);
    while spool.write(&[0; BLOCK]) == Flow::Go {}
    drop(spool);
    disk.allow(2 * BLOCK as u64);
    until("nothing is queued", || pool.queued() == 0);
    until("the file is closed", || disk.state(|state| state.open) == 0);
    assert!(disk.state(|state| state.written) <= 2 * BLOCK as u64, "only what was being written");
}

#[test]
fn exactly_the_allowed_bytes_stay_in_memory() {
    for (size, in_memory) in [(0, true), (1000, true), (1001, false)] {
        let (disk, _, mut spool, woken) = slow(1000);
        disk.allow(u64::MAX / 2);
        spool.write(&vec![5; size]);
        let flow = spool.finish();
        assert_eq!(settle(&mut spool, flow, &woken), Flow::Go);
        assert_eq!(matches!(spool.content(), Some(Content::Memory(_))), in_memory, "{size}");
        assert_eq!(spool.content().unwrap().read(0, size).unwrap(), vec![5; size]);
    }
}

fn moved(content: Content, size: u64, path: &Path, overwrite: bool) -> io::Result<()> {
    let (done, result) = channel();
    content.move_to(size, path, overwrite, Pool::of_process(), move |moved| done.send(moved).unwrap());
    result.recv_timeout(Duration::from_secs(10)).expect("an answer")
}

#[test]
fn moves_what_is_in_memory_and_overwrites_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    let content = Content::Memory(Arc::new(vec![vec![1; BLOCK], vec![2; 10]]));
    let size = BLOCK as u64 + 10;
    moved(content.clone(), size, &path, false).unwrap();
    assert_eq!(read(&path).unwrap(), [vec![1; BLOCK], vec![2; 10]].concat());
    assert_eq!(moved(content.clone(), size, &path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    moved(Content::Memory(Arc::default()), 0, &path, true).unwrap();
    assert_eq!(read(&path).unwrap(), b"");
    let nowhere = folder.path().join("none").join("body");
    assert_eq!(moved(content, size, &nowhere, false).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(read_dir(folder.path()).unwrap().count(), 1);
    let usual = folder.path().join("usual");
    std::fs::write(&usual, "").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&usual), "as the umask has it");
}

#[test]
fn copies_in_steps_what_cannot_be_linked() {
    let disk = Arc::new(Slow::default());
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    disk.state(|state| {
        state.open = 1;
        state.blocks.insert(0, body.clone())
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    moved(Content::File(Arc::new(SlowFile(disk))), body.len() as u64, &path, false).unwrap();
    assert_eq!(read(&path).unwrap(), body);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_part_of_a_body_is_what_a_plain_vector_has(
        memory in 0u64..300_000,
        chunks in prop::collection::vec((any::<u8>(), 0usize..90_000), 0..12),
        parts in prop::collection::vec((0usize..1_200_000, 0usize..200_000), 1..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut spool, woken) = spool_on(Arc::new(Folder::new(folder.path().into())), memory, Pool::of_process());
        let mut oracle = Vec::new();
        for (seed, length) in chunks {
            let chunk: Vec<u8> = (0..length).map(|i| seed.wrapping_mul(31).wrapping_add((i % 251) as u8)).collect();
            oracle.extend_from_slice(&chunk);
            let flow = spool.write(&chunk);
            prop_assert_eq!(settle(&mut spool, flow, &woken), Flow::Go);
        }
        let flow = spool.finish();
        prop_assert_eq!(settle(&mut spool, flow, &woken), Flow::Go);
        prop_assert_eq!(spool.size(), oracle.len() as u64);
        let content = spool.content().unwrap();
        prop_assert_eq!(matches!(content, Content::Memory(_)), oracle.len() as u64 <= memory);
        prop_assert_eq!(&content.read(0, oracle.len()).unwrap(), &oracle);
        for (offset, length) in parts {
            let offset = offset.min(oracle.len());
            let length = length.min(oracle.len() - offset);
            prop_assert_eq!(content.read(offset as u64, length).unwrap(), &oracle[offset..offset + length]);
        }
        let path = folder.path().join("moved");
        let (done, result) = channel();
        let content = content.clone();
        content.move_to(spool.size(), &path, false, Pool::of_process(), move |moved| done.send(moved).unwrap());
        result.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        drop(spool);
        prop_assert_eq!(&read(&path).unwrap(), &oracle);
        prop_assert_eq!(read_dir(folder.path()).unwrap().count(), 1);
    }
}
