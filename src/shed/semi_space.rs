//! The maximum size of one semi-space of the young generation. V8 does not report it. Three of them are part of
//! `heap_size_limit`, and the live heap must fit into the rest.

const MIB: u64 = 1 << 20;

/// Bytes, from the flags of Node's start, its version and V8's `heap_size_limit`. 0 if unknown.
///
/// `flags`: those of the command line after those of `NODE_OPTIONS`, since the last one counts. `young_generation`: the
/// value in a worker's `resourceLimits`, or 0.
pub fn semi_space_max(flags: &[String], node_version: &str, heap_size_limit: u64, young_generation: u64) -> u64 {
    let third_below_limit = |bytes: u64| if bytes.saturating_mul(3) < heap_size_limit { bytes } else { 0 };
    if young_generation > 0 {
        return third_below_limit(young_generation / 3);
    }
    if let Some(bytes) = megabytes(flags, "max-semi-space-size").filter(|bytes| *bytes > 0) {
        // V8 rounds up to a power of two.
        return third_below_limit(bytes.checked_next_power_of_two().unwrap_or(0));
    }
    // If the old generation's size is given, the rest of the limit is the young generation's.
    if let Some(young) =
        megabytes(flags, "max-old-space-size").filter(|old| *old > 0).and_then(|old| heap_size_limit.checked_sub(old))
    {
        return young / 3;
    }
    // Measured, on machines of 1 GiB and more.
    let major = node_version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    third_below_limit(match major {
        Some(24 | 25) => 64 * MIB,
        Some(26..) => 32 * MIB,
        Some(_) => 16 * MIB,
        None => 0,
    })
}

/// The last value of a V8 flag in megabytes, written with dashes or underscores.
fn megabytes(flags: &[String], name: &str) -> Option<u64> {
    let value = |flag: &String| {
        let (flag, value) = flag.trim_start_matches('-').split_once('=')?;
        (flag.replace('_', "-") == name).then(|| value.parse::<u64>().ok()?.checked_mul(MIB)).flatten()
    };
    flags.iter().rev().find_map(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flags(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn is_what_was_measured_on_each_node() {
        for (version, limit_mib, semi_mib) in
            [("v20.20.2", 4144, 16), ("v22.23.3", 4144, 16), ("v24.21.0", 4288, 64), ("v26.10.0", 4192, 32)]
        {
            assert_eq!(semi_space_max(&[], version, limit_mib * MIB, 0), semi_mib * MIB, "{version}");
        }
        for (version, limit_mib, semi_mib) in [("v20.20.2", 248, 16), ("v24.21.0", 392, 64), ("v26.10.0", 296, 32)] {
            let flags = flags("--max-old-space-size=200");
            assert_eq!(semi_space_max(&flags, version, limit_mib * MIB, 0), semi_mib * MIB, "{version}");
        }
    }

    #[test]
    fn follows_the_flags_however_they_are_written() {
        let limit = 4000 * MIB;
        assert_eq!(semi_space_max(&flags("--max-semi-space-size=8"), "v20.0.0", limit, 0), 8 * MIB);
        assert_eq!(semi_space_max(&flags("--max_semi_space_size=128 --inspect"), "v20.0.0", limit, 0), 128 * MIB);
        let both = flags("--max-semi-space-size=8 --max-old-space-size=100 --max-semi-space-size=32");
        assert_eq!(semi_space_max(&both, "v20.0.0", 196 * MIB, 0), 32 * MIB);
        assert_eq!(semi_space_max(&flags("--max-semi-space-size=lots"), "v20.0.0", limit, 0), 16 * MIB);
    }

    #[test]
    fn believes_a_worker_s_resource_limits() {
        assert_eq!(semi_space_max(&[], "v24.0.0", 100 * MIB, 12 * MIB), 4 * MIB);
    }

    proptest! {
        #[test]
        fn always_leaves_room_for_an_old_generation(flag in any::<u32>(), old in any::<u32>(), limit in 1u64.., young in any::<u64>()) {
            let given = flags(&format!("--max-semi-space-size={flag} --max-old-space-size={old}"));
            for flags in [&given[..], &given[1..], &[]] {
                prop_assert!(semi_space_max(flags, "v24.1.0", limit, young).saturating_mul(3) <= limit);
            }
        }
    }
}
