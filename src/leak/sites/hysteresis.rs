//! What has been told stays told. Where two are about as likely each profile puts another first, and who reads that would hear it each time.

/// So many times in a row another one has to come first.
const AGREED: u32 = 3;

/// Remembers for how long what is told has not been the likeliest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hysteresis {
    passed: u32,
}

impl Hysteresis {
    /// Index of the one to tell of `ranked`, the likeliest first and at least one. `told` was told before: it is again as long as it is among them, but
    /// where others have been the likeliest three times in a row.
    pub fn choose<T: PartialEq + ?Sized>(&mut self, ranked: &[&T], told: Option<&T>) -> usize {
        let known = told.and_then(|told| ranked.iter().position(|each| *each == told)).unwrap_or(0);
        self.passed = if known == 0 { 0 } else { self.passed + 1 };
        if self.passed < AGREED {
            return known;
        }
        self.passed = 0;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_stays_until_another_has_been_first_three_times_in_a_row() {
        let mut steady = Hysteresis::default();
        let mut told = None;
        let mut tell = |ranked: &[&'static str]| {
            told = Some(ranked[steady.choose(ranked, told)]);
            told.unwrap()
        };
        assert_eq!(tell(&["a", "b"]), "a");
        for _ in 0..10 {
            assert_eq!([tell(&["b", "a"]), tell(&["b", "c", "a"]), tell(&["a", "b"])], ["a"; 3]);
        }
        assert_eq!([tell(&["b", "a"]), tell(&["b", "a"]), tell(&["b", "a"]), tell(&["a", "b"])], ["a", "a", "b", "b"]);
    }

    #[test]
    fn what_is_no_longer_among_them_goes_at_once() {
        let mut steady = Hysteresis::default();
        assert_eq!(steady.choose(&["b", "c"], Some("a")), 0);
        assert_eq!(steady.choose(&["b", "c"], None), 0);
    }
}
