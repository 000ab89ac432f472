//! A compressed body may contain anything. The decoder must not panic or write beyond its limits, and the result must
//! not depend on how the body is split into chunks.
#![no_main]

use std::io::Write;

use arbitrary::Arbitrary;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use libfuzzer_sys::fuzz_target;
use plimsoll::payload::budget::{Charge, DECODERS};
use plimsoll::payload::inflate::{Encoding, Fault, Inflation, Ratio, State};

const LIMIT: u64 = 1 << 20;
const ROOM: usize = 64 << 10;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Gzip,
    Zlib,
    Raw,
    Brotli,
    Zstd,
}

#[derive(Arbitrary, Debug)]
enum Body {
    /// Bytes that are not compressed by the fuzz target.
    Raw(Vec<u8>),
    /// A compressed body with some bytes changed. Brotli has no encoder here, so its `content` is not compressed.
    Changed { content: Vec<u8>, changes: Vec<(u16, u8)>, more: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Input {
    kind: Kind,
    body: Body,
    sizes: Vec<u8>,
    room: u16,
}

fn encode(kind: Kind, content: &[u8]) -> Vec<u8> {
    let level = Compression::new(6);
    match kind {
        Kind::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(content).expect("writing to memory does not fail");
            encoder.finish().expect("writing to memory does not fail")
        }
        Kind::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(content).expect("writing to memory does not fail");
            encoder.finish().expect("writing to memory does not fail")
        }
        Kind::Raw => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(content).expect("writing to memory does not fail");
            encoder.finish().expect("writing to memory does not fail")
        }
        Kind::Brotli => content.to_vec(),
        Kind::Zstd => {
            let mut out = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
            zstd_safe::compress(&mut out, content, 3).expect("the buffer is large enough");
            out
        }
    }
}

#[derive(Debug, PartialEq)]
enum End {
    Whole(Vec<u8>),
    Fault(Fault),
    Over(State),
}

fn inflate(encoding: Encoding, body: &[u8], sizes: &[u8], room: usize) -> End {
    let mut inflation =
        Inflation::new(encoding, Ratio { max: 1000.0, threshold: LIMIT }, Charge::new(&DECODERS, u64::MAX));
    let mut output = vec![0; room];
    let mut made = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = body;
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |&size| usize::from(size).clamp(1, rest.len()));
        let (piece, after) = rest.split_at(size);
        rest = after;
        inflation.take_in(piece);
        loop {
            let (written, state) = match inflation.step(LIMIT, &mut output) {
                Ok(step) => step,
                Err(fault) => return End::Fault(fault),
            };
            made.extend_from_slice(&output[..written]);
            assert!(made.len() as u64 <= LIMIT + 1 && made.len() as u64 == inflation.made());
            match state {
                State::More => {}
                State::Hungry => break,
                over => return End::Over(over),
            }
        }
    }
    assert_eq!(inflation.taken(), body.len() as u64);
    inflation.finish().map_or_else(End::Fault, |()| End::Whole(made))
}

fuzz_target!(|input: Input| {
    let encoding = match input.kind {
        Kind::Gzip => Encoding::Gzip,
        Kind::Zlib | Kind::Raw => Encoding::Deflate,
        Kind::Brotli => Encoding::Brotli,
        Kind::Zstd => Encoding::Zstd,
    };
    let (body, content) = match input.body {
        Body::Raw(body) => (body, None),
        Body::Changed { content, changes, more } => {
            let mut body = encode(input.kind, &content);
            let unchanged = changes.is_empty() && more.is_empty() && !matches!(input.kind, Kind::Brotli);
            for (at, byte) in changes {
                if let Some(changed) = body.get_mut(usize::from(at)) {
                    *changed = byte;
                }
            }
            body.extend(more);
            (body, unchanged.then_some(content))
        }
    };
    let whole = inflate(encoding, &body, &[], ROOM);
    let split = inflate(encoding, &body, &input.sizes, usize::from(input.room) + 1);
    assert_eq!(whole, split);
    if let Some(content) = content {
        assert_eq!(whole, End::Whole(content));
    }
});
