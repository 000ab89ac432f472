//! Keeps a reported choice stable. If two candidates are about as likely, each profile ranks another one first, and a
//! reader would receive a change each time.

/// Times in a row that another candidate must come first.
const AGREED: u32 = 3;

/// Counts how often in a row the reported choice was not the likeliest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hysteresis {
    passed: u32,
}

impl Hysteresis {
    /// Index of the candidate to report. `ranked` has at least one, the likeliest first. `reported` was reported
    /// before, and is chosen again while it is among them, until others have been the likeliest three times in a row.
    pub fn choose<T: PartialEq + ?Sized>(&mut self, ranked: &[&T], reported: Option<&T>) -> usize {
        let known = reported.and_then(|reported| ranked.iter().position(|each| *each == reported)).unwrap_or(0);
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
    fn a_reported_choice_stays_until_another_has_been_first_three_times_in_a_row() {
        let mut hysteresis = Hysteresis::default();
        let mut reported = None;
        let mut choose = |ranked: &[&'static str]| {
            reported = Some(ranked[hysteresis.choose(ranked, reported)]);
            reported.unwrap()
        };
        assert_eq!(choose(&["a", "b"]), "a");
        for _ in 0..10 {
            assert_eq!([choose(&["b", "a"]), choose(&["b", "c", "a"]), choose(&["a", "b"])], ["a"; 3]);
        }
        assert_eq!(
            [choose(&["b", "a"]), choose(&["b", "a"]), choose(&["b", "a"]), choose(&["a", "b"])],
            ["a", "a", "b", "b"]
        );
    }

    #[test]
    fn a_choice_that_is_no_longer_a_candidate_is_replaced_at_once() {
        let mut hysteresis = Hysteresis::default();
        assert_eq!(hysteresis.choose(&["b", "c"], Some("a")), 0);
        assert_eq!(hysteresis.choose(&["b", "c"], None), 0);
    }
}
