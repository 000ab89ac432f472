//! Numbers one by one, on any processor, eight digits at a time. This also reports what is wrong and where.

use super::Unexpected;
use super::block::BLOCK_BYTES;

/// Any 19 digits fit into 64 bits.
const MOST_DIGITS: usize = 19;

/// The number between `start` and the comma at `end`.
#[cold]
pub fn digit_by_digit(bytes: &[u8], start: usize, end: usize) -> Result<u64, Unexpected> {
    let text = &bytes[start..end];
    let blank = text.iter().take_while(|byte| is_space(**byte)).count();
    let digits = text[blank..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let behind = &text[blank + digits..];
    let unexpected = |what, at| Err(Unexpected { what, at });
    if digits == 0 {
        return unexpected("a number was expected", start + blank);
    }
    if digits > MOST_DIGITS {
        return unexpected("a number of more than 19 digits", start + blank);
    }
    if let Some(other) = behind.iter().position(|byte| !is_space(*byte)) {
        return unexpected("a comma was expected", start + blank + digits + other);
    }
    Ok(text[blank..blank + digits].iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// A bit for each comma.
pub fn commas(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    words.iter().enumerate().fold(0, |commas, (at, word)| {
        let others = u64::from_le_bytes(*word) ^ (LOW * b',' as u64);
        // The high bit of each byte that is zero now, and of no other (Warren, "Hacker's Delight", 6-1).
        let zeros = !(((others & !HIGH) + !HIGH) | others | !HIGH);
        // The multiplication puts the eight high bits next to each other.
        let bits = (zeros >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        commas | bits << (8 * at)
    })
}

/// The number from `start` to `end`. None if it has no digits or more than 16, or if there are too few bytes before
/// `end` to read at once.
#[inline(always)]
pub fn between(bytes: &[u8], start: usize, end: usize) -> Option<u64> {
    let digits = end.wrapping_sub(start);
    match digits {
        // A type, a flag, or most counts. In rows of one kind it is mostly the same value.
        1 => Some(bytes[start].wrapping_sub(b'0')).filter(|digit| *digit < 10).map(u64::from),
        2..=8 => last_digits(&bytes[..end], digits),
        9..=16 => {
            let (low, high) = (last_digits(&bytes[..end], 8)?, last_digits(&bytes[..end - 8], digits - 8)?);
            Some(high * 100_000_000 + low)
        }
        _ => None,
    }
}

/// The number in the last `digits` bytes, 1 to 8. None if one is no digit, or if there are fewer than eight bytes.
#[inline(always)]
fn last_digits(bytes: &[u8], digits: usize) -> Option<u64> {
    let window = u64::from_le_bytes(*bytes.last_chunk::<8>()?);
    // Bytes before the number become zeros.
    let before = 64 - 8 * digits as u32;
    let nibbles = (window ^ (LOW * b'0' as u64)) >> before << before;
    // A byte over nine sets its high bit, here or by its carry.
    if (nibbles.wrapping_add(0x7676_7676_7676_7676) | nibbles) & HIGH != 0 {
        return None;
    }
    // Pairs, fours, eight: Lemire, "Quickly parsing eight digits".
    let value = nibbles.wrapping_mul(10).wrapping_add(nibbles >> 8);
    let low = (value & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = ((value >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}
