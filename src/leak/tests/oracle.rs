//! Compares with scipy. `src/leak/oracle/reference.py` computed the numbers.

use serde_json::Value;

use crate::leak::series::mann_kendall;
use crate::leak::series::theil_sen::Slopes;

fn close(found: f64, reference: f64, what: &str) {
    assert!((found - reference).abs() <= 1e-6 * reference.abs().max(1e-12), "{what}: {found}, by scipy {reference}");
}

#[test]
fn figures_are_those_of_scipy() {
    let references: Value = serde_json::from_str(include_str!("../oracle/numbers.json")).unwrap();
    let references = references.as_array().unwrap();
    assert!(references.len() >= 5);
    for reference in references {
        let number = |name: &str| reference[name].as_f64().unwrap_or_else(|| panic!("{name}"));
        let column = |name: &str| -> Vec<f64> {
            reference[name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let (x, y, load) = (column("x"), column("y"), column("load"));
        close(mann_kendall::score(&y), number("score"), "score");
        close(mann_kendall::variance(&y), number("variance"), "variance");
        assert!(!mann_kendall::rises(&y, number("plain_p") * 0.999));
        assert_eq!(mann_kendall::rises(&y, number("plain_p") * 1.001), number("score") > 0.0);

        let slope = Slopes::between(&x, &y).with_interval(mann_kendall::variance(&y), 1.959_964);
        close(slope.slope, number("slope"), "slope");
        close(slope.low, number("low"), "low");
        close(slope.high, number("high"), "high");

        let detrended: Vec<f64> = x.iter().zip(&y).map(|(x, y)| y - slope.slope * x).collect();
        let test = mann_kendall::test(&y, &detrended, &load);
        close(test.widened, number("widened"), "widened");
        close(test.s, number("partial_score"), "score given the load");
        close(test.variance, number("partial_variance"), "its variance");
        close(test.p, number("p"), "p");
    }
}

#[test]
fn what_says_nothing_is_no_trend() {
    let same = [7.0; 20];
    assert!((mann_kendall::test(&same, &same, &same).p - 1.0).abs() < 1e-6);
    let slope = Slopes::between(&same, &[1.0; 20]).with_interval(0.0, 1.96);
    assert_eq!((slope.slope, slope.low, slope.high), (0.0, 0.0, 0.0), "no two points differ in x");
}
