//! What a leak consists of: the class that explains the growth between two heap snapshots. If classes are within each
//! other, it is the outermost, which retains the others (the `Session`, not its strings). The author of the code knows
//! that one.

pub mod adders;
pub mod comparison;
pub mod explanation;
pub mod rows;
pub mod schedule;
pub mod shapes;
mod source_map;

use explanation::Explanation;
use serde::Deserialize;
use serde::de::IgnoredAny;
use shapes::Shape;

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
    /// What of it, such as `listeners of `. Empty if they are its elements.
    pub what: String,
    /// The class of the object whose property the holder is.
    pub owner: Option<String>,
    pub shape: &'static Shape,
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
/// What refers to the object that the code's author knows, and says nothing itself.
const CARRIERS: [&str; 6] = ["Promise", "Listener", "Map", "Set", "WeakRef", "PromiseReaction"];
/// The least part of a carrier's growth that a class within it must have to be reported instead.
const WITHIN: f64 = 0.5;
/// Steps of a path that are V8's or Node's own. They do not help to locate an object.
const INTERNALS: [&str; 17] = [
    "table",
    "elements",
    "value",
    "key",
    "reactions_or_result",
    "fulfill_handler",
    "reject_handler",
    "promise_or_capability",
    "bound_this",
    "bound_function",
    "bound_arguments",
    "timerListMap",
    "lists",
    "TimersList",
    "immediateQueue",
    "ImmediateList",
    "system / Context",
];
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
    let class = within(class, candidates().filter(|each| names(each))).unwrap_or(class);
    let owner = if names(class) { None } else { owner_of(class, candidates().filter(|class| names(class))) };
    let class = owner.as_ref().unwrap_or(class);
    // Counts all that the class retains with others: it is released together with the reported class.
    let share = growth(most).max(growth(class)) / grown_bytes;
    // Also rejects a slope of 0 and one that is not a number.
    if !(grown_bytes > 0.0 && share >= LEAST_SHARE) {
        return None;
    }
    let module = class.module.as_deref().map(place);
    let steps = steps_of(class, module.as_deref());
    let fit = shapes::find(&steps, &class.name, holder_of(&steps, &class.name));
    let holder = fit.holder.map(|at| steps[at].clone());
    let owner = fit.holder.and_then(|at| at.checked_sub(1)).map(|before| class_of(&steps[before]));
    let has_key = |each: &&Class| names(each) && each.name != class.name && is_beside(each, class);
    let by_identity = fit.shape.name == "map" && candidates().any(|each| has_key(&each));
    Some(LeakSuspect {
        class: class.name.clone(),
        instances: (class.added - class.removed) as f64,
        share: share.min(1.0),
        owner: owner.filter(|owner| is_named(owner)).map(str::to_owned),
        what: fit.what(&steps),
        shape: if by_identity { &shapes::KEYS_BY_IDENTITY } else { fit.shape },
        holder,
        module,
        path: in_short(steps),
        explanation: Explanation::default(),
    })
}

/// Whether objects of two classes are elements of the same container, in the same number.
fn is_beside(one: &Class, other: &Class) -> bool {
    let [a, b] = [one, other].map(|class| class.added.saturating_sub(class.removed) as f64);
    let holders = |class: &Class| class.path.split_last().map(|(_, before)| before.to_vec());
    holders(one).is_some_and(|path| !path.is_empty()) && holders(one) == holders(other) && a >= 0.8 * b && b >= 0.8 * a
}

/// The class that a carrier is there for: one that the carrier refers to, or that is beside its strings.
fn within<'a>(class: &Class, named: impl Iterator<Item = &'a Class>) -> Option<&'a Class> {
    let carries = class.name.starts_with(['(', '{'])
        || OF_LANGUAGE.contains(&class.name.as_str())
        || CARRIERS.contains(&class.name.as_str());
    if !carries || class.path.is_empty() {
        return None;
    }
    let above = classes_of(&class.path);
    let retained = |class: &Class| class.retained_bytes.saturating_sub(class.removed_bytes) as f64;
    let is_within = |each: &&Class| {
        let is_carrier = each.name.starts_with('{') || CARRIERS.contains(&each.name.as_str());
        let inner = classes_of(&each.path);
        !is_carrier
            && inner.len() > above.len()
            && inner.starts_with(&above)
            && retained(each) >= WITHIN * retained(class)
    };
    let beside = |each: &&Class| class.name.ends_with("string)") && holder_path(each) == holder_path(class);
    named.filter(|each| is_within(each) || beside(each)).max_by(|a, b| retained(a).total_cmp(&retained(b)))
}

/// The classes of the path without the object itself.
fn holder_path(class: &Class) -> Vec<&str> {
    let before = class.path.split_last().map_or(&[][..], |(_, before)| before);
    classes_of(before)
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
    let mut classes: Vec<&str> =
        path.iter().filter(|step| !shapes::is_elided(step)).map(|step| class_of(step)).collect();
    classes.dedup();
    classes
}

/// The class of a step: `Session` for `cache: Session` and for `Session @86151`. Functions and texts are all alike.
fn class_of(step: &str) -> &str {
    let step = step.rsplit_once(" @").map_or(step, |(step, _)| step);
    match step {
        _ if step.ends_with("()") => "()",
        _ if step.ends_with('"') && step.contains('"') => "(string)",
        _ => step.rsplit_once(": ").map_or(step, |(_, class)| class),
    }
}

/// The path with the module as it is shown, and without the id of the object, which is valid in its snapshot only.
fn steps_of(class: &Class, module: Option<&str>) -> Vec<String> {
    let mut path: Vec<String> = class.path.iter().map(|part| part.replace(ARROW.trim(), "->")).collect();
    if let Some((module, part)) = module.zip(path.iter_mut().find(|part| part.starts_with("module "))) {
        *part = format!("module {module}");
    }
    if let Some(last) = path.last_mut()
        && let Some((name, _)) = last.rsplit_once(" @")
    {
        *last = name.to_owned();
    }
    path
}

/// Without internal steps, and without the middle of a long path, because both ends matter more.
fn in_short(mut path: Vec<String>) -> Vec<String> {
    let last = path.len().saturating_sub(1);
    let mut at = 0..;
    path.retain(|step| at.next() == Some(last) || step.starts_with('…') || !shapes::is_elided(step));
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

/// The index of the last step before the class that has a name.
fn holder_of(path: &[String], class: &str) -> Option<usize> {
    let is_class = |part: &String| class_of(part) == class;
    // Elements of a list of one class refer to each other, so the step before the first one counts.
    let end = path.iter().position(is_class).unwrap_or(path.len().saturating_sub(1));
    let own = path[..end].iter().rposition(|part| !names_nothing(part))?;
    // The functions of the global object are Node's.
    let is_of_node = own == 1 && path[0] == "global" && path[1].ends_with("()");
    Some(own).filter(|at| !is_of_node && !path[*at].starts_with("module "))
}

/// Whether a step is not the app's own name for something.
fn names_nothing(part: &str) -> bool {
    let says_nothing = shapes::is_elided(part) || OF_LANGUAGE.contains(&part) || part == "global";
    // The names of V8's roots are in parentheses.
    says_nothing || part.starts_with(['[', '(']) || part.starts_with("native_to_javascript")
}

impl LeakSuspect {
    /// What must be fixed: `AuditTrail.entries (a Map in services/audit.js)`. None if the path has no name for it.
    pub fn subject(&self) -> Option<String> {
        let Some(holder) = self.holder.as_deref() else {
            return Some(self.shape.instead).filter(|instead| !instead.is_empty()).map(str::to_owned);
        };
        let (name, class) = holder.split_once(": ").unwrap_or((holder, ""));
        let what = &self.what;
        let name = match &self.owner {
            // A symbol of Node's is no name.
            _ if name.starts_with('<') && !class.is_empty() => return Some(format!("{what}a {class}")),
            _ if class == "process" => return Some(format!("{what}process")),
            Some(owner) => format!("{what}{owner}.{name}"),
            None => format!("{what}{name}"),
        };
        let kind = match class {
            "" => None,
            class => Some(format!("{} {class}", if class.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" })),
        };
        let Explanation { package, module, .. } = &self.explanation;
        let module = package.as_ref().or(module.as_ref()).or(self.module.as_ref());
        Some(match (kind, module) {
            (Some(kind), Some(module)) => format!("{name} ({kind} in {module})"),
            (Some(kind), None) => format!("{name} ({kind})"),
            (None, Some(module)) => format!("{name} in {module}"),
            (None, None) => name,
        })
    }

    /// The name of the variable or the property that holds the objects.
    pub fn container(&self) -> Option<&str> {
        self.holder.as_deref().map(|holder| holder.split_once(": ").map_or(holder, |(name, _)| name))
    }

    /// What to change. `call` is the function of the app that leads to the holder's package.
    pub fn what_to_do(&self, call: Option<&str>) -> String {
        let Some(package) = &self.explanation.package else { return self.shape.advice(false).to_owned() };
        let call = call.map_or(String::new(), |call| format!("{package} is called for each request by {call}. "));
        format!("{call}{}", self.shape.advice(true))
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
mod tests;
