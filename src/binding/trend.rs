//! The trend: looked at on the sampler's thread, told on the JavaScript thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::recorder::map::Map;
use crate::recorder::record::{Finding, Trend};
use crate::recorder::writer::{Evidence, SamplerWriter};
use crate::recorder::{Quantity, Severity, reader};
use crate::trend::quantities::{News, Quantities, advice};

/// Looks at the record whenever there was a major collection, and writes what it sees there.
pub struct Looks {
    map: Arc<Map>,
    writer: SamplerWriter,
    quantities: Quantities,
    points: Option<u64>,
    main_thread: bool,
    news: Sender<(Quantity, News)>,
}

impl Looks {
    pub fn new(map: Arc<Map>, main_thread: bool, news: Sender<(Quantity, News)>) -> Self {
        let writer = SamplerWriter::new(Arc::clone(&map));
        Self { map, writer, quantities: Quantities::default(), points: None, main_thread, news }
    }

    /// To be called on the sampler's thread, at each of its turns.
    pub fn turn(&mut self) {
        let points = reader::points(&*self.map).ok();
        if points == self.points {
            return;
        }
        self.points = points;
        let Ok(windows) = reader::windows(&*self.map) else { return };
        // The last point of a coarse window lies a little back.
        let newest = windows.first().and_then(|finest| finest.last()).map(|live| live.at);
        for seen in self.quantities.see(&windows) {
            // What is resident beside V8 is the process's, not a worker's.
            if seen.quantity == Quantity::Native && !self.main_thread {
                continue;
            }
            let trend = Trend { to: newest, ..Trend::from(&seen.verdict) };
            self.writer.trend(seen.quantity, &trend);
            if let Some(news) = seen.news {
                // Nobody listens any more when the environment has ended.
                let _ = self.news.send((seen.quantity, news));
            }
        }
    }
}

/// Puts it into the record's findings. What listeners must hear of: a leak that is new, and one that has stopped.
pub fn tell(ledger: &mut Ledger, quantity: Quantity, news: &News) -> Option<Value> {
    let advice = advice(quantity, news);
    let evidence = Evidence {
        kind: "leak",
        route: None,
        origin: match quantity {
            Quantity::Heap => None,
            Quantity::External => Some("(external memory)"),
            Quantity::Native => Some("(native memory)"),
        },
        severity: Severity::Critical,
        per_thousand: None,
        advice: &advice,
    };
    let due = match news {
        News::Leaks(_) => ledger.find(&evidence, 1),
        News::Stopped(..) => ledger.withdraw(&evidence),
    };
    let record = due.then(|| reader::read(&**ledger.writer().map()).ok())??;
    let told = |finding: &&Finding| finding.kind == evidence.kind && finding.origin.as_deref() == evidence.origin;
    let mut message = json!(record.findings.iter().find(told)?);
    message["channel"] = "finding".into();
    Some(message)
}
