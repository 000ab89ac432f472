//! Converts OpenMetrics text to Prometheus text 0.0.4.
//!
//! The formats differ in a few points. The older one names a counter's family with its `_total`, and has no info
//! metrics, units or end marker. Its clients write whole bucket bounds without a fraction (`le="1"`), which queries
//! with a bound expect.

/// `openmetrics` is the encoder's output: each family's `# HELP` is followed by its `# TYPE`.
pub fn from_openmetrics(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut lines = openmetrics.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let kind = lines.peek().and_then(|next| next.rsplit_once(' ')).map_or("", |(_, kind)| kind);
            let (name, text) = help.split_once(' ').unwrap_or((help, ""));
            push(&mut out, &["# HELP ", name, suffix(kind), " ", text]);
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
            push(&mut out, &["# TYPE ", name, suffix(kind), " ", if kind == "info" { "gauge" } else { kind }]);
        } else if !line.starts_with('#') {
            push_sample(&mut out, line);
        }
    }
    out
}

fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
    out.push('\n');
}

/// The encoder writes `le` as the first label, so a label value that looks like one is not matched.
fn push_sample(out: &mut String, line: &str) {
    if let Some((name, rest)) = line.split_once('{')
        && name.ends_with("_bucket")
        && let Some((bound, labels)) = rest.strip_prefix("le=\"").and_then(|rest| rest.split_once('"'))
        && let Some(whole) = bound.strip_suffix(".0")
    {
        return push(out, &[name, "{le=\"", whole, "\"", labels]);
    }
    push(out, &[line]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_counters_with_their_suffix_and_drops_what_the_old_format_lacks() {
        let openmetrics = "# HELP a_bytes What it counts.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                           a_bytes_total 7\n# HELP b Who.\n# TYPE b info\nb_info{name=\"x\"} 1\n# EOF\n";
        let classic = "# HELP a_bytes_total What it counts.\n# TYPE a_bytes_total counter\na_bytes_total 7\n\
                       # HELP b_info Who.\n# TYPE b_info gauge\nb_info{name=\"x\"} 1\n";
        assert_eq!(from_openmetrics(openmetrics), classic);
    }

    #[test]
    fn leaves_labels_alone_whatever_they_hold() {
        let bucket = "h_bucket{le=\"1.0\",path=\"/le=\\\"2.0\\\"\"} 1\n";
        assert_eq!(from_openmetrics(bucket), "h_bucket{le=\"1\",path=\"/le=\\\"2.0\\\"\"} 1\n");
        let other = "c_total{path=\"/a{le=\\\"2.0\\\"\"} 1\nh_bucket{le=\"0.25\"} 1\nh_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(from_openmetrics(other), other);
    }
}
