//! The leaks between two heap snapshots of a load test, one row each. The running server reports the class that explains
//! the trend. A load test drives one route, so nothing else grows, and a second leak of the route is reported too.

use std::path::Path;

use serde::Serialize;

use super::explanation::{Explanation, explain};
use super::{Class, Diff, LeakSuspect, classes_of, find};

/// Leaks of one route that are reported.
const MOST_ROWS: usize = 3;

/// One leak.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub name: String,
    /// Objects that were added and stayed.
    pub count: f64,
    /// Share of the growth, at most 1.
    pub share: f64,
    /// The path to one of them, root first.
    pub path: Vec<String>,
    /// `AuditTrail.entries (a Map in services/audit.js)`.
    pub holder: Option<String>,
    /// `AuditTrail.record (services/audit.js:7)`.
    pub added_by: Option<String>,
    /// `ajv 8.17.1`, if the holder is a package's.
    pub package: Option<String>,
}

/// The leaks in a difference, the one that retains most first. `grown_bytes`: the growth of the heap between the two.
/// Needs a thread with a stack of [`super::adders::STACK_BYTES`].
pub fn rows(mut diff: Diff, grown_bytes: f64, shown: impl Fn(&str) -> String) -> Vec<Row> {
    let mut rows = Vec::new();
    while rows.len() < MOST_ROWS
        && let Some(mut suspect) = find(&diff, grown_bytes, &shown)
    {
        let module =
            diff.classes.iter().find(|class| class.name == suspect.class).and_then(|class| class.module.clone());
        if let (Some(file), Some(container)) = (module, suspect.container().map(str::to_owned)) {
            let file = file.strip_prefix("file://").unwrap_or(&file);
            suspect.explanation = explain(Path::new(file), &container, suspect.owner.as_deref(), &shown);
        }
        let trees = diff.classes.len();
        diff.classes.retain(|class| !is_of(class, &suspect));
        let is_progress = diff.classes.len() < trees;
        rows.push(row(suspect));
        if !is_progress {
            break;
        }
    }
    rows
}

fn row(suspect: LeakSuspect) -> Row {
    let holder = suspect.subject();
    let LeakSuspect { class: name, instances: count, share, path, explanation, .. } = suspect;
    let Explanation { added_by, package, .. } = explanation;
    Row { name, count, share, path, holder, added_by, package }
}

/// Whether a class is in the tree of the suspect, retains it, or has no path of its own.
fn is_of(class: &Class, suspect: &LeakSuspect) -> bool {
    // A suspect's path shows its module in another way.
    let classes = |path: &[String]| -> Vec<String> {
        let steps: Vec<String> = path.iter().filter(|step| !step.starts_with("module ")).cloned().collect();
        classes_of(&steps).into_iter().map(str::to_owned).collect()
    };
    let (own, of) = (classes(&class.path), classes(&suspect.path));
    class.name == suspect.class || own.is_empty() || own.starts_with(&of) || of.starts_with(&own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, retained_bytes: u64, path: &[&str]) -> Class {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Class { name: name.to_owned(), added: 1000, retained_bytes, path, ..Class::default() }
    }

    fn found(classes: Vec<Class>, grown: f64) -> Vec<(String, Option<String>)> {
        rows(Diff { classes }, grown, str::to_owned).into_iter().map(|row| (row.name, row.holder)).collect()
    }

    #[test]
    fn a_leak_is_one_row_and_two_leaks_are_two() {
        let path = ["global", "module users.js", "cache: Map", "table", "Session @7", "at: Date @9"];
        let in_module = |class: Class| Class { module: Some("/srv/users.js".to_owned()), ..class };
        let sessions = in_module(class("Session", 600_000, &path[..5]));
        let of_sessions = in_module(class("Date", 400_000, &path));
        let elsewhere = class("Array", 50_000, &[]);
        let one = vec![sessions, of_sessions, elsewhere];
        let cache = ("Session".to_owned(), Some("cache (a Map in /srv/users.js)".to_owned()));
        assert_eq!(found(one.clone(), 7e5), std::slice::from_ref(&cache));
        let events = class("Event", 590_000, &["global", "log: Array", "Event @8"]);
        let log = ("Event".to_owned(), Some("log (an Array)".to_owned()));
        assert_eq!(found([one, vec![events]].concat(), 1.3e6), [cache, log]);
        assert_eq!(found(Vec::new(), 1e6), []);
    }

    #[test]
    fn strings_and_numbers_have_a_row_with_their_holder() {
        let strings = class("(string)", 600_000, &["global", "module a.js", "seen: Set", "table", "\"a: b\" @3"]);
        assert_eq!(found(vec![strings], 7e5), [("(string)".to_owned(), Some("seen (a Set)".to_owned()))]);
        let numbers = class("(number)", 600_000, &["global", "module a.js", "last: Map", "table", "(number) @3"]);
        assert_eq!(found(vec![numbers], 7e5), [("(number)".to_owned(), Some("last (a Map)".to_owned()))]);
    }
}
