//! What the holder's own module adds to a suspect: the functions that add to it, and the package it is from.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use super::adders::{Adder, Module, read};
use super::source_map::SourceMap;

/// Functions that are named. If there are more, none of them stands out.
const MOST_NAMED: usize = 2;
/// Modules that are searched, at most.
const MOST_MODULES: usize = 400;
/// What an import may leave out, as Node, bundlers and TypeScript resolve it.
const ENDINGS: [&str; 8] = ["", ".js", ".cjs", ".mjs", ".ts", ".mts", "/index.js", "/index.ts"];
/// TypeScript imports `./audit.js` from `audit.ts`.
const COMPILED: [(&str, &str); 3] = [(".js", ".ts"), (".mjs", ".mts"), (".cjs", ".cts")];
const MODULES: &str = "node_modules";

/// What is known of a holder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// `AuditTrail.record (services/audit.js:7)`, or two of them.
    pub added_by: Option<String>,
    /// `ajv 8.17.1`, for a module in `node_modules`.
    pub package: Option<String>,
    /// The module of the holder, as it is shown. None if it is not certain.
    pub module: Option<String>,
}

/// Reads the module `file` that the path goes through, for the variable or property `container`. It may be the one that imports the holder, so
/// its own imports are searched for the class `owner`, to which the container belongs. Needs a thread with a stack of
/// [`super::adders::STACK_BYTES`].
pub fn explain(file: &Path, container: &str, owner: Option<&str>, shown: impl Fn(&str) -> String) -> Explanation {
    let (file, found) = definition(file, container, owner);
    let map = SourceMap::of(&text_of(&file), &file);
    let mut module = map.as_ref().and_then(SourceMap::only_source).unwrap_or(&file);
    let mut named = Vec::new();
    for Adder { function, line, column } in &found {
        let original = map.as_ref().and_then(|map| map.original(*line, *column));
        let (source, line) = original.unwrap_or((&file, *line));
        module = source;
        let place = format!("{}:{line}", shown(&source.to_string_lossy()));
        named.push(if function.is_empty() { place } else { format!("{function} ({place})") });
    }
    Explanation {
        added_by: (1..=MOST_NAMED).contains(&named.len()).then(|| named.join(" and ")),
        package: package_of(&file),
        module: (!found.is_empty() || map.is_some()).then(|| shown(&module.to_string_lossy())),
    }
}

fn text_of(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The module whose functions add to the container, and those. If the first one has none, it is the only one of those that it imports, directly
/// or not, in which the owner's class adds to it. The app's own modules come before its packages.
fn definition(first: &Path, container: &str, owner: Option<&str>) -> (PathBuf, Vec<Adder>) {
    let module = |file: &Path| read(&text_of(file), &file.to_string_lossy(), container);
    let Module { adders, imports } = module(first);
    let Some(owner) = owner.filter(|_| adders.is_empty()) else { return (first.to_owned(), adders) };
    let method = format!("{owner}.");
    let mut known: HashSet<PathBuf> = HashSet::from([first.to_owned()]);
    let (mut own, mut packages) = (VecDeque::new(), VecDeque::new());
    let mut found: Vec<(PathBuf, Vec<Adder>)> = Vec::new();
    let mut open = |file: &Path, imports: &[String], own: &mut VecDeque<PathBuf>, packages: &mut VecDeque<PathBuf>| {
        for name in imports {
            let is_relative = name.starts_with('.');
            let file = if is_relative { resolved(file, name) } else { of_package(file, name) };
            if let Some(file) = file.filter(|_| known.len() < MOST_MODULES).filter(|file| known.insert(file.clone())) {
                if is_relative { own.push_back(file) } else { packages.push_back(file) }
            }
        }
    };
    open(first, &imports, &mut own, &mut packages);
    while let Some(file) = own.pop_front().or_else(|| packages.pop_front().filter(|_| found.is_empty())) {
        let Module { adders, imports } = module(&file);
        let adders: Vec<Adder> = adders.into_iter().filter(|adder| adder.function.starts_with(&method)).collect();
        if !adders.is_empty() {
            found.push((file.clone(), adders));
        }
        open(&file, &imports, &mut own, &mut packages);
    }
    match found.pop() {
        Some(only) if found.is_empty() => only,
        _ => (first.to_owned(), Vec::new()),
    }
}

/// The file that a package's name imports, as Node finds it for `require()`. None for a part of a package.
fn of_package(from: &Path, name: &str) -> Option<PathBuf> {
    let folder = from.ancestors().skip(1).map(|folder| folder.join(MODULES).join(name)).find(|each| each.is_dir())?;
    let json: serde_json::Value = serde_json::from_str(&text_of(&folder.join("package.json"))).ok()?;
    let main = json.get("main").and_then(serde_json::Value::as_str).unwrap_or("index.js");
    resolved(&folder.join("package.json"), main)
}

/// The file that a relative import names.
fn resolved(from: &Path, name: &str) -> Option<PathBuf> {
    let base = from.parent()?.join(name);
    let base = base.display().to_string();
    let added = ENDINGS.iter().map(|ending| format!("{base}{ending}"));
    let source = |(compiled, source): &(&str, &str)| Some(format!("{}{source}", base.strip_suffix(compiled)?));
    let file = added.chain(COMPILED.iter().filter_map(source)).map(PathBuf::from).find(|file| file.is_file())?;
    fs::canonicalize(file).ok()
}

/// Name and version of the package that a file belongs to. None for the app's own.
fn package_of(file: &Path) -> Option<String> {
    let parts: Vec<_> = file.components().collect();
    let at = parts.iter().rposition(|part| part.as_os_str() == MODULES)?;
    let scoped = parts.get(at + 1)?.as_os_str().to_string_lossy().starts_with('@');
    let folder: PathBuf = parts.get(..=at + 1 + usize::from(scoped))?.iter().collect();
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.join("package.json")).ok()?).ok()?;
    let text = |field: &str| json.get(field)?.as_str();
    Some(format!("{} {}", text("name")?, text("version")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_that_add_and_the_package() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let shown = |file: &str| Path::new(file).strip_prefix(&root).unwrap_or(Path::new(file)).display().to_string();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let own = write("audit.js", "class Audit {\n  record(x) { this.entries.set(x, x) }\n}");
        let of_own = explain(&own, "entries", None, shown);
        assert_eq!(of_own.added_by.as_deref(), Some("Audit.record (audit.js:2)"));
        assert_eq!(of_own.package, None);
        write("node_modules/@scope/kit/package.json", r#"{ "name": "@scope/kit", "version": "1.2.3" }"#);
        let module = write("node_modules/@scope/kit/lib/index.js", "list.push(1)");
        let of_module = explain(&module, "list", None, shown);
        assert_eq!(of_module.added_by.as_deref(), Some("node_modules/@scope/kit/lib/index.js:1"));
        assert_eq!(of_module.package.as_deref(), Some("@scope/kit 1.2.3"));
        let many =
            write("many.js", "function a() { l.push(1) }\nfunction b() { l.push(1) }\nfunction c() { l.push(1) }");
        assert_eq!(explain(&many, "l", None, shown).added_by, None, "none of three stands out");
        assert_eq!(explain(&folder.path().join("absent.js"), "l", None, shown), Explanation::default());
        // The path goes through a module that imports the holder.
        let app = write("app.js", "const { trail } = require('./services')\nfunction list() { trail.entries.get(1) }");
        write("services/index.js", "exports.trail = require('./trail.js').trail");
        write(
            "services/trail.js",
            "class Trail {\n  note(x) {\n    this.entries.push(x)\n  }\n}\nexports.trail = new Trail()",
        );
        let imported = explain(&app, "entries", Some("Trail"), shown);
        assert_eq!(imported.added_by.as_deref(), Some("Trail.note (services/trail.js:3)"));
        assert_eq!(imported.module.as_deref(), Some("services/trail.js"));
        assert_eq!(explain(&app, "entries", Some("Other"), shown).module, None);
        write("services/trail.js", "class Trail { note(x) { this.entries.push(x) } }\nrequire('../twin')");
        write("twin.js", "class Trail { note(x) { this.entries.push(x) } }\nrequire('./app.js')");
        assert_eq!(explain(&app, "entries", Some("Trail"), shown).module, None, "one of two");
        // A package has the class.
        write("node_modules/kit/package.json", r#"{ "name": "kit", "version": "8.17.1", "main": "dist/index" }"#);
        write("node_modules/kit/dist/index.js", "exports.Kit = require('./core')");
        write(
            "node_modules/kit/dist/core.js",
            "function Kit() {}\nKit.prototype.compile = function (x) { this._cache.set(x, x) }",
        );
        let app = write("uses.js", "const { Kit } = require('kit'), kit = new Kit()");
        let of_package = explain(&app, "_cache", Some("Kit"), shown);
        assert_eq!(of_package.added_by.as_deref(), Some("Kit.compile (node_modules/kit/dist/core.js:2)"));
        assert_eq!(of_package.package.as_deref(), Some("kit 8.17.1"));
        // TypeScript, as Node runs it and as it is compiled.
        let app = write("main.ts", "import { log } from './log.js'");
        write("log.ts", "export class Log { add(x: number): void {\n this.lines.push(x) } }");
        let native = explain(&app, "lines", Some("Log"), shown);
        assert_eq!(native.added_by.as_deref(), Some("Log.add (log.ts:2)"));
        let map = r#"{"sources":["../src/log.ts"],"mappings":"AAAA;AAIA"}"#;
        write("dist/log.js.map", map);
        let compiled =
            write("dist/log.js", "class Log { add(x) {\nthis.lines.push(x) } }\n//# sourceMappingURL=log.js.map");
        let of_source = explain(&compiled, "lines", Some("Log"), shown);
        assert_eq!(of_source.added_by.as_deref(), Some("Log.add (src/log.ts:5)"));
        assert_eq!(of_source.module.as_deref(), Some("src/log.ts"));
        write("node_modules/odd/package.json", "[]");
        assert_eq!(package_of(&folder.path().join("node_modules/odd/index.js")), None);
        assert_eq!(package_of(Path::new("/srv/node_modules")), None);
    }
}
