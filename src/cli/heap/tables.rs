//! The pages of `plimsoll heap`.

use std::io::{self, Write};

use comfy_table::CellAlignment::{self, Left, Right};
use comfy_table::{ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use super::super::units::{count, cut, size};
use super::{Page, Reading};
use heap_snapshot::diff::{ClassDiff, Diff};
use heap_snapshot::object::{Detail, HeapObject, Reference};
use heap_snapshot::path::{RetainingPath, Step};
use heap_snapshot::summary::{Duplicates, Summary};
use heap_snapshot::tree::Branch;

const INDENT: &str = "  ";
/// Characters of names in tables.
const NAME_CHARS: usize = 100;
/// From this value on, distances are V8's own, counted from its roots.
const SYSTEM: i32 = heap_snapshot::object::SYSTEM;

/// A table with figures on the right, and one column that takes the rest of the terminal's width.
fn table(header: &[(&str, CellAlignment)], page: &Page) -> Table {
    let mut table = Table::new();
    let rule = page.look.rule();
    let separator = LineStyle::none().fill(rule).junction(rule);
    table
        .load_style(TableStyle::new().header_separator(separator))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(page.look.width.saturating_sub(INDENT.len()).clamp(40, 240) as u16)
        .set_truncation_indicator(page.look.ellipsis())
        .set_header(header.iter().map(|(name, _)| *name));
    for (index, (_, alignment)) in header.iter().enumerate() {
        let column = table.column_mut(index).expect("the header makes its columns");
        column.set_cell_alignment(*alignment);
        column.set_padding((0, 1)).set_constraint(match alignment {
            Left => ColumnConstraint::LowerBoundary(Width::Fixed(14)),
            _ => ColumnConstraint::ContentWidth,
        });
    }
    table
}

fn write(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{INDENT}{}", line.trim_end()))
}

fn left_out(rows: usize, page: &Page, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match rows.checked_sub(page.limit) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "{INDENT}and {} more {what}; --limit {rows} shows them", count(more as u64)),
    }
}

impl Page {
    fn name(&self, name: &str) -> String {
        cut(&self.look.plain(name), NAME_CHARS, self.look.unicode)
    }

    /// `Session @4711`, with its kind if its class does not show that.
    fn object(&self, object: &HeapObject) -> String {
        let shown = match object.kind.as_str() {
            kind if kind.contains("string") => format!("{:?}", cut(&object.name, 60, self.look.unicode)),
            "closure" => format!("{}()", object.name),
            "object" if object.class.starts_with('{') => object.name.clone(),
            "object" | "native" => object.class.clone(),
            _ if object.name.is_empty() => object.class.clone(),
            _ => object.name.clone(),
        };
        format!("{} @{}", self.name(&shown), object.id)
    }
}

fn bytes(value: u64) -> String {
    size(value as f64)
}

pub fn summary(file: &str, summary: &Summary, reading: &Reading, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let (nodes, edges) = (count(summary.nodes as u64), count(summary.edges as u64));
    let head = format!("{}: {} in {nodes} nodes, {edges} edges", page.look.plain(file), bytes(summary.total_bytes));
    writeln!(out, "{}", page.look.bold(&head))?;
    writeln!(out, "{}\n", reading.text())?;

    writeln!(out, "{}", page.look.bold("Kinds of memory"))?;
    let mut kinds = table(&[("Kind", Left), ("Count", Right), ("Bytes", Right)], page);
    for kind in &summary.kinds {
        kinds.add_row([kind.kind.to_owned(), count(kind.count), bytes(kind.bytes)]);
    }
    write(&kinds, out)?;

    writeln!(out, "\n{}", page.look.bold("Classes, by retained size"))?;
    let mut classes = table(&[("Class", Left), ("Count", Right), ("Shallow", Right), ("Retained", Right)], page);
    for class in summary.classes.iter().take(page.limit) {
        let row = [page.name(&class.name), count(class.count), bytes(class.self_bytes), bytes(class.retained_bytes)];
        classes.add_row(row);
    }
    write(&classes, out)?;
    left_out(summary.classes.len(), page, "classes", out)?;

    writeln!(out, "\n{}", page.look.bold("Objects, by retained size"))?;
    objects(&summary.biggest, page, out)?;

    if !summary.duplicate_strings.strings.is_empty() {
        duplicates(&summary.duplicate_strings, page, out)?;
    }
    if summary.detached.count > 0 {
        let detached = &summary.detached;
        let head = format!("Detached nodes: {} with {}", count(detached.count), bytes(detached.self_bytes));
        writeln!(out, "\n{}", page.look.bold(&head))?;
        objects(&detached.nodes, page, out)?;
    }
    Ok(())
}

fn objects(all: &[HeapObject], page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let mut table = table(&[("Object", Left), ("Shallow", Right), ("Retained", Right), ("Distance", Right)], page);
    for object in all.iter().take(page.limit) {
        let row =
            [page.object(object), bytes(object.self_bytes), bytes(object.retained_bytes), distance(object.distance)];
        table.add_row(row);
    }
    write(&table, out)
}

fn distance(distance: i32) -> String {
    match distance {
        ..0 => "unreachable".to_owned(),
        SYSTEM.. => format!("V8 {}", distance - SYSTEM),
        _ => distance.to_string(),
    }
}

fn duplicates(all: &Duplicates, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let head = format!("Duplicate strings: {} wasted", bytes(all.wasted_bytes));
    writeln!(out, "\n{}", page.look.bold(&head))?;
    let mut table = table(&[("String", Left), ("Count", Right), ("Bytes", Right), ("Wasted", Right)], page);
    for string in all.strings.iter().take(page.limit) {
        let text = page.look.plain(&format!("{:?}", cut(&string.value, 60, page.look.unicode)));
        table.add_row([text, count(string.count), bytes(string.bytes), bytes(string.wasted_bytes)]);
    }
    write(&table, out)
}

pub fn diff(diff: &Diff, reading: &Reading, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    if diff.classes.is_empty() {
        return writeln!(out, "No object was added or removed ({})", reading.text());
    }
    for class in diff.classes.iter().take(page.limit) {
        changed(class, page, out)?;
    }
    left_out(diff.classes.len(), page, "classes", out)?;
    let minus = if page.look.unicode { '−' } else { '-' };
    let (added, removed) = (count(diff.added), count(diff.removed));
    let (more, less) = (bytes(diff.added_bytes), bytes(diff.removed_bytes));
    writeln!(out, "\nTotal: +{added} {minus}{removed} objects, +{more} {minus}{less}; {}", reading.text())?;
    if diff.counted {
        let how = "Each snapshot has object ids of its own, so objects are counted by class and retaining path";
        writeln!(out, "{how}")?;
    }
    Ok(())
}

/// The class with its figures, and below it the path to the one that retains most.
fn changed(class: &ClassDiff, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let minus = if page.look.unicode { '−' } else { '-' };
    let retained = bytes(class.retained_bytes);
    let figures = format!("+{} {minus}{}, retains {retained}", count(class.added), count(class.removed));
    writeln!(out, "{}  {figures}", page.look.bold(&page.name(&class.name)))?;
    if class.path.is_empty() {
        return Ok(());
    }
    writeln!(out, "{INDENT}{}", page.look.plain(&class.path.join(" → ")))
}

pub fn paths(paths: &[RetainingPath], page: &Page, out: &mut dyn Write) -> io::Result<()> {
    for path in paths {
        match path.parts.is_empty() {
            true => writeln!(out, "Only weak references lead to it, so it may be collected")?,
            false => writeln!(out, "{}", page.look.plain(&path.text))?,
        }
    }
    let [path] = paths else { return Ok(()) };
    let header = [("Reference", Left), ("Object", Left), ("Shallow", Right), ("Retained", Right)];
    let mut table = table(&header, page);
    let row = |step: &Step| {
        let object = &step.object;
        [page.name(&step.edge), page.object(object), bytes(object.self_bytes), bytes(object.retained_bytes)]
    };
    let (first, last) = path.ends();
    table.add_rows(first.iter().map(row));
    if path.left_out > 0 {
        let dots = page.look.ellipsis();
        let more = format!("{dots} {} more {dots}", count(path.left_out as u64));
        table.add_row([String::new(), more, String::new(), String::new()]);
    }
    table.add_rows(last.iter().map(row));
    writeln!(out)?;
    write(&table, out)
}

pub fn dominators(rows: &[Branch], total: u64, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let header = [("Retained", Right), ("%", Right), ("Shallow", Right), ("Object", Left)];
    let mut table = table(&header, page);
    for row in rows {
        let part = row.object.retained_bytes as f64 * 100.0 / total.max(1) as f64;
        let rest = match (row.rest_count, row.rest_bytes) {
            (0, _) | (_, 0) => String::new(),
            (more, size) => format!("  ({} more below, {})", count(more), bytes(size)),
        };
        let place = format!("{}{}{rest}", "  ".repeat(row.depth.min(30)), page.object(&row.object));
        table.add_row([bytes(row.object.retained_bytes), format!("{part:.1}"), bytes(row.object.self_bytes), place]);
    }
    write(&table, out)
}

pub fn object(detail: &Detail, page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let object = &detail.object;
    writeln!(out, "{}", page.look.bold(&page.object(object)))?;
    let rows = [
        ("name", page.name(&object.name)),
        ("class", page.name(&object.class)),
        ("type", page.name(&object.kind)),
        ("shallow", bytes(object.self_bytes)),
        ("retained", bytes(object.retained_bytes)),
        ("distance", distance(object.distance)),
        ("dominator", object.dominator.map_or_else(|| "none, it is the root".to_owned(), |id| format!("@{id}"))),
    ];
    for (what, value) in rows {
        writeln!(out, "{INDENT}{what:<10} {value}")?;
    }
    references("Refers to", detail.reference_count, &detail.references, page, out)?;
    references("Referred to by", detail.retainer_count, &detail.retainers, page, out)
}

fn references(head: &str, all: usize, shown: &[Reference], page: &Page, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n{}", page.look.bold(&format!("{head} ({})", count(all as u64))))?;
    let mut table = table(&[("Name", Left), ("Type", Left), ("Object", Left), ("Retained", Right)], page);
    for reference in shown.iter().take(page.limit) {
        let kind =
            if reference.retains { reference.kind.clone() } else { format!("{} (retains nothing)", reference.kind) };
        table.add_row([
            page.name(&reference.name),
            page.look.plain(&kind),
            page.object(&reference.object),
            bytes(reference.object.retained_bytes),
        ]);
    }
    write(&table, out)
}
