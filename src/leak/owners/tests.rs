use proptest::prelude::*;

use super::*;

const KIB: f64 = 1024.0;
const SAMPLE: f64 = 64.0 * KIB;
const GATE: Thresholds = Thresholds::of_bytes(128.0 * KIB);

/// A route of a simulated server: its share of the traffic, what a request retains for good, and how many bytes of it a cache retains,
/// which is full at the start already.
#[derive(Clone, Copy, Default)]
struct Route {
    share: f64,
    leaks: f64,
    caches: f64,
    bound: f64,
}

/// A session of `profiles`, 500 requests apart, of which a part (`metered`) has an owner. Samples come by chance.
fn session(routes: &[(&str, Route)], nobody: f64, metered: f64, profiles: usize, seed: u64) -> (OwnerGrowth, f64) {
    let mut growth = OwnerGrowth::default();
    let mut random = seed;
    let mut chance = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as f64 / f64::from(1u32 << 31)
    };
    let mut sampled = |bytes: f64| {
        // Poisson's distribution, by Knuth.
        let (limit, mut product, mut samples) = ((-bytes / SAMPLE).exp(), chance(), 0);
        while product > limit {
            (product, samples) = (product * chance(), samples + 1);
        }
        Alive { bytes: f64::from(samples) * SAMPLE, samples }
    };
    let mut sums: HashMap<&str, Alive> = HashMap::new();
    let (mut all, mut nobodys, mut unknown) = (0.0, Alive::default(), Alive::default());
    for at in 0..profiles {
        let requests = 500.0 * (at as f64 + 1.0);
        all = requests;
        let mut profile = OwnedProfile::default();
        for (name, route) in routes {
            let served = 500.0 * route.share;
            // What a full cache takes in is sampled until all of it is new.
            let new = if requests * route.share * route.caches < route.bound { route.caches } else { 0.0 };
            let sum = sums.entry(name).or_default();
            *sum = *sum + sampled(served * (route.leaks + new) * metered);
            unknown = unknown + sampled(served * (route.leaks + new) * (1.0 - metered));
            profile.routes.insert((*name).to_owned(), *sum);
        }
        nobodys = nobodys + sampled(500.0 * nobody * metered);
        (profile.nobody, profile.unknown) = (nobodys, unknown);
        let served = routes.iter().map(|(name, route)| ((*name).to_owned(), requests * route.share)).collect();
        growth.see(Moment { at: at as u64 * 1000, requests, in_flight: 0.0, routes: served }, &profile);
    }
    let leaks: f64 = routes.iter().map(|(_, route)| route.share * route.leaks).sum();
    assert!(all > 0.0);
    (growth, leaks + nobody)
}

fn leaking(share: f64, leaks: f64) -> Route {
    Route { share, leaks, ..Route::default() }
}

#[test]
fn the_routes_that_leak_are_named_with_their_bytes_and_no_other() {
    let routes = [
        ("POST /orders", leaking(0.05, 3000.0)),
        ("GET /reports/:id", leaking(0.1, 1000.0)),
        ("GET /users", leaking(0.5, 0.0)),
        ("GET /", leaking(0.35, 0.0)),
    ];
    let (growth, trend) = session(&routes, 0.0, 0.5, 60, 1);
    let Owners::Routes(shares) = growth.verdict(&GATE, Some(trend)) else { panic!("not certain") };
    let names: Vec<&str> = shares.iter().map(|share| share.route.as_str()).collect();
    assert_eq!(names, ["POST /orders", "GET /reports/:id"]);
    for (share, (_, route)) in shares.iter().zip(&routes) {
        let [bytes, low, high] = share.bytes([trend, trend, trend]);
        assert!(low <= route.leaks && route.leaks <= high, "{} of {low} to {high}", route.leaks);
        assert!((0.7..1.4).contains(&(bytes / route.leaks)), "{bytes} of {}", route.leaks);
    }
}

#[test]
fn a_route_that_may_leak_too_is_waited_for() {
    // Ten samples of the second route are not enough to be certain of it; but they are too many to leave it out.
    let routes = [("GET /a", leaking(0.5, 1000.0)), ("GET /b", leaking(0.5, 600.0))];
    let (growth, trend) = session(&routes, 0.0, 0.15, 17, 3);
    assert_eq!(growth.verdict(&GATE, Some(trend)), Owners::Unknown);
}

#[test]
fn a_full_cache_that_takes_in_new_objects_is_not_a_leak() {
    let cache = Route { share: 0.5, caches: 2000.0, bound: 30e6, ..Route::default() };
    let routes = [("GET /leaks", leaking(0.5, 1000.0)), ("GET /cached", cache)];
    let (growth, trend) = session(&routes, 0.0, 0.5, 40, 5);
    assert_eq!(growth.verdict(&GATE, Some(trend)), Owners::Unknown, "more is new than the heap has grown by");
    let full = Route { bound: 4e6, ..cache };
    let (growth, trend) = session(&[routes[0], ("GET /cached", full)], 0.0, 0.5, 64, 5);
    let Owners::Routes(shares) = growth.verdict(&GATE, Some(trend)) else { panic!("not certain") };
    assert_eq!(shares.len(), 1);
    assert_eq!(shares[0].route, "GET /leaks");
}

#[test]
fn what_all_routes_share_and_what_no_request_owns_is_said() {
    let alike = ["GET /a", "GET /b", "GET /c", "GET /d"].map(|route| (route, leaking(0.25, 800.0)));
    let (growth, trend) = session(&alike, 0.0, 0.5, 60, 7);
    assert!(matches!(growth.verdict(&GATE, Some(trend)), Owners::Alike(routes) if routes.len() == 4));
    let (growth, trend) = session(&[("GET /", leaking(1.0, 0.0))], 600.0, 0.5, 60, 9);
    assert_eq!(growth.verdict(&GATE, Some(trend)), Owners::Nobody);
}

#[test]
fn a_long_session_remembers_as_many_profiles_as_a_short_one() {
    let routes = [("GET /leaks", leaking(0.1, 2000.0)), ("GET /", leaking(0.9, 0.0))];
    let (growth, trend) = session(&routes, 0.0, 0.15, 400, 13);
    assert!(growth.moments.len() <= MOST_PROFILES && growth.unknown.len() == growth.moments.len());
    assert!(growth.routes.values().all(|series| series.len() == growth.moments.len()));
    let Owners::Routes(shares) = growth.verdict(&GATE, Some(trend)) else { panic!("not certain") };
    assert_eq!(shares.iter().map(|share| share.route.as_str()).collect::<Vec<_>>(), ["GET /leaks"]);
}

#[test]
fn nothing_is_named_without_growth() {
    let cache = Route { share: 0.5, caches: 3000.0, bound: 1e6, ..Route::default() };
    let (growth, _) = session(&[("GET /", leaking(0.5, 0.0)), ("GET /cached", cache)], 0.0, 1.0, 64, 11);
    assert_eq!(growth.verdict(&GATE, None), Owners::Unknown);
    assert_eq!(OwnerGrowth::default().verdict(&GATE, Some(1.0)), Owners::Unknown);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// A healthy route is never named, whatever leaks beside it and however few samples have an owner.
    #[test]
    fn a_healthy_route_is_never_named(
        seed in any::<u64>(), leaks in 100.0..5000.0, share in 0.02..0.6, metered in 0.05..1.0, profiles in 10usize..64
    ) {
        let healthy = Route { share: (1.0 - share) / 2.0, caches: 500.0, bound: 200e3, ..Route::default() };
        let routes = [("GET /leaks", leaking(share, leaks)), ("GET /cached", healthy), ("GET /", leaking((1.0 - share) / 2.0, 0.0))];
        let (growth, trend) = session(&routes, 0.0, metered, profiles, seed);
        match growth.verdict(&GATE, Some(trend)) {
            Owners::Routes(shares) => prop_assert!(shares.iter().all(|share| share.route == "GET /leaks"), "{shares:?}"),
            other => prop_assert_eq!(other, Owners::Unknown),
        }
    }
}
