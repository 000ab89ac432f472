//! Whole runs of servers, judged after each collection: how often a healthy server is reported, and how soon a leaky
//! one.

use super::series::{ALL, Changes, MB, Noise, QUIET, Server};
use crate::leak::detector::Change;

fn accused(changes: &Changes) -> bool {
    changes.iter().any(|(_, change)| *change == Change::Began)
}

/// In how many of `runs` the condition holds, on as many threads as there are.
fn count(runs: u64, holds: impl Fn(u64) -> bool + Sync) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn({
                    let holds = &holds;
                    move || (part..runs).step_by(threads as usize).filter(|seed| holds(*seed)).count() as u64
                })
            })
            .collect();
        parts.into_iter().map(|part| part.join().expect("no panic")).sum()
    })
}

/// `PLIMSOLL_SLOW` enables more and longer runs, which take minutes in a debug build.
fn slow() -> bool {
    std::env::var_os("PLIMSOLL_SLOW").is_some()
}

#[test]
fn one_flat_series_in_a_thousand_is_called_a_leak_at_most() {
    let (runs, collections) = if slow() { (10_000, 200) } else { (2_000, 40) };
    let found =
        count(runs, |seed| accused(&Server { noise: ALL[(seed % 4) as usize], ..QUIET }.run(seed, collections)));
    assert!(found <= runs / 1000, "{found} of {runs}");
}

#[test]
fn a_flat_server_is_judged_a_thousand_times_without_a_report() {
    let found = count(if slow() { 40 } else { 4 }, |seed| {
        accused(&Server { noise: ALL[(seed % 3) as usize], ..QUIET }.run(seed, 1000))
    });
    assert_eq!(found, 0);
}

#[test]
fn a_leak_of_100_bytes_a_request_is_found_within_20_000_requests() {
    for (noise_bytes, of_a_hundred) in [(0.05, 100), (0.5, 95), (0.65, 90)] {
        let leaky = Server { keeps: &|requests| 100.0 * requests, noise_bytes: noise_bytes * MB, ..QUIET };
        let runs = if slow() { 100 } else { 20 };
        let found = 100 / runs * count(runs, |seed| leaky.run(seed, 80).iter().any(|(at, _)| *at <= 20_000.0));
        assert!(found >= of_a_hundred, "{found} of 100 at {noise_bytes} MB of noise");
    }
}

#[test]
fn a_slow_leak_under_heavy_noise_is_found_in_the_end() {
    let leaky = Server {
        keeps: &|requests| 5.0 * requests,
        noise: Noise::Normal,
        noise_bytes: 2.0 * MB,
        requests_a_collection: 2_500.0,
        ..QUIET
    };
    let found = count(2, |seed| accused(&leaky.run(seed, 1000)));
    assert_eq!(found, 2);
}

#[test]
fn a_leak_that_begins_after_an_hour_is_found() {
    // One collection a second, after 250 requests each.
    let begins = 2_000.0 + 3_600.0 * 250.0;
    let leaky = Server { keeps: &|requests| 200.0 * (requests - begins).max(0.0), ..QUIET };
    for seed in 0..2 {
        let changes = leaky.run(seed, 3_600 + 120);
        assert!(matches!(changes[..], [(at, Change::Began)] if at > begins), "{changes:?}");
    }
}

#[test]
fn a_leak_that_was_fixed_is_withdrawn_and_one_that_comes_back_is_reported_again() {
    let grown = |requests: f64| match requests {
        ..40_000.0 => 200.0 * requests,
        ..140_000.0 => 200.0 * 40_000.0,
        _ => 200.0 * (requests - 100_000.0),
    };
    let fixed = Server { keeps: &grown, ..QUIET };
    let runs = if slow() { 100 } else { 2 };
    let straight = count(runs, |seed| {
        let run = fixed.run(seed, 800);
        let changes: Vec<Change> = run.iter().map(|(_, change)| *change).collect();
        changes == [Change::Began, Change::Ended, Change::Began] && run[1].0 > 40_000.0 && run[1].0 < 80_000.0
    });
    // A young leak may be withdrawn once more.
    assert!(straight >= runs * 19 / 20, "{straight} of {runs}");
}

#[test]
fn healthy_look_alikes_are_not_accused() {
    let plateau = |requests: f64| 30.0 * MB * (1.0 - (-requests / 2_000.0).exp());
    let one_step = |requests: f64| if requests > 15_000.0 { 12.0 * MB } else { 0.0 };
    let doubling = |requests: f64| 2.0 * MB * 2f64.powf((requests.min(16_000.0) / 2_000.0).log2().floor());
    let sawtooth = |requests: f64| 20.0 * MB * (requests / 5_000.0).fract();
    let slow_sawtooth = |requests: f64| {
        if requests < 6_000.0 { 0.0 } else { 60.0 * MB * (1.0 - ((requests - 6_000.0) / 100_000.0).fract()) }
    };
    let day = |requests: f64| 10.0 * MB * (requests / 20_000.0 * std::f64::consts::TAU).sin();
    let cases: [(&str, &(dyn Fn(f64) -> f64 + Sync)); 6] = [
        ("a cache that fills", &plateau),
        ("one step", &one_step),
        ("a map that doubles, then rests", &doubling),
        ("a sawtooth", &sawtooth),
        ("one that mostly falls", &slow_sawtooth),
        ("day and night", &day),
    ];
    for (name, keeps) in cases {
        for noise_bytes in [0.05, 0.65] {
            let runs = if slow() { 50 } else { 2 };
            let found =
                count(runs, |seed| accused(&Server { keeps, noise_bytes: noise_bytes * MB, ..QUIET }.run(seed, 400)));
            // Of 1,200 such caches, 22 were reported for a while.
            let most = if name == "a cache that fills" { runs / 50 } else { 0 };
            assert!(found <= most, "{name}, {noise_bytes} MB of noise: {found}");
        }
    }
}

#[test]
fn a_cache_that_fills_slowly_mostly_is_not_accused_while_it_bends() {
    // A cache filled over two of its time constants, and one and a half. Its end is as slow and straight as a leak.
    for (mb, constant, collections) in [(30.0, 5_000.0, 40), (100.0, 10_000.0, 60)] {
        let keeps = move |requests: f64| mb * MB * (1.0 - (-requests / constant).exp());
        let runs = if slow() { 200 } else { 20 };
        let found = count(runs, |seed| accused(&Server { keeps: &keeps, ..QUIET }.run(seed, collections)));
        assert!(found <= runs / 4, "{found} of {runs} with {mb} MB by {constant} requests");
    }
}

#[test]
fn a_ramp_of_traffic_is_not_reported_although_requests_in_flight_are_live() {
    let ramp = |requests: f64| (requests / 200.0).min(150.0);
    let busier = Server { in_flight: &ramp, in_flight_bytes: 100_000.0, noise_bytes: 0.3 * MB, ..QUIET };
    let runs = if slow() { 100 } else { 10 };
    assert_eq!(count(runs, |seed| accused(&busier.run(seed, 300))), 0);
    // A leak is also found under a load that goes up and down.
    let tides = |requests: f64| 60.0 + 20.0 * (requests / 500.0).sin();
    let leaky = Server { in_flight: &tides, keeps: &|requests| 300.0 * requests, ..busier };
    assert!(count(runs, |seed| accused(&leaky.run(seed, 300))) >= runs * 9 / 10);
}
