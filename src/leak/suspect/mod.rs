//! What a leak consists of: the class that explains the growth between two heap snapshots. If classes are within each
//! other, it is the outermost, which retains the others (the `Session`, not its strings). The author of the code knows
//! that one.

pub mod adders;
pub mod comparison;
pub mod explanation;
pub mod rows;
pub mod schedule;

use explanation::Explanation;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// One class of the difference, as `plimsoll heap diff --json` prints it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Class {
    pub name: String,
    pub added: u64,
    pub removed: u64,
    pub removed_bytes: u64,
    /// Bytes that all added ones retain together.
    pub retained_bytes: u64,
    /// The path to one of them, root first.
    pub path: Vec<String>,
    /// The file of the module that the path goes through.
    pub module: Option<String>,
    /// Where its constructor is, if that is a JavaScript function.
    pub location: Option<IgnoredAny>,
}

/// The part of a diff that is used here.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Diff {
    pub classes: Vec<Class>,
}

/// The class that explains the growth.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakSuspect {
    pub class: String,
    /// Added objects less removed ones.
    pub instances: f64,
    /// Share of the growth, at most 1.
    pub share: f64,
    /// What retains them, such as `cache: Map`.
    pub holder: Option<String>,
    pub module: Option<String>,
    /// The path, root first, the class last.
    pub path: Vec<String>,
    /// What the holder's own module says.
    pub explanation: Explanation,
}

/// A class with few objects is not the leak's: the table of a `Map`, for example, is replaced as it grows.
const LEAST_INSTANCES: u64 = 10;
/// The least part of the added objects that must have stayed. A snapshot also contains what comes and goes.
const STAYS: f64 = 0.5;
/// Another class is reported instead of the one that grows most if it has at least this part of that growth and is more
/// specific. There are two cases:
///
/// - It has a name of its own, while the other one is strings (its keys) or closures (which refer to it).
/// - It is on the path to the one that grows most. With sockets that have streams that have lists, which others refer
///   to too, the sockets are reported: they were left open.
const OF_IT: f64 = 0.4;
/// Least share of the growth by the trend. A class with less does not explain it.
const LEAST_SHARE: f64 = 0.3;
/// What V8 creates for code as it runs, and retains for itself.
const INTERNAL: [&str; 6] = ["(system)", "(compiled code)", "(code)", "(object shape)", "(hidden)", "system / Context"];
/// Every program has more and fewer of these, so they say least.
const OF_LANGUAGE: [&str; 3] = ["Function", "Array", "Object"];
/// Steps of a path that do not help to locate an object.
const LINKS: [&str; 4] = ["table", "elements", "value", "key"];
/// Length of a path in the record.
const MOST_PATH_BYTES: usize = 500;
const ARROW: &str = " → ";

/// `grown_bytes` is from the trend's slope, `place` formats the name of a file. None if no class stands out.
pub fn find(diff: &Diff, grown_bytes: f64, place: impl Fn(&str) -> String) -> Option<LeakSuspect> {
    let growth = |class: &Class| class.retained_bytes as f64 - class.removed_bytes as f64;
    let stays = |class: &&Class| {
        let stayed = class.added.saturating_sub(class.removed);
        stayed >= LEAST_INSTANCES && stayed as f64 >= STAYS * class.added as f64
    };
    let candidates = || diff.classes.iter().filter(stays).filter(|class| !INTERNAL.contains(&class.name.as_str()));
    let more = |a: &&Class, b: &&Class| growth(a).total_cmp(&growth(b));
    let most = candidates().max_by(more)?;
    let names = |class: &Class| !class.name.starts_with('(') && !OF_LANGUAGE.contains(&class.name.as_str());
    let has_class = |class: &&Class| names(class) && growth(class) >= OF_IT * growth(most);
    let most = candidates().filter(has_class).max_by(more).unwrap_or(most);
    let classes = classes_of(&most.path);
    let on_the_path = |class: &&Class| !class.path.is_empty() && classes.starts_with(&classes_of(&class.path));
    let of_it = candidates().filter(|class| names(class) && growth(class) >= OF_IT * growth(most)).filter(on_the_path);
    let class = of_it.min_by_key(|class| classes_of(&class.path).len()).unwrap_or(most);
    let owner = if names(class) { None } else { owner_of(class, candidates().filter(|class| names(class))) };
    let class = owner.as_ref().unwrap_or(class);
    // Counts all that the class retains with others: it is released together with the reported class.
    let share = growth(most).max(growth(class)) / grown_bytes;
    // Also rejects a slope of 0 and one that is not a number.
    if !(grown_bytes > 0.0 && share >= LEAST_SHARE) {
        return None;
    }
    let module = class.module.as_deref().map(place);
    let path = path_of(class, module.as_deref());
    Some(LeakSuspect {
        class: class.name.clone(),
        instances: (class.added - class.removed) as f64,
        share: share.min(1.0),
        holder: holder_of(&path, &class.name),
        module,
        path,
        explanation: Explanation::default(),
    })
}

/// The owner of a class without a name of its own that others refer to as well. It is the last class on the path that a
/// JavaScript constructor creates and that grows in number. For example, a `vm` context has hundreds of functions, maps
/// and sets. A `Formula` retains the context but dominates none of them. Classes that dominate little have no path.
fn owner_of<'a>(class: &Class, named: impl Iterator<Item = &'a Class>) -> Option<Class> {
    let (_, before) = class.path.split_last()?;
    let classes = classes_of(before);
    let made = named.filter(|each| each.location.is_some() && classes.starts_with(&classes_of(&each.path)));
    let last = |name: &str| before.iter().rposition(|step| class_of(step) == name);
    let (at, owner) = made.filter_map(|each| Some((last(&each.name)?, each))).max_by_key(|(at, _)| *at)?;
    Some(Class { path: before[..=at].to_vec(), module: class.module.clone(), ..owner.clone() })
}

/// The classes that a path goes through. Consecutive equal ones (of a list) count once.
fn classes_of(path: &[String]) -> Vec<&str> {
    let mut classes: Vec<&str> = path.iter().filter(|step| !step.starts_with('…')).map(|step| class_of(step)).collect();
    classes.dedup();
    classes
}

/// The class of a step: `Session` for `cache: Session` and for `Session @86151`.
fn class_of(step: &str) -> &str {
    let step = step.rsplit_once(" @").map_or(step, |(step, _)| step);
    step.rsplit_once(": ").map_or(step, |(_, class)| class)
}

/// With the module as it is shown, and without the id of the object, which is valid in its snapshot only.
fn path_of(class: &Class, module: Option<&str>) -> Vec<String> {
    let mut path: Vec<String> = class.path.iter().map(|part| part.replace(ARROW.trim(), "->")).collect();
    if let Some((module, part)) = module.zip(path.iter_mut().find(|part| part.starts_with("module "))) {
        *part = format!("module {module}");
    }
    if let Some(last) = path.last_mut()
        && let Some((name, _)) = last.rsplit_once(" @")
    {
        *last = name.to_owned();
    }
    // Shortens the middle of a long path, because both ends matter more.
    let bytes = |path: &[String]| path.iter().map(|part| part.len() + ARROW.len()).sum::<usize>();
    while bytes(&path) > MOST_PATH_BYTES && path.len() > 2 {
        let middle = path.len() / 2;
        if path[middle] != "…" {
            path[middle] = "…".to_owned();
        } else {
            path.remove(if path.len().is_multiple_of(2) { middle - 1 } else { middle + 1 });
        }
    }
    path
}

/// The last step before the class that has a name.
fn holder_of(path: &[String], class: &str) -> Option<String> {
    let is_class = |part: &String| class_of(part) == class;
    // Elements of a list of one class refer to each other, so the step before the first one counts.
    let end = path.iter().position(is_class).unwrap_or(path.len().saturating_sub(1));
    let tells = |part: &&String| {
        let says_nothing = LINKS.contains(&part.as_str()) || OF_LANGUAGE.contains(&part.as_str()) || *part == "global";
        // The names of V8's roots are in parentheses.
        !says_nothing && !part.starts_with(['[', '(', '…'])
    };
    path[..end].iter().rev().find(tells).filter(|part| !part.starts_with("module ")).cloned()
}

impl LeakSuspect {
    /// What must be fixed: `AuditTrail.entries (a Map in services/audit.js)`. None if the path has no name for it.
    pub fn subject(&self) -> Option<String> {
        let holder = self.holder.as_deref()?;
        let (name, class) = holder.split_once(": ").unwrap_or((holder, ""));
        let name = self.owner().map_or_else(|| name.to_owned(), |owner| format!("{owner}.{name}"));
        let kind = match class {
            "" => None,
            class => Some(format!("{} {class}", if class.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" })),
        };
        let module = self.explanation.module.as_ref().or(self.module.as_ref());
        Some(match (kind, module) {
            (Some(kind), Some(module)) => format!("{name} ({kind} in {module})"),
            (Some(kind), None) => format!("{name} ({kind})"),
            (None, Some(module)) => format!("{name} in {module}"),
            (None, None) => name,
        })
    }

    /// The class of the object whose property holds the objects.
    pub fn owner(&self) -> Option<&str> {
        let holder = self.holder.as_ref()?;
        let at = self.path.iter().position(|step| step == holder)?;
        at.checked_sub(1).map(|before| class_of(&self.path[before])).filter(|owner| is_named(owner))
    }

    /// The name of the variable or the property that holds the objects.
    pub fn container(&self) -> Option<&str> {
        self.holder.as_deref().map(|holder| holder.split_once(": ").map_or(holder, |(name, _)| name))
    }

    /// `Session objects (97 % of the growth, +1,003 per 1,000 requests)`.
    pub fn describe(&self, per_thousand: f64) -> String {
        let what = match self.class.strip_prefix('(').and_then(|class| class.strip_suffix(')')) {
            Some("concatenated string" | "sliced string") => "strings".to_owned(),
            Some(kind) => format!("{kind}s"),
            None => format!("{} objects", self.class),
        };
        let of = match (&self.holder, &self.module) {
            (None, Some(module)) => format!(" of {module}"),
            _ => String::new(),
        };
        let share = (100.0 * self.share).round();
        format!("{what}{of} ({share} % of the growth, +{} per 1,000 requests)", grouped(per_thousand))
    }
}

/// Whether a step on a path is an object of a class of the app's or of a library's.
fn is_named(class: &str) -> bool {
    !OF_LANGUAGE.contains(&class)
        && class.starts_with(|first: char| first.is_ascii_uppercase())
        && class.chars().all(|each| each.is_alphanumeric() || each == '_' || each == '$')
}

/// Formats as `12,345`, or with two decimals below ten.
fn grouped(value: f64) -> String {
    if value < 10.0 {
        return format!("{}", (value * 10.0).round() / 10.0);
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
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
        assert_eq!(suspect.path, ["global", "module src/users.js", "cache: Map", "table", "Session"]);
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
            assert_eq!(kept_in, "global → module shop.js → formulas: Map → table → Formula");
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
        assert_eq!(
            holder("Row", &["global", "module a.js", "kept: Array", "[7]: Row @3"]).as_deref(),
            Some("kept: Array")
        );
        let list = ["global", "list: List", "head: Node", "next: Node", "next: Node @9"];
        assert_eq!(holder("Node", &list).as_deref(), Some("list: List"));
        assert_eq!(
            holder("(string)", &["global", "module a.js", "seen: Set", "table", "\"a: b\" @3"]).as_deref(),
            Some("seen: Set")
        );
        assert_eq!(
            holder("Row", &["global", "events: Map", "table", "Object", "Row @3"]).as_deref(),
            Some("events: Map")
        );
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
}
