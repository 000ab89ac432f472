//! Whether the event loop is overloaded. A single late tick only shows that one piece of code has blocked it.
//!
//! The loop is overloaded if at least [`EPISODES`] consecutive ticks are late, over at least [`SPAN_MS`]: then each has
//! waited for other work. The figure is a quantile of their delays in the window: two of three were at least this late.
//! A punctual tick shows that nothing is waiting any more, and resets the state. So one block of any length, with the
//! requests that waited for it, is no overload.
//!
//! While the loop is late it is asked to tick sooner ([`Delay::is_late`]). With a tick in each iteration of a loaded
//! loop, an overload is detected early and its end at once. An idle loop has no additional wake-ups.
//!
//! Rejected:
//!
//! - The last tick's delay: after one block, everything would be refused for up to 250 ms.
//! - A permanent finer timer such as `monitorEventLoopDelay`: it wakes an idle process every 10 ms, and one block fills
//!   its histogram too.

use std::collections::VecDeque;

use super::Millis;

/// The window that is judged. It is longer if the loop takes longer for `EPISODES` ticks.
const WINDOW_MS: Millis = 2_000;
/// The quantile of the late ticks.
const QUANTILE: f64 = 1.0 / 3.0;
/// Consecutive ticks that must be late. One block, with what waited for it, causes fewer.
const EPISODES: usize = 3;
/// Least time from when the first of them was due to the last one.
const SPAN_MS: Millis = 1_000;
/// Time after the first tick in which an app is still loading and compiling.
const GRACE_MS: Millis = 3_000;
/// A tick with a smaller delay is punctual. Ticks closer together than this are in the same iteration of the loop.
const LATE_MS: f64 = 20.0;

#[derive(Clone, Copy, Debug)]
struct Tick {
    at: Millis,
    delay_ms: f64,
}

/// The last ticks, oldest first, since the last punctual one.
#[derive(Clone, Debug, Default)]
pub struct Delay {
    first: Option<Millis>,
    late: VecDeque<Tick>,
    sustained_ms: f64,
}

impl Delay {
    /// The loop has ticked `delay_ms` after the tick was due.
    pub fn ticked(&mut self, delay_ms: f64, now: Millis) {
        let delay_ms = if delay_ms.is_finite() { delay_ms.max(0.0) } else { 0.0 };
        let first = *self.first.get_or_insert(now);
        // A block at the start is over, and says nothing about requests.
        if now.saturating_sub(first) < GRACE_MS {
            return;
        }
        match self.late.back_mut() {
            // Two timers of one iteration: the one that was due first has the larger delay.
            Some(last) if (now.saturating_sub(last.at) as f64) < LATE_MS && delay_ms < last.delay_ms => (),
            Some(last) if (now.saturating_sub(last.at) as f64) < LATE_MS => last.delay_ms = delay_ms,
            _ if delay_ms < LATE_MS => self.late.clear(),
            _ => self.late.push_back(Tick { at: now, delay_ms }),
        }
        while self.late.len() > EPISODES && now.saturating_sub(self.late[0].at) > WINDOW_MS {
            self.late.pop_front();
        }
        self.sustained_ms = self.judge(now);
    }

    /// The sustained delay, milliseconds. 0 while the loop is healthy.
    pub fn sustained_ms(&self) -> f64 {
        self.sustained_ms
    }

    /// Whether the last tick was late. Another tick soon shows whether that continues.
    pub fn is_late(&self) -> bool {
        !self.late.is_empty()
    }

    fn judge(&self, now: Millis) -> f64 {
        let Some(oldest) = self.late.front().filter(|_| self.late.len() >= EPISODES) else { return 0.0 };
        if (now.saturating_sub(oldest.at) as f64 + oldest.delay_ms) < SPAN_MS as f64 {
            return 0.0;
        }
        let mut sorted: Vec<f64> = self.late.iter().map(|tick| tick.delay_ms).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[(sorted.len() as f64 * QUANTILE) as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK_MS: Millis = 250;
    const SOON_MS: Millis = 50;

    /// An event loop with the two timers that measure it. Each entry is the duration of one iteration. 0 waits for the
    /// next timer.
    #[derive(Default)]
    struct Loop {
        delay: Delay,
        now: Millis,
        due: Millis,
        soon: Option<Millis>,
        greatest: f64,
        /// When it was first judged overloaded.
        judged_at: Option<Millis>,
    }

    impl Loop {
        fn turn(&mut self, ms: Millis) {
            self.now = match ms {
                0 => self.soon.map_or(self.due, |soon| soon.min(self.due)).max(self.now),
                ms => self.now + ms,
            };
            // The timer that was due first fires first.
            let mut timers = [(Some(self.due), false), (self.soon, true)];
            timers.sort_unstable();
            for (due, soon) in timers {
                let Some(due) = due.filter(|due| *due <= self.now) else { continue };
                self.delay.ticked((self.now - due) as f64, self.now);
                match soon {
                    true => self.soon = None,
                    false => self.due = self.now + TICK_MS,
                }
            }
            if self.delay.is_late() && self.soon.is_none() {
                self.soon = Some(self.now + SOON_MS);
            }
            self.greatest = self.greatest.max(self.delay.sustained_ms());
            if self.delay.sustained_ms() > 0.0 {
                self.judged_at.get_or_insert(self.now);
            }
        }

        fn turns(mut self, turns: impl IntoIterator<Item = Millis>) -> Self {
            turns.into_iter().for_each(|ms| self.turn(ms));
            self
        }

        /// A loop after its start.
        fn warm() -> Self {
            Self::default().turns([0; 20])
        }
    }

    #[test]
    fn one_block_of_any_length_and_what_waited_for_it_are_no_overload() {
        for block in [400, 1_100, 30_000] {
            let behind = [60; 10];
            assert_eq!(Loop::warm().turns([block]).turns(behind).turns([0; 20]).greatest, 0.0, "{block} ms");
        }
    }

    #[test]
    fn a_slow_start_is_no_overload() {
        assert_eq!(Loop::default().turns([1_200, 900, 400]).turns([0; 20]).greatest, 0.0);
    }

    #[test]
    fn a_block_of_300_ms_each_five_seconds_is_healthy() {
        let period = || std::iter::once(300).chain([0; 19]);
        assert_eq!(Loop::warm().turns((0..50).flat_map(|_| period())).greatest, 0.0);
    }

    #[test]
    fn a_loop_that_stays_late_is_overloaded_after_a_second_and_three_ticks() {
        for turn in [300, 450, 600, 1_200] {
            let warm = Loop::warm();
            let began = warm.now;
            let busy = warm.turns([turn; 10]);
            let after = busy.judged_at.unwrap_or_else(|| panic!("turns of {turn} ms")) - began;
            assert!(after <= SPAN_MS + TICK_MS + 2 * turn, "turns of {turn} ms: after {after} ms");
            assert!(busy.delay.sustained_ms() >= (turn - SOON_MS) as f64 * 0.9, "{}", busy.delay.sustained_ms());
        }
    }

    #[test]
    fn lets_go_as_soon_as_the_loop_is_punctual() {
        let mut busy = Loop::warm().turns([800; 6]);
        assert!(busy.delay.sustained_ms() >= 700.0);
        let over = busy.now;
        while busy.delay.is_late() {
            busy.turn(0);
        }
        assert_eq!(busy.delay.sustained_ms(), 0.0);
        assert!(busy.now - over <= SOON_MS);
    }

    #[test]
    fn asks_for_more_ticks_only_while_the_loop_is_late() {
        let mut calm = Loop::warm();
        for _ in 0..20 {
            calm.turn(0);
            assert_eq!(calm.soon, None);
        }
    }

    proptest! {
        /// With any history, the sustained delay is at most the longest iteration, and 0 once the loop is punctual.
        #[test]
        fn is_bounded_by_what_was_seen(turns in prop::collection::vec(0..5_000u64, 1..100)) {
            let most = turns.iter().copied().max().unwrap_or(0);
            let mut busy = Loop::default().turns(turns);
            prop_assert!(busy.greatest <= most as f64);
            busy.turn(0);
            busy.turn(0);
            prop_assert_eq!(busy.delay.sustained_ms(), 0.0);
        }

        /// Blocks with a punctual tick between them are never an overload.
        #[test]
        fn needs_a_loop_that_is_never_punctual(blocks in prop::collection::vec(20..5_000u64, 1..40)) {
            let turns = blocks.into_iter().flat_map(|block| [block, 0, 0]);
            prop_assert_eq!(Loop::warm().turns(turns).greatest, 0.0);
        }

        /// Any figures, including impossible ones.
        #[test]
        fn takes_any_figures(figures in prop::collection::vec((any::<f64>(), any::<u32>()), 1..100)) {
            let mut delay = Delay::default();
            for (figure, at) in figures {
                delay.ticked(figure, Millis::from(at));
                prop_assert!(delay.sustained_ms().is_finite() && delay.late.len() <= 1 + WINDOW_MS as usize);
            }
        }
    }
}
