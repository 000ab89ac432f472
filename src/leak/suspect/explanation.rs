//! What the holder's own module adds to a suspect: the functions that add to it, and the package it is from.

use std::fs;
use std::path::{Path, PathBuf};

use super::adders::adders;

/// Functions that are named. If there are more, none of them stands out.
const MOST_NAMED: usize = 2;
const MODULES: &str = "node_modules";

/// What is known of a holder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// `AuditTrail.record (services/audit.js:7)`, or two of them.
    pub added_by: Option<String>,
    /// `ajv 8.17.1`, for a module in `node_modules`.
    pub package: Option<String>,
}

/// Reads the module `file` of the variable or property `container`. `shown`: the file as it is shown. Needs a thread with a stack of
/// [`super::adders::STACK_BYTES`].
pub fn explain(file: &Path, shown: &str, container: &str) -> Explanation {
    let source = fs::read_to_string(file).unwrap_or_default();
    let found = adders(&source, &file.to_string_lossy(), container);
    let named: Vec<String> = found
        .iter()
        .map(|adder| match adder.function.as_str() {
            "" => format!("{shown}:{}", adder.line),
            function => format!("{function} ({shown}:{})", adder.line),
        })
        .collect();
    Explanation {
        added_by: (1..=MOST_NAMED).contains(&named.len()).then(|| named.join(" and ")),
        package: package_of(file),
    }
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
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let own = write("audit.js", "class Audit {\n  record(x) { this.entries.set(x, x) }\n}");
        let of_own = explain(&own, "audit.js", "entries");
        assert_eq!(of_own.added_by.as_deref(), Some("Audit.record (audit.js:2)"));
        assert_eq!(of_own.package, None);
        write("node_modules/@scope/kit/package.json", r#"{ "name": "@scope/kit", "version": "1.2.3" }"#);
        let module = write("node_modules/@scope/kit/lib/index.js", "list.push(1)");
        let of_module = explain(&module, "node_modules/@scope/kit/lib/index.js", "list");
        assert_eq!(of_module.added_by.as_deref(), Some("node_modules/@scope/kit/lib/index.js:1"));
        assert_eq!(of_module.package.as_deref(), Some("@scope/kit 1.2.3"));
        let many =
            write("many.js", "function a() { l.push(1) }\nfunction b() { l.push(1) }\nfunction c() { l.push(1) }");
        assert_eq!(explain(&many, "many.js", "l").added_by, None, "none of three stands out");
        assert_eq!(explain(&folder.path().join("absent.js"), "absent.js", "l"), Explanation::default());
        write("node_modules/odd/package.json", "[]");
        assert_eq!(package_of(&folder.path().join("node_modules/odd/index.js")), None);
        assert_eq!(package_of(Path::new("/srv/node_modules")), None);
    }
}
