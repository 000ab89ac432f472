//! What the holder's own module adds to a suspect: the functions that add to it, and the package it is from.

use std::fs;
use std::path::{Path, PathBuf};

use super::adders::{Adder, Module, read};

/// Functions that are named. If there are more, none of them stands out.
const MOST_NAMED: usize = 2;
/// Modules that are searched, at most.
const MOST_MODULES: usize = 200;
/// What an import may leave out, as Node, bundlers and TypeScript resolve it.
const ENDINGS: [&str; 8] = ["", ".js", ".cjs", ".mjs", ".ts", ".mts", "/index.js", "/index.ts"];
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
    let place = shown(&file.to_string_lossy());
    let named: Vec<String> = found
        .iter()
        .map(|adder| match adder.function.as_str() {
            "" => format!("{place}:{}", adder.line),
            function => format!("{function} ({place}:{})", adder.line),
        })
        .collect();
    Explanation {
        added_by: (1..=MOST_NAMED).contains(&named.len()).then(|| named.join(" and ")),
        package: package_of(&file),
        module: (!found.is_empty()).then_some(place),
    }
}

/// The module whose functions add to the container, and those. If the first one has none, it is the only one of the app's modules that it
/// imports, directly or not, in which the owner's class adds to it.
fn definition(first: &Path, container: &str, owner: Option<&str>) -> (PathBuf, Vec<Adder>) {
    let module = |file: &Path| read(&fs::read_to_string(file).unwrap_or_default(), &file.to_string_lossy(), container);
    let Module { adders, imports } = module(first);
    let Some(owner) = owner.filter(|_| adders.is_empty()) else { return (first.to_owned(), adders) };
    let method = format!("{owner}.");
    let mut known: Vec<PathBuf> = vec![first.to_owned()];
    let mut open: Vec<PathBuf> = imports.iter().filter_map(|name| resolved(first, name)).collect();
    let mut found: Vec<(PathBuf, Vec<Adder>)> = Vec::new();
    while let Some(file) = open.pop() {
        if known.contains(&file) || known.len() >= MOST_MODULES {
            continue;
        }
        let Module { adders, imports } = module(&file);
        let own: Vec<Adder> = adders.into_iter().filter(|adder| adder.function.starts_with(&method)).collect();
        if !own.is_empty() {
            found.push((file.clone(), own));
        }
        open.extend(imports.iter().filter_map(|name| resolved(&file, name)));
        known.push(file);
    }
    match found.pop() {
        Some(only) if found.is_empty() => only,
        _ => (first.to_owned(), Vec::new()),
    }
}

/// The file that a relative import names.
fn resolved(from: &Path, name: &str) -> Option<PathBuf> {
    let base = from.parent()?.join(name);
    let with = |ending: &str| PathBuf::from(format!("{}{ending}", base.display()));
    let file = ENDINGS.iter().map(|ending| with(ending)).find(|file| file.is_file())?;
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
        write("node_modules/odd/package.json", "[]");
        assert_eq!(package_of(&folder.path().join("node_modules/odd/index.js")), None);
        assert_eq!(package_of(Path::new("/srv/node_modules")), None);
    }
}
