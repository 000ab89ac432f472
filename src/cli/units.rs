//! Sizes, durations and times in a readable form. All functions accept any values.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from outside on one line, with all characters visible. Characters that control a terminal or change the
/// direction of writing are shown as JavaScript escapes.
pub fn plain(text: &str) -> String {
    if !text.contains(steers) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if !steers(c) => out.push(c),
            '\u{0}'..='\u{ff}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out
}

/// Control characters, and those that reorder, hide or break the text around them.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// `412 B`, `1.03 MiB`, `71.0 MiB`, `1.80 GiB`: three digits, in powers of 1,024.
pub fn size(bytes: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes.abs(), 0);
    // A value that would round to 1,024 of a unit is one of the next.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let sign = if bytes < 0.0 { "-" } else { "" };
    let decimals = match (unit, value) {
        (0, _) | (_, 99.95..) => 0,
        (_, 9.995..) => 1,
        _ => 2,
    };
    format!("{sign}{value:.decimals$} {}", UNITS[unit])
}

/// `0.42 ms`, `3.2 ms`, `350 ms`, `4.5 s`, `2 min 5 s`, `2 h 3 min`, `3 d 4 h`.
pub fn duration(ms: f64) -> String {
    let seconds = ms / 1e3;
    match ms {
        0.0 => "0 ms".into(),
        ..0.995 => format!("{ms:.2} ms"),
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..59_950.0 => format!("{seconds:.1} s"),
        _ => {
            let whole = seconds.round() as u64;
            let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
            match (days, hours, minutes) {
                (0, 0, _) => format!("{minutes} min {seconds} s"),
                (0, _, _) => format!("{hours} h {minutes} min"),
                _ => format!("{days} d {hours} h"),
            }
        }
    }
}

/// From one time to another. Negative differences count as 0.
pub fn between(from_ms: u64, to_ms: u64) -> String {
    duration(to_ms.saturating_sub(from_ms) as f64)
}

/// `1,204,331`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2026-11-22 14:24:05 CET`.
pub fn date_time(epoch_ms: u64, zone: &TimeZone) -> String {
    format(epoch_ms, zone, "%Y-%m-%d %H:%M:%S %Z")
}

/// `14:24:05 CET`.
pub fn clock(epoch_ms: u64, zone: &TimeZone) -> String {
    format(epoch_ms, zone, "%H:%M:%S %Z")
}

/// `14:24:05`.
pub fn bare_clock(epoch_ms: u64, zone: &TimeZone) -> String {
    format(epoch_ms, zone, "%H:%M:%S")
}

/// The zone's name at that time.
pub fn zone_name(epoch_ms: u64, zone: &TimeZone) -> String {
    format(epoch_ms, zone, "%Z")
}

/// The zone of `TZ` or of the system. UTC if neither is set.
pub fn local_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

fn format(epoch_ms: u64, zone: &TimeZone, how: &str) -> String {
    let at = i64::try_from(epoch_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let text = at.and_then(|at| strtime::format(how, &at.to_zoned_datetime(zone.clone())).ok());
    // A time beyond the year 9999 is certainly wrong.
    text.map_or_else(|| format!("{epoch_ms} ms after 1970"), |text| plain(&text))
}

/// Cut to `width` columns, with a mark.
pub fn cut(text: &str, width: usize, unicode: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "..." };
    let mut left = width.saturating_sub(mark.width());
    let fits = |c: &char| {
        let columns = c.width().unwrap_or(0);
        let fits = columns <= left;
        left = left.saturating_sub(columns);
        fits
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push_str(mark);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_binary_units() {
        let sizes = [0.0, 1023.0, 1024.0, 1_055_672.0, 74_448_896.0, 1_932_735_283.0, 1_048_575.9, -300.0, 1.8e19];
        let texts = ["0 B", "1023 B", "1.00 KiB", "1.01 MiB", "71.0 MiB", "1.80 GiB", "1.00 MiB", "-300 B", "15.6 EiB"];
        assert_eq!(sizes.map(size), texts);
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        let durations = [0.0, 0.42, 3.2, 350.0, 4500.0, 59_960.0, 125_000.0, 7_384_000.0, 273_600_000.0];
        let texts = ["0 ms", "0.42 ms", "3.2 ms", "350 ms", "4.5 s", "1 min 0 s", "2 min 5 s", "2 h 3 min", "3 d 4 h"];
        assert_eq!(durations.map(duration), texts);
    }

    #[test]
    fn times_are_local_and_say_of_which_zone() {
        let utc = |at| date_time(at, &TimeZone::UTC);
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_795_353_845_123), "2026-11-22 13:24:05 UTC");
        assert_eq!(utc(u64::MAX), "18446744073709551615 ms after 1970");
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(date_time(1_795_353_845_123, &berlin), "2026-11-22 14:24:05 CET");
        assert_eq!(date_time(1_782_000_000_000, &berlin), "2026-06-21 02:00:00 CEST");
        assert_eq!(clock(1_795_353_845_123, &berlin), "14:24:05 CET");
        assert_eq!(bare_clock(1_795_353_845_123, &berlin), "14:24:05");
        assert_eq!(zone_name(1_795_353_845_123, &berlin), "CET");
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 1_204_331].map(count), ["0", "999", "1,000", "1,204,331"]);
    }

    #[test]
    fn nothing_from_a_file_steers_the_terminal() {
        let hostile = "a\u{1b}[31mb\rc\u{9b}2Jd\u{202e}e\u{200b}f\u{2028}g";
        assert_eq!(plain(hostile), r"a\x1b[31mb\rc\x9b2Jd\u202ee\u200bf\u2028g");
        assert_eq!(plain("a\nb\tc\u{0}"), r"a\nb\tc\x00");
    }

    #[test]
    fn a_cut_is_marked_and_within_columns() {
        assert_eq!(cut("日本語日本語", 6, true), "日本…");
        assert_eq!(cut("日本語", 6, true), "日本語");
        assert_eq!(cut("/überlang", 5, true), "/übe…");
        assert_eq!(cut("/überlang", 5, false), "/ü...");
        assert_eq!(cut("/ü", 5, true), "/ü");
    }
}
