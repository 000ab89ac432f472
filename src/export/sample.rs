//! A record in the state of a server under load, created through the recorder's own writers. For tests, and (by path)
//! for the fuzz target.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::recorder::map::Map;
use crate::recorder::record::{Driver, Progress, Record, Trend};
use crate::recorder::writer::{
    Ended, ExitKind, HeapFigures, Identity, LayerUse, NativeUse, ProcessFigures, SamplerWriter, Writer, epoch_ms,
};
use crate::recorder::{EventKind, FILE_BYTES, GcKind, Quantity, StatusClass, TrendState, reader};

const MIB: u64 = 1 << 20;

/// Three routes, 50 requests in flight of which the last is running, a blocked loop, collections, samples, events.
pub fn map() -> Arc<Map> {
    let map = Arc::new(Map::anonymous(false).expect("anonymous memory"));
    let identity = Identity {
        name: "shop".into(),
        script: "/srv/shop/server.js".into(),
        node_version: "v24.9.0".into(),
        platform: "linux-x64".into(),
        pid: 4711,
        process_start_ticks: 123_456,
        boot_id: 0x0123_4567_89ab_cdef,
        cgroup_oom_kills: Some(2),
        ..Default::default()
    };
    let writer = Writer::new(Arc::clone(&map), &identity);
    writer.methods(["GET", "POST", "PUT"].into_iter());
    writer.exact(true);
    writer.event(EventKind::Start, None, "plimsoll 0.1.0 on Node v24.9.0");
    routes(&writer);
    for (kind, pause_ns, before, after) in [
        (GcKind::Scavenge, 800_000, 60 * MIB, 44 * MIB),
        (GcKind::Scavenge, 2_400_000, 62 * MIB, 45 * MIB),
        (GcKind::IncrementalMarking, 300_000, 70 * MIB, 70 * MIB),
        (GcKind::MarkSweepCompact, 41_000_000, 80 * MIB, 38 * MIB),
        (GcKind::MinorMarkSweep, 1_100_000, 50 * MIB, 47 * MIB),
    ] {
        writer.collection(kind, pause_ns, before, after, 3 * MIB);
    }
    for index in 0..50 {
        let (method, path) = if index % 3 == 1 { (1, "/upload/…") } else { (0, "/api/users/17") };
        writer.open_slot(index, 4096 + index as u32, method, path, 0);
        writer.slot_bytes(index, 7_592 + index as i64 * 100, 2048, 512, 1);
        writer.slot_label(index, index % 3);
        writer.slot_body(index, if method == 1 { 700_000 } else { 0 });
    }
    writer.running(4096 + 49);
    writer.in_flight(50);
    writer.request_untracked();
    writer.request_limited();
    writer.body_bytes(90 * MIB);
    writer.allocation((900 * MIB) as i64, (400 * MIB) as i64);
    writer.heap(
        epoch_ms(),
        &HeapFigures {
            used: 71 * MIB,
            total: 96 * MIB,
            limit: 512 * MIB,
            external: 9 * MIB,
            malloced: MIB,
            ..Default::default()
        },
    );
    writer.loop_tick(epoch_ms(), 3_200_000, 0.42);
    writer.event(EventKind::Limit, Some("/upload/:id"), "12 MiB declared, 10 MiB allowed");
    samples(&SamplerWriter::new(Arc::clone(&map)));
    map
}

fn routes(writer: &Writer) {
    writer.windows(0.08, 0.25);
    writer.layer(0, "session", "node_modules/express-session/index.js:179");
    writer.layer(1, "getUsers", "src/users.js:12");
    for (row, layer) in [0, 1].into_iter().enumerate() {
        writer.open_layer_row(row, 0, layer);
        writer.layer_use(row, &LayerUse { heap_bytes: 41_000 << layer, time_ns: 80_000 }, true);
    }
    for (index, label) in ["/api/users/:id", "/upload/:id", "/api/report"].into_iter().enumerate() {
        writer.label(index, label);
    }
    let rows = [(0, 0, 200), (1, 1, 201), (1, 1, 413), (0, 2, 500)];
    for (row, (method, label, status)) in rows.into_iter().enumerate() {
        writer.open_route(row, method, label, StatusClass::of(status));
        for request in 0..200u64 >> row {
            let ended = Ended {
                duration_ns: 900_000 + request * request * 3_000 * (row as u64 * 40 + 1),
                // A single reading may be negative.
                heap_bytes: (request % 50 != 7).then_some(7_592 + (request % 7 * 16) as i64),
                external_bytes: Some(1024),
                body_bytes: if method == 1 { 5 * MIB } else { 0 },
                response_bytes: 312,
                native: NativeUse { held: 0, peak: 4096, total: 8192 },
                spans: 1,
                aborted: request % 40 == 3,
                limited: status == 413,
                whole: request % 20 == 1,
            };
            writer.end_request(row, StatusClass::of(status), &ended);
        }
    }
}

fn samples(sampler: &SamplerWriter) {
    for step in 0..240 {
        sampler.sample(&ProcessFigures {
            rss: (120 + step / 2 - step % 40 / 4) * MIB,
            cpu_user_us: 9_000_000 + step * 20_000,
            cpu_system_us: 800_000,
            open_fds: 73,
            max_fds: 1024,
            cgroup_limit: Some(512 * MIB),
            cgroup_used: Some((150 + step / 2) * MIB),
            native: Some([5 * MIB, 6 * MIB, 8 * MIB]),
            blocked_ns: (step + 1).saturating_sub(231) * 500_000_000,
        });
    }
    trends(sampler);
    sampler.event(EventKind::Blocked, Some("/api/report"), "for 4.5 s");
}

/// The heap leaks, external memory has no verdict yet, and the rest is not sampled.
fn trends(sampler: &SamplerWriter) {
    let leaking = Trend {
        state: TrendState::Leaking,
        per: Driver::Requests,
        samples: 64,
        progress: Progress { of_requests: 3_000, of_collections: 21, ..Progress::default() },
        bytes_per_request: Some(528.0),
        low: Some(519.0),
        high: Some(537.0),
        p: Some(1e-9),
        since: Some(1_700_000_000_000),
        from: Some(1_700_000_000_000),
        to: Some(1_700_003_600_000),
        hours_to_limit: None,
    };
    sampler.trend(Quantity::Heap, &leaking);
    sampler.trend(Quantity::External, &Trend::default());
}

/// The record of [`map`] in a post-mortem: its samples two a second up to the last heartbeat, its requests up to 30 s
/// old.
#[allow(dead_code)]
pub fn record() -> Record {
    let mut record = reader::read(&*map()).expect("a record just written can be read");
    let (last, samples) = (record.last_heartbeat, record.samples.len() as u64);
    for (index, sample) in record.samples.iter_mut().enumerate() {
        sample.at = last - (samples - 1 - index as u64) * 500;
        sample.heap_used_bytes = (30 + index as u64 / 6) * MIB;
    }
    let in_flight = record.in_flight.len() as u64;
    for (index, request) in record.in_flight.iter_mut().enumerate() {
        request.started_at = last - (in_flight - index as u64) * 600;
        request.age_ms = (last - request.started_at) as f64;
    }
    record.started_at = last - 7_384_000;
    record
}

/// The bytes of its file.
#[allow(dead_code)]
pub fn image() -> Vec<u8> {
    let map = map();
    let mut bytes: Vec<u8> = map.words().iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
    bytes.resize(FILE_BYTES, 0);
    bytes
}

/// A record whose end was recorded.
#[allow(dead_code)]
pub fn ended() -> Record {
    let map = Arc::new(Map::anonymous(false).expect("anonymous memory"));
    let identity = Identity { name: "shop".into(), pid: 4710, ..Default::default() };
    Writer::new(Arc::clone(&map), &identity).exit(ExitKind::UncaughtException, 7, "TypeError: x is not a function");
    reader::read(&*map).expect("a record just written can be read")
}
