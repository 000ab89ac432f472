use super::*;

fn class(name: &str, added: u64, removed: u64, retained_bytes: u64) -> Class {
    Class { name: name.to_owned(), added, removed, retained_bytes, ..Class::default() }
}

fn with_path(class: Class, module: Option<&str>, path: &[&str]) -> Class {
    Class { path: path.iter().map(|part| (*part).to_owned()).collect(), module: module.map(str::to_owned), ..class }
}

fn find_in(classes: Vec<Class>, grown: f64) -> Option<LeakSuspect> {
    find(&Diff { classes }, grown, |file| file.replace("/srv/shop/", ""))
}

fn session() -> Class {
    let path = ["global", "module users.js", "cache: Map", "table", "Session @86151"];
    with_path(class("Session", 2000, 3, 3_200_000), Some("/srv/shop/src/users.js"), &path)
}

#[test]
fn the_outermost_class_that_grows_is_reported_with_what_retains_it() {
    let classes = vec![
        // The map's table is replaced as it grows, and retains all entries.
        class("(array)", 1, 1, 90_000_000),
        session(),
        class("Array", 2100, 90, 3_000_000),
        class("(string)", 4000, 1900, 400_000),
        class("(compiled code)", 9000, 10, 5_000_000),
    ];
    let suspect = find_in(classes, 3.3e6).unwrap();
    assert_eq!((suspect.class.as_str(), suspect.instances), ("Session", 1997.0));
    assert_eq!(suspect.holder.as_deref(), Some("cache: Map"));
    assert_eq!(suspect.path, ["global", "module src/users.js", "cache: Map", "Session"]);
    let text = suspect.describe(1003.0);
    assert_eq!(text, "Session objects (97 % of the growth, +1,003 per 1,000 requests)");
}

#[test]
fn a_class_on_the_path_is_reported_instead_of_one_that_others_retain_too() {
    let sockets = ["TCP", "owner: Socket @7"];
    let lists = ["TCP", "owner: Socket", "_readableState: ReadableState", "buffer: Array @9"];
    let all = |of_sockets: u64| {
        vec![
            with_path(class("Array", 28_000, 12, 6_250_000), None, &lists),
            with_path(class("ReadableState", 4000, 0, 6_140_000), None, &lists[..3]),
            with_path(class("Socket", 2000, 0, of_sockets), None, &sockets),
        ]
    };
    let suspect = find_in(all(3_420_000), 6e6).unwrap();
    assert_eq!(
        (suspect.class.as_str(), suspect.path),
        ("Socket", ["TCP", "owner: Socket"].map(str::to_owned).to_vec())
    );
    assert_eq!(suspect.share, 1.0, "with the lists");
    assert_eq!(find_in(all(500_000), 6e6).unwrap().class, "ReadableState", "what is in them is another's");
    let list = ["TCP", "owner: Socket", "… 700 more", "_readableState: ReadableState", "buffer: Array @9"];
    let mut all_in_a_list = all(3_420_000);
    all_in_a_list[1].path = list[..4].iter().map(|step| (*step).to_owned()).collect();
    assert_eq!(find_in(all_in_a_list, 6e6).unwrap().class, "Socket");
    let mut elsewhere = all(3_420_000);
    elsewhere[2].path = ["global", "pool: Socket @7"].map(str::to_owned).to_vec();
    assert_eq!(find_in(elsewhere, 6e6).unwrap().class, "ReadableState", "these are other ones");
}

#[test]
fn strings_are_reported_if_nothing_else_has_grown() {
    let all = |of_sessions: u64| {
        vec![class("(concatenated string)", 14_000, 0, 700_000), class("Session", 1000, 0, of_sessions)]
    };
    assert_eq!(find_in(all(500_000), 1e6).unwrap().class, "Session");
    assert_eq!(find_in(all(200_000), 1e6).unwrap().class, "(concatenated string)");
    let closures = vec![class("Function", 21_000, 0, 700_000), class("Timeout", 1000, 0, 400_000)];
    assert_eq!(find_in(closures, 1e6).unwrap().class, "Timeout");
}

#[test]
fn a_class_without_a_name_is_reported_by_its_owner() {
    let path = ["global", "module shop.js", "formulas: Map", "table", "Formula", "run()", "abstract()"];
    let functions = || with_path(class("Function", 896_000, 3, 143_000_000), Some("/srv/shop/shop.js"), &path);
    let suspect_with = |other: Class| find_in(vec![functions(), other], 150e6).unwrap();
    let made = |name: &str, added: u64, path: &[&str]| {
        let class = with_path(class(name, added, 0, 112_000), None, path);
        Class { location: Some(IgnoredAny), ..class }
    };
    for known in [&[][..], &path[..5]] {
        let suspect = suspect_with(made("Formula", 1000, known));
        let (holder, kept_in) = (suspect.holder.as_deref(), suspect.path.join(ARROW));
        assert_eq!((suspect.class.as_str(), suspect.instances, holder), ("Formula", 1e3, Some("formulas: Map")));
        assert_eq!(kept_in, "global → module shop.js → formulas: Map → Formula");
        assert!(suspect.share > 0.9, "{}: with what hangs on it", suspect.share);
    }
    assert_eq!(suspect_with(made("Formula", 5, &[])).class, "Function", "as many as ever");
    assert_eq!(suspect_with(made("Session", 1000, &[])).class, "Function", "not on the path");
    assert_eq!(suspect_with(made("Formula", 1000, &["global", "Formula"])).class, "Function", "others");
    assert_eq!(suspect_with(class("Map", 1000, 0, 112_000)).class, "Function", "V8 makes them");
}

#[test]
fn nothing_is_reported_if_no_class_stands_out() {
    assert_eq!(find_in(vec![session()], 30e6), None, "a tenth of the growth");
    assert_eq!(find_in(vec![class("Request", 3000, 2990, 5_000_000)], 5e6), None, "they come and go");
    assert_eq!(find_in(vec![class("Pool", 3, 0, 5_000_000)], 5e6), None, "some");
    assert_eq!(find_in(vec![session()], 0.0), None);
    assert_eq!(find_in(vec![session()], f64::NAN), None);
    assert_eq!(find_in(Vec::new(), 5e6), None);
}

#[test]
fn the_holder_is_the_last_step_with_a_name() {
    let holder = |name: &str, path: &[&str]| {
        find_in(vec![with_path(class(name, 2000, 0, 5_000_000), None, path)], 5e6).unwrap().holder
    };
    assert_eq!(holder("Row", &["global", "module a.js", "kept: Array", "[7]: Row @3"]).as_deref(), Some("kept: Array"));
    let list = ["global", "list: List", "head: Node", "next: Node", "next: Node @9"];
    assert_eq!(holder("Node", &list).as_deref(), Some("list: List"));
    assert_eq!(
        holder("(string)", &["global", "module a.js", "seen: Set", "table", "\"a: b\" @3"]).as_deref(),
        Some("seen: Set")
    );
    assert_eq!(holder("Row", &["global", "events: Map", "table", "Object", "Row @3"]).as_deref(), Some("events: Map"));
    assert_eq!(holder("Row", &["global", "module a.js", "Row @3"]), None);
    assert_eq!(holder("Row", &["(GC roots)", "(Global handles)", "Row @3"]), None);
    assert_eq!(holder("Row", &[]), None);
}

#[test]
fn words_for_what_has_no_class_of_its_own() {
    let suspect = |name: &str| find_in(vec![class(name, 2000, 0, 5_000_000)], 5e6).unwrap().describe(2.04);
    assert_eq!(suspect("(string)"), "strings (100 % of the growth, +2 per 1,000 requests)");
    assert_eq!(suspect("(concatenated string)"), "strings (100 % of the growth, +2 per 1,000 requests)");
    assert_eq!(suspect("{id, at}"), "{id, at} objects (100 % of the growth, +2 per 1,000 requests)");
    assert_eq!([0.25, 9.96, 999.6, 1e6].map(grouped), ["0.3", "10", "1,000", "1,000,000"]);
}

#[test]
fn a_long_path_keeps_its_ends() {
    let parts: Vec<String> = (0..40).map(|n| format!("a property with a long name, {n}: Node")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let suspect = find_in(vec![with_path(class("Row", 2000, 0, 5_000_000), None, &parts)], 5e6).unwrap();
    assert!(suspect.path.join(ARROW).len() <= MOST_PATH_BYTES);
    assert_eq!((suspect.path[0].as_str(), suspect.path.last().unwrap().as_str()), (parts[0], parts[39]));
    assert_eq!(suspect.path.iter().filter(|part| *part == "…").count(), 1);
}
