use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::cli::fit::Fitting;
use crate::export::sample;
use crate::recorder::record::{Event, Finding, InFlight, LayerStats, NearLimit, Trend};
use crate::recorder::{FILE_BYTES, TrendState, reader};

fn judge(_: &Record) -> Judgement {
    Judgement { cause: "cgroup OOM".into(), evidence: "The cgroup held 511 of 512 MiB.".into(), at: 1_795_353_845_123 }
}

const LOOK: Look = Look { width: 100, color: false, unicode: true };

fn options() -> Options<'static> {
    Options {
        all: false,
        limit: 100,
        now: 1_795_353_999_000,
        zone: TimeZone::UTC,
        look: LOOK,
        judge: &judge,
        mappings: &|_| None,
    }
}

fn shown(records: &[Record], options: &Options) -> String {
    let mut out = Vec::new();
    let mut fitting = Fitting::new(&mut out, Some(options.look.width));
    text(records, options, &mut fitting).unwrap();
    fitting.flush().unwrap();
    String::from_utf8(out).unwrap()
}

/// The text, independent of line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn dead() -> Record {
    Record { path: Some("/dev/shm/plimsoll-0/a.plimsoll".into()), torn_rows: 2, ..sample::record() }
}

#[test]
fn shows_which_process_died_of_what_and_when_the_last_heartbeat_was() {
    let text = shown(&[Record { last_heartbeat: 1_795_353_845_000, ..dead() }], &options());
    for part in [
        "shop, pid 4711: dead, cgroup OOM",
        "The cgroup held 511 of 512 MiB.",
        "2026-11-22 13:24:05 UTC, 2 min 34 s ago",
        "/srv/shop/server.js on Node v24.9.0 linux-x64",
        "/dev/shm/plimsoll-0/a.plimsoll",
        "2 rows were being written",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn names_every_request_in_flight_oldest_first_and_the_one_that_was_running() {
    let text = shown(&[dead()], &options());
    assert!(text.contains("50 in flight when it died, oldest first:"));
    let table = text.lines().skip_while(|line| !line.contains("oldest first:")).take_while(|line| !line.is_empty());
    let named = table.filter(|row| row.contains("GET /api/users/17") || row.contains("POST /upload/…"));
    assert_eq!(named.count(), 50);
    let running: Vec<&str> = text.lines().filter(|line| line.contains("▶ RUNNING")).collect();
    assert_eq!(running.len(), 1);
    assert!(running[0].contains("600 ms") && running[0].contains("/upload/:id"), "{}", running[0]);
    assert!(text.find("30.0 s").unwrap() < text.find("▶ RUNNING").unwrap());
}

#[test]
fn shows_how_long_the_loop_is_blocked_and_on_which_request() {
    let text = shown(&[dead()], &options());
    assert!(text.contains("blocked for 4.5 s at the last heartbeat, by POST /upload/… (/upload/:id)"), "{text}");
}

#[test]
fn shows_what_was_allocated_and_what_of_it_is_attributed() {
    let text = flat(&shown(&[dead()], &options()));
    assert!(
        text.contains(
            "900 MiB on the heap since the start (exact): 400 MiB attributed to requests, 500 MiB unattributed"
        )
    );
    assert!(text.contains("71.0 MiB of a limit of 512 MiB (14 %)"));
    assert!(text.contains("38.0 MiB after the last mark-sweep"));
}

#[test]
fn shows_where_the_rss_of_a_living_process_is_by_its_mappings() {
    const MIB: u64 = 1 << 20;
    let mappings = |_: &Record| {
        Some(Mappings { code: 50 * MIB, v8: 100 * MIB, arenas: 200 * MIB, plain: 40 * MIB, ..Mappings::default() })
    };
    let mut alive = Record { alive: true, ..sample::record() };
    alive.heap.physical_bytes = 90 * MIB;
    alive.heap.external_bytes = 30 * MIB;
    let text = shown(&[alive], &Options { mappings: &mappings, ..options() });
    for part in [
        "Where the RSS is (390 MiB now)",
        "  malloc                201 MiB  51.5 %  other memory from malloc, in use or",
        "  V8 heap              90.0 MiB  23.1 %",
        "  buffers, external    30.0 MiB   7.7 %",
        "→ 201 MiB of native memory: in the process, plimsoll.memory() reports how much",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn shows_where_the_rss_of_a_dead_process_was_as_far_as_the_record_knows() {
    let mut record = dead();
    record.heap.physical_bytes = 90 << 20;
    let text = shown(&[record], &Options { mappings: &|_| panic!("it is dead"), ..options() });
    for part in ["Where the RSS is (230 MiB at the last heartbeat)", "  V8 heap              90.0 MiB", "  the rest "] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!text.contains("plimsoll.memory()"));
}

#[test]
fn shows_what_presses_and_whether_it_sheds() {
    let mut record = dead();
    record.requests.shed_reported = 3;
    record.near_limit = NearLimit { grants: 1, at: Some(1_795_353_845_000) };
    record.pressure.level = 0.43;
    let text = flat(&shown(&[record], &options()));
    for part in [
        "reported only 0 over a limit, 3 shed",
        "shedding, level 43 %; live heap ",
        "RSS 45 % of the cgroup's limit",
        "V8 was granted a reserve once, last at 2026-11-22 13:24:05 UTC",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    assert!(!shown(&[dead()], &options()).contains("shedding"));
}

#[test]
fn draws_memory_lists_collections_routes_and_events() {
    let text = shown(&[dead()], &options());
    for part in [
        "RSS: 120 MiB → 230 MiB, peak ",
        "█",
        "mark-sweep-compact",
        "80.0 MiB → 38.0 MiB",
        "GET /api/users/:id",
        "5.00 MiB",
        "limit              /upload/:id 12 MiB declared, 10 MiB allowed",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn a_limit_leaves_rows_out_and_says_how_many_but_not_the_one_that_was_running() {
    let text = shown(&[dead()], &Options { limit: 3, ..options() });
    assert!(text.contains("and 47 more in flight; --limit 50 shows them"), "{text}");
    assert!(text.contains("and 1 more routes; --limit 4 shows them"), "{text}");
    assert!(text.contains("▶ RUNNING"));
}

#[test]
fn an_overview_comes_before_several() {
    let alive = Record { alive: true, pid: 4712, last_heartbeat: options().now - 400, ..sample::record() };
    let text = shown(&[alive, dead()], &Options { all: true, ..options() });
    assert!(text.starts_with("2 records: 1 alive, 1 dead\n"));
    assert!(text.contains("shop, pid 4712: alive"));
    assert!(text.contains("400 ms ago"));
}

#[test]
fn a_living_process_without_heartbeat_is_pointed_out() {
    let stopped = Record { alive: true, last_heartbeat: options().now - 60_000, ..sample::record() };
    assert!(shown(&[stopped], &options()).contains("its heartbeat is late"));
}

#[test]
fn a_terminal_without_utf8_gets_ascii_and_no_colour_unless_asked() {
    let text = shown(&[dead(), dead()], &Options { all: true, look: Look { unicode: false, ..LOOK }, ..options() });
    let odd: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    assert!(odd.is_empty(), "{odd:?} in {text}");
    assert!(text.contains("> RUNNING") && !text.contains('\u{1b}'));
    assert!(
        shown(&[dead()], &Options { look: Look { color: true, ..LOOK }, ..options() })
            .contains("\u{1b}[1;31mdead, cgroup OOM\u{1b}[0m")
    );
}

#[test]
fn one_record_is_shown_and_how_many_more_there_are() {
    let alive = Record { alive: true, pid: 4712, ..sample::record() };
    let text = shown(&[alive.clone(), alive.clone(), dead()], &options());
    assert!(text.starts_with("shop, pid 4712: alive, "), "{text}");
    assert_eq!(text.matches(", pid ").count(), 1);
    assert!(
        text.ends_with("\n2 more records: 1 alive, 1 dead, the last 2 min 34 s ago (cgroup OOM). --all shows them.\n"),
        "{text}"
    );
    assert!(
        shown(&[alive.clone(), alive.clone()], &options())
            .ends_with("1 more record: 1 alive, 0 dead. --all shows them.\n")
    );
    assert!(!shown(&[alive], &options()).contains("--all"));
}

#[test]
fn the_first_line_is_the_verdict() {
    let first =
        |record: &Record| flat(shown(std::slice::from_ref(record), &options()).split("\n  up ").next().unwrap());
    let alive = Record { alive: true, ..sample::record() };
    let mut record = Record { blocked_ms: 0.0, cgroup: Default::default(), findings: Vec::new(), ..alive };
    assert_eq!(first(&record), "shop, pid 4711: alive, leaks 528 B per request");
    let leak = Finding {
        kind: "leak".into(),
        route: Some("GET /users/:id".into()),
        origin: Some("src/users.js:12".into()),
        bytes_per_request: Some(1_692.0),
        severity: "critical",
        ..Finding::default()
    };
    record.findings = vec![leak.clone(), Finding { kind: "timer".into(), severity: "warning", ..Finding::default() }];
    let all = "shop, pid 4711: alive, leaks 1692 B per request in GET /users/:id at src/users.js:12; 1 finding";
    assert_eq!(first(&record), all);
    record.findings = vec![Finding { withdrawn_at: Some(7), ..leak }];
    for (state, verdict) in [
        (TrendState::Steady, "steady"),
        (TrendState::Uncertain, "uncertain: memory grows, but that may end"),
        (TrendState::Learning, "learning: too few collections for a verdict"),
    ] {
        record.trend.heap = Some(Trend { state, ..Trend::default() });
        assert_eq!(first(&record), format!("shop, pid 4711: alive, {verdict}"));
    }
    record.blocked_ms = 4500.0;
    record.trend.heap = Some(Trend { state: TrendState::Steady, ..Trend::default() });
    assert!(first(&record).ends_with("alive, steady; its event loop has been blocked for 4.5 s"));
    let died = shown(&[dead()], &options());
    assert!(died.starts_with("shop, pid 4711: dead, cgroup OOM; leaked 528 B per request\n"), "{died}");
}

#[test]
fn times_are_those_of_the_zone() {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let text = shown(&[Record { last_heartbeat: 1_795_353_845_000, ..dead() }], &Options { zone, ..options() });
    assert!(text.contains("2026-11-22 14:24:05 CET, 2 min 34 s ago") && text.contains("(times in CET)"), "{text}");
    assert!(!text.contains("UTC"), "{text}");
}

fn widest(text: &str) -> (usize, &str) {
    let width = |line| (textwrap::core::display_width(line), line);
    text.lines().map(width).max_by_key(|(width, _)| *width).unwrap_or_default()
}

#[test]
fn fits_the_width_of_the_terminal() {
    for width in [40, 60, 80, 100, 120] {
        let look = Look { width, ..LOOK };
        let text = shown(&[dead(), dead()], &Options { all: true, look, ..options() });
        let (widest, line) = widest(&text);
        assert!(widest <= width, "{width}: {line}");
        if width < 80 {
            continue;
        }
        // Tables fit by themselves: a table with broken lines is unreadable.
        let mut raw = Vec::new();
        super::text(&[dead(), dead()], &Options { all: true, look, ..options() }, &mut raw).unwrap();
        let raw = String::from_utf8(raw).unwrap();
        let tables = raw.lines().filter(|line| line.contains("──") || line.contains("POST /"));
        for line in tables.filter(|line| !line.contains("blocked")) {
            assert!(textwrap::core::display_width(line) <= width, "{width}: {line}");
        }
    }
}

/// Text from a user, a client, or the app's author.
const TEXT: &str = "([a-z/:.-]{0,50}|[日本語é🚢]{0,30}|[\\x00-\\x1f\\x7f-\\x9f\u{202e}\u{200b}]{0,6}| ){0,12}";

proptest! {
    // Without optimisation, a page takes tens of milliseconds.
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_is_in_a_record_fits_and_steers_nothing(
        texts in prop::collection::vec(TEXT, 12),
        numbers in prop::collection::vec(any::<u64>(), 12),
        advice in prop::collection::vec("[a-zé日]{1,16}", 1..120),
        (alive, unicode) in any::<(bool, bool)>(),
        width in prop_oneof![3 => Just(80usize), 1 => 40..120usize],
    ) {
        let mut record = Record { alive, ..dead() };
        let text = |n: usize| texts[n].clone();
        (record.name, record.script, record.node_version, record.platform) = (text(0), text(1), text(2), text(3));
        record.path = Some(text(4));
        (record.heap.used_bytes, record.heap.allocated_bytes, record.process.rss_bytes) = (numbers[0], numbers[1], numbers[2]);
        (record.requests.total, record.internal_errors, record.started_at) = (numbers[3], numbers[4], numbers[5]);
        record.gc.iter_mut().for_each(|total| (total.count, total.pause_ms) = (numbers[6], numbers[7] as f64));
        for (route, n) in record.routes.iter_mut().zip([5, 6, 7]) {
            (route.route, route.method, route.count) = (text(n), text(n + 1), numbers[8]);
            let layer = LayerStats { name: text(n + 2), origin: Some(text(n)), count: numbers[9], ..LayerStats::default() };
            route.layers.push(layer);
        }
        record.in_flight.iter_mut().step_by(7).for_each(|request| (request.path, request.route) = (text(8), Some(text(9))));
        record.events.push(Event { at: numbers[10], route: Some(text(10)), detail: text(11), ..Event::default() });
        let words = advice.join(" ");
        record.findings = vec![Finding {
            kind: text(9),
            route: Some(text(10)),
            origin: Some(text(11)),
            class: Some(text(0)),
            path: Some(vec![text(1), text(2)]),
            count: numbers[11],
            severity: "warning",
            advice: words,
            ..Finding::default()
        }];
        let evidence = text(3);
        let judge = |_: &Record| Judgement { cause: evidence.clone(), evidence: evidence.clone(), at: numbers[5] };
        let look = Look { width, color: false, unicode };
        let page = shown(&[record.clone(), record], &Options { all: true, look, judge: &judge, ..options() });
        let (widest, line) = widest(&page);
        prop_assert!(widest <= width, "{} of {}: {:?}", widest, width, line);
        prop_assert_eq!(steering(&page), Vec::<char>::new());
        // Every word of the advice is complete, in order.
        let mut shown = page.split_whitespace();
        for word in advice.iter().map(|word| look.plain(word)) {
            prop_assert!(shown.any(|shown| shown == word), "{} is missing or broken in\n{}", word, page);
        }
    }
}

/// A record that only an attacker would write.
fn hostile() -> Record {
    let steering = "\u{1b}]0;owned\u{7}\u{9b}2J\r\n\u{202e}".to_owned();
    let mut record = dead();
    record.name = steering.clone();
    record.script = steering.clone();
    record.node_version = steering.clone();
    record.platform = steering.clone();
    record.path = Some(steering.clone());
    record.routes[0].route = steering.clone();
    record.routes[0].method = steering.clone();
    record.in_flight = vec![InFlight { path: steering.clone(), route: Some(steering.clone()), ..Default::default() }];
    record.events = vec![Event { detail: steering.clone(), route: Some(steering), ..Default::default() }];
    record
}

fn steering(text: &str) -> Vec<char> {
    text.chars().filter(|c| *c != '\n' && units::steers(*c)).collect()
}

#[test]
fn strings_from_files_do_not_steer_the_terminal() {
    let judge = |record: &Record| Judgement { cause: record.name.clone(), evidence: record.name.clone(), at: 0 };
    let options = Options { all: true, judge: &judge, ..options() };
    assert_eq!(steering(&shown(&[hostile(), hostile()], &options)), Vec::<char>::new());
    let mut out = Vec::new();
    json(&[hostile()], &options, &mut out).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert_eq!(steering(&line), Vec::<char>::new());
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["name"], hostile().name, "escaped, not changed");
}

#[test]
fn json_is_one_object_a_record_one_a_line_with_what_was_promised() {
    let mut out = Vec::new();
    json(&[Record { alive: true, ..sample::record() }, dead()], &options(), &mut out).unwrap();
    let lines: Vec<serde_json::Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let [alive, dead] = [&lines[0], &lines[1]];
    assert_eq!((&alive["alive"], &alive["death"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(dead["death"]["cause"], "cgroup OOM");
    for field in ["pid", "alive", "startedAt", "lastHeartbeat", "blockedMs", "inFlight", "samples", "routes", "events"]
    {
        assert!(!dead[field].is_null(), "{field}");
    }
    for field in ["method", "path", "route", "ageMs", "running", "heapBytes", "bodyBytes"] {
        assert!(!dead["inFlight"][0][field].is_null(), "{field}");
    }
    for field in ["at", "rssBytes", "heapUsedBytes", "heapLimitBytes", "externalBytes"] {
        assert!(dead["samples"][0][field].is_u64(), "{field}");
    }
    assert_eq!(dead["events"][1]["type"], "limit");
}

/// Everything that is rendered from a record, for any bytes.
fn everything(bytes: &[u8]) -> Result<usize, reader::ReadError> {
    let record = reader::read(bytes)?;
    let records = [record.clone(), Record { alive: true, ..record }];
    let mut out = Vec::new();
    text(&records, &Options { all: true, ..options() }, &mut out).unwrap();
    let odd = Options { look: Look { unicode: false, color: true, width: 0 }, limit: usize::MAX, ..options() };
    text(&records[..1], &odd, &mut out).unwrap();
    json(&records[..1], &options(), &mut out).unwrap();
    for openmetrics in [false, true] {
        let options = crate::export::prometheus::Options { openmetrics, ..Default::default() };
        out.extend(crate::export::prometheus::render(&records, &options));
    }
    out.extend(serde_json::to_vec(&crate::export::stats::stats(&records[0], Default::default())).unwrap());
    Ok(out.len())
}

/// Bytes that `work` allocates in total, freed or not: at least as many as it ever holds at once.
fn allocated(work: impl FnOnce()) -> u64 {
    #[cfg(not(target_env = "msvc"))]
    let total = || tikv_jemalloc_ctl::thread::allocatedp::read().map_or(0, |total| total.get());
    #[cfg(target_env = "msvc")]
    let total = || 0;
    let before = total();
    work();
    total() - before
}

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(sample::image);

/// Where changes have the most effect: anywhere, in the header and the gauges, or at the start of a row.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![0..FILE_BYTES, 0..0x1000usize, (0..FILE_BYTES / 8).prop_map(|word| word * 8)]
}

fn patch() -> impl Strategy<Value = (usize, u64)> {
    let value = prop_oneof![any::<u64>(), Just(u64::MAX), Just(u64::MAX >> 1), Just(1 << 63), 0..5000u64];
    (place(), value)
}

proptest! {
    // Without optimisation, rendering six megabytes takes a while. The fuzz target does the long runs.
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_file_is_an_error_or_a_record_and_never_a_panic(
        patches in prop::collection::vec(patch(), 0..40),
        flips in prop::collection::vec(0..FILE_BYTES * 8, 0..40),
        length in prop_oneof![4 => Just(FILE_BYTES), 1 => 0..FILE_BYTES],
    ) {
        let mut image = IMAGE.clone();
        for (offset, value) in patches {
            let end = (offset + 8).min(image.len());
            image[offset..end].copy_from_slice(&value.to_le_bytes()[..end - offset]);
        }
        flips.into_iter().for_each(|bit| image[bit / 8] ^= 1 << (bit % 8));
        image.truncate(length);
        let taken = allocated(|| drop(everything(&image)));
        prop_assert!(taken < 256 << 20, "{} bytes", taken);
    }

    #[test]
    fn a_foreign_file_is_an_error_that_says_so(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        let error = reader::read(&bytes[..]).unwrap_err().to_string();
        prop_assert!(error.contains("not a record of Plimsoll") || error.contains("truncated"), "{}", error);
    }
}

/// Every counter and count at its maximum: the tables' size limits what is read.
#[test]
fn memory_is_bounded_whatever_the_file_claims() {
    let mut image = sample::image();
    let head = 8 * 128;
    // All words from the gauges on. Sequence numbers are even, so that rows are consistent.
    image[head..].fill(0xfe);
    let taken = allocated(|| assert!(everything(&image).unwrap() > 1 << 20));
    assert!(taken < 1 << 30, "{taken} bytes");
}
