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
    assert!(out.contains("FILE|FOLDER|NAME") && out.contains("Exits with 0"), "{out}");
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
