//! The class of each node, by DevTools' rules. V8's kinds are in parentheses. Functions and regular expressions have
//! one name each. Objects have their constructor's name and place (several constructors may have one name). Plain
//! objects have their shape.

mod detached;
mod shapes;

pub use detached::DETACHED;
use foldhash::HashMap;
use serde::Serialize;
use shapes::Shapes;
pub use shapes::label_text as label;

use super::memory;
use super::snapshot::{Location, NONE, Ordinal, Snapshot};

/// The number of a class is an index into this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub name: String,
    /// Where its constructor is, for objects for which V8 knows it.
    pub location: Option<Location>,
}

/// A position in the code of the program. The number of a script is valid within its process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    #[serde(rename = "scriptId")]
    /// V8's number of the script.
    pub script: u32,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

impl Class {
    pub fn place(&self) -> Option<Place> {
        let one_based = |Location { script, line, column }| Place {
            script,
            line: u32::saturating_add(line, 1),
            column: u32::saturating_add(column, 1),
        };
        self.location.map(one_based)
    }
}

pub struct Classes {
    /// By node.
    pub of: Vec<u32>,
    pub all: Vec<Class>,
    /// By node, for native ones. Empty if none is known. See [`DETACHED`].
    pub detached: Vec<u8>,
}

impl Classes {
    pub fn name(&self, node: Ordinal) -> &str {
        &self.all[self.of[node as usize] as usize].name
    }
}

/// Assigns numbers to classes in the order in which they occur.
#[derive(Default)]
struct Naming {
    all: Vec<Class>,
    numbers: HashMap<Class, u32>,
    /// For objects without a place, by the number of their name.
    by_name: HashMap<u32, u32>,
    by_place: HashMap<(u32, Location), u32>,
    by_shape: HashMap<(usize, Option<Location>), u32>,
}

impl Naming {
    fn number(&mut self, name: &str, location: Option<Location>) -> u32 {
        let class = Class { name: name.to_owned(), location };
        if let Some(number) = self.numbers.get(&class) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(class.clone());
        self.numbers.insert(class, number);
        number
    }

    /// For a plain object with this shape.
    fn shaped(&mut self, shapes: &Shapes, shape: usize, location: Option<Location>) -> u32 {
        if let Some(number) = self.by_shape.get(&(shape, location)) {
            return *number;
        }
        let number = self.number(shapes.name(shape), location);
        self.by_shape.insert((shape, location), number);
        number
    }

    /// For an object whose name has this number.
    fn named(&mut self, snapshot: &Snapshot, name: u32, detached: bool, location: Option<Location>) -> u32 {
        // The upper half of the numbers is for detached ones: no strings have these numbers.
        let key = if detached { !name } else { name };
        let known = match location {
            None => self.by_name.get(&key),
            Some(location) => self.by_place.get(&(key, location)),
        };
        if let Some(number) = known {
            return *number;
        }
        let prefix = if detached { "Detached " } else { "" };
        let text = format!("{prefix}{}", snapshot.strings.text(name));
        let number = self.number(element(&text).as_deref().unwrap_or(&text), location);
        match location {
            None => self.by_name.insert(key, number),
            Some(location) => self.by_place.insert((key, location), number),
        };
        number
    }
}

/// `<div id="a">` is a `<div>`.
fn element(name: &str) -> Option<String> {
    let tag = name.strip_prefix("Detached ").unwrap_or(name);
    let space = tag.starts_with('<').then(|| tag.find(' ')).flatten()?;
    Some(format!("{}>", &name[..name.len() - tag.len() + space]))
}

pub fn find(snapshot: &Snapshot) -> Classes {
    let detached = detached::find(snapshot);
    let kinds = snapshot.node_kinds();
    let mut naming = Naming::default();
    let mut by_kind = Vec::new();
    for (kind, name) in snapshot.meta.node_types.iter().enumerate() {
        by_kind.push(match kind as u8 {
            kind if kind == kinds.hidden => naming.number("(system)", None),
            kind if kind == kinds.code => naming.number("(compiled code)", None),
            kind if kind == kinds.closure => naming.number("Function", None),
            kind if kind == kinds.regexp => naming.number("RegExp", None),
            kind if kind == kinds.object || kind == kinds.native => NONE,
            _ => naming.number(&format!("({name})"), None),
        });
    }
    let mut shapes = Shapes::infer(snapshot);
    let mut locations = snapshot.locations.iter().peekable();
    let mut of = memory::room(snapshot.node_count());
    for node in snapshot.ordinals() {
        let kind = snapshot.nodes.kind[node as usize];
        while locations.next_if(|(of, _)| *of < node).is_some() {}
        let mut class = by_kind[kind as usize];
        if class == NONE {
            let location = locations.peek().filter(|(of, _)| *of == node && kind == kinds.object).map(|(_, at)| *at);
            let is_detached = detached.get(node as usize) == Some(&DETACHED);
            class = match shapes.of(snapshot, node) {
                Some(shape) => naming.shaped(&shapes, shape, location),
                None => naming.named(snapshot, snapshot.nodes.name[node as usize], is_detached, location),
            };
        }
        of.push(class);
    }
    Classes { of, all: naming.all, detached }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_its_tag() {
        assert_eq!(element("<div id=\"a\">").as_deref(), Some("<div>"));
        assert_eq!(element("Detached <p class=x y=z>").as_deref(), Some("Detached <p>"));
        assert_eq!([element("<div>"), element("Detached <p>"), element("Session x"), element("")], [const { None }; 4]);
    }
}
