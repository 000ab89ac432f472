//! The first line of a page: does it leak, is it steady, is it too early to know, or how did it die?

use super::super::units::duration;
use super::{Judgement, Options};
use crate::recorder::TrendState;
use crate::recorder::death::is_ordinary;
use crate::recorder::findings::findings;
use crate::recorder::record::{Finding, Record};

/// From this duration on, a blocked loop is part of the verdict.
const BLOCKED_MS: f64 = 1000.0;

pub fn verdict(record: &Record, judgement: Option<&Judgement>, options: &Options) -> String {
    let look = options.look;
    let Some(judgement) = judgement else {
        let mut parts = vec![format!("{}, {}", look.good("alive"), state(record, options))];
        if record.blocked_ms >= BLOCKED_MS {
            let by = record.blocked_by().map_or(String::new(), |by| format!(" by {}", look.plain(&by.place())));
            parts.push(look.alarm(&format!("its event loop has been blocked for {}{by}", duration(record.blocked_ms))));
        }
        parts.extend(others(record));
        return parts.join("; ");
    };
    let cause = format!("dead, {}", look.plain(&judgement.cause));
    // An intended end is no alarm.
    let cause = if is_ordinary(record) { cause } else { look.alarm(&cause) };
    match leak(record, options, "leaked") {
        Some(leak) => format!("{cause}; {leak}"),
        None => cause,
    }
}

fn state(record: &Record, options: &Options) -> String {
    if let Some(leak) = leak(record, options, "leaks") {
        return options.look.alarm(&leak);
    }
    match record.trend.each().map(|(_, trend)| trend.state).max_by_key(|state| *state as u64) {
        Some(TrendState::Steady) => "steady".to_owned(),
        Some(TrendState::Uncertain) => "uncertain: memory grows, but that may end".to_owned(),
        Some(_) => "learning: too few collections for a verdict".to_owned(),
        None if record.heap.exact => "learning: no major collection yet".to_owned(),
        None => "no leak verdict: V8's exact counter is off".to_owned(),
    }
}

/// `leaks 528 B per request in GET /users/:id`
fn leak(record: &Record, options: &Options, leaks: &str) -> Option<String> {
    let finding = standing(record).find(|finding| finding.kind == "leak");
    let trend = record.trend.each().find(|(_, trend)| trend.state == TrendState::Leaking);
    if finding.is_none() && trend.is_none() {
        return None;
    }
    let by_trend = trend.and_then(|(_, trend)| trend.bytes_per_request);
    let bytes = finding.as_ref().and_then(|finding| finding.bytes_per_request).or(by_trend);
    let bytes = bytes.map_or(String::new(), |bytes| format!(" {bytes:.0} B per request"));
    let place = |name: &str, text: Option<String>| {
        text.map_or(String::new(), |text| format!(" {name} {}", options.look.plain(&text)))
    };
    let (route, origin) = finding.map_or((None, None), |finding| (finding.route, finding.origin));
    Some(format!("{leaks}{bytes}{}{}", place("in", route), place("at", origin)))
}

/// Other findings worth reporting.
fn others(record: &Record) -> Option<String> {
    let many = standing(record).filter(|finding| finding.kind != "leak" && finding.severity != "info").count();
    match many {
        0 => None,
        1 => Some("1 finding".to_owned()),
        _ => Some(format!("{many} findings")),
    }
}

fn standing(record: &Record) -> impl Iterator<Item = Finding> {
    findings(record).into_iter().filter(|finding| finding.withdrawn_at.is_none())
}
