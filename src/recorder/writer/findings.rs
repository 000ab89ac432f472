//! Writes findings.

use super::{Writer, epoch_ms, gauge, write_row};
use crate::recorder::Severity;
use crate::recorder::layout::{FINDINGS, LEAKS, finding, leak};
use crate::recorder::record::RouteBytes;
use crate::recorder::writer::UNKNOWN;

/// A finding as it is now. Kind, route and origin together identify it.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    pub kind: &'a str,
    pub route: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub severity: Severity,
    /// For a thousand requests of the route. None if it does not apply.
    pub per_thousand: Option<f64>,
    /// At most 1,024 bytes, 2,048 for a leak. Longer text is cut between words.
    pub advice: &'a str,
    /// It counts occurrences, of which nothing remains.
    pub momentary: bool,
    /// None for other findings than leaks.
    pub kept: Option<GrowthEvidence<'a>>,
}

/// For a leak: what a request leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrowthEvidence<'a> {
    /// Bytes with their interval of 95 %.
    pub bytes: Option<[f64; 3]>,
    /// Probability of such growth by chance.
    pub p: Option<f64>,
    /// The routes whose requests own it.
    pub routes: &'a [RouteBytes],
    pub holder: Option<&'a str>,
    pub added_by: Option<&'a str>,
    pub package: Option<&'a str>,
    pub hours_to_limit: Option<f64>,
    /// Class of the objects.
    pub class: Option<&'a str>,
    /// What retains them, root first. Empty if unknown.
    pub path: &'a [String],
}

impl Writer {
    /// Row `index` was seen `times` more. The first time sets its identity.
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
            row.prose(finding::ADVICE, evidence.advice);
            row.set(finding::WITHDRAWN_AT, 0);
        });
        self.used(gauge::FINDINGS_USED, index);
    }

    /// Sets another route and origin for row `index`.
    pub fn locate_finding(&self, index: usize, evidence: &Evidence) {
        write_row(&self.map, FINDINGS, index, |row| {
            row.text(finding::ROUTE, evidence.route.unwrap_or(""));
            row.text(finding::ORIGIN, evidence.origin.unwrap_or(""));
            row.prose(finding::ADVICE, evidence.advice);
            row.set(finding::LAST_SEEN, epoch_ms());
        });
    }

    /// Empties row `index` until it is written again.
    pub fn clear_finding(&self, index: usize) {
        write_row(&self.map, FINDINGS, index, |row| {
            row.set(finding::COUNT, 0);
            row.set(finding::LEAK, 0);
        });
    }

    /// The cause of row `index` has stopped. `advice` describes what was wrong.
    pub fn withdraw_finding(&self, index: usize, advice: &str) {
        write_row(&self.map, FINDINGS, index, |row| {
            row.set(finding::SEVERITY, Severity::Info as u64);
            row.prose(finding::ADVICE, advice);
            row.set(finding::WITHDRAWN_AT, epoch_ms());
        });
    }

    /// Writes the data of the finding in row `index`, which is leak number `leak`.
    pub fn leak(&self, leak: usize, index: usize, advice: &str, kept: &GrowthEvidence) {
        write_row(&self.map, LEAKS, leak, |row| {
            let [mean, low, high] = kept.bytes.unwrap_or([f64::NAN; 3]);
            let p = kept.p.unwrap_or(f64::NAN);
            for (word, value) in [(leak::BYTES, mean), (leak::LOW, low), (leak::HIGH, high), (leak::P, p)] {
                row.set(word, value.to_bits());
            }
            row.set(leak::HOURS, kept.hours_to_limit.unwrap_or(f64::NAN).to_bits());
            row.text(leak::ROUTES, &routes_text(kept.routes));
            row.text(leak::HOLDER, kept.holder.unwrap_or(""));
            row.text(leak::ADDED_BY, kept.added_by.unwrap_or(""));
            row.text(leak::PACKAGE, kept.package.unwrap_or(""));
            row.text(leak::CLASS, kept.class.unwrap_or(""));
            row.text(leak::PATH, &kept.path.join(leak::PATH_ARROW));
            row.prose(leak::ADVICE, advice);
        });
        write_row(&self.map, FINDINGS, index, |row| row.set(finding::LEAK, leak as u64 + 1));
    }
}

/// As many whole routes as there is room for.
fn routes_text(routes: &[RouteBytes]) -> String {
    const ROOM: usize = (leak::ROUTES.words - 1) * 8;
    let mut text = String::new();
    for RouteBytes { route, bytes_per_request, low, high } in routes {
        let separator = if text.is_empty() { "" } else { leak::ROUTE_SEPARATOR };
        let route = route.replace(leak::ROUTE_SEPARATOR, " ");
        let next = format!("{separator}{bytes_per_request} {low} {high} {route}");
        if text.len() + next.len() > ROOM {
            break;
        }
        text += &next;
    }
    text
}
