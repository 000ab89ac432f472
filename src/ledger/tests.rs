use std::sync::Arc;

use proptest::prelude::*;

use super::refusals::Refusal;
use super::*;
use crate::recorder::SLOTS_MAX;
use crate::recorder::map::Map;
use crate::recorder::reader;
use crate::recorder::record::Record;
use crate::recorder::writer::Identity;

fn ledger() -> Ledger {
    let map = Arc::new(Map::anonymous(false).unwrap());
    let methods = ["GET".to_owned(), "POST".to_owned()];
    Ledger::new(Writer::new(map, &Identity::default()), Meter::supplied(), &methods, PathMode::Masked)
}

fn used(bytes: u64) -> HeapFigures {
    HeapFigures { used: bytes, ..HeapFigures::default() }
}

fn read(ledger: &Ledger) -> Record {
    reader::read(&**ledger.writer().map()).unwrap()
}

#[test]
fn spans_are_exclusive() {
    let mut ledger = ledger();
    let outer = ledger.enter(0, "/outer").unwrap();
    ledger.supply(used(1000));
    let inner = ledger.enter(0, "/inner").unwrap();
    ledger.supply(used(1500));
    ledger.settle(inner);
    ledger.supply(used(1700));
    ledger.settle(outer);
    assert_eq!(ledger.usage(outer).unwrap().heap_bytes, 1200);
    assert_eq!(ledger.usage(inner).unwrap().heap_bytes, 500);
    assert_eq!(read(&ledger).heap.attributed_bytes, 1700);
}

#[test]
fn an_outer_settle_closes_spans_left_open_inside_it() {
    let mut ledger = ledger();
    let outer = ledger.enter(0, "/outer").unwrap();
    let inner = ledger.enter(0, "/inner").unwrap();
    ledger.settle(outer);
    assert!(read(&ledger).in_flight.iter().all(|request| !request.running));
    ledger.settle(inner);
}

#[test]
fn names_the_request_that_runs() {
    let mut ledger = ledger();
    let waits = ledger.enter(1, "/waits").unwrap();
    ledger.settle(waits);
    ledger.enter(0, "/runs").unwrap();
    let record = read(&ledger);
    let running: Vec<_> =
        record.in_flight.iter().filter(|request| request.running).map(|request| &request.path).collect();
    assert_eq!(running, ["/runs"]);
    assert_eq!(record.in_flight.len(), 2);
}

#[test]
fn a_request_ends_once() {
    let mut ledger = ledger();
    let handle = ledger.enter(0, "/").unwrap();
    let label = ledger.label("/");
    ledger.settle(handle);
    assert!(ledger.end(handle, label, End { status: 200, ..End::default() }));
    assert!(!ledger.end(handle, label, End { status: 200, ..End::default() }));
    let again = ledger.enter(0, "/").unwrap();
    assert_ne!(again, handle, "the slot's next request has another handle");
    assert!(!ledger.end(handle, label, End::default()), "a stale handle does not end it");
    let record = read(&ledger);
    assert_eq!((record.routes[0].count, record.requests.in_flight), (1, 1));
}

#[test]
fn serves_on_without_a_free_slot() {
    let mut ledger = ledger();
    let handles: Vec<_> = (0..SLOTS_MAX).map(|_| ledger.enter(0, "/").unwrap()).collect();
    assert_eq!(ledger.enter(0, "/one-more"), None);
    assert_eq!(read(&ledger).requests.untracked, 1);
    handles.into_iter().for_each(|handle| assert!(ledger.end(handle, 0, End::default())));
    assert!(ledger.enter(0, "/again").is_some());
}

#[test]
fn routes_beyond_the_bound_share_a_row() {
    let mut ledger = ledger();
    for route in 0..2000 {
        let handle = ledger.enter(0, "/").unwrap();
        let label = ledger.label(&format!("/r{route}"));
        ledger.end(handle, label, End { status: 200 + (route % 2) * 300, ..End::default() });
    }
    let record = read(&ledger);
    let other: Vec<_> = record.routes.iter().filter(|route| route.route == "(other)").collect();
    assert!(record.routes.len() <= 1024 + 5);
    assert_eq!(record.routes.iter().map(|route| route.count).sum::<u64>(), 2000);
    assert!(other.iter().map(|route| route.count).sum::<u64>() >= 900);
    assert!(other.iter().all(|route| (route.status == "5xx") == (route.errors > 0)));
}

#[test]
fn a_span_with_a_collection_is_left_out_without_the_exact_probe() {
    let mut ledger = ledger();
    ledger.supply(used(10_000));
    let handle = ledger.enter(0, "/").unwrap();
    ledger.supply(used(4_000));
    ledger.settle(handle);
    assert_eq!(ledger.usage(handle).unwrap().heap_bytes, 0);
}

#[test]
fn refusals_are_counted_each_and_recorded_now_and_then() {
    let mut ledger = ledger();
    assert!(ledger.shed(false), "the first is an event");
    assert!(!ledger.shed(false) && !ledger.shed(true));
    for _ in 0..3 {
        ledger.limit_reported(Some("/up"), "2000 bytes declared");
    }
    ledger.limited(Refusal::from_name("budget"), 0, None, "");
    ledger.limited(Refusal::from_name("rate"), 0, None, "");
    let record = read(&ledger);
    let requests = &record.requests;
    assert_eq!((requests.over_budget, requests.too_slow), (1, 1));
    assert_eq!((requests.shed, requests.shed_reported, requests.limited, requests.limit_reported), (2, 1, 0, 3));
    let events: Vec<_> = record.events.iter().map(|event| (event.kind, event.detail.as_str())).collect();
    assert_eq!(events, [("limit", "reported only: 2000 bytes declared")]);
}

#[derive(Clone, Debug)]
enum Step {
    Enter,
    Settle(usize),
    End(usize),
    Allocate(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Enter),
        (0..20usize).prop_map(Step::Settle),
        (0..20usize).prop_map(Step::End),
        any::<u16>().prop_map(Step::Allocate)
    ]
}

proptest! {
    /// In any order in which requests enter, settle and end, each byte allocated while a span was open belongs to one
    /// request.
    #[test]
    fn no_byte_is_lost_or_counted_twice(steps in prop::collection::vec(step(), 1..200)) {
        let mut ledger = ledger();
        let (mut handles, mut stack, mut ended): (Vec<Handle>, Vec<Handle>, Vec<Handle>) = Default::default();
        let (mut total, mut charged) = (0u64, 0u64);
        for step in steps {
            match step {
                Step::Enter => {
                    let handle = ledger.enter(0, "/").unwrap();
                    handles.push(handle);
                    stack.push(handle);
                }
                Step::Settle(n) => if let Some(handle) = handles.get(n) {
                    ledger.settle(*handle);
                    if let Some(depth) = stack.iter().rposition(|open| open == handle) {
                        stack.truncate(depth);
                    }
                },
                Step::End(n) => if let Some(handle) = handles.get(n) {
                    let first = !ended.contains(handle);
                    prop_assert_eq!(ledger.end(*handle, 0, End::default()), first);
                    ended.push(*handle);
                },
                Step::Allocate(bytes) => {
                    total += u64::from(bytes);
                    ledger.supply(used(total));
                    if stack.last().is_some_and(|handle| !ended.contains(handle)) {
                        charged += u64::from(bytes);
                    }
                }
            }
        }
        while let Some(handle) = stack.pop() {
            ledger.settle(handle);
        }
        prop_assert_eq!(ledger.attributed, charged as i64);
        let in_flight = read(&ledger).in_flight.len();
        prop_assert_eq!(in_flight, handles.iter().filter(|handle| !ended.contains(handle)).count());
    }
}
