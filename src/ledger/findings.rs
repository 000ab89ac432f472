//! Assigns rows to findings, by kind, route and origin, up to a bound.

use std::collections::HashMap;

use crate::recorder::record::Finding;
use crate::recorder::writer::{Evidence, Writer};
use crate::recorder::{FINDINGS_MAX, LEAKS_MAX, Severity, reader};

/// Occurrences have stopped if there was none for this time, and for this number of requests of their route.
const QUIET_MS: u64 = 60 * 60_000;
const QUIET_REQUESTS: u64 = 1_000;
const CHECK_MS: u64 = 60_000;

#[derive(Default)]
pub struct Findings {
    rows: HashMap<Box<str>, Row>,
    leaks: u16,
    checked_ms: u64,
}

struct Row {
    index: u16,
    withdrawn: bool,
    /// For occurrences: since when there was none, as far as is known, and the route's requests then. None if there was
    /// one since the last check.
    quiet: Option<(u64, u64)>,
    momentary: bool,
    /// Its row among the leaks. None for other findings, and beyond the bound.
    leak: Option<u16>,
}

impl Findings {
    /// Counts a finding `times` more. True when it is new, or seen again after it was withdrawn.
    pub fn see(&mut self, writer: &Writer, evidence: &Evidence, times: u64) -> bool {
        let key = key(evidence);
        if let Some(row) = self.rows.get_mut(key.as_str()) {
            writer.finding(usize::from(row.index), evidence, times);
            row.keep(&mut self.leaks, writer, evidence);
            row.quiet = None;
            return std::mem::take(&mut row.withdrawn);
        }
        let row = self.rows.len();
        // Some rows are reserved for leaks: they matter most, and are found late.
        let reserved = if evidence.kept.is_some() { 0 } else { LEAKS_MAX - usize::from(self.leaks) };
        if row >= FINDINGS_MAX - reserved {
            let advice = "the record has no room for more findings. Resolve the findings above first";
            let other = Evidence {
                kind: "(other)",
                route: None,
                origin: None,
                severity: Severity::Info,
                per_thousand: None,
                advice,
                momentary: false,
                kept: None,
            };
            writer.finding(FINDINGS_MAX, &other, times);
            return false;
        }
        writer.finding(row, evidence, times);
        let momentary = evidence.momentary;
        let mut row = Row { index: row as u16, withdrawn: false, quiet: None, momentary, leak: None };
        row.keep(&mut self.leaks, writer, evidence);
        self.rows.insert(key.into(), row);
        true
    }

    /// More is known of a finding: its row has another route and origin from now on. If that finding exists already, it
    /// continues in its own row. False if the finding does not exist, or is withdrawn.
    pub fn locate(&mut self, writer: &Writer, found: &Evidence, located: &Evidence) -> bool {
        let known = self.rows.contains_key(key(located).as_str());
        let Some(row) = self.rows.get_mut(key(found).as_str()).filter(|row| !row.withdrawn) else { return false };
        if known {
            // Its own row is empty until the same is found without a call site again.
            row.withdrawn = true;
            writer.clear_finding(usize::from(row.index));
            self.see(writer, located, 1);
            return true;
        }
        let Some(mut row) = self.rows.remove(key(found).as_str()) else { return false };
        writer.locate_finding(usize::from(row.index), located);
        row.keep(&mut self.leaks, writer, located);
        self.rows.insert(key(located).into(), row);
        true
    }

    /// The cause of a finding has stopped. The evidence's advice describes what was wrong. False if it does not exist,
    /// or is withdrawn already.
    pub fn withdraw(&mut self, writer: &Writer, evidence: &Evidence) -> bool {
        let Some(row) = self.rows.get_mut(key(evidence).as_str()).filter(|row| !row.withdrawn) else { return false };
        row.withdrawn = true;
        writer.withdraw_finding(usize::from(row.index), evidence.advice);
        row.keep(&mut self.leaks, writer, evidence);
        true
    }

    /// The finding as the record has it.
    pub fn read(&self, writer: &Writer, evidence: &Evidence) -> Option<Finding> {
        let row = self.rows.get(key(evidence).as_str())?;
        reader::finding(&**writer.map(), usize::from(row.index))
    }

    /// Withdraws findings of occurrences that have stopped, and returns them. `requests_of`: the number of requests of
    /// a route, or of all without a name. Does something once a minute.
    pub fn withdraw_past(
        &mut self,
        writer: &Writer,
        now_ms: u64,
        requests_of: impl Fn(Option<&str>) -> u64,
    ) -> Vec<Finding> {
        if now_ms < self.checked_ms + CHECK_MS {
            return Vec::new();
        }
        self.checked_ms = now_ms;
        let momentary = self.rows.values_mut().filter(|row| row.momentary && !row.withdrawn);
        let past = momentary.filter_map(|row| {
            let finding = reader::finding(&**writer.map(), usize::from(row.index))?;
            let requests = requests_of(finding.route.as_deref());
            let (since_ms, since_requests) = *row.quiet.get_or_insert((now_ms, requests));
            if now_ms < since_ms + QUIET_MS || requests < since_requests + QUIET_REQUESTS {
                return None;
            }
            row.withdrawn = true;
            let hours = (now_ms - since_ms) as f64 / 3.6e6;
            let requests = requests - since_requests;
            let advice = format!("none in the last {requests} requests ({hours:.1} h). Before: {}", finding.advice);
            writer.withdraw_finding(usize::from(row.index), &advice);
            reader::finding(&**writer.map(), usize::from(row.index))
        });
        past.collect()
    }
}

impl Row {
    fn keep(&mut self, leaks: &mut u16, writer: &Writer, evidence: &Evidence) {
        let Some(kept) = &evidence.kept else { return };
        if self.leak.is_none() && usize::from(*leaks) < LEAKS_MAX {
            self.leak = Some(*leaks);
            *leaks += 1;
        }
        if let Some(leak) = self.leak {
            writer.leak(usize::from(leak), usize::from(self.index), evidence.advice, kept);
        }
    }
}

fn key(evidence: &Evidence) -> String {
    [evidence.kind, evidence.route.unwrap_or(""), evidence.origin.unwrap_or("")].join("\0")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::map::Map;
    use crate::recorder::reader;
    use crate::recorder::record::RouteBytes;
    use crate::recorder::writer::{GrowthEvidence, Identity};

    fn evidence<'a>(route: &'a str, advice: &'a str) -> Evidence<'a> {
        Evidence {
            kind: "large-response",
            route: Some(route),
            origin: Some("src/report.js:7"),
            severity: Severity::Warning,
            per_thousand: Some(12.5),
            advice,
            momentary: true,
            kept: None,
        }
    }

    #[test]
    fn a_finding_is_one_row_however_often_it_is_seen() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        assert!(findings.see(&writer, &evidence("/a", "stream it"), 1));
        assert!(!findings.see(&writer, &evidence("/a", "really, stream it"), 2));
        assert!(findings.see(&writer, &evidence("/b", "stream it"), 1));
        let record = reader::read(&**writer.map()).unwrap();
        let [first, second] = &record.findings[..] else { panic!("{:?}", record.findings) };
        assert_eq!((first.route.as_deref(), first.count, first.per_thousand), (Some("/a"), 3, Some(12.5)));
        assert_eq!((first.severity, first.advice.as_str()), ("warning", "really, stream it"));
        assert_eq!((first.kind.as_str(), first.origin.as_deref()), ("large-response", Some("src/report.js:7")));
        assert!(first.first_seen <= first.last_seen && first.first_seen > 0);
        assert_eq!((second.route.as_deref(), second.count), (Some("/b"), 1));
    }

    #[test]
    fn what_has_stopped_is_withdrawn_once_and_found_anew_when_it_comes_back() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        let row = || reader::read(&**writer.map()).unwrap().findings.remove(0);
        assert!(!findings.withdraw(&writer, &evidence("/a", "never found")));
        findings.see(&writer, &evidence("/a", "stream it"), 1);
        assert_eq!(row().withdrawn_at, None);
        assert!(findings.withdraw(&writer, &evidence("/a", "was not streamed")));
        assert!(!findings.withdraw(&writer, &evidence("/a", "again")));
        let withdrawn = row();
        assert_eq!((withdrawn.severity, withdrawn.advice.as_str()), ("info", "was not streamed"));
        assert!(withdrawn.withdrawn_at.is_some_and(|at| at >= withdrawn.last_seen));
        assert!(findings.see(&writer, &evidence("/a", "stream it"), 1), "reported again");
        let again = row();
        assert_eq!((again.severity, again.count, again.withdrawn_at), ("warning", 2, None));
    }

    #[test]
    fn occurrences_are_withdrawn_once_there_are_none_for_long_and_over_many_requests() {
        const MINUTE: u64 = 60_000;
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        findings.see(&writer, &evidence("/idle", "stream it"), 1);
        findings.see(&writer, &evidence("/busy", "stream it"), 1);
        let remains = Evidence { momentary: false, ..evidence("/left", "close it") };
        findings.see(&writer, &remains, 1);
        // `/busy` has ten requests a minute, of which the one after half an hour is large. `/idle` has none.
        let mut withdrawn = Vec::new();
        for minute in 0..600 {
            if minute == 30 {
                assert!(!findings.see(&writer, &evidence("/busy", "stream it"), 1));
            }
            let requests = |route: Option<&str>| if route == Some("/idle") { 0 } else { minute * 10 };
            let now = findings.withdraw_past(&writer, minute * MINUTE, requests);
            withdrawn.extend(now.into_iter().map(|finding| (minute, finding)));
        }
        let [(minute, finding)] = &withdrawn[..] else { panic!("{withdrawn:?}") };
        assert_eq!((*minute, finding.route.as_deref()), (130, Some("/busy")));
        assert!(finding.withdrawn_at.is_some() && finding.severity == "info");
        assert_eq!(finding.advice, "none in the last 1000 requests (1.7 h). Before: stream it");
        assert!(findings.see(&writer, &evidence("/busy", "stream it"), 1), "reported again");
        assert_eq!(findings.read(&writer, &evidence("/busy", "")).unwrap().withdrawn_at, None);
    }

    #[test]
    fn what_is_located_keeps_its_row_and_its_history() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        let somewhere = Evidence { route: None, origin: None, ..evidence("", "it grows") };
        assert!(!findings.locate(&writer, &somewhere, &evidence("/a", "never found")));
        findings.see(&writer, &somewhere, 1);
        let first_seen = reader::read(&**writer.map()).unwrap().findings[0].first_seen;
        assert!(findings.locate(&writer, &somewhere, &evidence("/a", "it grows there")));
        assert!(!findings.see(&writer, &evidence("/a", "it grows there"), 1), "it is known by its new name");
        let record = reader::read(&**writer.map()).unwrap();
        let [row] = &record.findings[..] else { panic!("{:?}", record.findings) };
        assert_eq!((row.route.as_deref(), row.origin.as_deref()), (Some("/a"), Some("src/report.js:7")));
        assert_eq!((row.count, row.first_seen, row.advice.as_str()), (2, first_seen, "it grows there"));
    }

    #[test]
    fn what_comes_back_somewhere_and_is_located_where_it_was_goes_on_in_that_row() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        let somewhere = Evidence { route: None, origin: None, ..evidence("", "it grows") };
        let located = evidence("/a", "it grows there");
        for time in 0..3 {
            assert!(findings.see(&writer, &somewhere, 1), "reported anew");
            assert!(findings.locate(&writer, &somewhere, &located));
            assert!(!findings.see(&writer, &located, 1), "it is known by that name");
            let rows = reader::read(&**writer.map()).unwrap().findings;
            let [row] = &rows[..] else { panic!("{rows:?}") };
            assert_eq!(row.withdrawn_at, None);
            assert_eq!((row.route.as_deref(), row.advice.as_str()), (Some("/a"), "it grows there"));
            assert_eq!((rows.len(), row.count), (1, 2 + 2 * time));
            assert!(!findings.locate(&writer, &somewhere, &located), "it is nowhere else");
            assert!(findings.withdraw(&writer, &evidence("/a", "it grew")));
        }
    }

    #[test]
    fn the_row_has_the_class_and_the_path_of_a_leak() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        findings.see(&writer, &evidence("/a", "it grows"), 1);
        let row = || reader::read(&**writer.map()).unwrap().findings.remove(0);
        assert_eq!((row().class, row().path, row().bytes_per_request, row().p), (None, None, None, None));
        let path = ["global", "module src/users.js", "cache: Map", "Session"].map(str::to_owned);
        let bytes = |route: &str, bytes_per_request| RouteBytes {
            route: route.to_owned(),
            bytes_per_request,
            low: bytes_per_request - 8.5,
            high: bytes_per_request + 9.25,
        };
        let routes = [bytes("POST /orders", 528.0), bytes("GET /a path/with spaces", 19.5)];
        let kept = GrowthEvidence {
            bytes: Some([528.0, 519.5, 537.0]),
            p: Some(1e-9),
            routes: &routes,
            holder: Some("cache (a Map in src/users.js)"),
            added_by: Some("remember (src/users.js:7)"),
            package: Some("ajv 8.17.1"),
            hours_to_limit: Some(9.5),
            class: Some("Session"),
            path: &path,
        };
        let long = "leaks ".repeat(333) + "here";
        findings.see(&writer, &Evidence { kept: Some(kept), ..evidence("/a", &long) }, 1);
        let known = row();
        assert_eq!((known.class.as_deref(), known.path.as_deref()), (Some("Session"), Some(&path[..])));
        assert_eq!((known.bytes_per_request, known.low, known.high), (Some(528.0), Some(519.5), Some(537.0)));
        assert_eq!((known.p, known.advice), (Some(1e-9), long.clone()));
        assert_eq!((&known.routes[..], known.hours_to_limit), (&routes[..], Some(9.5)));
        assert_eq!((known.holder.as_deref(), known.package.as_deref()), (kept.holder, kept.package));
        assert_eq!(known.added_by.as_deref(), kept.added_by);
        let many: Vec<RouteBytes> =
            (0..60).map(|n| bytes(&format!("GET /{n}/{}", "a".repeat(n)), 1e6 + n as f64)).collect();
        findings.see(
            &writer,
            &Evidence { kept: Some(GrowthEvidence { routes: &many, ..kept }), ..evidence("/a", "") },
            1,
        );
        let known = row().routes;
        assert!(known.len() > 10 && known[..] == many[..known.len()], "whole ones, as many as there is room for");
        findings.withdraw(&writer, &Evidence { kept: Some(kept), ..evidence("/a", "it grew") });
        assert_eq!((row().class.as_deref(), row().advice.as_str()), (Some("Session"), "it grew"), "what was wrong");
    }

    #[test]
    fn advice_that_is_too_long_is_cut_between_words() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        findings.see(&writer, &evidence("/a", &"listener ".repeat(200)), 1);
        let advice = reader::read(&**writer.map()).unwrap().findings.remove(0).advice;
        assert_eq!(advice, "listener ".repeat(113) + "…");
    }

    #[test]
    fn leaks_beyond_the_bound_do_without_a_class() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        for route in 0..LEAKS_MAX + 3 {
            let kept = Some(GrowthEvidence { class: Some("Session"), ..GrowthEvidence::default() });
            findings.see(&writer, &Evidence { kept, ..evidence(&format!("/{route}"), "it grows") }, 1);
        }
        let findings = reader::read(&**writer.map()).unwrap().findings;
        assert_eq!(findings.iter().filter(|finding| finding.class.is_some()).count(), LEAKS_MAX);
        assert!(findings.len() == LEAKS_MAX + 3 && findings.iter().all(|finding| finding.advice == "it grows"));
    }

    #[test]
    fn findings_beyond_the_bound_share_a_row() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        for route in 0..FINDINGS_MAX + 50 {
            findings.see(&writer, &evidence(&format!("/{route}"), "stream it"), 1);
        }
        let rows = || reader::read(&**writer.map()).unwrap().findings;
        assert_eq!(rows().len(), FINDINGS_MAX - LEAKS_MAX + 1);
        let other = || rows().into_iter().next_back().map(|last| (last.kind, last.count)).unwrap();
        assert_eq!(other(), ("(other)".into(), 50 + LEAKS_MAX as u64));
        // Leaks still have room.
        for route in 0..=LEAKS_MAX {
            assert!(!findings.see(&writer, &evidence("/no/more", "stream it"), 1), "others do not take it");
            let path = format!("/{route}");
            let leak = Evidence { kind: "leak", kept: Some(GrowthEvidence::default()), ..evidence(&path, "it grows") };
            assert_eq!(findings.see(&writer, &leak, 1), route < LEAKS_MAX);
        }
        let crowded = 50 + LEAKS_MAX + (LEAKS_MAX + 1) + 1;
        assert_eq!((rows().len(), other().1), (FINDINGS_MAX + 1, crowded as u64));
    }
}
