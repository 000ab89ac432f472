use super::*;

const NONE: BTreeSet<String> = BTreeSet::new();
const MIB: f64 = 1024.0 * 1024.0;

fn function(name: &str) -> Function {
    Function { name: name.to_owned(), place: format!("{name}.js:1") }
}

/// Paths from the root, each with its bytes.
fn profile(paths: &[(&[&str], f64)]) -> Profile {
    let mut profile = Profile { nodes: vec![Node { parent: 0, function: None, bytes: 0.0 }], ..Profile::default() };
    for (path, bytes) in paths {
        let mut parent = 0;
        for name in *path {
            let known = profile.functions.iter().position(|known| known.name == *name);
            let number = known.unwrap_or_else(|| {
                profile.functions.push(function(name));
                profile.functions.len() - 1
            });
            profile.nodes.push(Node { parent, function: Some(number as u32), bytes: 0.0 });
            parent = profile.nodes.len() as u32 - 1;
        }
        profile.nodes[parent as usize].bytes = *bytes;
    }
    profile
}

/// The moment of a profile, with what two routes have served by then.
fn moment(at: usize, requests: [f64; 2]) -> Moment {
    let routes = ["GET /leaky", "GET /other"].map(str::to_owned).into_iter().zip(requests).collect();
    Moment { at: at as u64 * 1000, requests: requests.iter().sum(), in_flight: 0.0, routes }
}

/// Noise that is the same in each run.
fn noise(at: usize) -> f64 {
    ((at * 7919) % 13) as f64 / 13.0
}

#[test]
fn the_innermost_function_that_grows_is_the_site_also_when_it_is_inlined() {
    let mut sites = Sites::default();
    for at in 0..20 {
        let kept = at as f64 * 500.0 * 600.0;
        // From the sixth profile on the constructor is inlined.
        let own = kept.min(6.0 * 500.0 * 600.0);
        let lru = MIB + noise(at) * 0.3 * MIB;
        let paths: [(&[&str], f64); 4] = [
            (&["getUser", "Session"], own),
            (&["getUser"], kept - own),
            (&["show", "getUser", "Session"], 30_000.0),
            (&["lru"], lru),
        ];
        sites.see(moment(at, [at as f64 * 500.0, at as f64 * 500.0]), &profile(&paths), |f| f.name == "show");
    }
    let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
    assert_eq!(site.function, function("getUser"));
    assert_eq!(site.handlers, [function("show")]);
    // Bytes for each request of the route: it gets every second one.
    assert!((site.figures.per_thousand / 1000.0 - 300.0).abs() < 3.0, "{:?}", site.figures);
    assert!(site.share > 0.9);
}

#[test]
fn nothing_is_a_site_where_nothing_grows() {
    let mut sites = Sites::default();
    for at in 0..MOST_PROFILES + 10 {
        let lru = 4.0 * MIB + noise(at) * MIB;
        let starting = (MIB * at as f64).min(3.0 * MIB);
        let paths: [(&[&str], f64); 2] = [(&["handler", "lru"], lru), (&["cache"], starting)];
        sites.see(moment(at, [at as f64 * 500.0, 0.0]), &profile(&paths), |_| false);
    }
    assert_eq!(sites.moments.len(), MOST_PROFILES);
    assert_eq!(sites.verdict(), []);
}

#[test]
fn callers_are_known_from_dead_samples_too() {
    let mut sites = Sites::default();
    let calls: [(&[&str], f64); 2] = [(&["show", "getUser"], 1e3), (&["list", "getUser"], 4e3)];
    sites.callers(&profile(&calls), |f| ["show", "list"].contains(&f.name.as_str()));
    for at in 0..20 {
        let served = at as f64 * 500.0;
        sites.see(moment(at, [served, served]), &profile(&[(&["getUser"], served * 600.0)]), |_| false);
    }
    let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
    assert_eq!((&site.function, &site.handlers), (&function("getUser"), &vec![function("list"), function("show")]));
}

#[test]
fn what_v8_has_inlined_into_a_module_is_the_function_that_it_called_before() {
    let mut sites = Sites::default();
    for at in 0..20 {
        let kept = at as f64 * 500.0 * 600.0;
        let seen = kept.min(2.0 * 500.0 * 600.0);
        let paths: [(&[&str], f64); 3] = [
            (&["node_modules/express/app", "session"], seen),
            (&["node_modules/express/app"], kept - seen),
            (&["node_modules/express/app", "show"], 20_000.0),
        ];
        sites.see(moment(at, [at as f64 * 500.0, 0.0]), &profile(&paths), |f| f.name == "session");
    }
    let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
    assert_eq!((site.function.name.as_str(), site.handlers[0].name.as_str()), ("session", "session"));
    assert!((site.figures.per_thousand / 1000.0 - 600.0).abs() < 3.0, "the size is the whole's");
}

#[test]
fn middleware_is_the_handler_of_what_it_calls_and_not_of_what_comes_after_it() {
    let mut sites = Sites::default();
    let handlers = ["session", "show"];
    let calls: [(&[&str], f64); 2] = [(&["session", "load"], 1e3), (&["session", "next", "show", "getUser"], 4e3)];
    sites.callers(&profile(&calls), |f| handlers.contains(&f.name.as_str()));
    for at in 0..20 {
        let served = at as f64 * 500.0;
        let paths: [(&[&str], f64); 3] =
            [(&["getUser"], served * 600.0), (&["load"], served * 590.0), (&["session"], served * 580.0)];
        sites.see(moment(at, [served, served]), &profile(&paths), |f| handlers.contains(&f.name.as_str()));
    }
    let seen = sites.verdict().into_iter().map(|site| (site.function.name, site.handlers[0].name.clone()));
    let seen: Vec<(String, String)> = seen.collect();
    let expected = [("getUser", "show"), ("load", "session"), ("session", "session")];
    assert_eq!(seen, expected.map(|(site, handler)| (site.to_owned(), handler.to_owned())));
}

#[test]
fn a_function_that_is_never_seen_below_a_handler_is_taken_for_its_neighbours() {
    let mut sites = Sites::default();
    let mut calls = profile(&[(&["show", "getUser"], 1e3), (&["list", "getRows"], 9e3)]);
    let mut lives = profile(&[(&["load"], 0.0)]);
    for function in calls.functions.iter_mut().chain(&mut lives.functions) {
        let file = if ["list", "getRows"].contains(&function.name.as_str()) { "rows" } else { "users" };
        function.place = format!("{file}.js:{}", function.name.len());
    }
    sites.callers(&calls, |f| ["show", "list"].contains(&f.name.as_str()));
    for at in 0..20 {
        let served = at as f64 * 500.0;
        lives.nodes[1].bytes = served * 600.0;
        sites.see(moment(at, [served, served]), &lives, |_| false);
    }
    let [site] = &sites.verdict()[..] else { panic!("{:?}", sites.verdict()) };
    assert_eq!((site.function.name.as_str(), site.handlers[0].name.as_str()), ("load", "show"));
    assert_eq!(site.handlers.len(), 1);
}

#[test]
fn the_route_is_the_one_whose_traffic_explains_the_growth() {
    let mut sites = Sites::default();
    let (mut leaky, mut other) = (0.0, 0.0);
    for at in 0..20 {
        leaky += 200.0 + 400.0 * noise(at);
        other += 200.0 + 400.0 * noise(at + 5);
        let kept = leaky * 900.0 + 20_000.0 * noise(at + 3);
        sites.see(moment(at, [leaky, other]), &profile(&[(&["keep"], kept)]), |_| false);
    }
    let site = &sites.verdict()[0];
    assert_eq!(sites.routes(site, &NONE, &NONE), ["GET /leaky"]);
    let other = BTreeSet::from(["GET /other".to_owned()]);
    assert_eq!(sites.routes(site, &other, &NONE), ["GET /other"], "it is known to be among these");
    assert_eq!(sites.routes(site, &NONE, &other), ["GET /leaky"], "a name is no proof against what the traffic shows");
}

#[test]
fn routes_that_come_in_step_are_both_named() {
    let mut sites = Sites::default();
    for at in 0..20 {
        let served = 300.0 * at as f64;
        let kept = served * 900.0 + 20_000.0 * noise(at);
        sites.see(moment(at, [served, served]), &profile(&[(&["keep"], kept)]), |_| false);
    }
    let site = &sites.verdict()[0];
    assert_eq!(sites.routes(site, &NONE, &NONE), ["GET /leaky", "GET /other"]);
    assert_eq!(sites.routes(site, &NONE, &BTreeSet::from(["GET /other".to_owned()])), ["GET /other"], "it calls it");
}

#[test]
fn the_names_of_a_site_are_its_own_and_those_of_its_callers_in_the_program() {
    let mut sites = Sites::default();
    for at in 0..20 {
        let kept = at as f64 * 500.0 * 600.0;
        let paths: [(&[&str], f64); 2] = [(&["node_modules/next", "load", "", "Session"], kept), (&["other"], 1e3)];
        sites.see(moment(at, [at as f64 * 500.0, 0.0]), &profile(&paths), |_| false);
    }
    assert_eq!(sites.names(&sites.verdict()[0]), HashSet::from(["load", "Session"]));
}

#[test]
fn a_source_calls_the_names_before_a_parenthesis() {
    let source = "async (req, res) => { if (!req) return; const user = await users . getUser?.(req.params.id); new Session (user)\n(0, $größe_2)(1)((2)) }";
    assert_eq!(names_called(source).collect::<Vec<_>>(), ["async", "if", "getUser", "Session"]);
    assert_eq!(names_called("").count(), 0);
}

#[test]
fn what_is_handed_over_wrong_is_left_out() {
    let mut sites = Sites::default();
    let nodes = vec![
        Node { parent: 7, function: Some(9), bytes: 1.0 },
        Node { parent: 1, function: Some(0), bytes: 2.0 },
        Node { parent: 0, function: None, bytes: f64::NAN },
    ];
    sites.see(moment(0, [1.0, 1.0]), &Profile { functions: vec![function("a")], nodes }, |_| true);
    assert_eq!(sites.total, [3.0]);
    let many = (0..MOST_FUNCTIONS + 9).map(|at| function(&at.to_string())).collect();
    sites.see(moment(1, [2.0, 2.0]), &Profile { functions: many, nodes: Vec::new() }, |_| true);
    assert_eq!(sites.functions.len(), MOST_FUNCTIONS);
    assert_eq!(sites.verdict(), []);
}
