//! Numbers by vectors of 256 bits. AVX2 is there on nearly every x86-64 processor since 2013; the program checks at run time.
//!
//! This reads only what V8 writes: digits, then a comma, or a line's end and a comma. It does not report what is wrong. It leaves that
//! text to the scalar reader.
//!
//! A few comparisons of 64 bytes give the separators, whether they are where V8 puts them, and so the ends of the numbers. Each number is
//! then made of the sixteen bytes before its end. What lies before its first digit is set to zero. Pairs of digits, of pairs and of fours
//! are added, for four numbers at once. No step depends on the length of a number, so no branch can be mispredicted.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_cmpgt_epi8,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_max_epu8, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_or_si256,
    _mm256_packus_epi32, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_epi64x,
    _mm256_setzero_si256, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_subs_epu8, _mm256_testz_si256,
};

use super::block::{BLOCK_BYTES, BLOCKS, UNASKED};

/// The most digits of a number, and the bytes that are read for each.
const MOST_DIGITS: usize = 16;
/// From the index of a length on: the mask for that many bytes at the end of sixteen.
const MASKS: [u8; 2 * MOST_DIGITS] = {
    let mut masks = [0; 2 * MOST_DIGITS];
    let mut at = MOST_DIGITS;
    while at < masks.len() {
        masks[at] = u8::MAX;
        at += 1;
    }
    masks
};

pub fn is_supported() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("popcnt")
}

/// Reads the numbers that end in the next blocks, from `from` on. Writes their ends after the first of `ends`, which is
/// the end of the number before, and their values. Returns their number, or None if anything is unusual. The written
/// values then have no meaning.
///
/// # Panics
/// Without [`is_supported`].
pub fn read(bytes: &[u8], from: usize, ends: &mut [u32], values: &mut [u64]) -> Option<usize> {
    assert!(is_supported());
    // SAFETY: all required features were just checked.
    unsafe { read_blocks(bytes, from, ends, values) }
}

#[target_feature(enable = "avx2,bmi1,popcnt")]
fn read_blocks(bytes: &[u8], from: usize, ends: &mut [u32], values: &mut [u64]) -> Option<usize> {
    let mut last = *bytes.get(from.checked_sub(1)?)?;
    let mut found = 0;
    for at in (from..from + BLOCKS * BLOCK_BYTES).step_by(BLOCK_BYTES) {
        let block = bytes.get(at..)?.first_chunk::<BLOCK_BYTES>()?;
        let mut here = number_ends(block, last)?;
        last = block[BLOCK_BYTES - 1];
        let count = here.count_ones() as usize;
        let mut noted = 0;
        while noted < count {
            for end in ends[1 + found + noted..].first_chunk_mut::<UNASKED>()? {
                *end = at as u32 + here.trailing_zeros();
                here &= here.wrapping_sub(1);
            }
            noted += UNASKED;
        }
        found += count;
    }
    values_of(bytes, &ends[..=found], &mut values[..found]).then_some(found)
}

/// One bit for each separator at the end of a number. `last` is the byte before. None if separators are not in V8's
/// form.
#[inline]
#[target_feature(enable = "avx2")]
fn number_ends(block: &[u8; BLOCK_BYTES], last: u8) -> Option<u64> {
    let (words, _) = block.as_chunks::<16>();
    let (low, high) = (pair(&words[0], &words[1]), pair(&words[2], &words[3]));
    let (comma, line, zero) = (all(b','), all(b'\n'), all(b'0'));
    let commas = bits(_mm256_cmpeq_epi8(low, comma), _mm256_cmpeq_epi8(high, comma));
    let lines = bits(_mm256_cmpeq_epi8(low, line), _mm256_cmpeq_epi8(high, line));
    // Bytes of more than seven bits compare as less than all others. Bytes above the digits are detected later.
    let no_digits = bits(_mm256_cmpgt_epi8(zero, low), _mm256_cmpgt_epi8(zero, high));
    let after_line = lines << 1 | u64::from(last == b'\n');
    let after_any = (commas | lines) << 1 | u64::from(last == b',' || last == b'\n');
    let wrong = (commas | lines) ^ no_digits | after_line & !commas | after_any & !(after_line & commas) & no_digits;
    (wrong == 0).then_some(no_digits & !after_line)
}

#[inline]
#[target_feature(enable = "avx2")]
fn bits(low: __m256i, high: __m256i) -> u64 {
    u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
}

/// Computes values from the ends of numbers. The first end is that of the number before. False in these cases: one has
/// more than sixteen digits, one contains another character, there are too few, or they are too close to the beginning.
#[inline]
#[target_feature(enable = "avx2")]
fn values_of(bytes: &[u8], ends: &[u32], values: &mut [u64]) -> bool {
    let Some(last) = values.len().checked_sub(4) else { return false };
    let mut wrong = _mm256_setzero_si256();
    for at in (0..last).step_by(4).chain([last]) {
        let (Some(ends), Some(values)) = (ends[at..].first_chunk::<5>(), values[at..].first_chunk_mut::<4>()) else {
            return false;
        };
        // In this order the results are in the right order.
        let (Some(ac), Some(bd)) = (digits(bytes, ends, 0), digits(bytes, ends, 1)) else { return false };
        wrong = _mm256_or_si256(wrong, _mm256_subs_epu8(_mm256_max_epu8(ac, bd), all(9)));
        let eights = _mm256_madd_epi16(_mm256_packus_epi32(fours(ac), fours(bd)), _mm256_set1_epi32(0x0001_2710));
        let high = _mm256_mul_epu32(eights, _mm256_set1_epi64x(100_000_000));
        store(values, _mm256_add_epi64(high, _mm256_srli_epi64::<32>(eights)));
    }
    _mm256_testz_si256(wrong, wrong) == 1
}

/// The digits of two of four numbers as values, sixteen each.
#[inline]
#[target_feature(enable = "avx2")]
fn digits(bytes: &[u8], ends: &[u32; 5], at: usize) -> Option<__m256i> {
    let (a, b) = (number(bytes, ends[at], ends[at + 1])?, number(bytes, ends[at + 2], ends[at + 3])?);
    // Separators are less than '0', so a line's comma becomes a zero.
    Some(_mm256_and_si256(_mm256_subs_epu8(pair(a.0, b.0), all(b'0')), pair(a.1, b.1)))
}

/// The sixteen bytes before an end, and the mask of those after the previous end.
#[inline(always)]
fn number(bytes: &[u8], before: u32, end: u32) -> Option<(&[u8; MOST_DIGITS], &[u8; MOST_DIGITS])> {
    let length = end.wrapping_sub(before).wrapping_sub(1) as usize;
    Some((bytes.get(..end as usize)?.last_chunk()?, MASKS.get(length..)?.first_chunk()?))
}

/// Converts sixteen digits to four numbers of four digits.
#[inline]
#[target_feature(enable = "avx2")]
fn fours(digits: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010a));
    _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x0001_0064))
}

#[inline]
#[target_feature(enable = "avx2")]
fn all(byte: u8) -> __m256i {
    _mm256_set1_epi8(byte as i8)
}

#[inline]
#[target_feature(enable = "avx2")]
fn pair(low: &[u8; 16], high: &[u8; 16]) -> __m256i {
    _mm256_set_m128i(load(high), load(low))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: sixteen bytes are read, at any alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(values: &mut [u64; 4], all: __m256i) {
    // SAFETY: thirty-two bytes are written, at any alignment.
    unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), all) }
}
