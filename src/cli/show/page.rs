//! One record on one page: process, verdict, memory, resident set, event loop, collections, requests, routes, events.

use std::io::{self, Write};

use super::super::chart;
use super::super::fit::HANG;
use super::super::units::{self, between, clock, count, cut, duration, size, zone_name};
use super::verdict::verdict;
use super::{Judgement, Options, left_out, rss, tables};
use crate::recorder::findings::findings;
use crate::recorder::record::{InFlight, Progress, Record, Sample, Trend};
use crate::recorder::{Quantity, TrendState};

/// Heartbeats come twice a second. Without one for this long, the process is stopped or starved.
const HEARTBEAT_LATE_MS: u64 = 5_000;
/// The chart's span; the ring of samples holds ten minutes.
const CHART_MS: u64 = 10 * 60_000;
const EVENTS: usize = 20;
const COLLECTIONS: usize = 5;

pub fn write(record: &Record, judgement: Option<&Judgement>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { record, options, out };
    page.head(judgement)?;
    page.memory()?;
    rss::write(record, options, page.out)?;
    page.trend()?;
    page.findings()?;
    page.event_loop()?;
    page.collections()?;
    page.requests()?;
    page.routes()?;
    page.layers()?;
    page.events()?;
    page.torn()
}

struct Page<'a> {
    record: &'a Record,
    options: &'a Options<'a>,
    out: &'a mut dyn Write,
}

impl Page<'_> {
    fn title(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.options.look.bold(title))
    }

    fn fact(&mut self, name: &str, fact: &str) -> io::Result<()> {
        writeln!(self.out, "  {name:<19} {HANG}{fact}")
    }

    fn date_time(&self, at: u64) -> String {
        units::date_time(at, &self.options.zone)
    }

    fn head(&mut self, judgement: Option<&Judgement>) -> io::Result<()> {
        let (record, options) = (self.record, self.options);
        let thread = if record.thread == 0 { String::new() } else { format!(", worker thread {}", record.thread) };
        let name = options.look.plain(&record.name);
        let who = format!("{}, pid {}{thread}: ", if name.is_empty() { "(no name)" } else { &name }, record.pid);
        let verdict = verdict(record, judgement, options);
        writeln!(self.out, "{}{verdict}", options.look.bold(&who))?;
        let heartbeat = self.date_time(record.last_heartbeat);
        let ago = between(record.last_heartbeat, options.now);
        match judgement {
            None => {
                let up = between(record.started_at, options.now);
                self.fact("up", &format!("{up}, since {}", self.date_time(record.started_at)))?;
                self.fact("last heartbeat", &format!("{ago} ago, {heartbeat}"))?;
                if options.now.saturating_sub(record.last_heartbeat) > HEARTBEAT_LATE_MS {
                    let late = options
                        .look
                        .alarm("The process exists, but its heartbeat is late: it is stopped, or gets no CPU time.");
                    writeln!(self.out, "  {late}")?;
                }
            }
            Some(judgement) => {
                self.fact("evidence", &options.look.plain(&judgement.evidence))?;
                let died = format!("{}, {} ago", self.date_time(judgement.at), between(judgement.at, options.now));
                self.fact("died", &format!("{died}, after {}", between(record.started_at, judgement.at)))?;
                self.fact("last heartbeat", &format!("{heartbeat}, {ago} ago"))?;
            }
        }
        let on = [&record.node_version, &record.platform].map(|text| options.look.plain(text)).join(" ");
        self.fact("program", &format!("{} on Node {on}", options.look.plain(&record.script)))?;
        if let Some(path) = &record.path {
            let mirrored = if record.mirrored { " (a copy, at most 250 ms old)" } else { "" };
            self.fact("record", &format!("{}{mirrored}", options.look.plain(path)))?;
        }
        if record.internal_errors > 0 {
            self.fact(
                "internal errors",
                &format!("{}, caught before they reached the app", count(record.internal_errors)),
            )?;
        }
        Ok(())
    }

    fn memory(&mut self) -> io::Result<()> {
        let record = self.record;
        let heap = &record.heap;
        self.title("Memory")?;
        let cgroup = match (record.cgroup.used_bytes, record.cgroup.limit_bytes) {
            (Some(used), Some(limit)) => {
                format!("; cgroup {} of {}{}", bytes(used), bytes(limit), percent(used, limit))
            }
            (Some(used), None) => format!("; cgroup {}, without a limit", bytes(used)),
            (None, _) => String::new(),
        };
        self.fact("RSS", &format!("{}{cgroup}", bytes(record.process.rss_bytes)))?;
        let share = percent(heap.used_bytes, heap.limit_bytes);
        let used = format!("{} of a limit of {}{share}", bytes(heap.used_bytes), bytes(heap.limit_bytes));
        self.fact(
            "heap used",
            &format!("{used}; {} reserved, {} external", bytes(heap.total_bytes), bytes(heap.external_bytes)),
        )?;
        match (heap.live_bytes, heap.live_at) {
            (Some(live), Some(at)) => {
                let ago = between(at, if record.alive { self.options.now } else { record.last_heartbeat });
                let before = if record.alive { "ago" } else { "before the last heartbeat" };
                self.fact("heap live", &format!("{} after the last mark-sweep, {ago} {before}", bytes(live)))?;
            }
            _ => self.fact("heap live", "not known: no mark-sweep yet")?,
        }
        let unattributed = heap.allocated_bytes as f64 - heap.attributed_bytes as f64;
        let measured = if heap.exact { "exact" } else { "estimated" };
        self.fact(
            "allocated",
            &format!(
                "{} on the heap since the start ({measured}): {} attributed to requests, {} unattributed",
                bytes(heap.allocated_bytes),
                size(heap.attributed_bytes as f64),
                size(unattributed)
            ),
        )?;
        if record.native.supported {
            let (allocated, resident) = (record.native.allocated_bytes, record.native.resident_bytes);
            self.fact("plimsoll itself", &format!("{} allocated, {} resident", bytes(allocated), bytes(resident)))?;
        }
        self.chart("RSS", |sample| sample.rss_bytes)?;
        self.chart("Heap used", |sample| sample.heap_used_bytes)
    }

    fn chart(&mut self, name: &str, figure: fn(&Sample) -> u64) -> io::Result<()> {
        let last = self.record.samples.iter().map(|sample| sample.at).max().unwrap_or(0);
        let since = last.saturating_sub(CHART_MS);
        let recent = self.record.samples.iter().filter(|sample| sample.at >= since);
        let series: Vec<(u64, u64)> = recent.map(|sample| (sample.at, figure(sample))).collect();
        let (look, zone) = (self.options.look, &self.options.zone);
        let Some(lines) = chart::lines(&series, look.width.saturating_sub(2), look.unicode, zone) else {
            return Ok(());
        };
        let zone = zone_name(last, zone);
        let value = |chosen: Option<&(u64, u64)>| chosen.map_or(0, |(_, value)| *value);
        let (first, last) = (value(series.iter().min_by_key(|at| at.0)), value(series.iter().max_by_key(|at| at.0)));
        let peak = value(series.iter().max_by_key(|at| at.1));
        let arrow = self.options.look.arrow();
        writeln!(
            self.out,
            "\n  {name}: {} {arrow} {}, peak {} (times in {zone})",
            bytes(first),
            bytes(last),
            bytes(peak)
        )?;
        lines.iter().try_for_each(|line| writeln!(self.out, "  {line}"))
    }

    fn trend(&mut self) -> io::Result<()> {
        if self.record.trend.each().next().is_none() {
            return Ok(());
        }
        self.title("Trend, by requests served")?;
        let trends: Vec<(Quantity, &Trend)> = self.record.trend.each().collect();
        for (quantity, trend) in trends {
            let state = trend.state.name();
            let state =
                if trend.state == TrendState::Leaking { self.options.look.alarm(state) } else { state.to_owned() };
            self.fact(quantity.name(), &format!("{state}{}", self.growth(trend)))?;
        }
        Ok(())
    }

    /// The figures of a state, if there are any.
    fn growth(&self, trend: &Trend) -> String {
        let (Some(mean), Some(low), Some(high), Some(p)) = (trend.bytes_per_request, trend.low, trend.high, trend.p)
        else {
            return bound(trend).unwrap_or_else(|| progress(trend));
        };
        let since = trend.since.map_or(String::new(), |at| format!(", since {}", self.date_time(at)));
        let samples = trend.samples;
        format!(
            ": {mean:.1} B per request ({low:.1} to {high:.1}) over {samples} collections, p {p:.1e}{since}{}",
            limit(trend)
        )
    }

    fn findings(&mut self) -> io::Result<()> {
        let findings = findings(self.record);
        if findings.is_empty() {
            return Ok(());
        }
        self.title("Findings")?;
        for finding in findings.iter().take(self.options.limit) {
            let place = |text: &Option<String>| text.as_ref().map(|text| format!(" {}", self.options.look.plain(text)));
            let (route, origin) =
                (place(&finding.route).unwrap_or_default(), place(&finding.origin).unwrap_or_default());
            let times = if finding.count > 1 { format!(", {} times", count(finding.count)) } else { String::new() };
            let what = format!("{} {}{route}{origin}{times}", finding.severity, self.options.look.plain(&finding.kind));
            let what = if finding.severity == "info" { what } else { self.options.look.bold(&what) };
            writeln!(self.out, "  {what}")?;
            writeln!(self.out, "    {HANG}{}", self.options.look.plain(&finding.advice))?;
            if let (Some(class), Some(path)) = (&finding.class, &finding.path) {
                let path = path.join(if self.options.look.unicode { " → " } else { " -> " });
                writeln!(self.out, "    {HANG}{}: {}", self.options.look.plain(class), self.options.look.plain(&path))?;
            }
        }
        left_out(findings.len(), self.options, "findings", self.out)
    }

    fn event_loop(&mut self) -> io::Result<()> {
        let record = self.record;
        let event_loop = &record.event_loop;
        self.title("Event loop")?;
        if record.blocked_ms > 0.0 {
            let handle = event_loop.blocked_slot;
            let by_handle = record.in_flight.iter().find(|request| handle != 0 && request.handle == handle);
            let by = by_handle.or_else(|| record.in_flight.iter().find(|request| request.running));
            let by = by.map_or("by no known request".to_owned(), |request| format!("by {}", self.name(request)));
            let blocked = format!("blocked for {} at the last heartbeat", duration(record.blocked_ms));
            writeln!(self.out, "  {}, {by}", self.options.look.alarm(&blocked))?;
        }
        let turn = format!("lag {}, {:.0} % busy", duration(event_loop.lag_ms), event_loop.utilization * 100.0);
        self.fact("last tick", &turn)?;
        self.fact("longest block", &duration(event_loop.longest_block_ms))?;
        if let Some(by) = &event_loop.blocked_by {
            let returned = if by.native { "native code, which has returned to " } else { "" };
            let place = self.options.look.plain(&by.place());
            self.fact("last blocked by", &format!("{returned}{place}, at {}", self.date_time(by.at)))?;
        }
        let cpu = record.process.cpu_user_ms + record.process.cpu_system_ms;
        self.fact("CPU time", &format!("{} user and system", duration(cpu)))
    }

    fn name(&self, request: &InFlight) -> String {
        let options = self.options;
        let route = request.route.as_ref().map_or(String::new(), |route| format!(" ({})", options.look.plain(route)));
        format!("{} {}{route}", options.look.plain(&request.method), options.look.plain(&request.path))
    }

    fn collections(&mut self) -> io::Result<()> {
        let record = self.record;
        self.title("Garbage collection")?;
        if record.gc.iter().all(|total| total.count == 0) {
            return writeln!(self.out, "  none so far");
        }
        for total in record.gc.iter().filter(|total| total.count > 0) {
            let (mean, all) = (duration(total.pause_ms / total.count as f64), duration(total.pause_ms));
            let pauses = format!("{} times, {mean} each on average, {all} in total", count(total.count));
            self.fact(total.kind, &pauses)?;
        }
        let arrow = self.options.look.arrow();
        let last = record.collections.iter().rev().take(COLLECTIONS.min(self.options.limit));
        for (index, collection) in last.enumerate() {
            let (before, after) = (bytes(collection.before_bytes), bytes(collection.after_bytes));
            let label = if index == 0 { "newest first" } else { "" };
            let pause = duration(collection.pause_ms);
            self.fact(
                label,
                &format!(
                    "{} {}, {pause}: {before} {arrow} {after}",
                    clock(collection.at, &self.options.zone),
                    collection.kind
                ),
            )?;
        }
        Ok(())
    }

    fn requests(&mut self) -> io::Result<()> {
        let (record, options) = (self.record, self.options);
        let requests = &record.requests;
        self.title("Requests")?;
        self.fact(
            "since the start",
            &format!("{}, with {} of bodies", count(requests.total), bytes(requests.body_bytes)),
        )?;
        let refused = format!("{} over a limit, {} shed", count(requests.limited), count(requests.shed));
        self.fact("refused", &refused)?;
        let spans = &record.async_spans;
        if spans.whole_requests > 0 {
            let whole = format!("{}, promises and callbacks included", count(spans.whole_requests));
            let share = format!("metered {:.1} % of the time", spans.share * 100.0);
            self.fact("metered whole", &if spans.share < 1.0 { format!("{whole}; {share}") } else { whole })?;
        }
        let (shed, limited) = (requests.shed_reported, requests.limit_reported);
        if shed.max(limited) > 0 {
            let reported = format!("{} over a limit, {} shed", count(limited), count(shed));
            self.fact("reported only", &reported)?;
        }
        self.pressure()?;
        if requests.untracked > 0 {
            self.fact("untracked", &format!("{}, because all slots were in use", count(requests.untracked)))?;
        }
        // The table is used, since the gauge may be a moment older.
        let in_flight = &record.in_flight;
        let heading = match (in_flight.len(), record.alive) {
            (0, true) => "No request is in flight.".to_owned(),
            (0, false) => "No request was in flight.".to_owned(),
            (many, true) => format!("{many} in flight, oldest first:"),
            (many, false) => format!("{many} in flight when it died, oldest first:"),
        };
        writeln!(self.out, "\n  {}", options.look.bold(&heading))?;
        if in_flight.is_empty() {
            return Ok(());
        }
        tables::in_flight(in_flight, options, self.out)?;
        left_out(in_flight.len(), options, "in flight", self.out)
    }

    fn pressure(&mut self) -> io::Result<()> {
        let record = self.record;
        let pressure = &record.pressure;
        let mut parts = Vec::new();
        if let Some(heap) = pressure.heap {
            parts.push(format!("live heap {:.0} % of the old generation's limit", heap * 100.0));
        }
        if let Some(rss) = pressure.rss {
            parts.push(format!("RSS {:.0} % of the cgroup's limit", rss * 100.0));
        }
        if pressure.level > 0.0 {
            let shedding = format!("shedding, level {:.0} %", pressure.level * 100.0);
            parts.insert(0, self.options.look.alarm(&shedding));
        }
        if !parts.is_empty() {
            self.fact("pressure", &parts.join("; "))?;
        }
        if let Some(at) = record.near_limit.at {
            let grants = match record.near_limit.grants {
                1 => "once".to_owned(),
                grants => format!("{} times", count(grants)),
            };
            let near = format!("V8 was granted a reserve {grants}, last at {}", self.date_time(at));
            self.fact("near heap limit", &near)?;
        }
        Ok(())
    }

    fn routes(&mut self) -> io::Result<()> {
        let record = self.record;
        self.title("Routes, by total heap allocated")?;
        if record.routes.is_empty() {
            return writeln!(self.out, "  no request has ended yet");
        }
        tables::routes(&record.routes, self.options, self.out)?;
        left_out(record.routes.len(), self.options, "routes", self.out)
    }

    fn layers(&mut self) -> io::Result<()> {
        let layers = self.record.routes.iter().map(|route| route.layers.len()).sum();
        if layers == 0 {
            return Ok(());
        }
        self.title("Functions of the app's stack, by total heap allocated")?;
        tables::layers(&self.record.routes, self.options, self.out)?;
        left_out(layers, self.options, "functions", self.out)
    }

    fn events(&mut self) -> io::Result<()> {
        let record = self.record;
        self.title("Events")?;
        let shown = record.events.len().min(EVENTS.min(self.options.limit));
        if record.events.len() > shown {
            writeln!(self.out, "  the last {shown} of {}", record.events.len())?;
        }
        for event in &record.events[record.events.len() - shown..] {
            let route =
                event.route.as_ref().map_or(String::new(), |route| format!("{} ", self.options.look.plain(route)));
            let detail = cut(&self.options.look.plain(&event.detail), 400, self.options.look.unicode);
            let line = format!("{}  {:<18} {HANG}{route}{detail}", self.date_time(event.at), event.kind);
            writeln!(self.out, "  {}", line.trim_end())?;
        }
        if record.events.is_empty() { writeln!(self.out, "  none") } else { Ok(()) }
    }

    fn torn(&mut self) -> io::Result<()> {
        match self.record.torn_rows {
            0 => Ok(()),
            rows => writeln!(
                self.out,
                "\n  {rows} {} being written whenever read, and {} left out or marked torn.",
                if rows == 1 { "row was" } else { "rows were" },
                if rows == 1 { "is" } else { "are" }
            ),
        }
    }
}

fn bytes(bytes: u64) -> String {
    units::size(bytes as f64)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!(" ({:.0} %)", part as f64 / whole as f64 * 100.0) }
}

/// `: at most 12 B per request`, of a steady trend.
fn bound(trend: &Trend) -> Option<String> {
    trend.high.map(|high| format!(": at most {:.0} B per request", high.max(0.0)))
}

/// ` (540 of 3000 requests, 4 of 21 collections; verdict in about 90 s)`.
fn progress(trend: &Trend) -> String {
    let Progress { requests, of_requests, collections, of_collections, eta_ms } = trend.progress;
    let eta = eta_ms.map_or(String::new(), |ms| format!("; verdict in about {}", duration(ms as f64)));
    format!(" ({requests} of {of_requests} requests, {collections} of {of_collections} collections{eta})")
}

/// `, limit reached in about 9 h`.
fn limit(trend: &Trend) -> String {
    trend.hours_to_limit.map_or(String::new(), |hours| format!(", limit reached in about {}", duration(hours * 3.6e6)))
}
