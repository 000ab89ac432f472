use super::super::{Terminal, run};
use heap_snapshot::sample::{Graph, OBJECT, PROPERTY, Style, leak};

fn call(args: &[&str]) -> (i32, String, String) {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err, Terminal { width: 100, color: false, progress: false });
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// Snapshots with these numbers of sessions, and their paths.
fn files(sessions: &[usize]) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let paths = sessions.iter().enumerate().map(|(n, sessions)| {
        let path = folder.path().join(format!("{n}.heapsnapshot"));
        std::fs::write(&path, leak(*sessions).write(Style::Dense)).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let paths = paths.collect();
    (folder, paths)
}

#[test]
fn a_summary_has_classes_and_objects() {
    let (_folder, files) = files(&[100]);
    let (code, out, err) = call(&["heap", "summary", &files[0]]);
    assert_eq!((code, err.as_str()), (0, ""));
    for part in ["213 nodes", "LeakedSession", "Map @", "strings", "Retained", "MB/s"] {
        assert!(out.contains(part), "no {part} in\n{out}");
    }
    let (code, json, _) = call(&["heap", "summary", &files[0], "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, summary["nodes"].as_u64()), (0, Some(213)));
    let sessions =
        summary["classes"].as_array().unwrap().iter().find(|class| class["name"] == "LeakedSession").unwrap();
    assert_eq!((sessions["count"].as_u64(), sessions["retainedBytes"].as_u64()), (Some(100), Some(8800)));
}

#[test]
fn the_first_line_of_a_diff_is_what_grew_and_the_second_how_it_is_kept() {
    let (_folder, files) = files(&[10, 100, 60]);
    let (code, out, err) = call(&["heap", "diff", &files[0], &files[1]]);
    assert_eq!((code, err.as_str()), (0, ""));
    let mut lines = out.lines();
    assert!(lines.next().unwrap().starts_with("LeakedSession  +90 "), "{out}");
    assert!(lines.next().unwrap().contains("module users.js") && out.contains("cache: Map"), "{out}");
    let (_, json, _) = call(&["heap", "diff", &files[0], &files[1], &files[2], "--json"]);
    let diff: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(diff["classes"][0]["added"].as_u64(), Some(50));
    assert_eq!(diff["classes"][0]["path"][0], "global");
    let (code, out, _) = call(&["heap", "diff", &files[0], &files[0]]);
    assert_eq!(code, 0);
    assert!(out.starts_with("No object was added"), "{out}");
}

#[test]
fn paths_are_found_by_id_and_by_class() {
    let (_folder, files) = files(&[5]);
    let (code, by_class, _) = call(&["heap", "path", &files[0], "LeakedSession", "--limit", "1"]);
    assert_eq!(code, 0);
    let id = by_class.lines().next().unwrap().rsplit('@').next().unwrap().to_owned();
    for target in [format!("@{id}"), id] {
        assert_eq!(call(&["heap", "path", &files[0], &target]).1, by_class);
    }
    let (code, _, err) = call(&["heap", "path", &files[0], "session"]);
    assert_eq!(code, 1);
    assert!(err.contains("Similar names: LeakedSession"), "{err}");
    assert_eq!(call(&["heap", "path", &files[0], "@2"]).0, 1);
}

#[test]
fn the_output_for_a_long_chain_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chain.heapsnapshot");
    let mut graph = Graph::with_global();
    let mut last = 2;
    for _ in 0..100_000 {
        let next = graph.node(OBJECT, "Item", 10);
        graph.edge(last, PROPERTY, "next", next);
        last = next;
    }
    std::fs::write(&file, graph.write(Style::Dense)).unwrap();
    let (file, target) = (file.to_str().unwrap(), format!("@{}", graph.nodes[last].id));
    let (code, out, _) = call(&["heap", "path", file, &target]);
    assert_eq!((code, out.contains("99,801 more")), (0, true), "{out}");
    assert!(out.len() < 64 << 10, "{} bytes", out.len());
    assert!(out.contains(&target));
    let (code, out, _) = call(&["heap", "path", file, &target, "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json[0]["stepsLeftOut"].as_u64()), (0, Some(99_801)));
    assert!(out.len() < 64 << 10, "{} bytes", out.len());
}

#[test]
fn objects_and_dominators_are_shown() {
    let (_folder, files) = files(&[50]);
    let (code, out, _) = call(&["heap", "dominators", &files[0]]);
    assert_eq!(code, 0);
    assert!(out.contains("Map @") && out.contains("more below"), "{out}");
    let (_, json, _) = call(&["heap", "dominators", &files[0], "--json"]);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let map = rows.as_array().unwrap().iter().find(|row| row["class"] == "Map").unwrap().clone();
    let (code, out, _) = call(&["heap", "object", &files[0], &format!("@{}", map["id"])]);
    assert_eq!(code, 0);
    assert!(out.contains("Referred to by (1)") && out.contains("cache"), "{out}");
    let (_, json, _) = call(&["heap", "object", &files[0], &map["id"].to_string(), "--json", "--roots", "gc"]);
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    // With V8's own roots, the table is not counted with the map.
    assert_eq!((object["selfBytes"].as_u64(), map["selfBytes"].as_u64()), (Some(32), Some(48)));
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let whole = leak(3).write(Style::Lines);
    for (path, expected) in [
        (file("empty", b""), "the file is empty, at byte 0"),
        (file("text", b"hello"), "'{' was expected, at byte 0"),
        (file("cut", &whole.as_bytes()[..whole.len() / 2]), "Take or copy the snapshot again"),
        (folder.path().join("none").to_str().unwrap().to_owned(), "writeHeapSnapshot"),
        (folder.path().to_str().unwrap().to_owned(), "folder"),
    ] {
        let (code, out, err) = call(&["heap", "summary", &path]);
        assert_eq!((code, out.as_str()), (1, ""));
        // Independent of line breaks.
        let err = err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(err.starts_with("plimsoll: ") && err.contains(&path) && err.contains(expected), "{err}");
    }
    for args in
        [&["heap"][..], &["heap", "summary"], &["heap", "object", "x", "@y"], &["heap", "summary", "x", "--roots", "y"]]
    {
        assert_eq!(call(args).0, 2, "{args:?}");
    }
    let (code, out, _) = call(&["heap", "diff", "--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Examples:") && out.contains("--roots"), "{out}");
}
