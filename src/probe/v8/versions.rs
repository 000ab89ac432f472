//! Which versions of V8 the probe may call.
//!
//! A mangled name fixes the parameters of a function. It fixes neither the layout of a struct that V8 fills in or
//! returns nor the values of an enum, and some of these cannot be checked before the call. So only tested versions are
//! called, unless the user forces the probe on.

use std::ops::RangeInclusive;

use super::ProbeError;

/// Node 20 has V8 11, Node 22 has 12, Node 24 has 13, Node 26 has 14.
const TESTED: RangeInclusive<u32> = 11..=14;

/// `v8`: the text of `process.versions.v8`. `wish`: the value of `PLIMSOLL_PROBE`. Values other than `on` and `off`
/// count as not set.
pub fn permit(v8: &str, wish: Option<&str>) -> Result<(), ProbeError> {
    let tested = v8.split('.').next().and_then(|major| major.parse().ok()).is_some_and(|major| TESTED.contains(&major));
    match wish {
        Some("off") => Err(ProbeError::Off),
        Some("on") => Ok(()),
        _ if tested => Ok(()),
        _ => Err(ProbeError::Untested(v8.split('.').take(2).collect::<Vec<_>>().join("."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_the_versions_that_were_tried() {
        for v8 in ["11.3.244.8-node.38", "12.4.254.21-node.57", "13.6.233.17-node.63", "14.6.202.34-node.40"] {
            assert_eq!(permit(v8, None), Ok(()));
            assert_eq!(permit(v8, Some("maybe")), Ok(()));
            assert_eq!(permit(v8, Some("off")), Err(ProbeError::Off));
        }
    }

    #[test]
    fn refuses_others_unless_asked_and_says_what_to_do() {
        for (v8, shown) in [("15.1.27.3-node.12", "15.1"), ("10.2", "10.2"), ("150.0.1", "150.0"), ("", ""), ("x", "x")]
        {
            assert_eq!(permit(v8, None), Err(ProbeError::Untested(shown.into())));
            assert_eq!(permit(v8, Some("on")), Ok(()));
            assert_eq!(permit(v8, Some("off")), Err(ProbeError::Off));
        }
        assert_eq!(
            permit("15.1.27", None).unwrap_err().to_string(),
            "V8 15.1 has not been tested: set PLIMSOLL_PROBE=on to try it, or update plimsoll"
        );
    }
}
