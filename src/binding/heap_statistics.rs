//! V8's heap statistics across N-API: Node's own figures, and the probe's.

use napi_derive::napi;

use super::environment::with;
use crate::probe::v8::{HeapStatistics, Round, unverified, versions};
use crate::recorder::writer::HeapFigures;

/// The result of `v8.getHeapStatistics()`, bytes.
#[napi(object)]
pub struct ReferenceHeapStatistics {
    pub total: f64,
    pub executable: f64,
    pub physical: f64,
    pub used: f64,
    pub limit: f64,
    pub malloced: f64,
    pub external: f64,
}

impl From<HeapStatistics> for ReferenceHeapStatistics {
    fn from(read: HeapStatistics) -> Self {
        let HeapStatistics { total, executable, physical, used, limit, malloced, external } = read;
        Self {
            total: total as f64,
            executable: executable as f64,
            physical: physical as f64,
            used: used as f64,
            limit: limit as f64,
            malloced: malloced as f64,
            external: external as f64,
        }
    }
}

impl ReferenceHeapStatistics {
    pub fn statistics(&self) -> HeapStatistics {
        HeapStatistics {
            total: self.total as u64,
            executable: self.executable as u64,
            physical: self.physical as u64,
            used: self.used as u64,
            limit: self.limit as u64,
            malloced: self.malloced as u64,
            external: self.external as u64,
        }
    }
}

/// The result of [`read_heap`], or the reason why there is none.
#[napi(object)]
pub struct HeapReading {
    pub figures: Option<ReferenceHeapStatistics>,
    pub reason: Option<String>,
}

/// A reading between two of `v8.getHeapStatistics()`.
#[napi(object)]
pub struct HeapRound {
    pub before: ReferenceHeapStatistics,
    pub read: ReferenceHeapStatistics,
    pub after: ReferenceHeapStatistics,
    /// Its other figures.
    pub others: Vec<f64>,
}
impl HeapRound {
    pub fn round(&self) -> Round {
        Round {
            before: self.before.statistics(),
            read: self.read.statistics(),
            after: self.after.statistics(),
            others: self.others.iter().map(|other| *other as u64).collect(),
        }
    }
}

impl ReferenceHeapStatistics {
    /// In the form of the record.
    pub fn figures(&self) -> HeapFigures {
        let HeapStatistics { total, executable, physical, used, limit, malloced, external } = self.statistics();
        HeapFigures { used, total, limit, external, malloced, executable, physical }
    }
}

/// V8's figures as the probe reads them, not verified yet. Nothing is read from a V8 that is not permitted. `v8`: the
/// text of `process.versions.v8`. `wish`: the value of `PLIMSOLL_PROBE`.
#[napi(catch_unwind)]
pub fn read_heap(v8: String, wish: Option<String>) -> HeapReading {
    match versions::permit(&v8, wish.as_deref()).and_then(|()| unverified()) {
        Ok(read) => HeapReading { figures: Some(read.into()), reason: None },
        Err(error) => HeapReading { figures: None, reason: Some(error.to_string()) },
    }
}

/// Bytes allocated on this heap since the start, by the exact probe. None without it.
#[napi(catch_unwind)]
pub fn allocated() -> Option<f64> {
    with(|environment| {
        let meter = environment.ledger.meter();
        meter.exact().then(|| meter.read().allocated as f64)
    })
    .flatten()
}

/// Turns the exact probe off: its figures failed a test.
#[napi(catch_unwind)]
pub fn disable_exact_probe(reason: String, heap: ReferenceHeapStatistics) {
    with(|environment| {
        environment.ledger.disable_exact_probe(heap.figures());
        environment.pressure.disarm(&reason);
        environment.reason = Some(reason);
    });
}

/// Without the exact probe: sets the heap figures before a span is entered or settled.
#[napi(catch_unwind)]
pub fn supply(heap: ReferenceHeapStatistics) {
    with(|environment| environment.ledger.supply(heap.figures()));
}
