use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use super::Histograms::{All, Latency};
use super::*;
use crate::export::sample;
use crate::recorder::record::{Distribution, Finding, RouteStats};

fn text(records: &[Record], options: &Options) -> String {
    String::from_utf8(render(records, options)).expect("metrics are UTF-8")
}

fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("no {sample} in\n{text}"));
    value.parse().expect("a number")
}

/// A process, another one of the same cluster, and a worker thread of the first.
fn three() -> Vec<Record> {
    let first = sample::record();
    let other = Record { pid: 4712, process_start_ticks: 123_999, ..first.clone() };
    let thread = Record { thread: 1, ..first.clone() };
    vec![first, other, thread]
}

fn hostile() -> Vec<Record> {
    let odd = |method: &str, route: &str, count| RouteStats {
        method: method.into(),
        route: route.into(),
        status: "2xx",
        count,
        duration_ms: Distribution { sum: -4.0, count, ..Default::default() },
        heap_bytes: Distribution { sum: -1e18, count: u64::MAX, ..Default::default() },
        latency_buckets: vec![u64::MAX; 15],
        ..Default::default()
    };
    let mut record = sample::record();
    record.routes = vec![odd("GET", "/a\"b\\c{le=\"1.0\"}", 1), odd("GET", "/ü/:id", u64::MAX), odd("", "", 0)];
    record.heap.attributed_bytes = -5;
    record.name = "a\"b\\".into();
    record.gc.iter_mut().for_each(|total| total.buckets.fill(u64::MAX));
    vec![record, sample::record()]
}

/// Passes `input` to a checker. None if the checker is not installed.
fn check(command: &mut Command, input: &str) -> Option<(bool, String)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    // A checker that cannot start does not read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the checker ends");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn promtool_has_no_complaint() {
    let last_death = Some(("cgroup-oom".into(), 1_700_000_000_123));
    for records in [vec![], vec![sample::record()], three(), hostile(), vec![Record::default()]] {
        for (only_plimsoll, histograms) in [(false, Latency), (true, Latency), (false, Histograms::None), (false, All)]
        {
            let options = Options { only_plimsoll, histograms, last_death: last_death.clone(), ..Options::default() };
            let mut promtool = Command::new("promtool");
            let Some((ok, said)) = check(promtool.args(["check", "metrics"]), &text(&records, &options)) else {
                assert!(std::env::var_os("CI").is_none(), "promtool is missing (Debian package prometheus)");
                return;
            };
            assert!(ok && said.is_empty(), "{said}");
        }
    }
}

/// The reference parser for OpenMetrics is Python's. `PLIMSOLL_TEST_PYTHON` names an interpreter with the package
/// `prometheus_client`. Without one the test checks nothing, and promtool's and the encoder's own tests remain.
#[test]
fn the_openmetrics_reference_parser_takes_it() {
    let python = std::env::var("PLIMSOLL_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import sys\nfrom prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                  print(sum(len(f.samples) for f in parse(sys.stdin.read())))";
    for records in [vec![sample::record()], three(), hostile(), vec![Record::default()]] {
        for histograms in [Histograms::None, Latency, All] {
            let options = Options { openmetrics: true, histograms, ..Default::default() };
            match check(Command::new(&python).args(["-c", script]), &text(&records, &options)) {
                Some((true, said)) => assert!(said.trim().parse::<u32>().expect("a count") > 20),
                Some((false, said)) if !said.contains("No module named") => panic!("{said}"),
                _ => return,
            }
        }
    }
}

#[test]
fn the_count_of_a_histogram_is_its_infinite_bucket_whatever_the_row_holds() {
    for records in [three(), hostile()] {
        let text = text(&records, &Options { histograms: All, ..Default::default() });
        let samples: HashMap<&str, &str> = text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
        let mut histograms = 0;
        for (name, count) in &samples {
            let Some((family, labels)) = name.split_once("_count{") else { continue };
            let infinite = format!("{family}_bucket{{le=\"+Inf\",{labels}");
            assert_eq!(samples.get(infinite.as_str()), Some(count), "{name}");
            histograms += 1;
        }
        assert!(histograms > 8);
    }
}

#[test]
fn workers_add_up_and_what_a_process_has_once_counts_once() {
    let (one, all) = (text(&[sample::record()], &Options::default()), text(&three(), &Options::default()));
    for (name, times) in [
        ("plimsoll_http_requests_total", 3.0),
        ("plimsoll_http_requests_in_flight", 3.0),
        ("nodejs_heap_size_used_bytes", 3.0),
        ("plimsoll_heap_allocated_bytes_total", 3.0),
        ("http_request_duration_seconds_count{method=\"GET\",path=\"/api/users/:id\",status_code=\"2xx\"}", 3.0),
        ("plimsoll_http_request_body_bytes_sum{method=\"POST\",path=\"/upload/:id\"}", 3.0),
        ("nodejs_gc_duration_seconds_count{kind=\"minor\"}", 3.0),
        ("process_resident_memory_bytes", 2.0),
        ("process_open_fds", 2.0),
        ("process_cpu_seconds_total", 2.0),
        ("plimsoll_native_allocated_bytes", 2.0),
        ("plimsoll_processes", 2.0),
        ("plimsoll_isolates", 3.0),
        ("plimsoll_cgroup_memory_used_bytes", 1.0),
        ("plimsoll_cgroup_memory_limit_bytes", 1.0),
        ("nodejs_eventloop_lag_seconds", 1.0),
        ("plimsoll_eventloop_blocked_seconds", 1.0),
        ("plimsoll_heap_used_ratio", 1.0),
    ] {
        let (one, all) = (value(&one, name), value(&all, name));
        assert!(one > 0.0 && (all / one - times).abs() < 0.01, "{name}: {one} for one, {all} for three");
    }
}

#[test]
fn the_names_are_those_that_dashboards_know() {
    let text = text(&[sample::record()], &Options { histograms: All, ..Default::default() });
    for name in [
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "process_max_fds",
        "nodejs_heap_size_total_bytes",
        "nodejs_external_memory_bytes",
        "nodejs_eventloop_lag_p99_seconds",
        "nodejs_eventloop_utilization",
        "nodejs_gc_duration_seconds_bucket{le=\"0.001\",kind=\"major\"}",
        "nodejs_version_info{version=\"v24.9.0\",major=\"24\",minor=\"9\",patch=\"0\"}",
        "http_request_duration_seconds_bucket{le=\"1\",method=\"GET\",path=\"/api/report\",status_code=\"5xx\"}",
        "plimsoll_http_request_heap_bytes_bucket{le=\"1073741824\",method=\"GET\",path=\"/api/report\"}",
    ] {
        value(&text, name);
    }
    assert_eq!(value(&text, "nodejs_gc_duration_seconds_sum{kind=\"major\"}"), 0.041);
    assert_eq!(value(&text, "nodejs_gc_duration_seconds_count{kind=\"minor\"}"), 3.0);
}

#[test]
fn only_plimsoll_leaves_out_every_other_name() {
    let options = Options { only_plimsoll: true, ..Default::default() };
    let text = text(&three(), &options);
    let names = text.lines().map(|line| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE "));
    assert!(names.into_iter().all(|name| name.starts_with("plimsoll_")));
    value(&text, "plimsoll_heap_limit_bytes");
}

#[test]
fn tells_the_last_death_and_its_cause() {
    let options = Options { last_death: Some(("heap-limit".into(), 1_700_000_000_500)), ..Default::default() };
    let death = value(&text(&[], &options), "plimsoll_last_death_timestamp_seconds{cause=\"heap-limit\"}");
    assert_eq!(death, 1_700_000_000.5);
}

#[test]
fn openmetrics_ends_with_its_marker_and_names_units() {
    let text = text(&[sample::record()], &Options { openmetrics: true, ..Default::default() });
    assert!(text.ends_with("# EOF\n"));
    let cpu = "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total ";
    assert!(text.contains(cpu));
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut record = sample::record();
    record.native = Default::default();
    record.cgroup = Default::default();
    record.heap.live_bytes = None;
    let text = text(&[record], &Options::default());
    for name in ["plimsoll_native", "plimsoll_cgroup", "plimsoll_heap_live"] {
        assert!(!text.contains(name), "{name} in\n{text}");
    }
}

#[test]
fn the_trend_is_that_of_the_worst_isolate() {
    use crate::recorder::TrendState;
    let mut steady = sample::record();
    let heap = steady.trend.heap.as_mut().unwrap();
    (heap.state, heap.bytes_per_request) = (TrendState::Steady, Some(9e9));
    let text = text(&[steady, sample::record()], &Options::default());
    assert_eq!(value(&text, "plimsoll_trend_state{quantity=\"heap\"}"), 3.0);
    assert_eq!(value(&text, "plimsoll_trend_state{quantity=\"external\"}"), 0.0);
    assert_eq!(value(&text, "plimsoll_trend_bytes_per_request{quantity=\"heap\"}"), 528.0);
    assert!(!text.contains("quantity=\"native\""), "nobody looks at it");
    assert!(!text.contains("plimsoll_trend_p_ratio{quantity=\"external\"}"), "not known yet");
}

/// A service with `routes` routes, with two classes of status each.
fn large(routes: usize) -> Record {
    let mut record = sample::record();
    let row = record.routes[0].clone();
    record.routes = (0..routes * 2)
        .map(|row_index| {
            let status = ["2xx", "4xx"][row_index % 2];
            RouteStats { route: format!("/r{}/:id", row_index / 2), status, ..row.clone() }
        })
        .collect();
    record
}

#[test]
fn a_scrape_is_small_by_default_and_all_that_there_is_on_demand() {
    let bytes = |record: &Record, histograms| {
        text(std::slice::from_ref(record), &Options { histograms, ..Default::default() }).len()
    };
    let service = large(150);
    let [none, latency, all] = [Histograms::None, Latency, All].map(|histograms| bytes(&service, histograms));
    assert!(latency < 300_000, "{latency}");
    assert!(none < 200_000, "{none}");
    assert!(all > 2 * latency, "{all}");
    // The maximum number of a record's rows.
    assert!(bytes(&large(512), Latency) < 1_000_000);
}

#[test]
fn sums_and_counts_have_the_same_names_whatever_is_a_histogram() {
    let records = three();
    let totals = |histograms| {
        let text = text(&records, &Options { histograms, ..Default::default() });
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(totals(Histograms::None), totals(All));
    assert_eq!(totals(Latency), totals(All));
    let none = text(&three(), &Options { histograms: Histograms::None, ..Default::default() });
    assert!(none.contains("# TYPE http_request_duration_seconds summary\n"));
    assert!(none.contains("# TYPE plimsoll_http_response_bytes summary\n"));
}

#[test]
fn latency_has_the_buckets_that_were_chosen() {
    let bounds = |histograms, buckets: Option<Vec<f64>>| {
        let text = text(&[sample::record()], &Options { histograms, buckets, ..Default::default() });
        let of = "path=\"/api/report\",status_code=\"5xx\"}";
        let lines =
            text.lines().filter(|line| line.starts_with("http_request_duration_seconds_bucket") && line.contains(of));
        lines.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bounds(Latency, None), ["0.01", "0.1", "0.5", "2.5", "+Inf"]);
    assert_eq!(bounds(Latency, Some(vec![0.25, 1.0])), ["0.25", "1", "+Inf"]);
    let all = [
        "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "60", "+Inf",
    ];
    assert_eq!(bounds(All, None), all);
    let whole = |buckets| {
        let text = text(&[sample::record()], &Options { buckets, ..Default::default() });
        value(
            &text,
            "http_request_duration_seconds_bucket{le=\"0.1\",method=\"GET\",path=\"/api/users/:id\",status_code=\"2xx\"}",
        )
    };
    assert_eq!(whole(Some(vec![0.1])), whole(None), "a bucket counts the same, whatever others there are");
}

#[test]
fn says_where_a_finding_is_until_it_is_withdrawn() {
    let finding = |route: Option<&str>, withdrawn_at| Finding {
        kind: "leak".into(),
        route: route.map(str::to_owned),
        severity: "critical",
        withdrawn_at,
        ..Finding::default()
    };
    let mut record = sample::record();
    record.findings = vec![finding(Some("GET /a\"b"), None), finding(None, None), finding(Some("GET /over"), Some(7))];
    // Another process has the same leak.
    let text = text(&[record.clone(), record], &Options::default());
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("plimsoll_finding_info{kind=\"leak\"")).collect();
    assert_eq!(
        rows,
        [
            "plimsoll_finding_info{kind=\"leak\",route=\"\",severity=\"critical\"} 1",
            "plimsoll_finding_info{kind=\"leak\",route=\"GET /a\\\"b\",severity=\"critical\"} 1",
        ]
    );
}

/// https://prometheus.io/docs/practices/naming: base units, and a suffix for the kind.
#[test]
fn names_have_base_units_and_the_suffix_of_their_kind() {
    let text = text(&three(), &Options { histograms: All, ..Default::default() });
    let scaled = ["_ms", "_milliseconds", "_ns", "_kb", "_mb", "_percent", "thousand", "kilobytes"];
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').unwrap();
        assert!(!scaled.iter().any(|unit| name.contains(unit)), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
}
