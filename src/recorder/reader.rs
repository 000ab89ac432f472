//! The reading side: from words (of any file, or of this process's own map) to plain data.
//!
//! The input is not trusted: counts are limited to the tables' sizes, strings to their fields, kinds to known ones. A
//! truncated, corrupt or foreign file causes an error or odd figures, but never a panic, and never needs more memory
//! than a record.

pub mod outlook;
mod rows;

use std::collections::HashMap;
use std::sync::atomic::{Ordering::*, fence};

use thiserror::Error;

use super::layout::{
    BLOCKED_BY, EVENTS, FINDINGS, GC_TOTALS, GCS, GcKind, LABEL_TEXT, LABELS, LAYER_ROWS, LAYERS, LEAKS, LIVES, MAGIC,
    METHOD_TEXT, METHODS, Quantity, ROUTES, SAMPLER_EVENTS, SAMPLES, SLOTS, STOP, TRENDS, Table, Text, VERSION,
    WINDOW_LIVES, WINDOW_ROWS, WINDOWS, WORDS, finding, gauge, header, layer, layer_row, route, slot,
};
use super::map::Map;
use super::record::{
    AsyncSpans, Cgroup, Counts, EventLoop, Finding, Heap, InFlight, LayerStats, Live, Native, NearLimit, Process,
    Record, Requests, RouteStats, Trend, Trends,
};
use super::writer::{Run, row_of};
use outlook::Present;
use rows::{
    Names, blocked_by_of, collection_of, event_of, exit_of, finding_of, gc_total_of, in_flight_of, known, leak_of,
    live_of, ms, pressure_of, route_stats, sample_of, stop_of, text, trend_of,
};

/// How often a row that is being written is read again before it counts as torn.
const RETRIES: usize = 64;

#[derive(Debug, Error)]
pub enum ReadError {
    #[error("not a record of Plimsoll: its signature is missing")]
    Foreign,
    #[error(
        "a record of layout {found} ({words} words), written by another version of Plimsoll; this version reads layout {VERSION} ({WORDS} words)"
    )]
    Version { found: u64, words: u64 },
    #[error("truncated: {found} bytes, a record has {}", WORDS * 8)]
    Truncated { found: u64 },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A source of words.
pub trait Source {
    /// Fills `out` with the words from `first` on.
    fn read(&self, first: usize, out: &mut [u64]) -> Result<(), ReadError>;
}

impl Source for Map {
    fn read(&self, first: usize, out: &mut [u64]) -> Result<(), ReadError> {
        // Acquire on the first word and the fence after the rest order this against the writer's sequence numbers.
        let words = &self.words()[first..first + out.len()];
        for (index, (out, word)) in out.iter_mut().zip(words).enumerate() {
            *out = word.load(if index == 0 { Acquire } else { Relaxed });
        }
        fence(Acquire);
        Ok(())
    }
}

impl Source for [u8] {
    fn read(&self, first: usize, out: &mut [u64]) -> Result<(), ReadError> {
        let bytes =
            self.get(first * 8..(first + out.len()) * 8).ok_or(ReadError::Truncated { found: self.len() as u64 })?;
        for (out, chunk) in out.iter_mut().zip(bytes.chunks_exact(8)) {
            *out = u64::from_ne_bytes(chunk.try_into().expect("eight bytes"));
        }
        Ok(())
    }
}

#[cfg(unix)]
impl Source for std::fs::File {
    fn read(&self, first: usize, out: &mut [u64]) -> Result<(), ReadError> {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; out.len() * 8];
        match self.read_exact_at(&mut bytes, first as u64 * 8) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(ReadError::Truncated { found: self.metadata()?.len() });
            }
            other => other?,
        }
        bytes.as_slice().read(0, out)
    }
}

/// The request in flight with this handle, if it still is.
pub fn slot<S: Source + ?Sized>(source: &S, handle: u64) -> Result<Option<InFlight>, ReadError> {
    let mut reader = open(source)?;
    let (row, torn) = reader.row(SLOTS, handle as usize % SLOTS.rows)?;
    if handle == 0 || row[slot::HANDLE] != handle {
        return Ok(None);
    }
    let names = Names {
        methods: reader.texts(METHODS, METHOD_TEXT, gauge::METHODS_USED)?,
        labels: reader.texts(LABELS, LABEL_TEXT, gauge::LABELS_USED)?,
    };
    Ok(Some(in_flight_of(&row, torn, &names, handle)))
}

/// The live heap after major collections, in windows: the finest first, each with the oldest first and at most 64
/// points. Each point of the next window represents twice as many collections. The warm-up is left out.
pub fn windows<S: Source + ?Sized>(source: &S) -> Result<Vec<Vec<Live>>, ReadError> {
    let mut reader = open(source)?;
    let points = reader.head[gauge::WINDOWS_NEXT];
    let mut windows = Vec::new();
    for window in 0..WINDOWS {
        if points >> window == 0 {
            break;
        }
        windows.push(reader.window(window)?);
    }
    Ok(windows)
}

/// The trend of one quantity. None before the first verdict.
pub fn trend<S: Source + ?Sized>(source: &S, quantity: Quantity) -> Option<Trend> {
    let (row, torn) = open(source).ok()?.row(TRENDS, quantity as usize).ok()?;
    if torn { None } else { trend_of(&row) }
}

/// The counts of the process. None before they were counted.
pub fn counts<S: Source + ?Sized>(source: &S) -> Option<Counts> {
    let head = open(source).ok()?.head;
    let [descriptors, clients] = [gauge::OPEN_FDS, gauge::CLIENTS].map(|word| head[word]);
    let descriptors = Some(descriptors).filter(|open| *open > 0).map(|open| open.saturating_sub(clients));
    let [timers, workers, children] = [gauge::TIMERS, gauge::WORKERS, gauge::CHILDREN].map(|word| Some(head[word]));
    (head[gauge::COUNTED_AT] > 0).then_some(Counts {
        at: head[gauge::HEARTBEAT_AT],
        requests: head[gauge::REQUESTS_TOTAL],
        connections: head[gauge::CONNECTIONS_TOTAL],
        in_flight: head[gauge::REQUESTS_IN_FLIGHT],
        clients,
        counts: [descriptors, timers, workers, children],
    })
}

/// Open descriptors and their limit. 0 if unknown.
pub fn descriptors<S: Source + ?Sized>(source: &S) -> (u64, u64) {
    open(source).map_or((0, 0), |reader| (reader.head[gauge::OPEN_FDS], reader.head[gauge::MAX_FDS]))
}

/// Whether the sampler thread finds this count suspicious, by its index in [`Counts`].
pub fn is_suspicious<S: Source + ?Sized>(source: &S, count: usize) -> bool {
    open(source).is_ok_and(|reader| reader.head[gauge::SUSPICIOUS_COUNTS] & (1 << count) != 0)
}

/// The finding in one row.
pub fn finding<S: Source + ?Sized>(source: &S, index: usize) -> Option<Finding> {
    open(source).ok()?.finding(index).ok()?
}

/// The figures that the outlook of a trend needs.
fn present<S: Source + ?Sized>(source: &S) -> Result<Present, ReadError> {
    Ok(open(source)?.present())
}

/// Number of requests tracked so far.
pub fn requests<S: Source + ?Sized>(source: &S) -> u64 {
    let mut requests = [0];
    match source.read(gauge::REQUESTS_TOTAL, &mut requests) {
        Ok(()) => requests[0],
        Err(_) => 0,
    }
}

/// The live heap at the last major collection. 0 before the first.
pub fn live_bytes<S: Source + ?Sized>(source: &S) -> u64 {
    let mut live = [0];
    source.read(gauge::HEAP_LIVE, &mut live).ok().and_then(|()| known(live[0])).unwrap_or(0)
}

/// Requests, or connections if there are more: what memory can grow with.
pub fn work<S: Source + ?Sized>(source: &S) -> u64 {
    let mut connections = [0];
    match source.read(gauge::CONNECTIONS_TOTAL, &mut connections) {
        Ok(()) => requests(source).max(connections[0]),
        Err(_) => 0,
    }
}

/// Number of points ever added to the finest window. The trend must be judged again only when there is a new one.
pub fn points<S: Source + ?Sized>(source: &S) -> Result<u64, ReadError> {
    let mut points = [0];
    source.read(gauge::WINDOWS_NEXT, &mut points)?;
    Ok(points[0])
}

struct Reader<'a, S: Source + ?Sized> {
    source: &'a S,
    /// Header and gauges, read once.
    head: Vec<u64>,
    stop: u64,
    torn: u32,
}

/// Reads the whole record. `alive` and `path` are not part of it: `files` sets them.
pub fn read<S: Source + ?Sized>(source: &S) -> Result<Record, ReadError> {
    open(source)?.record()
}

/// Reads only the header, the gauges and the totals of collections. The lists of the record stay empty. Cheap enough
/// for any interval.
pub fn read_head<S: Source + ?Sized>(source: &S) -> Result<Record, ReadError> {
    open(source)?.head_record()
}

fn open<S: Source + ?Sized>(source: &S) -> Result<Reader<'_, S>, ReadError> {
    let mut head = vec![0; METHODS.start];
    source.read(header::MAGIC, &mut head[..1]).map_err(|error| match error {
        ReadError::Truncated { .. } => ReadError::Foreign,
        other => other,
    })?;
    if head[header::MAGIC] != MAGIC {
        return Err(ReadError::Foreign);
    }
    source.read(0, &mut head[..header::END])?;
    if head[header::VERSION] != VERSION || head[header::WORDS] != WORDS as u64 {
        return Err(ReadError::Version { found: head[header::VERSION], words: head[header::WORDS] });
    }
    let mut stop = [0];
    // The word is near the end of the file, so a truncated file fails here.
    source.read(STOP, &mut stop)?;
    source.read(0, &mut head)?;
    Ok(Reader { source, head, stop: stop[0], torn: 0 })
}

impl<'a, S: Source + ?Sized> Reader<'a, S> {
    /// A consistent row, or its last reading with `true` for torn.
    fn row(&mut self, table: Table, index: usize) -> Result<(Vec<u64>, bool), ReadError> {
        let mut row = vec![0; table.row_words];
        let mut sequence = [0];
        for _ in 0..RETRIES {
            self.source.read(table.row(index), &mut row)?;
            self.source.read(table.row(index), &mut sequence)?;
            if row[0] == sequence[0] && row[0] & 1 == 0 {
                return Ok((row, false));
            }
            std::thread::yield_now();
        }
        self.torn += 1;
        Ok((row, true))
    }

    /// The points of one window, oldest first.
    fn window(&mut self, window: usize) -> Result<Vec<Live>, ReadError> {
        let next = self.head[gauge::WINDOWS_NEXT] >> window;
        let mut lives = Vec::new();
        for index in next.saturating_sub(WINDOW_ROWS as u64)..next {
            let (row, torn) = self.row(WINDOW_LIVES, row_of(window, index))?;
            if !torn {
                lives.push(live_of(&row));
            }
        }
        Ok(lives)
    }

    /// The figures that the outlook of a trend needs.
    fn present(&self) -> Present {
        let head = &self.head;
        Present {
            uptime_ms: head[gauge::HEARTBEAT_AT].saturating_sub(head[header::STARTED_AT]),
            work: head[gauge::REQUESTS_TOTAL].max(head[gauge::CONNECTIONS_TOTAL]),
            points: head[gauge::WINDOWS_NEXT],
            live_bytes: known(head[gauge::HEAP_LIVE]).unwrap_or(0),
            heap_limit_bytes: head[gauge::HEAP_LIMIT],
            rss_bytes: head[gauge::RSS],
            memory_limit_bytes: known(head[gauge::CGROUP_LIMIT]).filter(|limit| *limit > 0),
        }
    }

    /// The rows of a ring, oldest first. Torn ones are left out.
    fn ring<T>(&mut self, table: Table, next: usize, read: impl Fn(&[u64]) -> T) -> Result<Vec<T>, ReadError> {
        let next = self.head[next];
        let rows = table.rows as u64;
        let mut out = Vec::new();
        for at in next.saturating_sub(rows)..next {
            let (row, torn) = self.row(table, (at % rows) as usize)?;
            if !torn && row[0] != 0 {
                out.push(read(&row));
            }
        }
        Ok(out)
    }

    /// The finding in one row. None if it is empty or torn.
    fn finding(&mut self, index: usize) -> Result<Option<Finding>, ReadError> {
        let (row, torn) = self.row(FINDINGS, index)?;
        if torn || row[finding::COUNT] == 0 { Ok(None) } else { self.with_leak(&row).map(Some) }
    }

    fn with_leak(&mut self, row: &[u64]) -> Result<Finding, ReadError> {
        let finding = finding_of(row);
        let leak = (row[finding::LEAK] as usize).checked_sub(1).filter(|leak| *leak < LEAKS.rows);
        let Some(leak) = leak else { return Ok(finding) };
        let (row, torn) = self.row(LEAKS, leak)?;
        Ok(if torn { finding } else { leak_of(&row, finding) })
    }

    fn texts(&self, table: Table, field: Text, used: usize) -> Result<Vec<String>, ReadError> {
        let mut row = vec![0; table.row_words];
        (0..(self.head[used] as usize).min(table.rows))
            .map(|index| {
                self.source.read(table.row(index), &mut row)?;
                Ok(text(&row, field))
            })
            .collect()
    }

    fn record(mut self) -> Result<Record, ReadError> {
        let names = Names {
            methods: self.texts(METHODS, METHOD_TEXT, gauge::METHODS_USED)?,
            labels: self.texts(LABELS, LABEL_TEXT, gauge::LABELS_USED)?,
        };

        let mut in_flight = Vec::new();
        let running = self.head[gauge::RUNNING];
        for index in 0..(self.head[gauge::SLOTS_USED] as usize).min(SLOTS.rows) {
            let (row, torn) = self.row(SLOTS, index)?;
            if row[slot::HANDLE] != 0 {
                in_flight.push(in_flight_of(&row, torn, &names, running));
            }
        }
        in_flight.sort_by_key(|request| request.started_at);

        let mut layers = self.layers()?;
        let mut routes = Vec::new();
        for index in 0..(self.head[gauge::ROUTES_USED] as usize).min(ROUTES.rows) {
            // A row whose writer was killed during the write is complete but for parts of one request. Without it,
            // counters would fall.
            let (row, _) = self.row(ROUTES, index)?;
            if row[route::COUNT] > 0 {
                let stats = route_stats(&row, names.method(row[route::METHOD]), names.label(row[route::LABEL]));
                routes.push(RouteStats { layers: layers.remove(&index).unwrap_or_default(), ..stats });
            }
        }

        let samples = self.ring(SAMPLES, gauge::SAMPLES_NEXT, sample_of)?;
        let collections = self.ring(GCS, gauge::GC_NEXT, collection_of)?;
        let mut findings = Vec::new();
        for index in 0..(self.head[gauge::FINDINGS_USED] as usize).min(FINDINGS.rows) {
            findings.extend(self.finding(index)?);
        }

        let live_history = self.ring(LIVES, gauge::LIVE_NEXT, live_of)?;
        let mut events = self.ring(EVENTS, gauge::EVENTS_NEXT, event_of)?;
        events.extend(self.ring(SAMPLER_EVENTS, gauge::SAMPLER_EVENTS_NEXT, event_of)?);
        events.sort_by_key(|event| event.at);

        let [heap, external, native] = Quantity::ALL.map(|quantity| self.row(TRENDS, quantity as usize));
        let verdict = |(row, torn): (Vec<u64>, bool)| if torn { None } else { trend_of(&row) };
        let mut trend = Trends { heap: verdict(heap?), external: verdict(external?), native: verdict(native?) };
        let (now, recent) = (self.present(), self.window(0)?);
        trend.each_mut().for_each(|(quantity, trend)| outlook::add(trend, quantity, &now, &recent));

        let head = self.head_record()?;
        Ok(Record {
            trend,
            torn_rows: self.torn,
            in_flight,
            samples,
            collections,
            live_history,
            routes,
            events,
            findings,
            ..head
        })
    }

    /// What the layers have used, by row of their route, the heaviest first.
    fn layers(&mut self) -> Result<HashMap<usize, Vec<LayerStats>>, ReadError> {
        let names = self.texts(LAYERS, layer::NAME, gauge::LAYERS_USED)?;
        let origins = self.texts(LAYERS, layer::ORIGIN, gauge::LAYERS_USED)?;
        let named = |texts: &[String], index: u64| texts.get(index as usize).cloned().unwrap_or_default();
        let mut layers: HashMap<usize, Vec<LayerStats>> = HashMap::new();
        for index in 0..(self.head[gauge::LAYER_ROWS_USED] as usize).min(LAYER_ROWS.rows) {
            let (row, torn) = self.row(LAYER_ROWS, index)?;
            let (route, count) = (row[layer_row::ROUTE], row[layer_row::COUNT]);
            if torn || route == 0 || count == 0 {
                continue;
            }
            let (heap, time) = (row[layer_row::HEAP_SUM] as i64, ms(row[layer_row::TIME_NS]));
            layers.entry(route as usize - 1).or_default().push(LayerStats {
                name: named(&names, row[layer_row::LAYER]),
                origin: Some(named(&origins, row[layer_row::LAYER])).filter(|origin| !origin.is_empty()),
                count,
                heap_bytes: heap,
                heap_mean_bytes: heap as f64 / row[layer_row::HEAP_COUNT].max(1) as f64,
                time_ms: time,
                time_mean_ms: time / count as f64,
            });
        }
        for layers in layers.values_mut() {
            layers.sort_by_key(|layer| std::cmp::Reverse(layer.heap_bytes));
        }
        Ok(layers)
    }

    fn head_record(&mut self) -> Result<Record, ReadError> {
        let gc = GcKind::ALL
            .into_iter()
            .map(|kind| self.row(GC_TOTALS, kind as usize).map(|(row, _)| gc_total_of(kind, &row)));
        let gc = gc.collect::<Result<_, _>>()?;

        let (blocked_by, torn) = self.row(BLOCKED_BY, 0)?;
        let blocked_by = if torn { None } else { blocked_by_of(&blocked_by) };

        let head = &self.head;
        let boot_id = u128::from(head[header::BOOT_ID]) << 64 | u128::from(head[header::BOOT_ID + 1]);
        Ok(Record {
            pid: head[header::PID] as u32,
            alive: false,
            started_at: head[header::STARTED_AT],
            last_heartbeat: head[gauge::HEARTBEAT_AT],
            blocked_ms: ms(head[gauge::BLOCKED_NS]),
            name: text(head, header::NAME),
            thread: head[header::THREAD],
            path: None,
            script: text(head, header::SCRIPT),
            node_version: text(head, header::NODE_VERSION),
            platform: text(head, header::PLATFORM),
            boot_id: format!("{boot_id:032x}"),
            process_start_ticks: head[header::PROCESS_START_TICKS],
            exit: exit_of(head).or_else(|| stop_of(self.stop, head)),
            entry: head[header::ENTRY],
            run: Run { pid: head[header::RUN_PID] as u32, ticks: head[header::RUN_TICKS], boot_id },
            served: head[header::SERVED] != 0 || head[gauge::REQUESTS_TOTAL] != 0,
            reported: head[header::REPORTED] != 0,
            mirrored: head[header::MIRRORED] != 0,
            torn_rows: self.torn,
            process: Process {
                rss_bytes: head[gauge::RSS],
                cpu_user_ms: head[gauge::CPU_USER_US] as f64 / 1e3,
                cpu_system_ms: head[gauge::CPU_SYSTEM_US] as f64 / 1e3,
                open_fds: head[gauge::OPEN_FDS],
                max_fds: head[gauge::MAX_FDS],
            },
            heap: Heap {
                used_bytes: head[gauge::HEAP_USED],
                total_bytes: head[gauge::HEAP_TOTAL],
                limit_bytes: head[gauge::HEAP_LIMIT],
                external_bytes: head[gauge::EXTERNAL],
                malloced_bytes: head[gauge::MALLOCED],
                physical_bytes: head[gauge::HEAP_PHYSICAL],
                live_bytes: known(head[gauge::HEAP_LIVE]),
                live_at: known(head[gauge::HEAP_LIVE]).map(|_| head[gauge::HEAP_LIVE_AT]),
                allocated_bytes: head[gauge::ALLOCATED],
                attributed_bytes: head[gauge::ATTRIBUTED] as i64,
                uncertain_requests: head[gauge::HEAP_UNCERTAIN],
                exact: head[gauge::EXACT] != 0,
                at: head[gauge::PUBLISHED_AT],
            },
            native: match known(head[gauge::NATIVE_ALLOCATED]) {
                None => Native::default(),
                Some(allocated_bytes) => Native {
                    supported: true,
                    allocated_bytes,
                    active_bytes: head[gauge::NATIVE_ACTIVE],
                    resident_bytes: head[gauge::NATIVE_RESIDENT],
                },
            },
            cgroup: Cgroup {
                limit_bytes: known(head[gauge::CGROUP_LIMIT]),
                used_bytes: known(head[gauge::CGROUP_USED]),
                oom_kills_at_start: known(head[header::CGROUP_OOM_KILLS]),
            },
            event_loop: EventLoop {
                last_tick: head[gauge::LOOP_TICK_AT],
                lag_ms: ms(head[gauge::LOOP_LAG_NS]),
                utilization: head[gauge::LOOP_UTILIZATION_PPM] as f64 / 1e6,
                longest_block_ms: ms(head[gauge::BLOCKED_MAX_NS]),
                blocked_slot: head[gauge::BLOCKED_SLOT],
                blocked_by,
            },
            async_spans: AsyncSpans {
                share: head[gauge::WINDOW_SHARE_PPM] as f64 / 1e6,
                cost: head[gauge::WINDOW_COST_PPM] as f64 / 1e6,
                whole_requests: head[gauge::REQUESTS_WHOLE],
            },
            requests: Requests {
                total: head[gauge::REQUESTS_TOTAL],
                in_flight: head[gauge::REQUESTS_IN_FLIGHT],
                untracked: head[gauge::REQUESTS_UNTRACKED],
                limited: head[gauge::REQUESTS_LIMITED],
                shed: head[gauge::REQUESTS_SHED],
                shed_reported: head[gauge::SHED_REPORTED],
                limit_reported: head[gauge::LIMIT_REPORTED],
                over_budget: head[gauge::OVER_BUDGET],
                too_slow: head[gauge::TOO_SLOW],
                body_held_bytes: head[gauge::BODY_HELD],
                body_bytes: head[gauge::BODY_BYTES],
            },
            pressure: pressure_of(head),
            near_limit: NearLimit {
                grants: head[gauge::NEAR_LIMIT_GRANTS],
                at: Some(head[gauge::NEAR_LIMIT_AT]).filter(|at| *at > 0),
            },
            gc,
            internal_errors: head[gauge::INTERNAL_ERRORS],
            ..Record::default()
        })
    }
}
