//! Sizes, durations and times as people read them. Everything takes whatever an odd record holds.

use std::fmt::Write;

/// Text from a file, made harmless: what steers a terminal or turns the direction of writing is replaced.
pub fn plain(text: &str) -> String {
    text.replace(steers, "\u{fffd}")
}

/// Control characters, and those that reorder, hide or break what stands around them.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// `412 B`, `1.03 MiB`, `71.0 MiB`, `1.80 GiB`: three digits, in powers of 1,024.
pub fn size(bytes: f64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes.abs(), 0);
    // What would round to 1,024 of a unit is one of the next.
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

/// From one time to another; nothing is before nothing.
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

/// `2026-11-22 13:24:05` UTC.
pub fn date_time(epoch_ms: u64) -> String {
    let (days, seconds) = (epoch_ms / 86_400_000, epoch_ms / 1000 % 86_400);
    // The last day of the year 9999: beyond it no record is right about the time.
    if days > 2_932_896 {
        return format!("{epoch_ms} ms after 1970");
    }
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `13:24:05` UTC.
pub fn clock(epoch_ms: u64) -> String {
    let seconds = epoch_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: Howard Hinnant's `civil_from_days`, for days not
/// before 1970.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months counted from March, so that the leap day is a year's last.
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Cut to `width` characters, the cut marked. Characters, not columns: paths are mostly of single-width ones, and a row that
/// is a little too wide wraps.
pub fn cut(text: &str, width: usize, unicode: bool) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mark = if unicode { "…" } else { "..." };
    let mut out: String = text.chars().take(width.saturating_sub(mark.chars().count())).collect();
    let _ = out.write_str(mark);
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
    fn times_are_utc() {
        assert_eq!(date_time(0), "1970-01-01 00:00:00");
        assert_eq!(date_time(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(date_time(1_795_353_845_123), "2026-11-22 13:24:05");
        assert_eq!(date_time(253_402_300_799_999), "9999-12-31 23:59:59");
        assert_eq!(date_time(u64::MAX), "18446744073709551615 ms after 1970");
        assert_eq!(clock(1_795_353_845_123), "13:24:05");
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 1_204_331].map(count), ["0", "999", "1,000", "1,204,331"]);
    }

    #[test]
    fn nothing_from_a_file_steers_the_terminal() {
        let hostile = "a\u{1b}[31mb\rc\u{9b}2Jd\u{202e}e\u{200b}f\u{2028}g";
        assert_eq!(plain(hostile), "a\u{fffd}[31mb\u{fffd}c\u{fffd}2Jd\u{fffd}e\u{fffd}f\u{fffd}g");
    }

    #[test]
    fn a_cut_is_marked_and_within_characters() {
        assert_eq!(cut("/überlang", 5, true), "/übe…");
        assert_eq!(cut("/überlang", 5, false), "/ü...");
        assert_eq!(cut("/ü", 5, true), "/ü");
    }
}
