use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use zstd_safe::{CCtx, CParameter};

use super::*;
use crate::payload::budget::{DECODERS, Pool};

const NO_RATIO: Ratio = Ratio { max: f64::INFINITY, threshold: 0 };
const STEP: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Gzip,
    Zlib,
    Raw,
    Brotli,
    Zstd,
}

const KINDS: [Kind; 5] = [Kind::Gzip, Kind::Zlib, Kind::Raw, Kind::Brotli, Kind::Zstd];

impl Kind {
    fn encoding(self) -> Encoding {
        match self {
            Self::Gzip => Encoding::Gzip,
            Self::Zlib | Self::Raw => Encoding::Deflate,
            Self::Brotli => Encoding::Brotli,
            Self::Zstd => Encoding::Zstd,
        }
    }
}

fn brotli_of(body: &[u8], lgwin: i32, large_window: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let params = ::brotli::enc::BrotliEncoderParams { quality: 4, lgwin, large_window, ..Default::default() };
    ::brotli::BrotliCompress(&mut &body[..], &mut out, &params).unwrap();
    out
}

fn zstd_of(body: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut encoder = CCtx::create();
    encoder.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    for &parameter in parameters {
        encoder.set_parameter(parameter).unwrap();
    }
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(body.len()));
    encoder.compress2(&mut out, body).unwrap();
    out
}

fn encode(kind: Kind, body: &[u8]) -> Vec<u8> {
    let level = Compression::new(6);
    match kind {
        Kind::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Kind::Zlib => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Kind::Raw => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        Kind::Brotli => brotli_of(body, 22, false),
        Kind::Zstd => zstd_of(body, &[]),
    }
}

#[derive(Debug, PartialEq)]
enum End {
    Whole(Vec<u8>),
    Fault(Fault),
    Over(State),
}

/// Inflates a whole body, in pieces of these sizes (repeated), with outputs of one size.
fn inflate(encoding: Encoding, body: &[u8], sizes: &[usize], room: usize, limit: u64, ratio: Ratio) -> End {
    let mut inflation = Inflation::new(encoding, ratio, Charge::new(&DECODERS, u64::MAX));
    let mut output = vec![0; room];
    let mut made = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        inflation.take_in(piece);
        loop {
            let (written, state) = match inflation.step(limit, &mut output) {
                Ok(step) => step,
                Err(fault) => return End::Fault(fault),
            };
            made.extend_from_slice(&output[..written]);
            assert_eq!(made.len() as u64, inflation.made());
            assert!(inflation.made() <= limit.saturating_add(1));
            match state {
                State::More => {}
                State::Hungry => break,
                over => return End::Over(over),
            }
        }
    }
    assert_eq!(inflation.taken(), body.len() as u64);
    match inflation.finish() {
        Ok(()) => End::Whole(made),
        Err(fault) => End::Fault(fault),
    }
}

fn unbounded(kind: Kind, body: &[u8]) -> End {
    inflate(kind.encoding(), body, &[usize::MAX], STEP, u64::MAX, NO_RATIO)
}

/// Compressible bytes: stretches of noise, of one byte, and of earlier content.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (any::<u8>(), 0usize..40_000).prop_map(|(byte, length)| vec![byte; length]),
        ("[a-e ]{1,30}", 1usize..500).prop_map(|(text, times)| text.repeat(times).into_bytes()),
    ];
    prop::collection::vec(stretch, 0..6).prop_map(|stretches| stretches.concat())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(&KINDS[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_was_deflated_is_inflated_however_it_is_split(
        kind in kinds(),
        parts in prop::collection::vec(bodies(), 1..3),
        sizes in prop::collection::vec(1usize..5000, 1..10),
        room in prop_oneof![1usize..40, 1000usize..STEP],
    ) {
        // gzip and zstd may consist of several members and frames.
        let parts = if matches!(kind, Kind::Gzip | Kind::Zstd) { &parts[..] } else { &parts[..1] };
        let body: Vec<u8> = parts.concat();
        let sent: Vec<u8> = parts.iter().flat_map(|part| encode(kind, part)).collect();
        let whole = inflate(kind.encoding(), &sent, &sizes, room, body.len() as u64, NO_RATIO);
        prop_assert!(whole == End::Whole(body.clone()));
        if let Some(limit) = (body.len() as u64).checked_sub(1) {
            let over = inflate(kind.encoding(), &sent, &sizes, room, limit, NO_RATIO);
            prop_assert_eq!(over, End::Over(State::OverLimit));
        }
    }

    #[test]
    fn a_body_that_is_cut_is_not_whole(kind in kinds(), body in bodies(), cut in any::<prop::sample::Index>()) {
        let sent = encode(kind, &body);
        let cut = cut.index(sent.len());
        let end = unbounded(kind, &sent[..cut]);
        prop_assert_eq!(end, if cut == 0 { End::Whole(Vec::new()) } else { End::Fault(Fault::Truncated) });
    }

    #[test]
    fn a_wrong_bit_is_seen_where_there_is_a_checksum(kind in kinds(), body in bodies(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut sent = encode(kind, &body);
        let at = at.index(sent.len());
        sent[at] ^= 1 << bit;
        let end = unbounded(kind, &sent);
        if matches!(kind, Kind::Gzip | Kind::Zlib | Kind::Zstd) {
            // Some bits of the headers have no effect.
            prop_assert!(matches!(end, End::Fault(_)) || end == End::Whole(body));
        }
    }

    #[test]
    fn what_comes_does_not_depend_on_the_splits(
        kind in kinds(),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        body in bodies(),
        keep in 0usize..300,
        sizes in prop::collection::vec(1usize..100, 1..5),
        room in 1usize..3000,
    ) {
        let mut sent = encode(kind, &body);
        sent.truncate(keep);
        sent.extend(noise);
        let split = inflate(kind.encoding(), &sent, &sizes, room, 1 << 20, NO_RATIO);
        let whole = inflate(kind.encoding(), &sent, &[usize::MAX], STEP, 1 << 20, NO_RATIO);
        prop_assert_eq!(split, whole);
    }
}

#[test]
fn every_shorter_part_of_a_small_body_is_truncated() {
    for kind in KINDS {
        let sent = encode(kind, b"a small body, a small body, as it would be");
        for cut in 1..sent.len() {
            assert_eq!(
                unbounded(kind, &sent[..cut]),
                End::Fault(Fault::Truncated),
                "{kind:?}, {cut} of {}",
                sent.len()
            );
        }
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    for kind in KINDS {
        for sizes in [&[usize::MAX][..], &[1]] {
            let mut sent = encode(kind, b"body");
            sent.extend(b"garbage, and more of it");
            let end = inflate(kind.encoding(), &sent, sizes, STEP, u64::MAX, NO_RATIO);
            assert_eq!(end, End::Fault(Fault::Trailing), "{kind:?}");
        }
    }
}

#[test]
fn zeros_may_follow_gzip_and_nothing_else_may_follow_them() {
    let mut sent = encode(Kind::Gzip, b"body");
    sent.extend([0; 512]);
    assert_eq!(unbounded(Kind::Gzip, &sent), End::Whole(b"body".to_vec()));
    sent.push(1);
    assert_eq!(unbounded(Kind::Gzip, &sent), End::Fault(Fault::Trailing));
}

#[test]
fn zstd_skips_what_is_to_be_skipped() {
    let mut sent = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    sent.extend(encode(Kind::Zstd, b"body"));
    sent.extend([0x5f, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    assert_eq!(inflate(Encoding::Zstd, &sent, &[1], 1, 4, NO_RATIO), End::Whole(b"body".to_vec()));
}

#[test]
fn windows_of_8_mib_are_the_largest() {
    let body = vec![7; 20 << 20];
    for (bits, allowed) in [(23, true), (24, false)] {
        let ends = [
            (Encoding::Zstd, zstd_of(&body, &[CParameter::WindowLog(bits)])),
            (Encoding::Brotli, brotli_of(&body, bits as i32, false)),
        ];
        for (encoding, sent) in ends {
            let end = inflate(encoding, &sent, &[1000], STEP, u64::MAX, NO_RATIO);
            match allowed {
                true => assert!(end == End::Whole(body.clone()), "{encoding:?}"),
                false => assert_eq!(end, End::Fault(Fault::Window), "{encoding:?}"),
            }
        }
    }
    // A single segment: the content is the window.
    let mut single = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
    single.extend((1u64 << 40).to_le_bytes());
    single.extend([0; 100]);
    assert_eq!(unbounded(Kind::Zstd, &single), End::Fault(Fault::Window));
    // A small frame that declares 16 MiB.
    let mut small = vec![0x28, 0xb5, 0x2f, 0xfd, 0x40, 14 << 3, 44, 0];
    small.extend((300u32 << 3 | 1).to_le_bytes()[..3].iter());
    small.extend([1; 300]);
    for sizes in [&[usize::MAX][..], &[1]] {
        let end = inflate(Encoding::Zstd, &small, sizes, STEP, u64::MAX, NO_RATIO);
        assert_eq!(end, End::Fault(Fault::Window));
    }
    small[5] = 13 << 3;
    assert_eq!(unbounded(Kind::Zstd, &small), End::Whole(vec![1; 300]));
    assert_eq!(unbounded(Kind::Brotli, &brotli_of(b"body", 28, true)), End::Fault(Fault::Window));
}

#[test]
fn a_dictionary_is_not_to_be_had() {
    assert_eq!(unbounded(Kind::Zlib, &[0x78, 0xbb, 0, 0, 0, 1, 3, 0]), End::Fault(Fault::Corrupt));
}

#[test]
fn a_bomb_makes_no_more_than_one_byte_too_many() {
    let body = vec![0; 20 << 20];
    for kind in KINDS {
        let end = inflate(kind.encoding(), &encode(kind, &body), &[usize::MAX], STEP, 1 << 20, NO_RATIO);
        assert_eq!(end, End::Over(State::OverLimit), "{kind:?}");
    }
}

#[test]
fn the_ratio_counts_from_its_threshold_on() {
    let ratio = Ratio { max: 100.0, threshold: 1 << 20 };
    for kind in KINDS {
        for (size, ok) in [(1 << 20, true), ((1 << 20) + 1, false), (20 << 20, false)] {
            let sent = encode(kind, &vec![0; size]);
            let mut inflation = Inflation::new(kind.encoding(), ratio, Charge::new(&DECODERS, u64::MAX));
            inflation.take_in(&sent);
            let mut output = vec![0; STEP];
            let last = loop {
                match inflation.step(u64::MAX, &mut output).unwrap().1 {
                    State::More => {}
                    state => break state,
                }
            };
            assert_eq!(last, if ok { State::Hungry } else { State::OverRatio }, "{kind:?}, {size}");
            assert!(inflation.made() <= (1 << 20) + STEP as u64);
            inflation.lift_ratio();
            while inflation.step(u64::MAX, &mut output).unwrap().1 == State::More {}
            assert_eq!((inflation.made(), inflation.finish()), (size as u64, Ok(())));
        }
    }
}

#[test]
fn a_step_ends_though_it_makes_nothing() {
    for kind in [Kind::Gzip, Kind::Zstd] {
        let mut inflation = Inflation::new(kind.encoding(), NO_RATIO, Charge::new(&DECODERS, u64::MAX));
        inflation.take_in(&encode(kind, b"").repeat(1000));
        let mut steps = 1;
        while inflation.step(u64::MAX, &mut [0; 10]).unwrap() == (0, State::More) {
            steps += 1;
        }
        assert!(steps >= 1000 / MAX_TURNS);
        assert_eq!((inflation.waiting(), inflation.finish()), (0, Ok(())));
    }
}

#[test]
fn a_limit_that_is_lowered_holds_at_once() {
    let mut inflation = Inflation::new(Encoding::Gzip, NO_RATIO, Charge::new(&DECODERS, u64::MAX));
    inflation.take_in(&encode(Kind::Gzip, &[1; 1000]));
    assert_eq!(inflation.step(1000, &mut [0; 100]), Ok((100, State::More)));
    assert_eq!(inflation.step(99, &mut [0; 100]), Ok((0, State::OverLimit)));
}

/// Bytes that decoders of `count` bodies have of a pool of `bound` bytes after the first step of each, and the number
/// of refused ones.
fn held_by(encoding: Encoding, body: &[u8], count: usize, bound: u64) -> (u64, usize) {
    let pool: &'static Pool = Box::leak(Box::default());
    let mut output = vec![0; STEP];
    let mut refused = 0;
    let mut kept = Vec::new();
    for _ in 0..count {
        let mut inflation = Inflation::new(encoding, NO_RATIO, Charge::new(pool, bound));
        inflation.take_in(body);
        match inflation.step(1 << 20, &mut output) {
            Ok(_) => kept.push(inflation),
            Err(fault) => {
                assert_eq!(fault, Fault::Memory);
                refused += 1;
            }
        }
        assert!(pool.in_flight() <= bound);
    }
    let held = pool.in_flight();
    drop(kept);
    assert_eq!(pool.in_flight(), 0);
    (held, refused)
}

const MIB: u64 = 1 << 20;

#[test]
fn decoders_of_bombs_hold_no_more_than_their_bound() {
    let bomb = vec![0; 32 << 20];
    for (encoding, body) in [
        (Encoding::Brotli, brotli_of(&bomb, 23, false)),
        (Encoding::Zstd, zstd_of(&bomb, &[CParameter::WindowLog(23), CParameter::ContentSizeFlag(false)])),
        (Encoding::Gzip, encode(Kind::Gzip, &bomb)),
    ] {
        let (held, refused) = held_by(encoding, &body, 300, 16 * MIB);
        assert!(held > 0 && held <= 16 * MIB, "{encoding:?}: {held}");
        assert!(refused > 0 || encoding == Encoding::Gzip, "{encoding:?}");
    }
}

#[test]
fn a_small_body_is_charged_what_it_has_written_and_not_its_window() {
    let body = b"{\"name\":\"value\"},".repeat(1000);
    let (held, refused) = held_by(Encoding::Brotli, &brotli_of(&body, 22, false), 100, 64 * MIB);
    assert_eq!(refused, 0);
    assert!(held < 100 * (MIB / 4), "{held}");
}

#[test]
fn a_decoder_without_room_leaves_the_others_alone() {
    let pool: &'static Pool = Box::leak(Box::default());
    let body = encode(Kind::Gzip, &vec![7; 100_000]);
    let mut output = vec![0; STEP];
    let mut first = Inflation::new(Encoding::Gzip, NO_RATIO, Charge::new(pool, 100_000));
    first.take_in(&body);
    assert!(first.step(u64::MAX, &mut output).is_ok());
    let mut second = Inflation::new(Encoding::Gzip, NO_RATIO, Charge::new(pool, 100_000));
    second.take_in(&body);
    assert_eq!(second.step(u64::MAX, &mut output), Err(Fault::Memory));
    drop(second);
    assert!(first.step(u64::MAX, &mut output).is_ok());
}
