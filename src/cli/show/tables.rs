//! The tables of `show`. One column takes the rest of the terminal's width, and wraps. The others contain numbers,
//! which do not wrap.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width};

use super::super::units::{between, count, duration, size};
use super::{Judgement, Options};
use crate::recorder::record::{Distribution, InFlight, Record, RouteStats};

const INDENT: &str = "  ";
/// From this width on, quantiles have columns of their own. Below, they are stacked.
const WIDE: usize = 110;

/// Columns with their alignment. Those in `wide` wrap.
fn table(header: &[(&str, CellAlignment)], wide: &[usize], options: &Options) -> Table {
    let mut table = Table::new();
    let rule = options.look.rule();
    let separator = LineStyle::none().fill(rule).junction(rule);
    table
        .load_style(TableStyle::new().header_separator(separator))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(options.look.width.saturating_sub(INDENT.len()).clamp(40, 240) as u16)
        .set_truncation_indicator(options.look.ellipsis())
        .set_header(header.iter().map(|(name, _)| *name));
    for (index, (_, alignment)) in header.iter().enumerate() {
        let column = table.column_mut(index).expect("the header makes its columns");
        column.set_cell_alignment(*alignment);
        column.set_padding((0, 1)).set_constraint(match wide.contains(&index) {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(14)),
            false => ColumnConstraint::ContentWidth,
        });
    }
    table
}

fn write(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{INDENT}{}", line.trim_end()))
}

use CellAlignment::{Left, Right};

pub fn overview(
    records: &[Record],
    judgements: &[Option<Judgement>],
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = [
        ("Name", Left),
        ("Pid", Right),
        ("State", Left),
        ("Last\nheartbeat", Left),
        ("RSS", Right),
        ("Heap\nused", Right),
        ("In\nflight", Right),
    ];
    let mut table = table(&header, &[0, 2], options);
    for (record, judgement) in records.iter().zip(judgements).take(options.limit) {
        let thread = if record.thread == 0 { String::new() } else { format!("/{}", record.thread) };
        let state = match judgement {
            None => format!("alive, {}", between(record.started_at, options.now)),
            Some(judgement) => format!("dead, {}", options.look.plain(&judgement.cause)),
        };
        table.add_row([
            options.look.plain(&record.name),
            format!("{}{thread}", record.pid),
            state,
            format!("{} ago", between(record.last_heartbeat, options.now)),
            size(record.process.rss_bytes as f64),
            size(record.heap.used_bytes as f64),
            count(record.in_flight.len() as u64),
        ]);
    }
    write(&table, out)
}

/// Oldest first. The one whose code was running is shown at any limit.
pub fn in_flight(requests: &[InFlight], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let header = [("Age", Right), ("", Left), ("Request", Left), ("Route", Left), ("Heap", Right), ("Body", Right)];
    let mut table = table(&header, &[2, 3], options);
    let shown = requests.iter().enumerate().filter(|(index, request)| *index < options.limit || request.running);
    for (_, request) in shown {
        let state = match (request.running, request.torn) {
            (true, _) if options.look.unicode => "▶ RUNNING",
            (true, _) => "> RUNNING",
            (false, true) => "torn",
            _ => "",
        };
        table.add_row([
            duration(request.age_ms),
            state.to_owned(),
            format!("{} {}", options.look.plain(&request.method), options.look.plain(&request.path)),
            request.route.as_ref().map_or_else(|| "(not known yet)".to_owned(), |route| options.look.plain(route)),
            size(request.heap_bytes as f64),
            if request.body_bytes == 0 { String::new() } else { size(request.body_bytes as f64) },
        ]);
    }
    // A table has no colours of its own, because they would count as characters.
    table.lines().try_for_each(|line| {
        let line = line.trim_end();
        let line =
            if line.contains("> RUNNING") || line.contains("▶ RUNNING") { &options.look.bold(line) } else { line };
        writeln!(out, "{INDENT}{line}")
    })
}

type Field = (&'static str, fn(&RouteStats) -> String);

/// The heaviest first, by all that the route has allocated. Columns with only zeros are left out.
pub fn routes(routes: &[RouteStats], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut routes: Vec<&RouteStats> = routes.iter().collect();
    routes.sort_by(|a, b| b.heap_bytes.sum.total_cmp(&a.heap_bytes.sum).then(b.count.cmp(&a.count)));
    let some = |used: fn(&RouteStats) -> bool| routes.iter().any(|route| used(route));
    let mut fields: Vec<Field> =
        vec![("Status", |route| route.status.to_owned()), ("Count", |route| count(route.count))];
    if some(|route| route.errors > 0) {
        fields.push(("Errors", |route| count(route.errors)));
    }
    if some(|route| route.aborted > 0) {
        fields.push(("Aborted", |route| count(route.aborted)));
    }
    if options.look.width < WIDE {
        fields.push(("Latency\np50, p99", |route| format!("{}\n{}", p50(route), p99(route))));
        let both: fn(&RouteStats) -> String =
            |route| format!("{}\n{}", mean(&route.heap_bytes), size(route.heap_bytes.p99));
        match some(|route| route.whole_count > 0) {
            true => {
                fields.push(("Heap mean\n(whole)", |route| format!("{}\n{}", mean(&route.heap_bytes), whole(route))))
            }
            false => fields.push(("Heap\nmean, p99", both)),
        }
    } else {
        fields.extend([("Latency\np50", p50 as fn(&RouteStats) -> String), ("\np99", p99)]);
        fields.push(("Heap\nmean", |route| mean(&route.heap_bytes)));
        fields.push(("\np99", |route| size(route.heap_bytes.p99)));
        if some(|route| route.whole_count > 0) {
            fields.push(("\nwhole", whole));
        }
    }
    if some(|route| route.body_bytes.max > 0.0) {
        fields.push(("Body\nmean", |route| mean(&route.body_bytes)));
    }

    let header: Vec<_> = [("Route", Left)].into_iter().chain(fields.iter().map(|(name, _)| (*name, Right))).collect();
    let mut table = table(&header, &[0], options);
    for route in routes.iter().take(options.limit) {
        let name = format!("{} {}", options.look.plain(&route.method), options.look.plain(&route.route));
        let cells = fields.iter().map(|(_, field)| field(route));
        table.add_row([name].into_iter().chain(cells).collect::<Vec<_>>());
    }
    write(&table, out)
}

/// What each function of the app's stack has used, by route, the heaviest first.
pub fn layers(routes: &[RouteStats], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut layers: Vec<_> =
        routes.iter().flat_map(|route| route.layers.iter().map(move |layer| (route, layer))).collect();
    layers.sort_by_key(|(_, layer)| std::cmp::Reverse(layer.heap_bytes));
    let header =
        [("Function", Left), ("Route", Left), ("Requests", Right), ("Heap\nmean", Right), ("Time\nmean", Right)];
    let mut table = table(&header, &[0, 1], options);
    for (route, layer) in layers.iter().take(options.limit) {
        let origin = layer.origin.as_ref().map_or(String::new(), |origin| format!(" ({})", options.look.plain(origin)));
        table.add_row([
            format!("{}{origin}", options.look.plain(&layer.name)),
            format!("{} {} {}", options.look.plain(&route.method), options.look.plain(&route.route), route.status),
            count(layer.count),
            size(layer.heap_mean_bytes),
            duration(layer.time_mean_ms),
        ]);
    }
    write(&table, out)
}

/// The mean of requests that were metered as a whole, including promises and callbacks.
fn whole(route: &RouteStats) -> String {
    route.whole_heap_mean_bytes.map_or(String::new(), size)
}

fn p50(route: &RouteStats) -> String {
    duration(route.duration_ms.p50)
}

fn p99(route: &RouteStats) -> String {
    duration(route.duration_ms.p99)
}

fn mean(distribution: &Distribution) -> String {
    size(distribution.mean)
}
