//! From the points of the record to the message.

use crate::leak::message::{Known, Place, advice};
use crate::leak::owners::{Owners, RouteShare};
use crate::leak::quantities::{Quantities, Seen, TrendEvent};
use crate::leak::suspect::LeakSuspect;
use crate::leak::suspect::explanation::Explanation;
use crate::leak::suspect::shapes::NAMED;
use crate::recorder::record::{Live, Trend};
use crate::recorder::{Quantity, TrendState};

const KIB: u64 = 1024;

/// Looks at a server after each collection. `bytes` returns heap, external and native bytes after a number of
/// collections, which are 100 requests apart.
fn run(collections: u64, bytes: impl Fn(u64) -> [u64; 3]) -> Vec<[Seen; 3]> {
    let mut quantities = Quantities::default();
    let mut lives: Vec<Live> = Vec::new();
    (0..collections)
        .map(|collection| {
            let [heap_bytes, external_bytes, native] = bytes(collection);
            let (at, requests_total) = (50_400_000 + collection * 1000, 2000 + collection * 100);
            let native_bytes = Some(native);
            lives.push(Live { at, heap_bytes, external_bytes, native_bytes, requests_total, ..Live::default() });
            let from = lives.len().saturating_sub(64);
            quantities.see(&[lives[from..].to_vec()])
        })
        .collect()
}

fn news(seen: &[[Seen; 3]], quantity: Quantity) -> Vec<&TrendEvent> {
    seen.iter().filter_map(|seen| seen[quantity as usize].event.as_ref()).collect()
}

#[test]
fn each_quantity_is_judged_by_itself() {
    for leaky in Quantity::ALL {
        let seen = run(50, |n| {
            [0, 1, 2].map(|quantity| if quantity == leaky as u64 { n * 800 * KIB } else { n % 3 * KIB } + 50_000 * KIB)
        });
        for quantity in Quantity::ALL {
            let state = seen.last().unwrap()[quantity as usize].verdict.state;
            let expected = if quantity == leaky { TrendState::Leaking } else { TrendState::Steady };
            assert_eq!(state, expected, "{quantity:?} where {leaky:?} leaks");
            assert_eq!(news(&seen, quantity).is_empty(), quantity != leaky);
        }
    }
}

/// Requests, and the KB by which an app with aborted downloads had grown by then: the slope of its trend times the
/// requests (Node 24).
const WARMING_UP: [(f64, f64); 10] = [
    (1740.0, 0.0),
    (2280.0, 363.0),
    (3000.0, 452.0),
    (3720.0, 527.0),
    (4440.0, 616.0),
    (5160.0, 659.0),
    (5520.0, 720.0),
    (6240.0, 866.0),
    (6960.0, 935.0),
    (8040.0, 961.0),
];

#[test]
fn growth_that_began_in_the_warm_up_must_continue_after_it() {
    let warming_up = |requests: f64| {
        let (from, to) = WARMING_UP.iter().zip(&WARMING_UP[1..]).find(|(_, to)| requests < to.0).unwrap();
        from.1 + (to.1 - from.1) * (requests - from.0) / (to.0 - from.0)
    };
    let states = |more: u64| {
        let seen = run(60, |n| {
            let in_flight = n % 3 * 50;
            [10_000_000 + (warming_up(2000.0 + 100.0 * n as f64) as u64 + in_flight + n * more) * 1000, 0, 0]
        });
        seen.iter().map(|seen| seen[0].verdict.state).collect::<Vec<_>>()
    };
    let healthy = states(0);
    assert!(healthy.contains(&TrendState::Uncertain) && !healthy.contains(&TrendState::Leaking), "{healthy:?}");
    assert!(states(30).contains(&TrendState::Leaking), "with a leak beside");
}

#[test]
fn says_nothing_before_there_are_enough_points() {
    let seen = run(30, |n| [n * 800 * KIB; 3]);
    let states: Vec<TrendState> = seen.iter().map(|seen| seen[0].verdict.state).collect();
    assert!(states[..9].iter().all(|state| *state == TrendState::Learning));
    assert!(states[9..15].iter().all(|state| *state == TrendState::Uncertain), "{states:?}");
    assert_eq!(states.last(), Some(&TrendState::Leaking));
    let trend = Trend::from(&seen[5][0].verdict);
    assert_eq!((trend.state, trend.samples, trend.bytes_per_request), (TrendState::Learning, 0, None));
}

#[test]
fn a_leak_is_reported_once_then_when_it_has_grown_by_a_tenth_and_withdrawn_when_it_stops() {
    let seen = run(200, |n| [10_000 * KIB + n.min(80) * 64 * KIB, 0, 0]);
    let news = news(&seen, Quantity::Heap);
    let kept: Vec<f64> = news
        .iter()
        .filter_map(|news| match news {
            TrendEvent::Leaks(verdict) => Some(verdict.kept_bytes()),
            TrendEvent::Stopped(..) => None,
        })
        .collect();
    assert!(kept.len() > 5 && kept.windows(2).all(|pair| pair[1] >= 1.1 * pair[0]), "{kept:?}");
    assert_eq!(kept.len() + 1, news.len());
    let text = advice(Quantity::Heap, news[0], &Known::default());
    assert!(text.starts_with("the heap grows by 655 B (655 to 655) per request. Since 14:00 UTC: "), "{text}");
    let last = advice(Quantity::Heap, news[news.len() - 1], &Known::default());
    assert!(last.starts_with("growth stopped by 14:0") && last.contains("the heap grew by 655 B"), "{last}");
    assert_eq!(seen.last().unwrap()[0].verdict.state, TrendState::Steady);
}

fn kept() -> LeakSuspect {
    LeakSuspect {
        class: "Session".to_owned(),
        instances: 1997.0,
        share: 0.97,
        holder: Some("cache: Map".to_owned()),
        what: String::new(),
        owner: None,
        shape: &NAMED,
        module: Some("src/users.js".to_owned()),
        path: Vec::new(),
        explanation: Explanation::default(),
    }
}

fn likely(routes: &[&str]) -> Owners {
    let routes = routes.iter().map(|route| (*route).to_owned()).collect();
    Owners::Likely { routes, requests_per: 2.0, why: None }
}

fn place() -> Place {
    let (function, origin) = ("getUser".to_owned(), "src/users.js:12".to_owned());
    Place { function, origin, owners: likely(&["GET /users/:id"]), share: 0.9, looseness: 0.2 }
}

#[test]
fn a_leak_is_reported_with_all_that_is_known_of_it() {
    let seen = run(40, |n| [n * 800 * KIB, 0, 0]);
    let leaks = *news(&seen, Quantity::Heap).last().unwrap();
    let TrendEvent::Leaks(verdict) = leaks else { panic!("{leaks:?}") };
    let (place, kept) = (place(), kept());
    let of = |known: &Known| advice(Quantity::Heap, leaks, known);
    let all = of(&Known { place: Some(&place), suspect: Some((&kept, 2011.0)), ..Known::default() });
    let (what, then) = all.split_once(". Delete").unwrap();
    assert_eq!(
        what,
        format!(
            "cache (a Map in src/users.js) grows with requests: GET /users/:id retains 14746 B (14451 to 15041) per request, \
             allocated at src/users.js:12 (getUser): Session objects (97 % of the growth, +2,011 per 1,000 requests). Since 14:00 UTC: {:.1} MiB in total, certainty 99.99 %",
            verdict.kept_bytes() / 1024.0 / 1024.0
        )
    );
    assert_eq!(then, " entries when they are done, or bound the collection (LRU, time to live)");
    let looking = of(&Known { place: Some(&place), snapshots: true, ..Known::default() });
    assert!(looking.ends_with("to find what retains it (off with leaks: { snapshots: false })"), "{looking}");
    let refused = of(&Known { place: Some(&place), snapshots: true, no_path: Some("no room"), ..Known::default() });
    assert!(
        refused.contains(". Find what retains it: two plimsoll.snapshot()")
            && refused.ends_with(". What retains it is not known: no room")
    );
    let without_site = of(&Known { suspect: Some((&kept, 2011.0)), no_site: Some("taken"), ..Known::default() });
    assert!(
        without_site
            .starts_with("cache (a Map in src/users.js) grows: 8192 B (8192 to 8192) per request: Session objects ")
    );
    assert!(without_site.ends_with(". The allocation site is not known: taken"), "{without_site}");
    let stopped = TrendEvent::Stopped(*verdict, 50_460_000);
    let stopped = advice(
        Quantity::Heap,
        &stopped,
        &Known { place: Some(&place), suspect: Some((&kept, 9.0)), ..Known::default() },
    );
    assert!(stopped.starts_with("growth stopped by 14:01 UTC: cache (a Map in src/users.js) grew with requests: GET /users/:id retained 14746 B "), "{stopped}");
    assert!(stopped.contains("Session objects") && stopped.ends_with("MiB in total, certainty 99.99 %"));
}

#[test]
fn advice_has_room_in_the_record() {
    let seen = run(40, |n| [n << 40; 3]);
    let (place, mut kept, long) = (place(), kept(), "é".repeat(1000));
    for quantity in Quantity::ALL {
        let Some(TrendEvent::Leaks(verdict)) = news(&seen, quantity).last() else { panic!("{quantity:?}") };
        for news in [TrendEvent::Leaks(*verdict), TrendEvent::Stopped(*verdict, u64::MAX)] {
            let advice = advice(quantity, &news, &Known::default());
            assert!(advice.len() <= 320, "{}: {advice}", advice.len());
        }
    }
    let Some(leaks) = news(&seen, Quantity::Heap).last().copied() else { panic!("nothing leaks") };
    kept.holder = Some("a".repeat(60));
    let known = Known { place: Some(&place), suspect: Some((&kept, 1e12)), files: Some(&long), ..Known::default() };
    let text = advice(Quantity::Heap, leaks, &known);
    assert!(text.find(". Snapshots: ").is_some_and(|at| at < 480), "{}: {text}", text.len());
}

#[test]
fn what_to_do_comes_before_a_list_of_routes() {
    let seen = run(40, |n| [n * 800 * KIB, 0, 0]);
    let leaks = *news(&seen, Quantity::Heap).last().unwrap();
    let name = |n: usize| format!("GET /a/rather/long/route/{n}/of/{{many}}/:id");
    let of = |owners: Owners| {
        let place = Place { owners, ..place() };
        advice(Quantity::Heap, leaks, &Known { place: Some(&place), suspect: Some((&kept(), 9.0)), ..Known::default() })
    };
    let many = |many: usize| Owners::Likely {
        routes: (0..many).map(name).collect(),
        requests_per: 2.0,
        why: Some("no counter".to_owned()),
    };
    let text = of(many(150));
    assert!(text.contains(" grows with requests: one of 150 routes retains "), "{text}");
    let to_do = text.find(". Delete entries when they are done").unwrap();
    assert!(to_do < 512 && to_do < text.find(". The routes: GET /a/rather/long/route/0/").unwrap(), "{text}");
    assert!(text.contains(". Whose requests they are is not counted: no counter"), "{text}");
    let text = of(many(2));
    assert!(text.contains(&format!(": {} or {} retains ", name(0), name(1))) && !text.contains("The routes"), "{text}");
    let share = |n: usize| RouteShare { route: name(n), share: 0.1, low: 0.05, high: 0.15, requests_per: 10.0 };
    let text = of(Owners::Routes((0..20).map(share).collect()));
    assert!(
        text.contains(&format!(": {} retains 8192 B (4096 to 12288) per request, {} 8192 B (", name(0), name(1))),
        "{text}"
    );
    assert!(text.contains(", and 17 other routes less, allocated at src/users.js:12 (getUser)"), "{text}");
    assert!(text.contains(". The other routes: GET /a/rather/long/route/3/of/"), "{text}");
}

#[test]
fn growth_of_all_routes_and_of_none_is_said() {
    let seen = run(40, |n| [n * 800 * KIB, 0, 0]);
    let leaks = *news(&seen, Quantity::Heap).last().unwrap();
    let of = |owners: Owners| {
        let place = Place { owners, share: 1.0, ..place() };
        advice(Quantity::Heap, leaks, &Known { place: Some(&place), ..Known::default() })
    };
    let alike = of(Owners::Alike(Vec::new()));
    assert!(alike.starts_with("all routes alike: a request retains 8192 B (8192 to 8192), allocated at "), "{alike}");
    let nobody = of(Owners::Nobody);
    assert!(
        nobody.starts_with("the heap grows with time, not with requests: 8192 B (8192 to 8192) per request"),
        "{nobody}"
    );
    let unknown = of(Owners::Unknown);
    assert!(unknown.starts_with("the app retains 8192 B (8192 to 8192) per request, allocated at "), "{unknown}");
}

/// `cargo test --release -- --ignored --nocapture a_look_takes`.
#[test]
#[ignore = "a measurement"]
fn a_look_takes() {
    use std::io::Write;
    let live = |window: u64, n: u64| Live {
        at: n << window,
        heap_bytes: 100_000 * KIB + ((n * 100) << window) + n * 7919 % 600 * KIB,
        external_bytes: 9_000 * KIB + n * 104_729 % 2_000 * KIB,
        native_bytes: Some(60_000 * KIB + n * 1_299_709 % 9_000 * KIB),
        requests_total: (n * 250) << window,
        ..Live::default()
    };
    let windows: Vec<Vec<Live>> = (0..12).map(|window| (0..64).map(|n| live(window, n)).collect()).collect();
    let mut quantities = Quantities::default();
    let start = std::time::Instant::now();
    for _ in 0..200 {
        std::hint::black_box(quantities.see(&windows));
    }
    let micros = start.elapsed().as_secs_f64() * 1e6 / 200.0;
    writeln!(std::io::stderr(), "{micros:.0} µs a look at twelve full windows of three quantities").unwrap();
}
