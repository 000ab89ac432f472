use proptest::prelude::*;

use super::super::look::Look;
use super::*;

fn outcome() -> Outcome {
    serde_json::from_str(
        r#"{
        "app": "app.js", "node": "v20.20.2", "verdict": "failed", "seconds": 8.07, "notes": [],
        "routes": [
            { "route": "GET /users/:id", "verdict": "failed", "requests": 2250, "rounds": 15,
              "bytesPerRequest": { "value": 4183.2, "low": 4182.4, "high": 4185.1 },
              "quantities": {
                "heap": { "title": "JavaScript heap", "unit": "bytes", "verdict": "over", "perRequest": 4183.2, "low": 4182.4,
                          "high": 4185.1, "bound": 48 },
                "descriptors": { "title": "open descriptors", "unit": "count", "verdict": "over", "perRequest": 0.1, "low": 0.1,
                                 "high": 0.1, "bound": 0.002 },
                "timers": { "title": "timers", "unit": "count", "verdict": "under", "perRequest": 0, "low": 0, "high": 0, "bound": 0.002 }
              },
              "sites": [{ "origin": "users.js:12", "function": "<load>", "bytesPerRequest": 4216, "low": 3591, "high": 4572 }],
              "classes": [{ "name": "User", "perThousand": 999.6, "retainedBytesPerRequest": 4184, "path": ["global", "cache: Map"],
                            "holder": "cache (a Map in users.js)", "addedBy": "load (users.js:9)" }],
              "files": [{ "name": "socket", "perThousand": 100 }], "notes": ["\u001b[31mred"] },
            { "route": "GET /ping", "verdict": "passed", "requests": 1650, "rounds": 11,
              "bytesPerRequest": { "value": -0.2, "low": -1, "high": 26.2 }, "quantities": {}, "sites": [], "classes": [], "files": [],
              "notes": [] }
        ] }"#,
    )
    .unwrap()
}

#[test]
fn a_page_names_the_route_its_bytes_where_they_come_from_and_what_holds_them() {
    let page = text(&outcome(), Look { width: 100, color: false, unicode: true });
    for line in [
        "app.js: failed",
        "2 routes, 3,900 requests measured, 8.1 s, Node v20.20.2",
        "  JavaScript heap: 4,183 B per request (4,182 B to 4,185 B); 48 B is allowed",
        "  open descriptors: 0.1 per request (0.1 to 0.1); 0.002 is allowed",
        "    users.js:12 (<load>): 4,216 B per request (3,591 B to 4,572 B)",
        "    global → cache: Map",
        "    +100 socket",
        "  \\x1b[31mred",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = "cache (a Map in users.js) grows with requests: +1,000 User per 1,000 requests, which retain 4,184 B per request. \
                    Entries are added by load (users.js:9)";
    assert!(words.contains(sentence), "{page}");
    assert!(!page.contains("timers") && !page.contains("-0"), "{page}");
    assert!(text(&outcome(), Look { width: 40, color: true, unicode: false }).is_ascii());
}

#[test]
fn junit_has_a_case_a_route_and_nothing_that_breaks_xml() {
    let xml = junit(&outcome());
    assert!(xml.contains(r#"<testsuites tests="2" failures="1" errors="0" time="8.070">"#), "{xml}");
    assert!(xml.contains("<testcase classname=\"soak\" name=\"GET /ping\"/>"), "{xml}");
    assert!(xml.contains("allocated in users.js:12 (&lt;load&gt;)"), "{xml}");
    assert!(!xml.contains('\u{1b}'));
    let broken = Outcome { error: Some("no server & no verdict\nat all".into()), ..Outcome::default() };
    assert!(junit(&broken).contains("<error message=\"no server &amp; no verdict\">"), "{}", junit(&broken));
}

#[test]
fn numbers_say_no_more_than_they_know() {
    let show = |value| number(value, 3);
    assert_eq!([0.1, 1.0, 0.002, -0.0001, 12.3456].map(show), ["0.1", "1", "0.002", "0", "12.346"]);
    assert_eq!([4183.4, -0.2, -3.0, 0.0].map(|value| bytes(value, 0)), ["4,183 B", "0 B", "-3 B", "0 B"]);
}

proptest! {
    /// What is over its bound never looks allowed.
    #[test]
    fn a_figure_that_is_over_differs_from_its_bound(bound in 1u32..10_000, above in 1e-6f64..1.0, unit in "bytes|count", scale in 0i32..6) {
        let bound = f64::from(bound) / 10f64.powi(scale);
        let low = bound * (1.0 + above);
        let quantity = Quantity {
            title: "heap".into(), unit, verdict: "over".into(), per_request: Some(low), low: Some(low), high: Some(low), bound,
        };
        let line = line_of(&quantity);
        let (_, rate) = line.split_once(": ").unwrap();
        let (value, allowed) = (rate.split(" per request").next().unwrap(), rate.split("; ").nth(1).unwrap());
        prop_assert_ne!(format!("{value} is allowed"), allowed);
    }
}

#[test]
fn an_error_fits_and_shows_what_the_app_has_printed_with_its_escapes() {
    let look = Look { width: 40, color: false, unicode: true };
    let said = "the app ended before it listened. Its last output:\n  | \u{1b}[31mError: cannot listen on that port of yours\u{1b}[0m\r";
    let text = error(said, look);
    assert!(text.starts_with("plimsoll: soak: the app ended before it\n"), "{text}");
    assert!(text.contains("\n  | \\x1b[31mError: cannot listen on that\n    port of yours\\x1b[0m\\r\n"), "{text}");
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}
