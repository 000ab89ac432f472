//! Whether the event loop is late for long: a late tick alone says only that one piece of code has blocked it.
//!
//! The loop is overloaded while at least [`EPISODES`] ticks in a row are late: each then waited for other work, again and again. The
//! figure is a quantile of their delays in the window: two of three were at least so late. Three late ticks span a second or more where
//! the delay reaches the default marks. A punctual tick shows that nothing waits any more, and voids what came before it. So one block,
//! however long, and the requests that waited behind it are no overload.
//!
//! Rejected: the last tick's delay (one block refuses everything for up to 250 ms after it has ended), a finer timer such as
//! `monitorEventLoopDelay` (a wake-up each 10 ms of an idle process, and one block fills its histogram too).

use std::collections::VecDeque;

use super::Millis;

/// What is judged; longer where it takes longer for the loop to tick `EPISODES` times.
const WINDOW_MS: Millis = 2_000;
/// Which quantile of the late ticks counts.
const QUANTILE: f64 = 1.0 / 3.0;
/// The number of ticks in a row that must have been late: one block, and what waited behind it, are fewer.
const EPISODES: usize = 3;
/// After the first tick, while an app still loads and compiles.
const GRACE_MS: Millis = 3_000;
/// A tick that is less late than this is punctual.
const LATE_MS: f64 = 20.0;

#[derive(Clone, Copy, Debug)]
struct Tick {
    at: Millis,
    delay_ms: f64,
}

/// Delays of the window's ticks, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Delay {
    first: Option<Millis>,
    ticks: VecDeque<Tick>,
    sustained_ms: f64,
}

impl Delay {
    /// The loop has ticked, `delay_ms` after the tick was due.
    pub fn ticked(&mut self, delay_ms: f64, now: Millis) {
        let delay_ms = if delay_ms.is_finite() { delay_ms.max(0.0) } else { 0.0 };
        let first = *self.first.get_or_insert(now);
        // What blocked the start is over, and says nothing of requests.
        if now.saturating_sub(first) < GRACE_MS {
            return;
        }
        self.ticks.push_back(Tick { at: now, delay_ms });
        while self.ticks.front().is_some_and(|tick| now.saturating_sub(tick.at) > WINDOW_MS.max(self.span())) {
            self.ticks.pop_front();
        }
        self.sustained_ms = self.judge();
    }

    /// The delay that was sustained, milliseconds; 0 while the loop is healthy.
    pub fn sustained_ms(&self) -> f64 {
        self.sustained_ms
    }

    /// The window holds at least the last `EPISODES` ticks, however late they were.
    fn span(&self) -> Millis {
        let oldest = self.ticks.iter().rev().nth(EPISODES - 1);
        oldest.zip(self.ticks.back()).map_or(0, |(oldest, newest)| newest.at - oldest.at)
    }

    fn judge(&self) -> f64 {
        // A punctual tick shows that nothing waits any more: what came before it is void.
        let late: Vec<f64> =
            self.ticks.iter().rev().map(|tick| tick.delay_ms).take_while(|delay| *delay >= LATE_MS).collect();
        if late.len() < EPISODES {
            return 0.0;
        }
        let mut sorted = late;
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[(sorted.len() as f64 * QUANTILE) as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK_MS: Millis = 250;

    /// Feeds what a 250 ms timer sees of a loop: each entry is how late the next tick is. Returns the greatest sustained delay.
    fn greatest(delays: impl IntoIterator<Item = u64>) -> f64 {
        let (mut delay, mut now, mut greatest) = (Delay::default(), 0, 0.0f64);
        for late in delays {
            now += TICK_MS + late;
            delay.ticked(late as f64, now);
            greatest = greatest.max(delay.sustained_ms());
        }
        greatest
    }

    fn calm(ticks: usize) -> impl Iterator<Item = u64> {
        std::iter::repeat_n(1, ticks)
    }

    #[test]
    fn one_block_is_no_overload_however_long() {
        for block in [400, 1_100, 30_000] {
            assert_eq!(greatest(calm(20).chain([block]).chain(calm(20))), 0.0, "{block} ms");
        }
    }

    #[test]
    fn a_slow_start_is_no_overload() {
        assert_eq!(greatest([1_200, 900, 400].into_iter().chain(calm(20))), 0.0);
    }

    #[test]
    fn a_block_of_300_ms_each_five_seconds_is_healthy() {
        let period = || std::iter::once(300).chain(calm(19));
        assert_eq!(greatest(calm(20).chain((0..50).flat_map(|_| period()))), 0.0);
    }

    #[test]
    fn a_loop_that_is_late_each_time_is_overloaded_after_three_ticks() {
        assert!(greatest(calm(20).chain([600; 2])) < 1.0);
        assert_eq!(greatest(calm(20).chain([600; 3])), 600.0);
        assert!(greatest(calm(20).chain([1_200; 3])) >= 1_200.0);
    }

    #[test]
    fn a_ramp_into_saturation_rises_and_falls_with_the_load() {
        assert!(greatest(calm(20).chain((0..20).map(|i| i * 60))) > 800.0);
        let mut delay = Delay::default();
        let mut now = 0;
        for late in calm(20).chain([800; 6]).chain(calm(1)) {
            now += TICK_MS + late;
            delay.ticked(late as f64, now);
        }
        assert_eq!(delay.sustained_ms(), 0.0, "a punctual tick voids what came before");
    }

    proptest! {
        /// Whatever came before, what is sustained is at most the greatest delay, and nothing right after a punctual tick.
        #[test]
        fn is_bounded_by_what_was_seen(delays in prop::collection::vec(0..5_000u64, 1..100)) {
            let most = delays.iter().copied().max().unwrap_or(0);
            prop_assert!(greatest(delays.clone()) <= most as f64);
            let mut delay = Delay::default();
            let mut now = 0;
            for late in delays.into_iter().chain([0]) {
                now += TICK_MS + late;
                delay.ticked(late as f64, now);
            }
            prop_assert_eq!(delay.sustained_ms(), 0.0);
        }

        /// Two late ticks in a row are never an overload.
        #[test]
        fn needs_three_late_ticks_in_a_row(blocks in prop::collection::vec((20..5_000u64, 20..5_000u64), 1..40)) {
            let ticks = calm(20).chain(blocks.into_iter().flat_map(|(first, second)| [first, second, 0]));
            prop_assert_eq!(greatest(ticks), 0.0);
        }
    }
}
