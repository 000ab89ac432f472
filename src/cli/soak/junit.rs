//! The result for a CI server: JUnit's XML, as Jenkins, GitLab and GitHub's reporters read it. A route is a test case,
//! a leak is a failure, and a missing verdict is an error.

use std::fmt::Write;

use super::{Outcome, Route, more, reasons};

pub fn junit(outcome: &Outcome) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String does not fail.
    let _ = write(outcome, &mut out);
    out
}

fn write(outcome: &Outcome, out: &mut String) -> std::fmt::Result {
    let with = |verdict: &str| outcome.routes.iter().filter(|route| route.verdict == verdict).count();
    let broken = usize::from(outcome.error.is_some());
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3}\"",
        outcome.routes.len() + broken,
        with("failed"),
        with("undecided") + broken,
        outcome.seconds
    );
    let name = escaped(&format!("plimsoll soak {}", outcome.app));
    writeln!(out, "<testsuites {counts}>\n  <testsuite name=\"{name}\" {counts}>")?;
    for route in &outcome.routes {
        case(route, out)?;
    }
    if let Some(error) = &outcome.error {
        let first = escaped(error.lines().next().unwrap_or_default());
        writeln!(out, "    <testcase classname=\"soak\" name=\"verdict\">")?;
        writeln!(out, "      <error message=\"{first}\">{}</error>\n    </testcase>", escaped(error))?;
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn case(route: &Route, out: &mut String) -> std::fmt::Result {
    write!(out, "    <testcase classname=\"soak\" name=\"{}\"", escaped(&route.route))?;
    let element = match route.verdict.as_str() {
        "failed" => "failure",
        "undecided" => "error",
        _ => return writeln!(out, "/>"),
    };
    let reasons = reasons(route);
    let sites = route.sites.iter().map(|site| format!("allocated in {} ({})", site.origin, site.function));
    let classes = route.classes.iter().map(|class| match &class.path[..] {
        [] => class.sentence(),
        path => format!("{}: {}", class.sentence(), path.join(" → ")),
    });
    let files =
        route.files.iter().map(|file| format!("{} {} open per 1,000 requests", more(file.per_thousand), file.name));
    let lines: Vec<String> =
        reasons.iter().cloned().chain(classes).chain(sites).chain(files).chain(route.notes.iter().cloned()).collect();
    let message = escaped(&format!("{}: {}", route.verdict, reasons.join("; ")));
    writeln!(
        out,
        ">\n      <{element} message=\"{message}\">{}</{element}>\n    </testcase>",
        escaped(&lines.join("\n"))
    )
}

/// For text and attributes. Characters that XML 1.0 does not allow are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
