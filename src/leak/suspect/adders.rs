//! Which functions of a module add to a container: they are where its growth is to be stopped.
//!
//! The source is parsed, and its variables are resolved, so a local variable of the same name is not the container. The container is a
//! variable of the module (`cache`), or a property of an object (`entries`, whatever object it is of). Where a source cannot be parsed,
//! nothing is known.
//!
//! The parser is recursive. A source that V8 has loaded is nested less deeply than V8's own stack of 1 MB allows, and [`STACK_BYTES`] are
//! enough for that by far. So call [`read`] on a thread with such a stack.

use oxc_allocator::Allocator;
use oxc_ast::AstKind;
use oxc_ast::ast::{Argument, CallExpression, Expression, IdentifierReference, PropertyKey, SimpleAssignmentTarget};
use oxc_parser::Parser;
use oxc_semantic::{AstNode, Semantic, SemanticBuilder};
use oxc_span::{GetSpan, SourceType};

/// A function that adds to the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adder {
    /// `AuditTrail.record`, `remember`, or empty for code outside of functions.
    pub function: String,
    /// The line of the call, from 1.
    pub line: u32,
    /// Its column, from 0, in UTF-16 units.
    pub column: u32,
}

/// Methods that add to a Map, a Set, an array, an emitter, or to what apps and libraries build on them.
const ADDS: [&str; 18] = [
    "add",
    "addEventListener",
    "addListener",
    "append",
    "enqueue",
    "finally",
    "on",
    "once",
    "prependListener",
    "push",
    "register",
    "set",
    "splice",
    "subscribe",
    "then",
    "unshift",
    "use",
    "write",
];
/// Stack of the thread. Pages that are not used take no memory.
pub const STACK_BYTES: usize = 64 << 20;
/// Sources that are parsed, at most; bytes. A bundle is larger, and its names say nothing.
const MOST_BYTES: usize = 1 << 20;

/// What a module says of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// The functions that add to it, in order of their lines.
    pub adders: Vec<Adder>,
    /// The modules that it requires or imports, as written: `./audit.js`, `ajv`.
    pub imports: Vec<String>,
}

/// Reads `source` for `container`, a variable's or a property's name. `file` decides whether it is
/// TypeScript, and whether it is a module.
pub fn read(source: &str, file: &str, container: &str) -> Module {
    if source.len() > MOST_BYTES || container.is_empty() {
        return Module::default();
    }
    let allocator = Allocator::default();
    let source_type = SourceType::from_path(file).unwrap_or_default();
    // A `.js` file may be either.
    let parsed = Parser::new(&allocator, source, source_type.with_module(true)).parse();
    let parsed =
        if parsed.panicked { Parser::new(&allocator, source, source_type.with_script(true)).parse() } else { parsed };
    if parsed.panicked {
        return Module::default();
    }
    let semantic = SemanticBuilder::new().with_build_nodes(true).build(&parsed.program).semantic;
    let Module { mut adders, mut imports } = Module::default();
    for node in semantic.nodes() {
        imports.extend(imported(node).map(str::to_owned));
        let Some(at) = added_at(node, &semantic, container) else { continue };
        let (line, column) = position_of(source, at as usize);
        let adder = Adder { function: function_around(node, &semantic), line, column };
        // A function that adds in several lines is one.
        if !adders.iter().any(|known| known.function == adder.function && !adder.function.is_empty()) {
            adders.push(adder);
        }
    }
    Module { adders, imports }
}

/// What a node requires or imports.
fn imported<'a>(node: &AstNode<'a>) -> Option<&'a str> {
    match node.kind() {
        AstKind::ImportDeclaration(import) => Some(import.source.value.as_str()),
        AstKind::ExportAllDeclaration(export) => Some(export.source.value.as_str()),
        AstKind::ExportFromDeclaration(export) => Some(export.source.value.as_str()),
        AstKind::ImportExpression(import) => match &import.source {
            Expression::StringLiteral(name) => Some(name.value.as_str()),
            _ => None,
        },
        AstKind::CallExpression(call) => {
            match (call.callee.get_identifier_reference()?.name.as_str(), call.arguments.first()?) {
                ("require", Argument::StringLiteral(name)) => Some(name.value.as_str()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Where a node adds to the container: `cache.set(…)`, `this.entries.push(…)`, `cache[key] = …`.
fn added_at(node: &AstNode, semantic: &Semantic, container: &str) -> Option<u32> {
    match node.kind() {
        AstKind::CallExpression(call) => {
            let member = call.callee.get_inner_expression().as_member_expression()?;
            let adds = ADDS.contains(&member.static_property_name()?);
            (adds && is_within(member.object(), semantic, container)).then(|| call.span().start)
        }
        // It adds a reaction to the promise.
        AstKind::AwaitExpression(waiting) => {
            is_container(&waiting.argument, semantic, container).then(|| waiting.span().start)
        }
        AstKind::ArrayExpression(array) => {
            let races = |kind| matches!(kind, AstKind::CallExpression(call) if is_race(call));
            let is_raced = races(semantic.nodes().parent_kind(node.id()));
            let mut elements = array.elements.iter().filter_map(|element| element.as_expression());
            (is_raced && elements.any(|each| is_container(each, semantic, container))).then(|| array.span().start)
        }
        AstKind::AssignmentExpression(assignment) => {
            let target = assignment.left.as_simple_assignment_target()?;
            let SimpleAssignmentTarget::ComputedMemberExpression(member) = target else { return None };
            is_container(&member.object, semantic, container).then(|| assignment.span().start)
        }
        _ => None,
    }
}

/// `Promise.race([…])` and the like.
fn is_race(call: &CallExpression) -> bool {
    let Some(member) = call.callee.as_member_expression() else { return false };
    let combines = ["race", "any", "all", "allSettled"].map(Some).contains(&member.static_property_name());
    combines && member.object().get_identifier_reference().is_some_and(|object| object.name == "Promise")
}

/// The container, or something in it: `shutdown.signal` for `shutdown`.
fn is_within(expression: &Expression, semantic: &Semantic, container: &str) -> bool {
    let inner = |expression: &Expression| {
        expression.get_inner_expression().as_member_expression().is_some_and(|member| {
            member.static_property_name().is_some() && is_within(member.object(), semantic, container)
        })
    };
    is_container(expression, semantic, container) || inner(expression)
}

fn is_container(expression: &Expression, semantic: &Semantic, container: &str) -> bool {
    match expression.get_inner_expression() {
        Expression::Identifier(identifier) => identifier.name == container && is_of_module(identifier, semantic),
        Expression::PrivateFieldExpression(member) => {
            container.strip_prefix('#').unwrap_or(container) == member.field.name
        }
        other => other.as_member_expression().and_then(|member| member.static_property_name()) == Some(container),
    }
}

/// Whether a variable lives as long as the module, or is one that a closure retains: not one of the very function that uses it.
fn is_of_module(identifier: &IdentifierReference, semantic: &Semantic) -> bool {
    let scoping = semantic.scoping();
    let reference = scoping.get_reference(identifier.reference_id());
    let Some(symbol) = reference.symbol_id() else { return true };
    let scope = scoping.symbol_scope_id(symbol);
    let function_of = |scope| {
        let mut scopes = scoping.scope_ancestors(scope);
        scopes.find(|scope| scoping.scope_flags(*scope).is_function() || scoping.scope_flags(*scope).is_top())
    };
    let own = function_of(scope);
    own.is_some_and(|own| scoping.scope_flags(own).is_top()) || own != function_of(reference.scope_id())
}

/// The name of the innermost function that has one, with its class.
fn function_around(node: &AstNode, semantic: &Semantic) -> String {
    let mut name = None;
    for kind in semantic.nodes().ancestor_kinds(node.id()) {
        match kind {
            AstKind::Class(class) if name.is_some() => match &class.id {
                Some(id) => return format!("{}.{}", id.name, name.unwrap_or_default()),
                // Compilers write `const AuditTrail = class { … }`.
                None => continue,
            },
            AstKind::VariableDeclarator(variable) if name.is_some() && is_class(variable.init.as_ref()) => {
                let class = variable.id.get_identifier_name();
                let method: String = name.unwrap_or_default();
                return class.map_or(method.clone(), |class| format!("{class}.{method}"));
            }
            // A class around a function that is none of its methods.
            _ if name.is_some() && !matches!(kind, AstKind::ClassBody(_)) => break,
            AstKind::MethodDefinition(method) => name = key_of(&method.key),
            AstKind::PropertyDefinition(property) => name = key_of(&property.key),
            AstKind::Function(function) => match &function.id {
                Some(id) => return id.name.to_string(),
                None => continue,
            },
            AstKind::VariableDeclarator(variable) => match variable.id.get_identifier_name() {
                Some(id) if is_function(variable.init.as_ref()) => return id.to_string(),
                _ => continue,
            },
            AstKind::ObjectProperty(property) if is_function(Some(&property.value)) => match key_of(&property.key) {
                Some(key) => return key,
                None => continue,
            },
            AstKind::AssignmentExpression(assignment) if is_function(Some(&assignment.right)) => {
                let Some(target) = assignment.left.as_member_expression() else { continue };
                match (class_of_prototype(target.object()), target.static_property_name()) {
                    (Some(class), Some(method)) => return format!("{class}.{method}"),
                    (None, Some(member)) => return member.to_owned(),
                    (_, None) => continue,
                }
            }
            _ => {}
        }
    }
    name.unwrap_or_default()
}

fn key_of(key: &PropertyKey) -> Option<String> {
    key.static_name().map(|name| name.into_owned()).or_else(|| key.private_name().map(|name| format!("#{name}")))
}

/// `Trail` for `Trail.prototype`.
fn class_of_prototype<'a>(expression: &'a Expression) -> Option<&'a str> {
    let member =
        expression.as_member_expression().filter(|member| member.static_property_name() == Some("prototype"))?;
    member.object().get_identifier_reference().map(|class| class.name.as_str())
}

fn is_class(expression: Option<&Expression>) -> bool {
    matches!(expression.map(Expression::get_inner_expression), Some(Expression::ClassExpression(_)))
}

fn is_function(expression: Option<&Expression>) -> bool {
    expression.is_some_and(|expression| expression.get_inner_expression().is_function())
}

/// Line from 1, column from 0.
fn position_of(source: &str, at: usize) -> (u32, u32) {
    let before = source.get(..at).unwrap_or(source);
    let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
    let own = before.rsplit('\n').next().unwrap_or(before);
    (line as u32, own.encode_utf16().count() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, file: &str, container: &str) -> Vec<(String, u32)> {
        read(source, file, container).adders.into_iter().map(|adder| (adder.function, adder.line)).collect()
    }

    fn names(source: &str, container: &str) -> Vec<String> {
        of(source, "a.js", container).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_method_that_adds_to_a_property() {
        let source = "'use strict'\nclass AuditTrail {\n  constructor() { this.entries = new Map() }\n  async record(who) {\n    \
                      const { rows } = await query()\n    this.entries.set(1, rows)\n  }\n  size() { return this.entries.size }\n}";
        assert_eq!(of(source, "audit.js", "entries"), [("AuditTrail.record".to_owned(), 6)]);
        let private =
            "class A {\n  #entries = []\n  add(x) { this.#entries.push(x) }\n  #more(x) { this.#entries[9] = x }\n}";
        assert_eq!(of(private, "a.js", "#entries"), [("A.add".to_owned(), 3), ("A.#more".to_owned(), 4)]);
    }

    #[test]
    fn classes_as_compilers_write_them() {
        let source = "var Trail = class { constructor() { this.list = [] } note(x) { this.list.push(x) } }
            var Old = (function () { function Old() {} Old.prototype.add = function (x) { this.list.push(x) }; return Old })()
            class Late { note(x) { return __awaiter(this, void 0, void 0, function* () { this.list.push(yield x) }) } }
            module.exports = class { only(x) { this.list.push(x) } }";
        assert_eq!(names(source, "list"), ["Trail.note", "Old.add", "Late.note", "only"]);
    }

    #[test]
    fn what_adds_to_an_object_that_is_no_collection() {
        let source = "const stop = new AbortController(), ready = new Promise(() => {})
            function listen(req) { stop.signal.addEventListener('abort', () => req) }
            async function wait(req) { await ready; return req }
            const race = req => Promise.race([ready, req])
            const all = req => Promise.all([req])
            function then(req) { return ready.then(() => req) }";
        assert_eq!(names(source, "stop"), ["listen"]);
        assert_eq!(names(source, "ready"), ["wait", "race", "then"]);
    }

    #[test]
    fn a_column_counts_utf_16_units() {
        let source = "\u{feff}// ä\r\nf('😀'); list.push(1)";
        let [Adder { line, column, .. }] = &read(source, "a.js", "list").adders[..] else { panic!() };
        assert_eq!((*line, *column), (2, 9));
    }

    #[test]
    fn functions_in_every_common_form() {
        let source = "const cache = new Map(), list = []
            function remember(key, value) { cache.set(key, value) }
            const keep = (key, value) => { cache.set(key, value) }
            const also = function (key) { if (key) { cache.set(key, 1) } }
            module.exports.store = (key, value) => cache.set(key, value)
            module.exports = { put(key) { cache.set(key, 1) }, other: key => cache?.set?.(key, 1) }
            app.get('/', function handler(req, res) { cache.set(req.url, req) })
            app.get('/b', (req, res) => { list[list.length] = req; list.push(req) })
            cache.set('a', 1)";
        assert_eq!(names(source, "cache"), ["remember", "keep", "also", "store", "put", "other", "handler", ""]);
        assert_eq!(of(source, "a.js", "list").len(), 2, "two lines of code without a name");
    }

    #[test]
    fn a_local_variable_of_the_same_name_is_another() {
        let source = "const cache = new Map()
            function local() { const cache = new Map(); cache.set(1, 2); return cache.get(1) }
            function parameter(cache) { cache.set(1, 2) }
            function real() { cache.set(1, 2) }";
        assert_eq!(names(source, "cache"), ["real"]);
        let closure = "function make() { const cache = new Map(); return { put(key) { cache.set(key, 1) } } }";
        assert_eq!(names(closure, "cache"), ["put"]);
    }

    #[test]
    fn typescript_modules_and_what_only_reads() {
        let source = "import { EventEmitter } from 'node:events'\nexport const bus: EventEmitter = new EventEmitter()\n\
                      export function watch<T>(each: (value: T) => void): void { (bus as any).on('change', each) }\n\
                      export const read = (key: string) => bus.listeners(key)!";
        assert_eq!(of(source, "bus.mts", "bus"), [("watch".to_owned(), 3)]);
        assert_eq!(of(source, "bus.mts", "none"), []);
    }

    #[test]
    fn the_modules_that_it_imports() {
        let source =
            "import a from './a.js'\nexport { b } from '../b'\nexport * from './c/index.ts'\nimport fs from 'node:fs'
            import('./h.mjs'); import(name)
            const d = require('./d'), e = require('express'), f = require(name), g = require.resolve('./g')";
        assert_eq!(
            read(source, "a.mjs", "x").imports,
            ["./a.js", "../b", "./c/index.ts", "node:fs", "./h.mjs", "./d", "express"]
        );
    }

    #[test]
    fn what_is_no_source_adds_nothing() {
        for source in ["", "{{{{", "const = 3", "\u{0}\u{ffff}"] {
            assert_eq!(of(source, "a.js", "cache"), []);
        }
        // As deep as V8 would not load it.
        let deep = std::thread::Builder::new().stack_size(STACK_BYTES);
        let deep = deep.spawn(|| of(&format!("cache.set({}1{})", "[".repeat(5000), "]".repeat(5000)), "a.js", "cache"));
        assert_eq!(deep.unwrap().join().unwrap().len(), 1);
        assert_eq!(of("cache.set(1)", "unknown.extension", "cache").len(), 1);
        assert_eq!(of(&format!("cache.set(1)//{}", "x".repeat(MOST_BYTES)), "a.js", "cache"), []);
    }
}
