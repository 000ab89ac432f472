//! `plimsoll show`: records for a person in an emergency, or for a program.

mod page;
mod rss;
mod tables;
#[cfg(test)]
mod tests;
mod verdict;

use std::io::{self, Write};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::look::Look;
use super::units::{self, between};
use crate::probe::process::smaps::Mappings;
use crate::recorder::record::Record;

/// What to show, and how.
pub struct Options<'a> {
    /// Every record, not only the first. For text only.
    pub all: bool,
    /// The most rows of a list, and the most records. For text only.
    pub limit: usize,
    /// Epoch milliseconds.
    pub now: u64,
    /// Time zone of the text.
    pub zone: TimeZone,
    pub look: Look,
    /// Judges what a record died of. Called for dead ones only.
    pub judge: &'a dyn Fn(&Record) -> Judgement,
    /// The mappings of a living process, if they can be read.
    pub mappings: &'a dyn Fn(&Record) -> Option<Mappings>,
}

/// A probable cause of death.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Judgement {
    pub cause: String,
    /// One sentence with the figures on which the cause is based.
    pub evidence: String,
    /// Epoch milliseconds.
    pub at: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// For dead records only.
    #[serde(skip_serializing_if = "Option::is_none")]
    death: Option<Judgement>,
}

/// One object for each record, one on each line.
///
/// # Errors
/// Those of `out`.
pub fn json(records: &[Record], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    for record in records {
        let death = judgement(record, options);
        let line = serde_json::to_string(&Line { record, death })?;
        writeln!(out, "{}", escape(line))?;
    }
    Ok(())
}

/// JSON may contain characters that control a terminal. As `\u` escapes they mean the same and have no effect.
pub(super) fn escape(json: String) -> String {
    if !json.contains(units::steers) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match units::steers(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// The page of the first record, and the number of others. With `all`, an overview and a page for each.
///
/// # Errors
/// Those of `out`.
pub fn text(records: &[Record], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if options.all && records.len() > 1 {
        return every(records, options, out);
    }
    let [first, others @ ..] = records else { return Ok(()) };
    page::write(first, judgement(first, options).as_ref(), options, out)?;
    more(others, options, out)
}

fn every(records: &[Record], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let judgements: Vec<Option<Judgement>> = records.iter().map(|record| judgement(record, options)).collect();
    let alive = records.iter().filter(|record| record.alive).count();
    let summary = format!("{} records: {alive} alive, {} dead", records.len(), records.len() - alive);
    writeln!(out, "{}", options.look.bold(&summary))?;
    tables::overview(records, &judgements, options, out)?;
    for (record, judgement) in records.iter().zip(&judgements).take(options.limit) {
        let rule = options.look.rule().to_string();
        writeln!(out, "\n{}", rule.repeat(options.look.width))?;
        page::write(record, judgement.as_ref(), options, out)?;
    }
    left_out(records.len(), options, "records", out)
}

/// Of those that are not shown, the newest death is the most relevant.
fn more(others: &[Record], options: &Options, out: &mut dyn Write) -> io::Result<()> {
    if others.is_empty() {
        return Ok(());
    }
    let alive = others.iter().filter(|record| record.alive).count();
    let records = if others.len() == 1 { "record" } else { "records" };
    write!(out, "\n{} more {records}: {alive} alive, {} dead", others.len(), others.len() - alive)?;
    let deaths = others.iter().filter_map(|record| judgement(record, options));
    if let Some(last) = deaths.max_by_key(|judgement| judgement.at) {
        write!(out, ", the last {} ago ({})", between(last.at, options.now), options.look.plain(&last.cause))?;
    }
    writeln!(out, ". --all shows them.")
}

fn judgement(record: &Record, options: &Options) -> Option<Judgement> {
    (!record.alive).then(|| (options.judge)(record))
}

/// Prints how many rows of a list are not shown.
fn left_out(rows: usize, options: &Options, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match rows.checked_sub(options.limit) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "  and {more} more {what}; --limit {rows} shows them"),
    }
}
