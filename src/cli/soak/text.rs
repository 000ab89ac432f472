//! The result as text.

use std::fmt::Write;

use comfy_table::CellAlignment::{Left, Right};
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

use super::super::fit::{HANG, fit_all};
use super::super::look::Look;
use super::super::units::{count, duration};
use super::{Outcome, Rate, Route, bytes, more, reasons};

/// The end of a longer path is shown, because it contains what retains the object.
const PATH_CHARS: usize = 400;

/// The prefix of the app's output in lib/soak/app-process.js.
const OUTPUT: &str = "  | ";

/// The text of a result.
pub fn text(outcome: &Outcome, look: Look) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write(outcome, look, &mut out);
    fit_all(&out, look.width)
}

/// Why there is no verdict. It has several lines if it includes the app's last output.
pub fn error(text: &str, look: Look) -> String {
    let line = |line: &str| match line.strip_prefix(OUTPUT) {
        Some(output) => format!("{OUTPUT}{HANG}{}", look.plain(output)),
        None => look.plain(line),
    };
    let text = text.split('\n').map(line).collect::<Vec<_>>().join("\n");
    fit_all(&format!("plimsoll: soak: {text}\n"), look.width)
}

fn write(outcome: &Outcome, look: Look, out: &mut String) -> std::fmt::Result {
    let requests: f64 = outcome.routes.iter().map(|route| route.requests).sum();
    let (routes, requests) = (outcome.routes.len(), count(requests as u64));
    let plural = if routes == 1 { "" } else { "s" };
    let node = look.plain(&outcome.node);
    let took = duration(outcome.seconds * 1e3);
    let head = format!("{}: {}", look.plain(&outcome.app), outcome.verdict);
    writeln!(out, "{}", look.bold(&head))?;
    writeln!(out, "{routes} route{plural}, {requests} requests measured, {took}, Node {node}\n")?;
    table(&outcome.routes, look, out)?;
    for route in outcome.routes.iter().filter(|route| route.verdict != "passed" || !route.notes.is_empty()) {
        details(route, look, out)?;
    }
    for note in &outcome.notes {
        writeln!(out, "\n{}", look.plain(note))?;
    }
    Ok(())
}

fn table(routes: &[Route], look: Look, out: &mut String) -> std::fmt::Result {
    let mut table = Table::new();
    let rule = look.rule();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill(rule).junction(rule)))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(look.width.saturating_sub(2) as u16)
        .set_header(["Route", "Verdict", "Retained\nper request", "95 % interval", "Requests", "Rounds"]);
    for (index, alignment) in [Left, Left, Right, Right, Right, Right].into_iter().enumerate() {
        let column = table.column_mut(index).expect("the header makes its columns");
        column.set_cell_alignment(alignment);
        column.set_padding((0, 2));
    }
    for route in routes {
        let Rate { value, low, high } = route.bytes_per_request.unwrap_or_default();
        let interval = low.zip(high).map(|(low, high)| format!("{} to {}", bytes(low, 0), bytes(high, 0)));
        table.add_row([
            look.plain(&route.route),
            route.verdict.clone(),
            value.map(|value| bytes(value, 0)).unwrap_or_default(),
            interval.unwrap_or_default(),
            count(route.requests as u64),
            count(route.rounds as u64),
        ]);
    }
    table.lines().try_for_each(|line| writeln!(out, "  {}", line.trim_end()))
}

fn details(route: &Route, look: Look, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{}", look.bold(&format!("{}: {}", look.plain(&route.route), route.verdict)))?;
    for reason in reasons(route) {
        writeln!(out, "  {HANG}{}", look.plain(&reason))?;
    }
    for class in &route.classes {
        writeln!(out, "  {HANG}{}", look.plain(&class.sentence()))?;
        if !class.path.is_empty() {
            writeln!(out, "    {}", path(&class.path, look))?;
        }
    }
    if !route.sites.is_empty() {
        writeln!(out, "  Allocation sites")?;
        for site in &route.sites {
            let interval = format!("{} to {}", bytes(site.low, 0), bytes(site.high, 0));
            let rate = format!("{} per request ({interval})", bytes(site.bytes_per_request, 0));
            writeln!(out, "    {} ({}): {rate}", look.plain(&site.origin), look.plain(&site.function))?;
        }
    }
    if !route.files.is_empty() {
        writeln!(out, "  Left open, per 1,000 requests")?;
        for file in &route.files {
            writeln!(out, "    {} {}", more(file.per_thousand), look.plain(&file.name))?;
        }
    }
    for note in &route.notes {
        writeln!(out, "  {}", look.plain(note))?;
    }
    Ok(())
}

fn path(steps: &[String], look: Look) -> String {
    let whole = look.plain(&steps.join(" → "));
    let length = whole.chars().count();
    if length <= PATH_CHARS {
        return whole;
    }
    let mark = look.ellipsis();
    format!("{mark}{}", whole.chars().skip(length - PATH_CHARS).collect::<String>())
}
