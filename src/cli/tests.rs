use super::*;

fn call(args: &[&str]) -> (i32, String, String) {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(&args, &mut out, &mut err, Terminal { width: 80, color: false, progress: false });
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn help_names_the_commands_and_gives_examples() {
    let (code, out, err) = call(&["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for part in ["show", "build", "npx plimsoll show shop", "--version"] {
        assert!(out.contains(part), "no {part} in\n{out}");
    }
    let (code, out, _) = call(&["show", "--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("FILE|FOLDER|NAME") && out.contains("Exit codes: 0"), "{out}");
}

#[test]
fn version_is_the_packages() {
    assert_eq!(call(&["--version"]), (0, format!("plimsoll {}\n", env!("CARGO_PKG_VERSION")), String::new()));
}

#[test]
fn wrong_use_exits_with_two_and_says_what_is_right() {
    for args in [&["shwo"][..], &["show", "--limit", "many"], &["show", "a", "b"], &[]] {
        let (code, out, err) = call(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(!err.is_empty());
    }
    assert!(call(&["shwo"]).2.contains("show"));
}

#[test]
fn what_is_not_there_or_no_record_exits_with_one_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.plimsoll");
    let (code, out, err) = call(&["show", missing.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("missing.plimsoll"), "{err}");

    let foreign = folder.path().join("notes.txt");
    std::fs::write(&foreign, "nothing of the kind, though long enough to be looked at").unwrap();
    let (code, _, err) = call(&["show", foreign.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("notes.txt"), "{err}");
}

#[test]
fn shows_the_record_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.plimsoll");
    std::fs::write(&file, crate::export::sample::image()).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = call(&["show", file]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("shop, pid 4711: dead"), "{out}");
    let (code, out, _) = call(&["show", file, "--json"]);
    assert_eq!(code, 0);
    let record: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&record["pid"], &record["alive"]), (&4711.into(), &false.into()));
    assert!(record["death"]["cause"].is_string());
}

#[test]
fn help_fits_eighty_columns_and_calls_the_command_by_its_name() {
    let heap = ["summary", "diff", "path", "dominators", "object"];
    let mut calls: Vec<Vec<&str>> = vec![vec![], vec!["show"], vec!["soak"], vec!["heap"], vec!["build"]];
    calls.extend(heap.map(|task| vec!["heap", task]));
    for mut args in calls {
        let usage = [&["Usage:", "plimsoll"], &args[..]].concat().join(" ");
        args.push("--help");
        let (code, out, _) = call(&args);
        assert_eq!(code, 0);
        assert!(out.contains(&usage), "no {usage} in\n{out}");
        let wide: Vec<&str> = out.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, [""; 0], "{args:?}");
    }
}

#[test]
fn errors_fit_eighty_columns_and_show_escapes() {
    let long = format!("{}\u{1b}[2J", "/a path".repeat(30));
    // clap removes escapes.
    for (args, shown) in [
        (&["show", &long][..], true),
        (&["heap", "summary", &long], true),
        (&["show", "--limit", &long], false),
        (&[&long], false),
    ] {
        let (code, _, err) = call(args);
        assert_ne!(code, 0);
        assert!(err.lines().all(|line| line.chars().count() <= 80), "{err}");
        assert!(err.contains("\\x1b[2J") == shown && !err.contains('\u{1b}'), "{err}");
    }
}

#[test]
fn json_is_never_broken_into_lines() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.plimsoll"), crate::export::sample::image()).unwrap();
    std::fs::write(folder.path().join("b.plimsoll"), crate::export::sample::image()).unwrap();
    let (_, out, _) = call(&["show", folder.path().to_str().unwrap(), "--json"]);
    assert_eq!(out.lines().count(), 2, "one a record, all of them");
    let (_, one, _) = call(&["show", folder.path().to_str().unwrap()]);
    assert!(one.contains("1 more record: 0 alive, 1 dead"), "{one}");
    let (_, all, _) = call(&["show", folder.path().to_str().unwrap(), "--all"]);
    assert!(all.starts_with("2 records: 0 alive, 2 dead"), "{all}");
}
