//! Draws a series over time as rows of blocks, with a scale on the left and times below.

use jiff::tz::TimeZone;

use super::units;

const ROWS: usize = 6;
/// Eighths of a cell, or thirds without Unicode.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 4] = [' ', '.', ':', '#'];
/// Columns for the scale and the axis: `1023 MiB ┤`.
const MARGIN: usize = 11;
/// Samples closer together than this form one stretch. Between stretches the chart has a gap.
const STRETCH_MS: u64 = 3_000;

/// The lines of a chart `width` columns wide of (time in epoch milliseconds, bytes), in any order. Each column shows
/// the highest value of its time span. A span without a sample stays empty. None if there is nothing to draw.
pub fn lines(series: &[(u64, u64)], width: usize, unicode: bool, zone: &TimeZone) -> Option<Vec<String>> {
    let mut series = series.to_vec();
    series.sort_unstable();
    let ((first, _), (last, _)) = (*series.first()?, *series.last()?);
    let top = series.iter().map(|(_, bytes)| *bytes).max().filter(|top| *top > 0)? as f64;
    // Fewer than 30 columns have no room for the times.
    let columns = width.saturating_sub(MARGIN).clamp(30, 120).min(series.len().max(30));
    let column = |at: u64| {
        let place = (at - first) as f64 / ((last - first).max(1) as f64) * (columns - 1) as f64;
        (place.round() as usize).min(columns - 1)
    };
    let mut heights: Vec<Option<f64>> = vec![None; columns];
    for (index, (at, bytes)) in series.iter().enumerate() {
        let next = series.get(index + 1).map_or(*at, |(next, _)| *next);
        let end = if next - at <= STRETCH_MS { column(next).saturating_sub(1) } else { 0 };
        for height in &mut heights[column(*at)..=end.max(column(*at))] {
            *height = Some(height.unwrap_or(0.0).max(*bytes as f64));
        }
    }
    let steps: &[char] = if unicode { &BLOCKS } else { &ASCII };
    let (tick, corner, line) = if unicode { ('┤', '└', "─") } else { ('|', '+', "-") };
    let mut out = Vec::with_capacity(ROWS + 2);
    for row in (0..ROWS).rev() {
        let scale = units::size(top * (row + 1) as f64 / ROWS as f64);
        let mut text = format!("{scale:>9} {tick}");
        text.extend(heights.iter().map(|height| cell(*height, top, row, steps)));
        out.push(text.trim_end().to_owned());
    }
    out.push(format!("{:>9} {corner}{}", "0", line.repeat(columns)));
    let span = units::duration((last - first) as f64);
    let (from, to) = (units::bare_clock(first, zone), units::bare_clock(last, zone));
    let between = columns.saturating_sub(from.len() + to.len());
    out.push(format!("{:MARGIN$}{from}{span:^between$}{to}", ""));
    Some(out)
}

/// The part of a column that is in `row`, counted from below. Every existing value is visible, however small.
fn cell(height: Option<f64>, top: f64, row: usize, steps: &[char]) -> char {
    let Some(height) = height else { return ' ' };
    let full = (steps.len() - 1) as f64;
    let eighths = (height / top * ROWS as f64 * full).round().max(if height > 0.0 { 1.0 } else { 0.0 });
    steps[(eighths - row as f64 * full).clamp(0.0, full) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_a_rise_with_scale_and_times() {
        let series: Vec<_> = (0..30).map(|n| (n * 500, n << 20)).collect();
        let chart = lines(&series, 41, true, &TimeZone::UTC).unwrap();
        assert_eq!(chart.len(), ROWS + 2);
        assert_eq!(chart[0], " 29.0 MiB ┤                         ▁▃▅▆█");
        assert_eq!(chart[5], " 4.83 MiB ┤ ▂▃▅▇█████████████████████████");
        assert_eq!(chart[6], "        0 └──────────────────────────────");
        assert_eq!(chart[7], "           00:00:00    14.5 s    00:00:14");
    }

    #[test]
    fn a_few_samples_are_one_stretch_and_a_long_silence_is_a_gap() {
        let chart = lines(&[(0, 5), (500, 5), (1100, 5)], 41, true, &TimeZone::UTC).unwrap();
        assert_eq!(chart[0], "      5 B ┤██████████████████████████████");
        let chart = lines(&[(100_000, 5), (0, 5)], 41, false, &TimeZone::UTC).unwrap();
        assert_eq!(chart[0], "      5 B |#                            #");
    }

    #[test]
    fn has_nothing_to_draw_without_values() {
        assert_eq!(lines(&[], 80, true, &TimeZone::UTC), None);
        assert_eq!(lines(&[(1, 0)], 80, true, &TimeZone::UTC), None);
    }

    #[test]
    fn takes_any_times_and_values() {
        let odd = [(u64::MAX, u64::MAX), (0, 0), (7, 1)];
        assert!(
            lines(&odd, usize::MAX, true, &TimeZone::UTC)
                .is_some_and(|chart| chart.iter().all(|line| line.chars().count() < 200))
        );
        assert!(lines(&odd, 0, false, &TimeZone::UTC).is_some());
    }
}
