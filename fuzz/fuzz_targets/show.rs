//! The file of a recorder may contain anything. `plimsoll show` and the metrics must return an error or a result.
//!
//! A record has over six megabytes, and random bytes rarely reach an important word. So most inputs are a list of
//! changes to a valid record. Some are random bytes.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use plimsoll::cli::look::Look;
use plimsoll::cli::show::{self, Judgement};
use plimsoll::export::{prometheus, stats};
use plimsoll::recorder::death::{self, Surroundings};
use plimsoll::recorder::record::Record;
// `sample.rs` uses it as `crate::recorder`.
pub(crate) use plimsoll::recorder;

#[path = "../../src/export/sample.rs"]
mod sample;

/// The header, gauges and totals of collections: the most important words.
const HEAD_BYTES: u32 = 4096;

#[derive(Arbitrary, Debug)]
enum Input {
    Raw(Vec<u8>),
    Changed { changes: Vec<Change>, length: Option<u32> },
}

#[derive(Arbitrary, Debug)]
enum Change {
    /// A word anywhere.
    Word { at: u32, value: u64 },
    /// A word of the first `HEAD_BYTES`.
    Head { at: u16, value: u64 },
    /// Bytes anywhere, aligned or not.
    Bytes { at: u32, bytes: Vec<u8> },
    /// A range of the same byte.
    Fill { at: u32, length: u16, byte: u8 },
}

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(sample::image);

fn image(changes: &[Change], length: Option<u32>) -> Vec<u8> {
    let mut image = IMAGE.clone();
    let size = image.len();
    for change in changes {
        match change {
            Change::Word { at, value } => put(&mut image, *at as usize % (size / 8) * 8, &value.to_le_bytes()),
            Change::Head { at, value } => {
                put(&mut image, usize::from(*at) % (HEAD_BYTES as usize / 8) * 8, &value.to_le_bytes());
            }
            Change::Bytes { at, bytes } => put(&mut image, *at as usize % size, bytes),
            Change::Fill { at, length, byte } => {
                let at = *at as usize % size;
                let end = (at + usize::from(*length)).min(size);
                image[at..end].fill(*byte);
            }
        }
    }
    if let Some(length) = length {
        image.truncate(length as usize % (size + 1));
    }
    image
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).min(image.len());
    image[at..end].copy_from_slice(&bytes[..end - at]);
}

fn judge(record: &Record) -> Judgement {
    let (cause, evidence) = death::judge(record, &Surroundings::default());
    Judgement { cause: cause.to_string(), evidence, at: death::last_sign_of_life(record) }
}

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Raw(bytes) => bytes,
        Input::Changed { changes, length } => image(&changes, length),
    };
    let Ok(record) = recorder::reader::read(&bytes[..]) else { return };
    let records = [record.clone(), Record { alive: true, ..record }];
    let mut out = Vec::new();
    let options = show::Options {
        all: true,
        limit: 100,
        now: 1_795_353_999_000,
        zone: jiff::tz::TimeZone::UTC,
        look: Look { width: 100, color: true, unicode: true },
        judge: &judge,
        mappings: &|_| None,
    };
    show::text(&records, &options, &mut out).expect("writing to memory does not fail");
    show::json(&records, &options, &mut out).expect("writing to memory does not fail");
    for openmetrics in [false, true] {
        let options = prometheus::Options { openmetrics, ..Default::default() };
        let text = prometheus::render(&records, &options);
        assert!(std::str::from_utf8(&text).is_ok());
    }
    serde_json::to_vec(&stats::stats(&records[0], stats::Own::default())).expect("plain data serializes");
});
