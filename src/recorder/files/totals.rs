//! Counts of the ended processes and threads of a run whose records are gone. No sum may fall while the run continues.
//! There is one small file for each service and run, replaced as a whole under the folder's lock. Sums are integers
//! (nanoseconds, microseconds, bytes): a float would lose its last bit, and a counter that falls by a bit has fallen.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::super::kinds::{GcKind, StatusClass};
use super::super::record::{Bucket, Distribution, GcTotal, Record, RouteStats};
use super::super::writer::Run;
use super::Service;
use super::reading::read_opened;
use super::unix::{self, Folder};

const EXTENSION: &str = "totals";
/// Routes of all versions of an app that a run has seen. Further routes are counted as one.
const ROUTES_MAX: usize = 4_096;
/// None of these files is larger.
const FILE_MAX: u64 = 64 << 20;

#[derive(Default, Serialize, Deserialize)]
struct Totals {
    name: String,
    entry: u64,
    run: (u32, u64, String),
    cpu_us: (u64, u64),
    internal_errors: u64,
    allocated: u64,
    attributed: u64,
    whole: u64,
    grants: u64,
    /// In the order of [`requests_of`].
    requests: [u64; 9],
    gc: Vec<Gc>,
    routes: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Gc {
    kind: String,
    count: u64,
    pause_ns: u64,
    buckets: Vec<u64>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Row {
    method: String,
    route: String,
    status: String,
    aborted: u64,
    latency: Vec<u64>,
    duration_ns: Sum,
    heap: Sum,
    body: Sum,
    response: Sum,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Sum {
    count: u64,
    sum: i64,
    /// Bits of each bucket's upper bound, and its count.
    buckets: Vec<(u64, u64)>,
}

/// Adds the record in `file` to the totals of its run. `with_cpu`: no other record has the CPU time of its process.
///
/// # Errors
/// The record cannot be read, or there is no room. It has to stay then.
pub fn keep(folder: &Folder, file: &File, with_cpu: bool) -> io::Result<()> {
    let record = read_opened(file, folder.path()).map_err(io::Error::other)?;
    add(folder, &record, with_cpu)
}

pub fn add(folder: &Folder, record: &Record, with_cpu: bool) -> io::Result<()> {
    let name = file_name(&record.name, record.entry, &record.run);
    let mut totals = read(folder, &name).filter(|totals| totals.is_of(record)).unwrap_or_default();
    totals.add(record, with_cpu);
    let temporary = format!("{:016x}.tmp", unix::random());
    let written = folder.create(&temporary).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(&totals)?)?;
        folder.rename(&temporary, &name)
    });
    written.inspect_err(|_| drop(folder.remove(&temporary)))
}

/// The totals of a service, for its runs that `goes_on` accepts.
pub fn of(folder: &Folder, service: &Service, goes_on: impl Fn(&Run) -> bool) -> Vec<Record> {
    let names = folder.names().unwrap_or_default();
    let ours = names.into_iter().filter(|name| unix::is_ours(name, EXTENSION));
    let records = ours.filter_map(|name| read(folder, &name).map(|totals| totals.record()));
    records.filter(|record| service.owns(record) && goes_on(&record.run)).collect()
}

/// Size of the files of all services.
pub fn bytes(folder: &Folder) -> u64 {
    let names = folder.names().unwrap_or_default();
    let ours = names.into_iter().filter(|name| unix::is_ours(name, EXTENSION));
    let lengths = ours.filter_map(|name| Some(folder.open(&name, false).ok()?.metadata().ok()?.len()));
    lengths.fold(0, u64::saturating_add)
}

/// Removes the totals of runs that are over, and unreadable files.
pub fn prune(folder: &Folder, goes_on: impl Fn(&Run) -> bool) {
    for name in folder.names().unwrap_or_default() {
        if unix::is_ours(&name, EXTENSION) && !read(folder, &name).is_some_and(|totals| goes_on(&totals.run())) {
            let _ = folder.remove(&name);
        }
    }
}

fn file_name(name: &str, entry: u64, run: &Run) -> String {
    let key = format!("{name}\0{entry:x}\0{:x}\0{:x}\0{:x}", run.pid, run.ticks, run.boot_id);
    format!("{:016x}.{EXTENSION}", super::entry_of(&key))
}

fn read(folder: &Folder, name: &str) -> Option<Totals> {
    let mut bytes = Vec::new();
    folder.open(name, false).ok()?.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Totals {
    fn run(&self) -> Run {
        let (pid, ticks, boot_id) = &self.run;
        Run { pid: *pid, ticks: *ticks, boot_id: u128::from_str_radix(boot_id, 16).unwrap_or(0) }
    }

    fn is_of(&self, record: &Record) -> bool {
        self.name == record.name && self.entry == record.entry && self.run() == record.run
    }

    fn add(&mut self, record: &Record, with_cpu: bool) {
        self.name.clone_from(&record.name);
        self.entry = record.entry;
        self.run = (record.run.pid, record.run.ticks, format!("{:x}", record.run.boot_id));
        if with_cpu {
            let (user, system) = cpu_us(record);
            self.cpu_us = (self.cpu_us.0.saturating_add(user), self.cpu_us.1.saturating_add(system));
        }
        let attributed = record.heap.attributed_bytes.max(0) as u64;
        for (sum, more) in [
            (&mut self.internal_errors, record.internal_errors),
            (&mut self.allocated, record.heap.allocated_bytes),
            (&mut self.attributed, attributed),
            (&mut self.whole, record.async_spans.whole_requests),
            (&mut self.grants, record.near_limit.grants),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.requests.iter_mut().zip(requests_of(record)) {
            *sum = sum.saturating_add(more);
        }
        record.gc.iter().for_each(|total| self.add_gc(total));
        self.add_routes(record);
    }

    fn add_gc(&mut self, total: &GcTotal) {
        let pause_ns = (total.pause_ms * 1e6).round() as u64;
        match self.gc.iter_mut().find(|gc| gc.kind == total.kind) {
            Some(gc) => {
                gc.count = gc.count.saturating_add(total.count);
                gc.pause_ns = gc.pause_ns.saturating_add(pause_ns);
                add_counts(&mut gc.buckets, &total.buckets);
            }
            None => {
                let (kind, buckets) = (total.kind.to_owned(), total.buckets.clone());
                self.gc.push(Gc { kind, count: total.count, pause_ns, buckets });
            }
        }
    }

    fn add_routes(&mut self, record: &Record) {
        let key = |method: &str, route: &str, status: &str| (method.to_owned(), route.to_owned(), status.to_owned());
        let known = self.routes.iter().enumerate();
        let mut rows: HashMap<_, usize> =
            known.map(|(index, row)| (key(&row.method, &row.route, &row.status), index)).collect();
        for stats in &record.routes {
            let full = self.routes.len() >= ROUTES_MAX;
            let mut of = key(&stats.method, &stats.route, stats.status);
            if full && !rows.contains_key(&of) {
                of = key("", "(other)", stats.status);
            }
            let index = *rows.entry(of.clone()).or_insert_with(|| {
                let (method, route, status) = of;
                self.routes.push(Row { method, route, status, ..Row::default() });
                self.routes.len() - 1
            });
            self.routes[index].add(stats);
        }
    }

    fn record(self) -> Record {
        let run = self.run();
        let ms = |us: u64| us as f64 / 1e3;
        let mut record = Record {
            name: self.name,
            entry: self.entry,
            run,
            served: true,
            internal_errors: self.internal_errors,
            ..Record::default()
        };
        record.boot_id = format!("{:032x}", run.boot_id);
        // No process has this pid, so the totals count as a process of their own.
        (record.process.cpu_user_ms, record.process.cpu_system_ms) = (ms(self.cpu_us.0), ms(self.cpu_us.1));
        record.heap.allocated_bytes = self.allocated;
        record.heap.attributed_bytes = self.attributed as i64;
        record.async_spans.whole_requests = self.whole;
        record.near_limit.grants = self.grants;
        let requests = &mut record.requests;
        [
            requests.total,
            requests.untracked,
            requests.limited,
            requests.shed,
            requests.shed_reported,
            requests.limit_reported,
            requests.over_budget,
            requests.too_slow,
            requests.body_bytes,
        ] = self.requests;
        record.gc = self.gc.into_iter().filter_map(Gc::total).collect();
        record.routes = self.routes.into_iter().filter_map(Row::stats).collect();
        record
    }
}

impl Gc {
    fn total(self) -> Option<GcTotal> {
        let kind = GcKind::ALL.into_iter().find(|kind| kind.name() == self.kind)?.name();
        Some(GcTotal { kind, count: self.count, pause_ms: self.pause_ns as f64 / 1e6, buckets: self.buckets })
    }
}

impl Row {
    fn add(&mut self, stats: &RouteStats) {
        self.aborted = self.aborted.saturating_add(stats.aborted);
        add_counts(&mut self.latency, &stats.latency_buckets);
        self.duration_ns.add(&stats.duration_ms, 1e6);
        self.heap.add(&stats.heap_bytes, 1.0);
        self.body.add(&stats.body_bytes, 1.0);
        self.response.add(&stats.response_bytes, 1.0);
    }

    fn stats(self) -> Option<RouteStats> {
        let status = (1..=5).map(|class| StatusClass::of(class * 100).name()).find(|name| *name == self.status)?;
        Some(RouteStats {
            method: self.method,
            route: self.route,
            status,
            count: self.duration_ns.count,
            aborted: self.aborted,
            latency_buckets: self.latency,
            duration_ms: self.duration_ns.distribution(1e6),
            heap_bytes: self.heap.distribution(1.0),
            body_bytes: self.body.distribution(1.0),
            response_bytes: self.response.distribution(1.0),
            ..RouteStats::default()
        })
    }
}

impl Sum {
    fn add(&mut self, distribution: &Distribution, per_unit: f64) {
        self.count = self.count.saturating_add(distribution.count);
        self.sum = self.sum.saturating_add((distribution.sum * per_unit).round() as i64);
        for bucket in &distribution.buckets {
            let bits = bucket.up_to.to_bits();
            match self.buckets.iter_mut().find(|(known, _)| *known == bits) {
                Some((_, count)) => *count = count.saturating_add(bucket.count),
                None => self.buckets.push((bits, bucket.count)),
            }
        }
    }

    fn distribution(&self, per_unit: f64) -> Distribution {
        let bucket = |(bits, count): &(u64, u64)| Bucket { up_to: f64::from_bits(*bits), count: *count, mean: 0.0 };
        let mut buckets: Vec<Bucket> = self.buckets.iter().map(bucket).collect();
        buckets.sort_by(|a, b| a.up_to.total_cmp(&b.up_to));
        Distribution { count: self.count, sum: self.sum as f64 / per_unit, buckets, ..Distribution::default() }
    }
}

fn cpu_us(record: &Record) -> (u64, u64) {
    let us = |ms: f64| (ms * 1e3).round() as u64;
    (us(record.process.cpu_user_ms), us(record.process.cpu_system_ms))
}

fn requests_of(record: &Record) -> [u64; 9] {
    let requests = &record.requests;
    [
        requests.total,
        requests.untracked,
        requests.limited,
        requests.shed,
        requests.shed_reported,
        requests.limit_reported,
        requests.over_budget,
        requests.too_slow,
        requests.body_bytes,
    ]
}

fn add_counts(into: &mut Vec<u64>, counts: &[u64]) {
    into.resize(into.len().max(counts.len()), 0);
    into.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
}
