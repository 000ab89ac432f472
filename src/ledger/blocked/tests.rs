use super::*;

const OWN: &str = "/app/node_modules/plimsoll/lib";

fn frame(script: &str, function: &str, line: u32) -> Frame {
    Frame { script: script.into(), function: function.into(), line, column: 5, source_map: String::new() }
}

fn reported(frames: &[Frame]) -> Option<(Option<String>, String)> {
    blocked_by(frames, OWN, Some(Path::new("/app")), false).map(|by| (by.function, by.origin))
}

#[test]
fn reports_the_first_frame_that_is_not_nodes_own() {
    let frames = [
        frame("node:internal/crypto/pbkdf2", "pbkdf2Sync", 3),
        frame("/app/node_modules/plimsoll/lib/express/route-tracker.js", "handle", 9),
        frame("/app/src/report.js", "slow", 12),
        frame("/app/src/index.js", "", 2),
    ];
    assert_eq!(reported(&frames), Some((Some("slow".into()), "src/report.js:12:5".into())));
    let by = blocked_by(&frames, OWN, None, true).unwrap();
    assert_eq!(by.stack, ["slow (/app/src/report.js:12:5)", "/app/src/index.js:2:5"]);
    assert!(by.native);
    assert_eq!(reported(&frames[..2]), None);
    assert_eq!(reported(&[]), None);
}

#[test]
fn names_the_package_that_the_app_called() {
    let module = |name: &str| frame(&format!("/app/node_modules/{name}/lib/x.js"), "walk", 7);
    let app = frame("file:///app/my%20src/report.mjs", "slow", 12);
    let origin = |frames: &[Frame]| reported(frames).unwrap().1;
    assert_eq!(origin(&[module("lodash"), app.clone()]), "my src/report.mjs:12:5 (lodash)");
    assert_eq!(origin(&[module("@scope/name"), app.clone()]), "my src/report.mjs:12:5 (@scope/name)");
    assert_eq!(origin(&[module("lodash")]), "node_modules/lodash/lib/x.js:7:5");
    assert_eq!(origin(&[frame("/mono/node_modules/a/x.js", "", 7)]), "node_modules/a/x.js:7:5");
    let dispatch = frame("/app/node_modules/router/lib/layer.js", "handleRequest", 152);
    assert_eq!(origin(&[module("serve-static"), dispatch, app]), "node_modules/serve-static/lib/x.js:7:5");
}

#[test]
fn any_name_of_a_script_is_shown_within_its_bounds() {
    for script in
        ["evalmachine.<anonymous>", "data:text/javascript,secret", "/app/node_modules", "/node_modules/", "é", "\\\\"]
    {
        let found = reported(&[frame(script, "", 1)]);
        assert!(found.is_some_and(|(_, origin)| !origin.contains("secret")), "{script}");
    }
    let long = format!("/app/{}/report.js", "é".repeat(200));
    let (_, origin) = reported(&[frame("/app/node_modules/lodash/x.js", "", 1), frame(&long, "", 12)]).unwrap();
    assert!(origin.starts_with('…') && origin.ends_with("/report.js:12:5 (lodash)"), "{origin}");
    assert_eq!(origin.chars().count(), PLACE_LENGTH);
}

#[test]
fn asks_once_for_each_number_and_takes_no_stack_after_the_block() {
    let (mut search, listener) = search(Interrupts::default(), String::new(), || ());
    let start = Instant::now();
    search.ask(start);
    assert!(!listener.takes(1), "there is no isolate to ask");
    search.wanted.store(7, Relaxed);
    assert!(!listener.takes(6) && !listener.takes(0));
    assert!(listener.takes(7) && !listener.takes(7));
    search.wanted.store(8, Relaxed);
    search.drop();
    assert!(!listener.takes(8));
    assert!(search.take().is_none());
}

#[test]
fn a_stack_that_comes_late_follows_native_code() {
    let (mut search, listener) = search(Interrupts::default(), String::new(), || ());
    let start = Instant::now();
    search.last = 3;
    search.asked.push_back(start);
    for (after_ms, native) in [(0, false), (2000, true)] {
        let frames = vec![frame("/app/a.js", "f", 1)];
        listener.found(Captured { number: 3, at: start + Duration::from_millis(after_ms), frames });
        assert_eq!(search.take().map(|by| by.native), Some(native));
    }
    listener.found(Captured { number: 2, at: start, frames: vec![frame("/app/a.js", "f", 1)] });
    assert!(search.take().is_none(), "of a former block");
}
