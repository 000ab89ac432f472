//! What there is evidence of.

use super::{Writer, epoch_ms, gauge, write_row};
use crate::recorder::Severity;
use crate::recorder::layout::{FINDINGS, finding};
use crate::recorder::writer::UNKNOWN;

/// A finding as it is now; kind, route and origin together name it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub kind: &'a str,
    pub route: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub severity: Severity,
    /// Of a thousand requests of the route; none where it does not apply.
    pub per_thousand: Option<f64>,
    pub advice: &'a str,
}

impl Writer {
    /// Row `index` has been seen `times` more; its first sight gives it its name.
    pub fn finding(&self, index: usize, evidence: &Evidence, times: u64) {
        let now = epoch_ms();
        let per_thousand = evidence.per_thousand.map_or(UNKNOWN, |value| (value.max(0.0) * 1e6) as u64);
        write_row(&self.map, FINDINGS, index, |row| {
            if row.get(finding::COUNT) == 0 {
                row.set(finding::FIRST_SEEN, now);
                row.text(finding::KIND, evidence.kind);
                row.text(finding::ROUTE, evidence.route.unwrap_or(""));
                row.text(finding::ORIGIN, evidence.origin.unwrap_or(""));
            }
            row.add(finding::COUNT, times);
            row.set(finding::LAST_SEEN, now);
            row.set(finding::SEVERITY, evidence.severity as u64);
            row.set(finding::PER_THOUSAND_PPM, per_thousand);
            row.text(finding::ADVICE, evidence.advice);
            row.set(finding::WITHDRAWN_AT, 0);
        });
        self.used(gauge::FINDINGS_USED, index);
    }

    /// Gives row `index` another route and origin.
    pub fn locate_finding(&self, index: usize, evidence: &Evidence) {
        write_row(&self.map, FINDINGS, index, |row| {
            row.text(finding::ROUTE, evidence.route.unwrap_or(""));
            row.text(finding::ORIGIN, evidence.origin.unwrap_or(""));
            row.text(finding::ADVICE, evidence.advice);
            row.set(finding::LAST_SEEN, epoch_ms());
        });
    }

    /// What row `index` tells of has stopped; `advice` says what was wrong.
    pub fn withdraw_finding(&self, index: usize, advice: &str) {
        write_row(&self.map, FINDINGS, index, |row| {
            row.set(finding::SEVERITY, Severity::Info as u64);
            row.text(finding::ADVICE, advice);
            row.set(finding::WITHDRAWN_AT, epoch_ms());
        });
    }
}
