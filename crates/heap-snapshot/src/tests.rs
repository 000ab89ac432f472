//! Complete and damaged snapshots, and queries about them.

use std::io::{Cursor, Write};

use super::path::Step;
use super::sample::{CLOSURE, ELEMENT, Graph, OBJECT, PROPERTY, STRING, SYNTHETIC, Style, leak};
use super::source::Source;
use super::tree::Cut;
use super::*;

fn source(bytes: &[u8]) -> Source {
    Source::new(Cursor::new(bytes.to_vec()), Some(bytes.len() as u64)).unwrap()
}

fn open(graph: &Graph) -> Heap {
    Heap::read(&mut source(graph.write(Style::Dense).as_bytes()), Roots::DevTools).unwrap()
}

fn error(bytes: &[u8]) -> String {
    match Source::new(Cursor::new(bytes.to_vec()), Some(bytes.len() as u64)) {
        Ok(mut source) => lexer::read(&mut source).map(|_| ()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

fn names(snapshot: &Snapshot) -> Vec<(String, u32, u64)> {
    let nodes = &snapshot.nodes;
    let of =
        |node: u32| (snapshot.strings.text(nodes.name[node as usize]), nodes.id[node as usize], nodes.size.get(node));
    snapshot.ordinals().map(of).collect()
}

/// The file that the documentation reads. With `WRITE_SAMPLE=1` it is written again.
#[test]
fn the_file_of_the_examples_is_a_sample() {
    let (path, text) = ("examples/small.heapsnapshot", leak(3).write(Style::Lines));
    if std::env::var_os("WRITE_SAMPLE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[test]
fn reads_what_every_version_of_node_writes() {
    let graph = leak(40);
    let [lines, dense] = [Style::Lines, Style::Dense].map(|style| graph.write(style));
    let read = |text: &str| lexer::read(&mut source(text.as_bytes())).unwrap();
    let expected: Vec<_> = graph.nodes.iter().map(|node| (node.name.clone(), node.id, node.size)).collect();
    assert_eq!(names(&read(&lines)), expected);
    assert_eq!(names(&read(&dense)), expected);
    // Unknown keys, in another order, with spaces.
    let strange =
        dense.replace("\"nodes\":[", "\"scopes\" : { \"a\" : [ [], {}, \"]}\\\"\", -1.5e3, null ] } , \"nodes\" : [ ");
    assert_eq!(names(&read(&strange)), expected);
}

#[test]
fn reads_gzip_and_zstd_and_streams_of_unknown_length() {
    let graph = leak(300);
    let plain = graph.write(Style::Lines).into_bytes();
    let expected = names(&lexer::read(&mut source(&plain)).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut zstd = vec![0; zstd_safe::compress_bound(plain.len())];
    let length = zstd_safe::compress(&mut zstd[..], &plain, 3).unwrap();
    zstd.truncate(length);
    for bytes in [&gzip, &zstd] {
        assert_eq!(names(&lexer::read(&mut source(bytes)).unwrap()), expected);
        let cut = error(&bytes[..bytes.len() / 2]);
        assert!(cut.contains("the compressed data is damaged or cut off"), "{cut}");
    }
    let mut stream = Source::new(Cursor::new(plain), None).unwrap();
    assert_eq!(names(&lexer::read(&mut stream).unwrap()), expected);
    // Two frames, as in the output of `cat a.zst b.zst`.
    let halves = [&zstd[..], &zstd[..]].concat();
    assert!(lexer::read(&mut source(&halves)).is_ok(), "what comes behind the snapshot is not read");
}

#[test]
fn a_snapshot_that_is_cut_anywhere_is_an_error_with_its_place() {
    let whole = leak(1).write(Style::Lines).into_bytes();
    for length in 0..whole.len() {
        let error = error(&whole[..length]);
        assert!(error.contains("at byte"), "{length}: {error}");
    }
    assert!(error(b"").contains("empty"));
}

#[test]
fn no_single_byte_that_is_wrong_brings_it_down() {
    let whole = leak(1).write(Style::Dense).into_bytes();
    for at in 0..whole.len() {
        for byte in *b"0]\"" {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            if let Ok(heap) = Heap::read(&mut source(&bytes), Roots::DevTools) {
                heap.summary();
                heap.dominators(Cut { least_bytes: 0, depth: 100, rows: 1000 });
                assert!(
                    heap.snapshot.ordinals().all(|node| heap.path_of(node).steps.len() <= heap.snapshot.node_count())
                );
            }
        }
    }
}

#[test]
fn invalid_content_is_reported_with_its_offset() {
    let whole = leak(2).write(Style::Dense);
    let changed = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        error(whole.replacen(from, to, 1).as_bytes())
    };
    for (from, to, expected) in [
        ("\"node_count\":17", "\"node_count\":4000000000", "17"),
        ("\"node_count\":17", "\"node_count\":18446744073709551615", "too short"),
        ("\"node_count\":17", "\"node_count\":16", "the list should end here, after the 16 rows"),
        ("\"node_count\":17", "\"node_count\":18", "1 rows before"),
        ("\"node_count\":17", "\"node_count\":-1", "header"),
        ("\"edge_count\":", "\"edges\":", "edge_count"),
        ("\"id\",", "\"ident\",", "node_fields has no \"id\""),
        ("\"nodes\":[9,", "\"nodes\":[99,", "type that the header does not define"),
        ("\"nodes\":[9,", "\"nodes\":[9999999999999999999999,", "19 digits"),
        ("\"nodes\":[9,1,", "\"nodes\":[9,1000,", "1000, of"),
        ("\"edges\":[1,1,6", "\"edges\":[1,1,7", "leads to no node"),
        ("\"edges\":[1,1,6", "\"edges\":[1,1,600000", "leads to no node"),
        ("\"nodes\":[", "\"nodes\":{", "'[' was expected"),
        ("\"strings\":[", "\"string\":[", "there is no \"strings\""),
        ("{\"snapshot\":", "{\"snapshots\":", "before the header"),
        ("{\"snapshot\":", "[\"snapshot\":", "'{' was expected"),
    ] {
        let error = changed(from, to);
        assert!(error.contains("at byte"), "{from} → {to}: {error}");
        // For the count, the first row only shows that the file is too short.
        assert!(error.contains(expected) || error.contains("too short"), "{from} → {to}: {error}");
    }
    assert!(error(b"PNG\r\n").contains("'{' was expected, at byte 0"));
    assert!(error(&[b"{\"deep\":".as_slice(), &[b'['; 1 << 20]].concat()).contains("too early"));
    assert!(error(&[b"{\"".as_slice(), &[b'k'; 1 << 20]].concat()).contains("a key of more than"));
}

#[test]
fn a_count_that_a_stream_cannot_keep_takes_no_memory() {
    // The length of a stream is unknown, so the columns grow with the content.
    let whole = leak(2).write(Style::Dense).replace("\"node_count\":17", "\"node_count\":2000000000");
    let mut stream = Source::new(Cursor::new(whole.into_bytes()), None).unwrap();
    let error = lexer::read(&mut stream).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("rows before"), "{error}");
    let more = leak(2).write(Style::Dense).replace("\"node_count\":17", "\"node_count\":2147483648");
    let mut stream = Source::new(Cursor::new(more.into_bytes()), None).unwrap();
    assert!(matches!(lexer::read(&mut stream).map(|_| ()), Err(Error::TooLarge(_))));
}

#[test]
fn sizes_over_four_gigabytes_are_kept() {
    let mut graph = Graph::with_global();
    let big = graph.node(OBJECT, "Big", 5 << 32);
    graph.edge(2, PROPERTY, "big", big);
    let heap = open(&graph);
    assert_eq!(heap.object(graph.nodes[big].id).unwrap().object.self_bytes, 5 << 32);
    assert_eq!(heap.total_bytes(), (5 << 32) + 100);
}

#[test]
fn what_grew_comes_first_with_its_path() {
    let (before, after) = (open(&leak(2)), open(&leak(12)));
    let diff = after.diff(&before.baseline(), None).unwrap();
    let first = &diff.classes[0];
    assert_eq!((first.name.as_str(), first.added, first.removed), ("LeakedSession", 10, 0));
    assert_eq!((first.added_bytes, first.retained_bytes), (480, 880));
    assert_eq!(first.path[..4], ["global", "module users.js", "cache: Map", "table"]);
    assert!(first.path[4].starts_with("LeakedSession @"));
    assert_eq!(first.module.as_deref(), Some("/srv/shop/users.js"));
    // Objects that were already in the middle snapshot, and are in the last.
    let third = open(&leak(7));
    let kept = third.diff(&before.baseline(), Some(&after.ids())).unwrap();
    assert_eq!(kept.classes[0].added, 5);
    // Compared with itself, it has nothing new.
    let same = before.diff(&before.baseline(), None).unwrap();
    assert_eq!((same.added, same.removed, same.classes.len()), (0, 0, 0));
    let gone = before.diff(&after.baseline(), None).unwrap();
    assert_eq!((gone.added, gone.removed), (0, 20));
}

#[test]
fn snapshots_of_nothing_in_common_are_not_compared() {
    let mut other = Graph::with_global();
    for node in &mut other.nodes {
        node.id += 1_000_000;
    }
    let error = open(&leak(1)).diff(&open(&other).baseline(), None).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unrelated));
}

#[test]
fn a_class_retains_nested_members_once() {
    let mut graph = Graph::with_global();
    let (outer, inner) = (graph.node(OBJECT, "List", 10), graph.node(OBJECT, "List", 10));
    let text = graph.node(STRING, "text", 5);
    graph.edge(2, PROPERTY, "list", outer);
    graph.edge(outer, PROPERTY, "next", inner);
    graph.edge(inner, PROPERTY, "text", text);
    let summary = open(&graph).summary();
    let class = summary.classes.iter().find(|class| class.name == "List").unwrap();
    assert_eq!((class.count, class.self_bytes, class.retained_bytes), (2, 20, 25));
    assert_eq!(summary.total_bytes, 125);
}

#[test]
fn plain_objects_are_known_by_their_shape() {
    let mut graph = Graph::with_global();
    let text = graph.node(STRING, "text", 5);
    for n in 0..5 {
        let object = graph.node(OBJECT, "Object", 10);
        graph.edge(2, PROPERTY, &n.to_string(), object);
        let properties: &[&str] = if n < 4 { &["name", "note, of \"it\""] } else { &["other"] };
        for property in properties {
            graph.edge(object, PROPERTY, property, text);
        }
    }
    let summary = open(&graph).summary();
    let counts = |name: &str| summary.classes.iter().find(|class| class.name == name).map(|class| class.count);
    // A single object is not enough for a shape.
    assert_eq!(counts("{name, \"note, of \\\"it\\\"\"}"), Some(4), "{:?}", summary.classes);
    assert_eq!(counts("Object"), Some(1));
}

#[test]
fn strings_that_are_there_twice_waste_all_but_one() {
    let mut graph = Graph::with_global();
    for n in 0..3 {
        let text = graph.node(STRING, "the same", 30);
        graph.edge(2, PROPERTY, &n.to_string(), text);
    }
    let duplicates = open(&graph).summary().duplicate_strings;
    assert_eq!((duplicates.count, duplicates.wasted_bytes), (2, 60));
    assert_eq!((duplicates.strings[0].value.as_str(), duplicates.strings[0].bytes), ("the same", 90));
}

#[test]
fn an_object_has_its_references_in_both_directions() {
    let graph = leak(2);
    let heap = open(&graph);
    let id = |name: &str| graph.nodes.iter().find(|node| node.name == name).unwrap().id;
    let map = heap.object(id("Map")).unwrap();
    assert_eq!((map.reference_count, map.references[0].name.as_str()), (1, "table"));
    assert_eq!((map.retainer_count, map.retainers[0].name.as_str()), (1, "cache"));
    // The table is counted separately.
    assert_eq!((map.object.self_bytes, map.object.retained_bytes), (48, 48 + 2 * 88));
    assert_eq!(map.object.dominator, Some(id("system / Context")));
    assert!(matches!(heap.object(2).map(|_| ()), Err(Error::NoSuchObject(2))));
}

#[test]
fn the_dominator_tree_is_cut_at_the_given_limits() {
    let heap = open(&leak(50));
    let all = heap.dominators(Cut { least_bytes: 0, depth: 100, rows: 10_000 });
    assert!(all.iter().any(|row| row.object.class == "(string)"));
    let top = heap.dominators(Cut { least_bytes: 1000, depth: 100, rows: 10_000 });
    let classes: Vec<&str> = top.iter().map(|row| row.object.class.as_str()).collect();
    assert_eq!(
        classes,
        ["(synthetic)", "global", "Module", "Object", "Function", "system / Context", "Map", "(array)"]
    );
    assert_eq!(top.iter().map(|row| row.depth).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    assert_eq!((top[7].rest_count, top[7].rest_bytes), (50, 50 * 88));
    assert_eq!(heap.dominators(Cut { least_bytes: 0, depth: 1, rows: 10_000 }).len(), 2);
    assert_eq!(heap.dominators(Cut { least_bytes: 0, depth: 100, rows: 3 }).len(), 3);
}

#[test]
fn a_function_keeps_what_it_encloses() {
    let mut graph = Graph::with_global();
    let (function, context) = (graph.node(CLOSURE, "handler", 64), graph.node(OBJECT, "system / Context", 16));
    let request = graph.node(OBJECT, "Request", 500);
    graph.edge(2, PROPERTY, "handler", function);
    graph.edge(function, super::sample::INTERNAL, "context", context);
    graph.edge(context, super::sample::CONTEXT, "req", request);
    let path = open(&graph).path(graph.nodes[request].id).unwrap();
    assert_eq!(path.text, format!("global → handler() → req: Request @{}", graph.nodes[request].id));
    assert_eq!(path.steps.len(), 4);
}

#[test]
fn what_no_program_holds_is_held_by_a_root_of_v8s_that_has_a_name() {
    let mut graph = Graph::with_global();
    let (handles, parser) = (graph.node(SYNTHETIC, "(Global handles)", 0), graph.node(OBJECT, "HTTPParser", 200));
    let request = graph.node(OBJECT, "IncomingMessage", 500);
    graph.edge(1, ELEMENT, "13", handles);
    graph.edge(handles, ELEMENT, "4", parser);
    graph.edge(parser, PROPERTY, "incoming", request);
    let path = open(&graph).path(graph.nodes[request].id).unwrap();
    let id = graph.nodes[request].id;
    let expected = format!("(GC roots) → (Global handles) → [4]: HTTPParser → incoming: IncomingMessage @{id}");
    assert_eq!(path.text, expected);
}

#[test]
fn the_scope_of_a_function_that_is_called_often_is_no_modules() {
    use super::sample::{CLOSURE, CONTEXT, HIDDEN, INTERNAL};
    let parts = |calls: usize| {
        let mut graph = Graph::with_global();
        let native_context = graph.node(HIDDEN, "system / NativeContext", 0);
        let scope = graph.node(HIDDEN, "system / ScopeInfo", 0);
        let shared = graph.node(HIDDEN, "(shared function info)", 0);
        let script = graph.node(HIDDEN, "/srv/shop/jobs.js", 0);
        graph.edge(shared, INTERNAL, "script", script);
        let listeners = graph.node(OBJECT, "Array", 16);
        graph.edge(2, PROPERTY, "listeners", listeners);
        let mut response = 0;
        for n in 0..calls {
            let [listener, context] =
                [(CLOSURE, ""), (OBJECT, "system / Context")].map(|(kind, name)| graph.node(kind, name, 32));
            response = graph.node(OBJECT, "Response", 100);
            graph.edge(listeners, PROPERTY, &n.to_string(), listener);
            graph.edge(listener, INTERNAL, "shared", shared);
            graph.edge(listener, INTERNAL, "context", context);
            graph.edge(context, INTERNAL, "previous", native_context);
            graph.edge(context, INTERNAL, "scope_info", scope);
            graph.edge(context, CONTEXT, "res", response);
        }
        open(&graph).path(graph.nodes[response].id).unwrap().parts
    };
    assert_eq!(parts(2)[..3], ["global", "listeners: Array", "1()"]);
    assert_eq!(parts(1)[..2], ["global", "module jobs.js"], "a module's own functions look like that");
}

#[test]
fn the_path_to_the_end_of_a_long_list_leaves_its_middle_out() {
    let mut graph = Graph::with_global();
    let mut last = 2;
    for n in 0..5000 {
        let next = graph.node(OBJECT, "Item", 10);
        graph.edge(last, PROPERTY, if n == 0 { "list" } else { "next" }, next);
        last = next;
    }
    let path = open(&graph).path(graph.nodes[last].id).unwrap();
    let parts: Vec<&str> = path.parts.iter().map(String::as_str).collect();
    assert_eq!((path.steps.len(), path.left_out), (200, 4801));
    let end = format!("next: Item @{}", graph.nodes[last].id);
    assert_eq!(parts, ["global", "list: Item", "next: Item", "… 4997 more", &end]);
}

#[test]
fn a_long_path_that_is_no_list_leaves_its_middle_out_too() {
    let mut graph = Graph::with_global();
    let mut last = 2;
    for n in 0..5000 {
        let next = graph.node(OBJECT, "Item", 10);
        graph.edge(last, PROPERTY, &format!("p{n}"), next);
        last = next;
    }
    let path = open(&graph).path(graph.nodes[last].id).unwrap();
    assert_eq!((path.steps.len(), path.parts.len()), (200, 41));
    assert_eq!((path.parts[1].as_str(), path.parts[20].as_str()), ("p0: Item", "… 4961 more"));
}

#[test]
fn a_path_of_any_length_has_its_first_and_its_last_steps() {
    for length in [1, 2, 99, 100, 101, 198, 199, 200, 201, 398, 399, 1000] {
        let mut graph = Graph::with_global();
        let mut last = 2;
        for n in 0..length {
            let next = graph.node(OBJECT, "Item", 10);
            graph.edge(last, PROPERTY, &format!("p{n}"), next);
            last = next;
        }
        let path = open(&graph).path(graph.nodes[last].id).unwrap();
        let whole: Vec<String> = std::iter::once(String::new()).chain((0..length).map(|n| format!("p{n}"))).collect();
        let (first, second) = path.ends();
        assert_eq!(path.steps.len() + path.left_out, length + 1);
        assert_eq!(path.left_out, (length + 1).saturating_sub(200));
        let edges = |steps: &[Step]| steps.iter().map(|step| step.edge.clone()).collect::<Vec<_>>();
        assert_eq!(edges(first), whole[..first.len()], "{length}");
        assert_eq!(edges(second), whole[whole.len() - second.len()..], "{length}");
        assert_eq!(path.left_out > 0, !second.is_empty());
    }
}
