use super::super::record::{BlockedBy, Distribution, Exit, RouteStats, Sample};
use super::*;

const NOW: Surroundings = Surroundings { boot_id: 7, cgroup_oom_kills: Some(2) };
const END: u64 = 1_000_000;

/// A healthy process, killed at `END`.
fn healthy() -> Record {
    let mut record = Record {
        pid: 1,
        node_version: "v22.23.3".into(),
        boot_id: format!("{:032x}", 7),
        started_at: END - 900_000,
        last_heartbeat: END,
        ..Record::default()
    };
    record.process.rss_bytes = 120 * MIB;
    record.heap.used_bytes = 80 * MIB;
    record.heap.live_bytes = Some(60 * MIB);
    record.heap.limit_bytes = 4_144 * MIB;
    record.heap.at = END - 100;
    record.cgroup.limit_bytes = Some(512 * MIB);
    record.cgroup.used_bytes = Some(200 * MIB);
    record.cgroup.oom_kills_at_start = Some(2);
    record
}

/// Milliseconds, MB before, MB after, pause in ms.
type Sweep = (u64, f64, f64, f64);

/// A process with these last mark-sweeps. The heap's last figures follow from them.
fn with_mark_sweeps(limit_mib: u64, node: &str, sweeps: &[Sweep]) -> Record {
    let mut record = healthy();
    let bytes = |mb: f64| (mb * MIB as f64) as u64;
    let (last, _, live, _) = *sweeps.last().unwrap();
    record.node_version = node.into();
    record.collections = sweeps
        .iter()
        .map(|(at, before, after, pause_ms)| Collection {
            at: END - 200 - (last - at),
            kind: GcKind::MarkSweepCompact.name(),
            pause_ms: *pause_ms,
            before_bytes: bytes(*before),
            after_bytes: bytes(*after),
            external_bytes: 0,
        })
        .collect();
    record.heap.limit_bytes = limit_mib * MIB;
    record.heap.live_bytes = Some(bytes(live));
    record.heap.used_bytes = bytes(live);
    record
}

fn request(path: &str, handle: u64, heap: i64, started_at: u64) -> InFlight {
    InFlight {
        method: "GET".into(),
        path: path.into(),
        heap_bytes: heap,
        started_at,
        handle,
        age_ms: (END - started_at) as f64,
        ..InFlight::default()
    }
}

fn exit(kind: &str, code: i64, detail: &str) -> Record {
    let exit = Some(Exit { kind: kind.into(), code, at: END, detail: detail.into() });
    Record { exit, ..healthy() }
}

fn assert_judged(record: &Record, cause: Cause, evidence: &[&str]) {
    let (judged, sentence) = judge(record, &NOW);
    assert_eq!(judged, cause, "{sentence}");
    for part in evidence {
        assert!(sentence.contains(part), "{part:?} is not in: {sentence}");
    }
}

#[test]
fn an_end_that_was_recorded_is_the_cause_whatever_else_was_near() {
    let mut record = exit("exit", 3, "");
    record.cgroup.used_bytes = record.cgroup.limit_bytes;
    assert_judged(&record, Cause::Exit, &["exit code 3."]);
    let record = exit("uncaught-exception", 1, "TypeError: x is not a function");
    assert_judged(&record, Cause::UncaughtException, &["exit code 1", "TypeError: x is not a function"]);
}

#[test]
fn another_boot_is_a_reboot_and_an_unknown_one_is_not() {
    let mut record = healthy();
    record.boot_id = format!("{:032x}", 8);
    record.cgroup.used_bytes = record.cgroup.limit_bytes;
    assert_judged(&record, Cause::Reboot, &["boot id"]);
    let unknown = Surroundings { boot_id: 0, ..NOW };
    assert_ne!(judge(&record, &unknown).0, Cause::Reboot);
    record.boot_id = format!("{:032x}", 0);
    assert_ne!(judge(&record, &NOW).0, Cause::Reboot);
}

/// `node --max-old-space-size=64` and `=200` with a leak of small objects, the last lines of `--trace-gc`.
#[test]
fn deaths_by_the_heap_limit_seen_on_node_20_to_26_are_judged_so() {
    let seen: &[(u64, &str, &[Sweep])] = &[
        (
            112,
            "v20.20.2",
            &[(1414, 50.3, 48.7, 24.1), (1594, 52.0, 51.6, 31.0), (1746, 54.4, 54.1, 23.5), (1990, 65.0, 57.1, 29.9)],
        ),
        (
            248,
            "v20.20.2",
            &[
                (3228, 178.1, 177.7, 28.8),
                (3843, 184.7, 184.1, 33.8),
                (4692, 195.2, 195.0, 158.9),
                (5335, 197.4, 197.3, 432.8),
            ],
        ),
        (
            112,
            "v22.23.3",
            &[(876, 60.3, 58.1, 85.2), (1014, 60.0, 58.3, 114.2), (1139, 60.2, 59.1, 97.5), (1251, 61.8, 61.6, 89.0)],
        ),
        (
            248,
            "v22.23.3",
            &[
                (984, 131.4, 128.0, 21.6),
                (1428, 180.9, 175.6, 41.6),
                (1837, 196.9, 195.0, 159.1),
                (2413, 198.1, 198.0, 466.4),
            ],
        ),
        (
            256,
            "v24.9.0",
            &[(429, 54.9, 42.1, 24.7), (513, 51.7, 43.2, 10.3), (621, 55.9, 54.2, 15.1), (896, 77.7, 64.9, 117.1)],
        ),
        (
            392,
            "v24.9.0",
            &[
                (1335, 142.0, 136.7, 83.5),
                (1736, 171.7, 168.5, 46.0),
                (2472, 186.2, 180.1, 178.1),
                (3200, 196.4, 195.5, 441.7),
            ],
        ),
        (
            160,
            "v26.9.0",
            &[(193, 21.3, 19.9, 12.8), (329, 38.1, 35.1, 30.2), (494, 67.5, 41.8, 42.9), (657, 64.7, 61.5, 23.0)],
        ),
        (
            296,
            "v26.9.0",
            &[
                (4891, 187.3, 187.3, 439.9),
                (5303, 187.3, 187.3, 411.9),
                (5755, 187.3, 187.3, 452.0),
                (6203, 187.3, 187.3, 447.9),
            ],
        ),
    ];
    for (limit, node, sweeps) in seen {
        assert_judged(
            &with_mark_sweeps(*limit, node, sweeps),
            Cause::HeapLimit,
            &[&format!("limit of {limit} MiB"), "mark-sweep"],
        );
    }
}

#[test]
fn the_last_collections_of_a_slow_leak_are_reported_with_their_figures() {
    let sweeps = &[
        (0, 100.0, 99.0, 300.0),
        (900, 101.0, 100.0, 300.0),
        (1700, 102.0, 101.0, 300.0),
        (2400, 102.0, 101.5, 300.0),
    ];
    let record = with_mark_sweeps(148, "v22.23.3", sweeps);
    assert_judged(
        &record,
        Cause::HeapLimit,
        &["used 102 MiB", "148 MiB", "3 mark-sweeps, within 2.4 s, freed 2.5 MiB in total"],
    );
}

#[test]
fn a_heap_that_grows_fast_below_its_limit_is_not_in_throes() {
    // Each sweep frees little, but the heap grows by half from one to the next. The cgroup ended it at half of the
    // limit.
    let sweeps =
        &[(363, 51.9, 50.6, 45.2), (620, 87.4, 83.6, 57.3), (984, 131.4, 128.0, 61.6), (1428, 240.9, 235.6, 141.6)];
    let mut record = with_mark_sweeps(448, "v22.23.3", sweeps);
    record.cgroup.used_bytes = Some(500 * MIB);
    record.process.rss_bytes = 480 * MIB;
    assert_judged(&record, Cause::CgroupOom, &["500 MiB of 512 MiB", "this process used 480 MiB"]);
}

#[test]
fn an_idle_process_that_collects_what_is_not_there_is_not_in_throes() {
    let sweeps =
        &[(0, 80.0, 79.9, 60.0), (8_000, 80.0, 79.9, 60.0), (16_000, 80.0, 79.9, 60.0), (24_000, 80.0, 79.9, 60.0)];
    assert_judged(&with_mark_sweeps(148, "v22.23.3", sweeps), Cause::Signal, &["80 MiB of 148 MiB"]);
}

#[test]
fn throes_that_ended_long_before_are_not_the_cause() {
    let sweeps =
        &[(0, 70.0, 69.0, 300.0), (900, 71.0, 70.0, 300.0), (1700, 71.0, 70.5, 300.0), (2400, 71.5, 71.0, 300.0)];
    let mut record = with_mark_sweeps(148, "v22.23.3", sweeps);
    assert_judged(&record, Cause::HeapLimit, &[]);
    record.last_heartbeat = END + 60_000;
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn a_live_heap_at_nine_tenths_of_the_limit_is_the_heap_limit_even_where_oom_kills_were_counted() {
    let mut record = healthy();
    record.heap.live_bytes = Some(3_800 * MIB);
    record.cgroup.oom_kills_at_start = Some(1);
    assert_judged(&record, Cause::HeapLimit, &["3800 MiB after its last mark-sweep", "4144 MiB"]);
}

#[test]
fn a_used_heap_near_the_limit_counts_where_collections_are_unknown() {
    let mut record = healthy();
    record.heap.live_bytes = None;
    record.heap.used_bytes = 3_800 * MIB;
    assert_judged(&record, Cause::HeapLimit, &["3800 MiB when last read"]);
    record.cgroup.oom_kills_at_start = Some(1);
    assert_judged(&record, Cause::CgroupOom, &["from 1 to 2"]);
}

#[test]
fn v8s_own_announcement_shortly_before_the_end_is_the_heap_limit() {
    let mut record = healthy();
    record.events.push(Event { at: END - 2_000, kind: "near-limit", route: None, detail: String::new() });
    assert_judged(&record, Cause::HeapLimit, &["reported 2.0 s before"]);
    record.events[0].at = END - 60_000;
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn a_process_that_lived_long_where_the_old_generation_is_guessed_full_did_not_die_of_that() {
    // Node 24 uses 192 MiB for the young generation by default, and far less on a small machine.
    let mut record = healthy();
    record.node_version = "v24.9.0".into();
    record.heap.limit_bytes = 259 * MIB;
    record.heap.live_bytes = Some(60 * MIB);
    assert_judged(&record, Cause::HeapLimit, &[]);
    let sample = |at, live| Sample { at, heap_live_bytes: Some(live), ..Sample::default() };
    record.samples = vec![sample(END - 300_000, 60 * MIB), sample(END - 1_000, 60 * MIB)];
    assert_judged(&record, Cause::Signal, &[]);
    record.samples[0].heap_live_bytes = Some(20 * MIB);
    assert_judged(&record, Cause::HeapLimit, &[]);
    record.heap.live_bytes = Some(100 * MIB);
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn an_oom_kill_counted_since_the_start_is_the_cgroups() {
    let mut record = healthy();
    record.cgroup.oom_kills_at_start = Some(0);
    record.blocked_ms = 9_000.0;
    assert_judged(&record, Cause::CgroupOom, &["from 0 to 2", "200 MiB of 512 MiB"]);
    record.cgroup.oom_kills_at_start = None;
    assert_judged(&record, Cause::BlockedLoop, &[]);
}

#[test]
fn a_full_cgroup_is_the_cause_unless_it_may_be_page_cache_and_the_loop_was_stuck() {
    let mut record = healthy();
    record.cgroup.used_bytes = Some(487 * MIB);
    record.process.rss_bytes = 120 * MIB;
    assert_judged(&record, Cause::CgroupOom, &["487 MiB of 512 MiB", "likely"]);
    record.blocked_ms = 9_000.0;
    assert_judged(&record, Cause::BlockedLoop, &[]);
    record.process.rss_bytes = 400 * MIB;
    assert_judged(&record, Cause::CgroupOom, &[]);
    record.blocked_ms = 0.0;
    record.cgroup.used_bytes = Some(480 * MIB);
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn a_cgroup_that_filled_up_between_two_samples_is_the_cause() {
    let mut record = healthy();
    let sample = |at, used: u64| Sample { at, cgroup_used_bytes: Some(used * MIB), ..Sample::default() };
    record.process.rss_bytes = 350 * MIB;
    record.cgroup.used_bytes = Some(400 * MIB);
    record.samples = vec![sample(END - 600, 280), sample(END - 100, 400)];
    assert_judged(&record, Cause::CgroupOom, &["400 MiB of 512 MiB, after a rise of 120 MiB in 0.5 s"]);
    record.samples[0].cgroup_used_bytes = Some(350 * MIB);
    assert_judged(&record, Cause::Signal, &[]);
    record.samples[0].cgroup_used_bytes = Some(500 * MIB);
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn a_loop_blocked_for_seconds_names_the_request_that_ran() {
    let mut record = healthy();
    record.blocked_ms = 12_340.0;
    record.in_flight = vec![request("/fast", 1, 0, END - 10), request("/report/7", 2, 0, END - 12_340)];
    record.event_loop.blocked_slot = 2;
    assert_judged(&record, Cause::BlockedLoop, &["blocked for 12.3 s in GET /report/7", "liveness probe"]);
    record.in_flight[1].route = Some("/report/:id".into());
    assert_judged(&record, Cause::BlockedLoop, &["in GET /report/:id"]);
    record.event_loop.blocked_by = Some(BlockedBy {
        at: record.last_heartbeat - 1000,
        function: Some("slow".into()),
        origin: "src/report.js:12:5".into(),
        ..BlockedBy::default()
    });
    assert_judged(&record, Cause::BlockedLoop, &["in GET /report/:id, by slow (src/report.js:12:5)"]);
    record.event_loop.blocked_by = None;
    record.event_loop.blocked_slot = 0;
    record.in_flight[0].running = true;
    assert_judged(&record, Cause::BlockedLoop, &["in GET /fast"]);
    record.in_flight.clear();
    assert_judged(&record, Cause::BlockedLoop, &["outside of any request"]);
    record.blocked_ms = 2_000.0;
    assert_judged(&record, Cause::Signal, &[]);
}

#[test]
fn what_fits_nothing_is_a_signal_with_the_figures() {
    assert_judged(&healthy(), Cause::Signal, &["heap 80 MiB of 4144 MiB", "200 MiB of 512 MiB", "SIGKILL"]);
    assert_judged(&Record::default(), Cause::Signal, &["SIGKILL"]);
}

#[test]
fn evidence_is_one_sentence() {
    for record in [healthy(), exit("exit", 1, ""), with_mark_sweeps(112, "v22.0.0", &[(0, 110.0, 109.0, 1.0)])] {
        let (_, evidence) = judge(&record, &NOW);
        assert!(evidence.ends_with('.') && !evidence.trim_end_matches('.').contains(". "), "{evidence}");
    }
}

#[test]
fn figures_of_any_kind_make_no_panic() {
    let mut record = healthy();
    record.heap.limit_bytes = u64::MAX;
    record.heap.live_bytes = Some(u64::MAX);
    record.cgroup.limit_bytes = Some(0);
    record.cgroup.used_bytes = Some(u64::MAX);
    record.boot_id = "?".into();
    record.last_heartbeat = u64::MAX;
    record.events.push(Event { at: u64::MAX, kind: "near-limit", route: None, detail: String::new() });
    record.collections = (0..5)
        .map(|at| Collection {
            at,
            kind: GcKind::MarkSweepCompact.name(),
            before_bytes: u64::MAX,
            pause_ms: f64::MAX,
            ..Collection::default()
        })
        .collect();
    record.blocked_ms = f64::MAX;
    judge(&record, &NOW);
    let death = Death::new(Box::new(record), &NOW);
    serde_json::to_string(&death).unwrap();
}

#[test]
fn a_death_names_the_heaviest_and_the_oldest_requests_each_once() {
    let mut record = healthy();
    // Of 40 requests, those with high numbers are heavy and those with low ones old. Number 0 is both.
    record.in_flight = (0..40).map(|n| request(&format!("/{n}"), n + 1, n as i64 * 1_000, END - 1_000 + n)).collect();
    record.in_flight[0].heap_bytes = 1 << 30;
    record.process.rss_bytes = 5;
    record.script = "server.js".into();
    record.path = Some("/dev/shm/plimsoll-0/x.plimsoll".into());
    let death = Death::new(Box::new(record), &NOW);
    let json: serde_json::Value = serde_json::to_value(&death).unwrap();
    let paths: Vec<_> = json["inFlight"].as_array().unwrap().iter().map(|r| r["path"].as_str().unwrap()).collect();
    let heavy = ["/0", "/39", "/38", "/37", "/36", "/35", "/34", "/33", "/32", "/31"];
    let old = ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"];
    assert_eq!(paths, [&heavy[..], &old[..]].concat());
    assert_eq!(json["inFlightTotal"], 40);
    assert_eq!(json["cause"], "signal");
    assert_eq!(json["at"], END);
    assert_eq!(json["startedAt"], END - 900_000);
    assert_eq!(json["rssBytes"], 5);
    assert_eq!(json["heapUsedBytes"], 80 * MIB);
    assert_eq!(json["heapLimitBytes"], 4_144 * MIB);
    assert_eq!(json["cgroupLimitBytes"], 512 * MIB);
    assert_eq!(json["exitCode"], serde_json::Value::Null);
    assert_eq!((json["pid"].as_u64(), json["script"].as_str()), (Some(1), Some("server.js")));
    assert_eq!(json["path"], "/dev/shm/plimsoll-0/x.plimsoll");
    assert_eq!(serde_json::to_value(Cause::CgroupOom).unwrap(), Cause::CgroupOom.to_string());
}

#[test]
fn an_ordinary_stop_is_one_unless_the_loop_was_blocked() {
    let mut record = exit("signal", 143, "SIGTERM");
    assert_judged(&record, Cause::Stop, &["SIGTERM", "ordinary"]);
    assert!(is_ordinary(&record));
    record.heap.live_bytes = Some(record.heap.limit_bytes);
    assert_judged(&record, Cause::Stop, &[]);
    record.blocked_ms = 9_000.0;
    assert_judged(&record, Cause::BlockedLoop, &["SIGTERM", "9.0 s"]);
    assert!(!is_ordinary(&record));
    assert!(is_ordinary(&exit("exit", 0, "")) && !is_ordinary(&exit("exit", 1, "")) && !is_ordinary(&healthy()));
}

#[test]
fn a_death_names_the_open_leak_and_what_weighs_most() {
    let mut record = healthy();
    let leak = |route: &str, bytes, withdrawn_at| Finding {
        kind: "leak".into(),
        route: Some(route.into()),
        bytes_per_request: Some(bytes),
        withdrawn_at,
        ..Finding::default()
    };
    record.findings = vec![leak("/small", 10.0, None), leak("/large", 90.0, None), leak("/over", 900.0, Some(5))];
    let row = |route: &str, mean| RouteStats {
        method: "GET".into(),
        route: route.into(),
        heap_bytes: Distribution { mean, count: 7, ..Distribution::default() },
        ..RouteStats::default()
    };
    record.routes = vec![row("/light", 1e3), row("/heavy", 5e6)];
    let json = |record: &Record| serde_json::to_value(Death::new(Box::new(record.clone()), &NOW)).unwrap();
    let death = json(&record);
    assert_eq!(death["finding"]["route"], "/large");
    assert_eq!((&death["heaviest"]["route"], &death["heaviest"]["requests"]), (&"/heavy".into(), &7.into()));
    assert_eq!(death["signal"], serde_json::Value::Null);
    record.in_flight = vec![request("/grow", 1, 60_000_000, END - 5)];
    assert_eq!(json(&record)["heaviest"]["route"], "/grow");
    record.findings.truncate(0);
    assert_eq!(json(&record)["finding"], serde_json::Value::Null);
    let stopped = json(&exit("signal", 143, "SIGTERM"));
    assert_eq!((&stopped["signal"], &stopped["exitCode"]), (&"SIGTERM".into(), &serde_json::Value::Null));
}
