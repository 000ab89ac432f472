//! Metrics of one record, or of several as one (the workers of a cluster, the worker threads of a process).
//!
//! `prometheus-client` encodes OpenMetrics. The classic text format (0.0.4) is derived from that in `classic`, so that
//! there is one list of metrics and one encoder. `catalogue` lists the metrics, and `merged` combines those of several
//! records.

mod catalogue;
mod classic;
mod merged;
mod routes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, GaugeValueEncoder, MetricEncoder,
    NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::recorder::record::Record;

/// Which distributions are histograms. The others have a sum and a count, under the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Histograms {
    None,
    #[default]
    Latency,
    All,
}

impl Histograms {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "latency" => Some(Self::Latency),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}

/// Options of the caller.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub histograms: Histograms,
    /// Upper bounds of the latency histogram in seconds, ascending, each one in which the record counts. None: the
    /// default ones.
    pub buckets: Option<Vec<f64>>,
    /// OpenMetrics 1.0 instead of Prometheus text 0.0.4.
    pub openmetrics: bool,
    /// Omits names without the prefix `plimsoll_`, for processes in which prom-client exports the others.
    pub only_plimsoll: bool,
    /// Cause and time (epoch milliseconds) of the last death that a start has found.
    pub last_death: Option<(String, u64)>,
    /// Records of ended members of a run that continues. They count in counters and histograms only.
    pub past: Vec<Record>,
}

/// All metrics of `records`, merged. Without a record, they show that there is none.
pub fn render(records: &[Record], options: &Options) -> Vec<u8> {
    let mut families = Families { only_plimsoll: options.only_plimsoll, list: Vec::new() };
    catalogue::fill(&mut families, records, options);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("writing to a String cannot fail");
    // The encoder has no summaries. No other line ends like this: help ends with a full stop, a sample with a number.
    let out = out.replace(" unknown\n", " summary\n");
    match options.openmetrics {
        true => out.into_bytes(),
        false => classic::from_openmetrics(&out).into_bytes(),
    }
}

type Labels = Arc<Vec<(&'static str, String)>>;

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    Arc::new(pairs.map(|(key, value)| (key, value.to_owned())).to_vec())
}

/// Integers stay integers in the text: `73000000000.0` is hard to read and to compare.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(u64),
    Float(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> fmt::Result {
        match self {
            Self::Integer(value) => EncodeGaugeValue::encode(value, encoder),
            Self::Float(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder) -> fmt::Result {
        match self {
            Self::Integer(value) => EncodeCounterValue::encode(value, encoder),
            Self::Float(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

/// Counts by bucket, not cumulative. The total is their sum, so it cannot contradict them.
#[derive(Debug)]
struct Histogram {
    sum: f64,
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// `bounds` are inclusive and ascend. `counts` has one more, for larger values. Both formats forbid a negative sum,
    /// and the encoder adds the counts up, so invalid values are limited to avoid an overflow.
    fn new(sum: f64, bounds: impl IntoIterator<Item = f64>, counts: &[u64]) -> Self {
        let mut left = u64::MAX;
        let buckets = bounds.into_iter().chain([f64::INFINITY]).enumerate().map(|(index, bound)| {
            let count = counts.get(index).copied().unwrap_or(0).min(left);
            left -= count;
            (bound, count)
        });
        Self { buckets: buckets.collect(), sum: sum.max(0.0) }
    }

    fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The same without buckets.
    fn summary(&self) -> Value {
        Value::Summary { sum: self.sum, count: self.count() }
    }
}

#[derive(Debug)]
enum Value {
    Counter(Number),
    Gauge(Number),
    Histogram(Histogram),
    Summary { sum: f64, count: u64 },
    Info,
}

#[derive(Debug)]
struct Family {
    /// Without unit and suffix, which the encoder appends.
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    kind: MetricType,
    rows: Vec<(Labels, Value)>,
}

impl Family {
    /// `name` is the full name, with its unit and the suffix of its kind.
    fn new(name: &'static str, help: &'static str, kind: MetricType, rows: Vec<(Labels, Value)>) -> Self {
        let suffix = match kind {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        let name = name.strip_suffix(suffix).expect("a metric's name ends in the suffix of its kind");
        let (name, unit) = match (name.strip_suffix("_seconds"), name.strip_suffix("_bytes")) {
            (Some(name), _) => (name, Some(Unit::Seconds)),
            (_, Some(name)) => (name, Some(Unit::Bytes)),
            _ => (name, None),
        };
        Self { name, unit, help, kind, rows }
    }
}

#[derive(Debug)]
struct Families {
    only_plimsoll: bool,
    list: Vec<Family>,
}

impl Families {
    fn push(&mut self, name: &'static str, help: &'static str, kind: MetricType, rows: Vec<(Labels, Value)>) {
        if rows.is_empty() || (self.only_plimsoll && !name.starts_with("plimsoll_")) {
            return;
        }
        self.list.push(Family::new(name, help, kind, rows));
    }

    fn counter(&mut self, name: &'static str, value: impl Into<Number>, help: &'static str) {
        self.push(name, help, MetricType::Counter, vec![(Labels::default(), Value::Counter(value.into()))]);
    }

    fn gauge(&mut self, name: &'static str, value: impl Into<Number>, help: &'static str) {
        self.push(name, help, MetricType::Gauge, vec![(Labels::default(), Value::Gauge(value.into()))]);
    }

    /// A gauge that is omitted if its value is unknown.
    fn known(&mut self, name: &'static str, value: Option<impl Into<Number>>, help: &'static str) {
        if let Some(value) = value {
            self.gauge(name, value, help);
        }
    }

    fn histograms(&mut self, name: &'static str, rows: impl Iterator<Item = (Labels, Histogram)>, help: &'static str) {
        let rows = rows.map(|(labels, histogram)| (labels, Value::Histogram(histogram))).collect();
        self.push(name, help, MetricType::Histogram, rows);
    }

    fn summaries(&mut self, name: &'static str, rows: impl Iterator<Item = (Labels, Histogram)>, help: &'static str) {
        let rows = rows.map(|(labels, histogram)| (labels, histogram.summary())).collect();
        self.push(name, help, MetricType::Unknown, rows);
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in &self.list {
            let mut encoder = encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), family.kind)?;
            for (labels, value) in &family.rows {
                match (value, labels.is_empty()) {
                    (Value::Info, _) => encoder.encode_info(&**labels)?,
                    // An empty label set would be written as `{}`.
                    (_, true) => encode_value(&mut encoder, value)?,
                    (_, false) => encode_value(&mut encoder.encode_family(&**labels)?, value)?,
                }
            }
        }
        Ok(())
    }
}

fn encode_value(encoder: &mut MetricEncoder, value: &Value) -> fmt::Result {
    match value {
        Value::Counter(value) => encoder.encode_counter::<NoLabelSet, _, f64>(value, None),
        Value::Gauge(value) => encoder.encode_gauge(value),
        Value::Histogram(histogram) => {
            encoder.encode_histogram::<NoLabelSet>(histogram.sum, histogram.count(), &histogram.buckets, None)
        }
        Value::Summary { sum, count } => encoder.encode_histogram::<NoLabelSet>(*sum, *count, &[], None),
        Value::Info => Ok(()),
    }
}
