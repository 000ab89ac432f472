//! Which row a finding has: kind, route and origin, bounded.

use std::collections::HashMap;

use crate::recorder::writer::{Evidence, Writer};
use crate::recorder::{FINDINGS_MAX, Severity};

#[derive(Default)]
pub struct Findings {
    rows: HashMap<Box<str>, u16>,
}

impl Findings {
    /// Something was seen `times` more. True when it is seen for the first time.
    pub fn see(&mut self, writer: &Writer, evidence: &Evidence, times: u64) -> bool {
        let key = [evidence.kind, evidence.route.unwrap_or(""), evidence.origin.unwrap_or("")].join("\0");
        if let Some(row) = self.rows.get(key.as_str()) {
            writer.finding(usize::from(*row), evidence, times);
            return false;
        }
        let row = self.rows.len();
        if row >= FINDINGS_MAX {
            let advice = "more findings than there is room for; deal with those above first";
            let other = Evidence {
                kind: "(other)",
                route: None,
                origin: None,
                severity: Severity::Info,
                per_thousand: None,
                advice,
            };
            writer.finding(FINDINGS_MAX, &other, times);
            return false;
        }
        writer.finding(row, evidence, times);
        self.rows.insert(key.into(), row as u16);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::recorder::map::Map;
    use crate::recorder::reader;
    use crate::recorder::writer::Identity;

    fn evidence<'a>(route: &'a str, advice: &'a str) -> Evidence<'a> {
        Evidence {
            kind: "large-response",
            route: Some(route),
            origin: Some("src/report.js:7"),
            severity: Severity::Warning,
            per_thousand: Some(12.5),
            advice,
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
    fn findings_beyond_the_bound_share_a_row() {
        let writer = Writer::new(Arc::new(Map::anonymous(false).unwrap()), &Identity::default());
        let mut findings = Findings::default();
        for route in 0..FINDINGS_MAX + 50 {
            findings.see(&writer, &evidence(&format!("/{route}"), "stream it"), 1);
        }
        let record = reader::read(&**writer.map()).unwrap();
        assert_eq!(record.findings.len(), FINDINGS_MAX + 1);
        let last = record.findings.last().unwrap();
        assert_eq!((last.kind.as_str(), last.count), ("(other)", 50));
    }
}
