//! `plimsoll soak`: its arguments, and its result as text and for a CI server. The load test itself is in JavaScript
//! (lib/soak/), because the app is.

mod junit;
mod text;

use clap::Args;
use serde::{Deserialize, Serialize};

pub use junit::junit;
pub use text::{error, text};

pub const EXAMPLES: &str = "Examples:
  npx plimsoll soak app.js          the GET routes of the exported Express app
  npx plimsoll soak server.js --route 'GET /users/:id' --route 'POST /carts' \\
      --body '{\"id\":1}'
  npx plimsoll soak server.js --route 'WS /feed'    WebSocket connections
  npx plimsoll soak server.js --har session.har    what a browser sent
  npx plimsoll soak server.js --from shop --max 100b
      the routes in the record of plimsoll({ name: 'shop' })
  npx plimsoll soak app.ts --node-arg --import --node-arg tsx --junit soak.xml
  npx plimsoll soak server.js --json -- --config test.yml
      arguments of the app come after --

The app runs in its own process, with PORT=0. It exports an Express app, a function (req, res), an http.Server, or a function or promise that \
returns one, or it listens by itself. Parameters of a route are filled with numbers, a new one for each request. {1..100} in a path counts up to \
100 and starts again.

Exit codes: 0 if no route leaks, 1 if one leaks or retains more than --max, 2 if there is no verdict: a wrong call, no server, an unexpected \
response, a crash, or a route that is undecided after --rounds.";

#[derive(Args, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arguments {
    /// A module that exports the app, or a script that starts it
    pub app: String,
    /// A route to drive; may be repeated. Default: the app's own GET routes
    #[arg(long = "route", value_name = "'METHOD /PATH'", conflicts_with_all = ["routes", "har", "from"])]
    pub route: Vec<String>,
    /// A module that exports an array of routes: 'GET /a' or { route, path, body, headers, abort, status, … }
    #[arg(long, value_name = "FILE", conflicts_with_all = ["har", "from"])]
    pub routes: Option<String>,
    /// A HAR file with the requests to send
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub har: Option<String>,
    /// The record of a running server whose GET routes are driven: its name, folder or file, as for show
    #[arg(long, value_name = "FILE|FOLDER|NAME")]
    pub from: Option<String>,
    /// A body for each --route other than GET; JSON if it starts with { or [
    #[arg(long, value_name = "TEXT", requires = "route")]
    pub body: Option<String>,
    /// A header for each --route; may be repeated
    #[arg(long = "header", value_name = "'NAME: VALUE'", requires = "route")]
    pub headers: Vec<String>,
    /// A status to accept for each --route, instead of 2xx and 3xx; may be repeated
    #[arg(long = "status", value_name = "CODE", requires = "route")]
    pub status: Vec<u16>,
    /// Bytes that a request may retain, as 100b, 1kb or 1Ki [default: 48 of the heap, 256 of malloc]
    #[arg(long, value_name = "SIZE")]
    pub max: Option<String>,
    /// Requests in a block [default: 25 to 150, by their duration and what they retain]
    #[arg(long, value_name = "N")]
    pub requests: Option<u32>,
    /// Maximum number of blocks of a route [default: 60]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Requests of a route before the measurement [default: 500]
    #[arg(long, value_name = "N")]
    pub warmup: Option<u32>,
    /// Connections, each with one request at a time [default: 4]
    #[arg(long, value_name = "N")]
    pub connections: Option<u32>,
    /// Maximum duration of a response [default: 10000]
    #[arg(long = "timeout", value_name = "MS")]
    pub timeout_ms: Option<u32>,
    /// Maximum time until the app listens [default: 30000]
    #[arg(long = "start-timeout", value_name = "MS")]
    pub start_ms: Option<u32>,
    /// Time to wait after each block, for an app that works on after its responses [default: 0]
    #[arg(long = "settle", value_name = "MS")]
    pub settle_ms: Option<u32>,
    /// Does not search for allocation sites and classes if a route leaks
    #[arg(long = "no-evidence")]
    pub no_evidence: bool,
    /// An argument for the app's Node; may be repeated
    #[arg(long = "node-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub node_args: Vec<String>,
    /// A variable of the app's environment; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The app's working folder
    #[arg(long, value_name = "FOLDER")]
    pub cwd: Option<String>,
    /// The result as JSON on one line
    #[arg(long)]
    pub json: bool,
    /// Also writes the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<String>,
    /// Arguments for the app
    #[arg(last = true, value_name = "ARG")]
    pub args: Vec<String>,
}

/// The result of lib/soak/, as far as it is shown.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    app: String,
    node: String,
    /// `passed`, `failed` or `undecided`. Without a verdict `error`.
    verdict: String,
    seconds: f64,
    notes: Vec<String>,
    routes: Vec<Route>,
    /// Why there is no verdict.
    error: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Route {
    route: String,
    verdict: String,
    requests: f64,
    rounds: f64,
    bytes_per_request: Option<Rate>,
    quantities: std::collections::BTreeMap<String, Quantity>,
    sites: Vec<Site>,
    classes: Vec<Class>,
    files: Vec<File>,
    notes: Vec<String>,
}

#[derive(Clone, Copy, Deserialize, Default)]
#[serde(default)]
struct Rate {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Quantity {
    title: String,
    /// `bytes` or `count`.
    unit: String,
    /// `over`, `under` or `open`.
    verdict: String,
    per_request: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    bound: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Site {
    origin: String,
    function: String,
    bytes_per_request: f64,
    low: f64,
    high: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    name: String,
    per_thousand: f64,
    retained_bytes_per_request: f64,
    path: Vec<String>,
    holder: Option<String>,
    added_by: Option<String>,
    package: Option<String>,
}

/// V8's kinds are in parentheses: `(concatenated string)`.
fn in_words(class: &str) -> String {
    match class.strip_prefix('(').and_then(|class| class.strip_suffix(')')) {
        Some("concatenated string" | "sliced string") => "strings".to_owned(),
        Some(kind) => format!("{kind}s"),
        None => class.to_owned(),
    }
}

/// As in the finding of the running server.
const ADVICE: &str = ". Delete entries when they are done, or bound the collection (LRU, time to live)";

impl Class {
    /// As the running server says it, holder first: `AuditTrail.entries (a Map in audit.js) grows with requests: +1,000 …`.
    fn sentence(&self) -> String {
        let grows = match &self.holder {
            Some(holder) => format!("{holder} grows with requests"),
            None => "the heap grows with requests".to_owned(),
        };
        let package = self.package.as_ref().map_or(String::new(), |package| format!(" ({package})"));
        let retained = bytes(self.retained_bytes_per_request, 0);
        let objects = format!("{} {}", more(self.per_thousand), in_words(&self.name));
        let what = format!("{objects} per 1,000 requests, which retain {retained} per request");
        let added = self.added_by.as_ref().map_or(String::new(), |adder| format!(". Entries are added by {adder}"));
        let advice = if self.holder.is_some() { ADVICE } else { "" };
        format!("{grows}{package}: {what}{added}{advice}")
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    name: String,
    per_thousand: f64,
}

/// What is wrong with each quantity of a route, one line each.
fn reasons(route: &Route) -> Vec<String> {
    let verdict = if route.verdict == "undecided" { "open" } else { "over" };
    route.quantities.values().filter(|quantity| quantity.verdict == verdict).map(line_of).collect()
}

/// `JavaScript heap: 4,183 B per request (4,182 B to 4,185 B); 48 B is allowed`. With as many decimals as the lower end
/// needs to differ from the bound: what is over must not look as if it were allowed.
fn line_of(quantity: &Quantity) -> String {
    let Quantity { title, unit, per_request, low, high, bound, verdict } = quantity;
    let show = |value: f64, decimals: usize| match unit.as_str() {
        "bytes" => bytes(value, decimals),
        _ => number(value, decimals.max(COUNT_DECIMALS)),
    };
    let hides =
        |decimals: &usize| verdict == "over" && low.is_some_and(|low| show(low, *decimals) == show(*bound, *decimals));
    let decimals = (0..MOST_DECIMALS).find(|decimals| !hides(decimals)).unwrap_or(MOST_DECIMALS);
    let rate = match (per_request, low, high) {
        (Some(value), Some(low), Some(high)) => {
            let [value, low, high] = [value, low, high].map(|value| show(*value, decimals));
            format!("{value} per request ({low} to {high})")
        }
        _ => "too few rounds for a figure".to_owned(),
    };
    format!("{title}: {rate}; {} is allowed", show(*bound, decimals))
}

/// Decimals of what is counted, and at most.
const COUNT_DECIMALS: usize = 3;
const MOST_DECIMALS: usize = 12;

/// Whole bytes, because they are not more exact, unless decimals are needed.
fn bytes(value: f64, decimals: usize) -> String {
    if decimals > 0 {
        return format!("{} B", number(value, decimals));
    }
    let whole = super::units::count(value.abs().round() as u64);
    let sign = if value <= -0.5 { "-" } else { "" };
    format!("{sign}{whole} B")
}

/// At most these decimals, without trailing zeros.
fn number(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// `+1,000`.
fn more(per_thousand: f64) -> String {
    format!("+{}", super::units::count(per_thousand.round().max(0.0) as u64))
}

#[cfg(test)]
mod tests;
